"""A web action's result as an HTTP answer."""

import base64
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aowhisk.local.web.answer import EXTENSIONS, Answer, Unfit, pretty, to_answer

PNG = base64.b64encode(b"\x89PNG\x00").decode()


def shown(answer: Answer) -> tuple[int, str, bytes]:
    content = answer.content
    return answer.status, content.type if content else "", content.data if content else b""


def http(**result: Any) -> tuple[int, str, bytes]:
    return shown(to_answer(".http", result))


@pytest.mark.parametrize("result", [{}, {"body": ""}, {"body": None}, {"other": 1}])
def test_no_body_is_204(result: dict[str, Any]) -> None:
    assert http(**result) == (204, "", b"")


def test_no_body_with_a_status_keeps_the_status_and_drops_the_type() -> None:
    headers = {"Content-Type": "text/css", "X-A": "b"}
    answer = to_answer(".http", {"statusCode": 200, "headers": headers})

    assert shown(answer) == (200, "", b"")
    assert answer.headers == (("X-A", "b"),)


def test_a_text_is_html_unless_it_says_otherwise() -> None:
    assert http(body="é") == (200, "text/html; charset=UTF-8", "é".encode())
    assert http(body="x", headers={"content-type": "text/css"}) == (
        200,
        "text/css; charset=UTF-8",
        b"x",
    )
    assert http(body="x", headers={"content-type": "text/css; charset=latin-1"}) == (
        200,
        "text/css; charset=UTF-8",
        b"x",
    )


def test_a_text_of_a_binary_type_is_base64() -> None:
    assert http(body=PNG, headers={"Content-Type": "image/png"}) == (200, "image/png", b"\x89PNG\0")
    assert http(body="QQ", headers={"Content-Type": "image/png"}) == (200, "image/png", b"A")


@pytest.mark.parametrize("body", ["no base64", "Q", "QQ=", "QQ==\n", "Q Q="])
def test_a_text_of_a_binary_type_that_is_no_base64_is_refused(body: str) -> None:
    with pytest.raises(Unfit, match="did not match generated content type"):
        http(body=body, headers={"Content-Type": "image/png"})


def test_a_text_of_a_json_type_is_taken_as_it_is_or_as_base64() -> None:
    json = {"content-type": "application/json"}

    assert http(body='{"a":1}', headers=json)[2] == b'{"a":1}'
    assert http(body="hello world", headers=json)[2] == b"hello world"
    assert http(body=base64.b64encode(b'{"a":1}').decode(), headers=json)[2] == b'{"a":1}'


def test_json_is_json_or_of_its_family() -> None:
    hal = {"content-type": "application/hal+json; charset=utf-8"}

    assert http(body={"a": 1}) == (200, "application/json", b'{\n  "a": 1\n}')
    assert http(body={"a": 1}, headers=hal)[1] == "application/hal+json"
    assert http(body=3)[2] == b"3"
    assert http(body=False)[2] == b"false"
    assert http(body=[1])[2] == b"[1]"


@pytest.mark.parametrize("kind", ["text/html", "xyzbar", "application/hal+json; x=y"])
def test_json_of_another_type_is_refused(kind: str) -> None:
    with pytest.raises(Unfit, match="did not match generated content type"):
        http(body={"a": 1}, headers={"content-type": kind})


def test_a_text_of_no_type_at_all_is_refused() -> None:
    with pytest.raises(Unfit, match="did not specify a known content-type"):
        http(body="x", headers={"content-type": "xyzbar"})


@pytest.mark.parametrize("code", [200, "200", "+200", 200.0])
def test_a_status_is_a_whole_number_or_its_text(code: Any) -> None:
    assert http(statusCode=code)[0] == 200


@pytest.mark.parametrize(
    "code",
    [99, 209, 419, 600, 799, 99999, -200, 200.5, 1e400, "many", " 200", "2e2", True, None, [], {}],
)
def test_any_other_status_is_refused(code: Any) -> None:
    with pytest.raises(Unfit, match="not valid 'message/http'"):
        http(statusCode=code)


@pytest.mark.parametrize("code", [204, 205, 304])
def test_a_status_that_allows_no_body_drops_it(code: int) -> None:
    assert http(statusCode=code, body="x") == (code, "", b"")


def test_headers_are_texts_numbers_booleans_and_lists_of_them() -> None:
    headers = {"Set-Cookie": ["a=1", "b=2"], "X-N": 1.5, "X-B": True, "X-E": [], "X-L": [[1], "x"]}

    assert to_answer(".http", {"headers": headers}).headers == (
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
        ("X-N", "1.5"),
        ("X-B", "true"),
        ("X-L", "1"),
        ("X-L", "x"),
    )


@pytest.mark.parametrize("headers", [None, [], "x", {"a": None}, {"a": {}}, {"a": [None]}])
def test_headers_that_are_none_are_refused(headers: Any) -> None:
    with pytest.raises(Unfit, match="not valid 'message/http'"):
        http(headers=headers)


@pytest.mark.parametrize(
    ("name", "value"),
    [("X Y", "a"), ("", "a"), ("X-A", "b\r\nX-C: d"), ("Content-Length", "9"), ("Connection", "x")],
)
def test_headers_that_no_answer_can_carry_are_left_out(name: str, value: str) -> None:
    assert to_answer(".http", {"headers": {name: value}}).headers == ()


@pytest.mark.parametrize("extension", [".json", ".http"])
def test_a_bare_text_is_no_json_and_no_http(extension: str) -> None:
    with pytest.raises(Unfit, match="Response is not valid"):
        to_answer(extension, "x")


@pytest.mark.parametrize(
    ("extension", "field", "kind"),
    [
        (".html", "html", "text/html; charset=UTF-8"),
        (".svg", "svg", "image/svg+xml"),
        (".text", "text", "text/plain; charset=UTF-8"),
    ],
)
def test_an_extension_shows_the_body_else_its_own_field_else_a_bare_text(
    extension: str, field: str, kind: str
) -> None:
    for result in ({"body": "x", field: "y"}, {field: "x"}, "x"):
        assert shown(to_answer(extension, result)) == (200, kind, b"x")


@pytest.mark.parametrize("extension", [".html", ".svg"])
@pytest.mark.parametrize(
    "result", [{}, {"body": None, "html": "x", "svg": "x"}, {"body": 1}, [], 1]
)
def test_what_is_no_text_is_neither_html_nor_svg(extension: str, result: Any) -> None:
    with pytest.raises(Unfit, match="Response is not valid"):
        to_answer(extension, result)


@pytest.mark.parametrize(
    ("value", "text"), [(None, b"null"), (True, b"true"), (1.5, b"1.5"), ([1, "a"], b'[1, "a"]')]
)
def test_text_shows_any_value(value: Any, text: bytes) -> None:
    assert shown(to_answer(".text", {"body": value})) == (200, "text/plain; charset=UTF-8", text)


def test_text_without_either_field_is_404() -> None:
    with pytest.raises(Unfit, match="does not include requested property") as raised:
        to_answer(".text", {"other": 1})

    assert raised.value.status == 404


def test_json_is_printed_with_its_keys_in_order_over_several_lines() -> None:
    assert pretty({"b": [1, {"c": "é"}], "a": {}}) == (
        '{\n  "a": {\n\n  },\n  "b": [1, {\n    "c": "é"\n  }]\n}'
    )


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
TYPES = st.sampled_from(["text/plain", "image/png", "application/json", 'text/csv; a="b"'])
HEADERS = st.dictionaries(st.sampled_from(["X-A", "Content-Type"]) | st.text(), TYPES | VALUES)
RESULTS = st.fixed_dictionaries(
    {},
    optional={
        "statusCode": st.integers(90, 600) | VALUES,
        "headers": HEADERS | VALUES,
        "body": st.text() | VALUES,
    },
)


@given(st.sampled_from(list(EXTENSIONS)), RESULTS | VALUES)
def test_whatever_an_action_returns_can_be_sent_or_is_refused(extension: str, result: Any) -> None:
    try:
        answer = to_answer(extension, result)
    except Unfit:
        return
    sent = [*answer.headers, *([("type", answer.content.type)] if answer.content else [])]
    for name, value in sent:
        assert re.fullmatch(r"[!-9;-~]+", name)
        assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value)
    assert 100 <= answer.status < 600
