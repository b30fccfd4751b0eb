"""Requests that no well-behaved client sends, on a socket."""

import base64
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx
import pytest

from aowhisk.local import LocalOpenWhisk, routes

API = "/api/v1/namespaces"


async def told(url: str, key: str, line: str, *headers: str, body: bytes = b"") -> str:
    """All that is answered until the server closes the connection."""
    at = urlsplit(url)
    basic = base64.b64encode(key.encode()).decode()
    head = "\r\n".join([f"{line} HTTP/1.1", "Host: x", f"Authorization: Basic {basic}", *headers])
    found = b""
    with anyio.fail_after(10):
        async with await anyio.connect_tcp(at.hostname or "", at.port or 0) as stream:
            await stream.send(head.encode() + b"\r\n\r\n" + body)
            async for data in stream:
                found += data
    return found.decode().lower()


async def test_a_target_of_more_than_8_kilobytes_is_414_in_plain_text(
    ow: LocalOpenWhisk, url: str
) -> None:
    answer = await told(url, ow.auth, f"GET {API}?x={'a' * 8192}")
    fits = await told(url, ow.auth, f"GET {API}?x={'a' * 8000}", "Connection: close")

    assert answer.startswith("http/1.1 414 ")
    assert "content-type: text/plain; charset=utf-8" in answer
    assert "x-request-id" not in answer
    assert answer.endswith("uri length exceeds the configured limit of 8192 characters")
    assert fits.startswith("http/1.1 200 ")


async def test_a_length_of_more_than_50_megabytes_is_refused_before_the_body_is_read(
    ow: LocalOpenWhisk, url: str
) -> None:
    answer = await told(url, ow.auth, f"PUT {API}/_/actions/a", "Content-Length: 52428801")

    assert answer.startswith("http/1.1 400 ")
    assert "content-type: text/plain; charset=utf-8" in answer
    assert "x-request-id" not in answer
    assert answer.endswith("\r\n\r\nrequest too large")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "BODY_SECONDS", 0.2)


async def test_a_body_that_does_not_come_is_408(
    impatient: None, ow: LocalOpenWhisk, url: str
) -> None:
    for sent in (b"", b'{"exec"'):
        answer = await told(
            url,
            ow.auth,
            f"PUT {API}/_/actions/a",
            "Content-Type: application/json",
            "Content-Length: 100",
            body=sent,
        )

        assert answer.startswith("http/1.1 408 ")
        assert "content-type: text/plain; charset=utf-8" in answer
        assert "x-request-id" not in answer


async def test_what_is_sent_in_part_is_not_taken_for_the_whole(
    ow: LocalOpenWhisk, rest: Any, url: str
) -> None:
    """A web action gets any text as a body; one that was cut off reaches no action."""
    await rest.put("a", annotations=[{"key": "web-export", "value": True}])
    at = urlsplit(url)
    async with await anyio.connect_tcp(at.hostname or "", at.port or 0) as stream:
        await stream.send(
            b"POST /api/v1/web/guest/default/a HTTP/1.1\r\nHost: x\r\n"
            b"Content-Type: text/plain\r\nContent-Length: 100\r\n\r\nhalf of i"
        )
    async with httpx.AsyncClient() as http:  # by its answer the server has read the other, too
        assert (await http.get(f"{url}/ping")).text == "pong"
    await ow.settled()

    assert (await rest.http.get("activations")).json() == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("text/plain", "text/plain"),
        ("text/plain;charset=utf-8", "text/plain; charset=UTF-8"),
        ("application/x-www-form-urlencoded", "application/x-www-form-urlencoded"),
    ],
)
async def test_a_content_type_that_is_not_json_is_refused_also_without_a_body(
    rest: Any, given: str, told: str
) -> None:
    await rest.put("a")
    headers = {"content-type": given}
    for method, path in (("PUT", "packages/p"), ("POST", "actions/a"), ("POST", "triggers/t")):
        for content in (b"", b"{}"):
            answer = await rest.http.request(method, path, content=content, headers=headers)

            assert answer.status_code == 415
            assert answer.json()["error"].startswith(f"The request's Content-Type [{told}] is not")


@pytest.mark.parametrize("given", ["application/json; charset=utf-8", "Application/JSON;v=1"])
async def test_json_may_be_named_with_more_beside_it(rest: Any, given: str) -> None:
    await rest.put("a")

    answer = await rest.http.post("actions/a", content=b"{}", headers={"content-type": given})

    assert answer.status_code == 202


async def test_a_content_type_that_is_none_is_not_there(rest: Any) -> None:
    await rest.put("a")
    headers = {"content-type": "json"}

    empty = await rest.http.post("actions/a", content=b"", headers=headers)
    full = await rest.http.post("actions/a", content=b"{}", headers=headers)

    assert empty.status_code == 202
    assert full.status_code == 415
    assert "[application/octet-stream]" in full.json()["error"]
