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
