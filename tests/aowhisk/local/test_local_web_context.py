"""A request as the arguments of a web action."""

import base64
from typing import Any

import pytest

from aowhisk.local.http import Refusal
from aowhisk.local.request import Request
from aowhisk.local.web.context import Context


async def nothing() -> dict[str, Any]:
    return {"type": "http.request", "body": b""}


def context(
    *,
    method: str = "POST",
    query: str = "",
    rest: tuple[str, ...] = (),
    data: bytes = b"",
    **headers: str,
) -> Context:
    given = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
    scope = {
        "method": method,
        "path": "/",
        "query_string": query.encode(),
        "headers": given,
    }
    return Context.of(Request(scope, nothing), rest).with_data(data)


def arguments(data: bytes = b"", *, raw: bool = False, **given: Any) -> dict[str, Any]:
    found = context(data=data, **given)
    return found.arguments(found.read(data, raw=raw), raw=raw, user=None)


def plain(data: bytes = b"", **given: Any) -> dict[str, Any]:
    found = arguments(data, **given)
    return {k: v for k, v in found.items() if k not in ("__ow_method", "__ow_headers", "__ow_path")}


def test_method_path_and_user_are_told() -> None:
    found = context(method="PATCH", rest=("a b", "ü", "")).arguments(None, raw=False, user="guest")

    assert found["__ow_method"] == "patch"
    assert found["__ow_path"] == "/a%20b/%C3%BC/"
    assert found["__ow_user"] == "guest"
    assert "__ow_user" not in arguments()


def test_headers_are_told_but_not_those_of_the_transfer() -> None:
    found = arguments(
        b"{}",
        accept="text/html,*/*",
        content_type="Application/JSON;charset=utf-8",
        content_length="2",
        transfer_encoding="chunked",
        x_ow_extra_logging="on",
        x_a="b,c",
    )

    assert found["__ow_headers"] == {
        "accept": "text/html, */*",
        "content-type": "application/json",
        "x-a": "b,c",
    }


def test_the_last_of_a_repeated_parameter_counts() -> None:
    assert plain(query="a=1&b=x+y%26&a=2&c&d=") == {"a": "2", "b": "x y&", "c": "", "d": ""}


@pytest.mark.parametrize("kind", ["application/json", "application/cloudevents+json"])
def test_a_json_object_lies_over_the_query(kind: str) -> None:
    found = plain(b'{"a": {"x": 1}}', query="a=1&b=2", content_type=kind)

    assert found == {"a": {"x": 1}, "b": "2"}


@pytest.mark.parametrize(
    ("data", "value"), [(b"[1]", [1]), (b'"x"', "x"), (b"9", 9), (b"null", None)]
)
def test_other_json_is_the_body(data: bytes, value: Any) -> None:
    assert plain(data, content_type="application/json") == {"__ow_body": value}


def test_a_form_lies_over_the_query() -> None:
    found = plain(
        b"a=x+y&a=z&c=%C3%BC", query="a=1&b=2", content_type="application/x-www-form-urlencoded"
    )

    assert found == {"a": "z", "b": "2", "c": "ü"}


def test_text_is_the_body_and_what_is_binary_is_its_base64() -> None:
    encoded = base64.b64encode(b"\x00\xff").decode()

    assert plain(b"1,2", content_type="text/csv") == {"__ow_body": "1,2"}
    assert plain(b"\x00\xff", content_type="image/png") == {"__ow_body": encoded}
    assert plain(b"\x00\xff", content_type="nonsense") == {"__ow_body": encoded}


def test_a_body_of_no_type_is_octets() -> None:
    found = arguments(b"x")

    assert found["__ow_headers"] == {"content-type": "application/octet-stream"}
    assert found["__ow_body"] == "eA=="


def test_no_body_is_none_unless_a_type_says_there_is_one() -> None:
    assert plain() == {}
    assert plain(content_type="application/json") == {}
    assert plain(content_type="application/x-www-form-urlencoded") == {}
    assert plain(content_type="text/plain") == {"__ow_body": ""}


def test_a_raw_action_gets_query_and_body_unread() -> None:
    found = plain(b'{"a": 1}', raw=True, query="q=a%20b&q=&r", content_type="application/json")

    assert found == {"__ow_query": "q=a+b&q=&r", "__ow_body": "eyJhIjogMX0="}
    assert plain(raw=True) == {"__ow_query": "", "__ow_body": ""}
    assert plain(b"a=1", raw=True, content_type="application/x-www-form-urlencoded") == {
        "__ow_query": "",
        "__ow_body": "a=1",
    }


@pytest.mark.parametrize(
    ("data", "kind", "told"),
    [
        (b"{", "application/json", "The request content was malformed"),
        (b"a=%zz", "application/x-www-form-urlencoded", "Illegal form content"),
    ],
)
def test_a_body_that_is_not_what_it_is_said_to_be_is_400(data: bytes, kind: str, told: str) -> None:
    with pytest.raises(Refusal, match=told) as raised:
        arguments(data, content_type=kind)

    assert raised.value.status == 400


def test_the_names_that_a_request_gives_are_those_of_query_and_object() -> None:
    found = context(query="a=1", content_type="application/json")

    assert found.names(found.read(b'{"b": 1}', raw=False)) == {"a", "b"}
    assert found.names(found.read(b'["b"]', raw=False)) == {"a"}
    assert found.names(None) == {"a"}
