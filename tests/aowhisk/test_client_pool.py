"""Connections that are kept and used again, against a server that sends what a test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from client_server import AUTH, activated, always, record, serve

from aowhisk.client import Client
from aowhisk.client.answer import Answer
from aowhisk.client.pool import BrokenError, NotSentError, Pool, SilentError

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Place:
    """A server and a pool; `requests` are the heads that arrived, `connections` their number."""

    def __init__(self, act: Serve, **how: Any) -> None:
        self._act = act
        self._how = {"tls": True, "connections": 10, "keep": 2.0, "connect": 5.0, **how}
        self.requests: list[bytes] = []
        self.connections = self.open = 0
        self.most = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.requests.append(head)
                await self._act(reader, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Place]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x"
        self.pool = Pool(**self._how)
        try:
            yield self
        finally:
            await self.pool.close()
            server.close()
            with anyio.fail_after(5):
                while self.open:
                    await anyio.sleep(0.01)

    async def ask(
        self, method: str = "POST", *, patience: float = 5.0, longest: float = 9
    ) -> Answer:
        body = b"{}" if method == "POST" else None
        how: dict[str, Any] = {"headers": {"a": "b"}, "body": body}
        return await self.pool.ask(method, self.url, patience=patience, longest=longest, **how)


def sends(*pieces: bytes | float | None) -> Serve:
    """Send these, wait so many seconds where there is a number, hang up at None."""

    async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            if piece is None:
                writer.close()
            elif isinstance(piece, bytes):
                writer.write(piece)
            else:
                await anyio.sleep(piece)

    return act


async def test_one_connection_serves_one_request_after_the_other() -> None:
    async with Place(sends(OK)).opened() as place:
        for _ in range(5):
            answer = await place.ask("GET")
        assert (answer.status, bytes(answer.body)) == (200, b"ok")
    assert (place.connections, len(place.requests)) == (1, 5)
    host = place.url.removeprefix("http://").removesuffix("/x")
    assert place.requests[0] == f"GET /x HTTP/1.1\r\nhost: {host}\r\na: b\r\n\r\n".encode()


async def test_a_body_is_sent_with_its_length() -> None:
    async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK if await reader.readexactly(2) == b"{}" else b"")

    async with Place(act).opened() as place:
        await place.ask()
        await place.ask()
    assert place.connections == 1
    assert all(b"\r\ncontent-length: 2\r\n" in head for head in place.requests)


async def test_more_requests_than_connections_wait_for_one() -> None:
    async with (
        Place(sends(0.01, OK), connections=3).opened() as place,
        anyio.create_task_group() as group,
    ):
        for _ in range(20):
            group.start_soon(place.ask, "GET")
    assert len(place.requests) == 20
    assert place.most <= 3


async def test_what_is_idle_for_too_long_is_closed_though_nobody_asks() -> None:
    async with Place(sends(OK), keep=0.05).opened() as place:
        await place.ask("GET")
        with anyio.fail_after(5):
            while place.open:
                await anyio.sleep(0.01)
        await place.ask("GET")
    assert place.connections == 2


@pytest.mark.parametrize("said", [b"connection: close\r\n", b""])
async def test_a_connection_that_the_server_closes_is_not_used_again(said: bytes) -> None:
    answer = b"HTTP/1.1 200 OK\r\n" + said + b"content-length: 2\r\n\r\nok"
    async with Place(sends(answer, None)).opened() as place:
        for _ in range(3):
            await place.ask("GET")
            await anyio.sleep(0.01)
    assert (place.connections, len(place.requests)) == (3, 3)


async def test_one_on_which_something_comes_unasked_is_not_used_again() -> None:
    async with Place(sends(OK, 0.01, b"HTTP/1.1 408 Too late\r\n\r\n")).opened() as place:
        await place.ask("GET")
        await anyio.sleep(0.05)
        await place.ask("GET")
    assert place.connections == 2


async def test_an_answer_that_is_cut_off_is_not_whole() -> None:
    cut = b"HTTP/1.1 200 OK\r\nx-openwhisk-activation-id: 1\r\ncontent-length: 9\r\n\r\nhe"
    async with Place(sends(cut, None)).opened() as place:
        answer = await place.ask()
    assert (answer.is_whole, answer.headers["x-openwhisk-activation-id"]) == (False, "1")


async def test_a_body_without_length_ends_with_its_connection() -> None:
    async with Place(sends(b"HTTP/1.1 200 OK\r\n\r\nhel", 0.01, b"lo", None)).opened() as place:
        answer = await place.ask()
    assert (answer.is_whole, bytes(answer.body)) == (True, b"hello")


@pytest.mark.parametrize("garbage", [(None,), (b"HTTP/1.1 20", None), (b"what?\r\n\r\n",)])
async def test_without_an_answer_a_get_is_sent_once_more_and_a_post_never(
    garbage: tuple[bytes | None, ...],
) -> None:
    for method, count in (("GET", 2), ("POST", 1)):
        async with Place(sends(*garbage)).opened() as place:
            with pytest.raises(BrokenError):
                await place.ask(method)
        assert len(place.requests) == count


async def test_silence_is_noticed_before_and_inside_an_answer() -> None:
    async with Place(sends(0.5)).opened() as place:
        with anyio.fail_after(3), pytest.raises(SilentError):
            await place.ask(patience=0.05)
    async with Place(sends(OK[:-1], 0.5)).opened() as place:
        with anyio.fail_after(3):
            assert not (await place.ask(patience=0.05)).is_whole


async def test_what_comes_slowly_is_waited_for_but_not_for_ever() -> None:
    slowly = [piece for byte in OK for piece in (0.01, bytes([byte]))]
    async with Place(sends(*slowly)).opened() as place:
        answer = await place.ask(patience=0.3)
        assert bytes(answer.body) == b"ok"
        with pytest.raises(SilentError):
            await place.ask(patience=0.3, longest=0.1)


async def test_a_short_patience_after_a_long_one_is_kept_too() -> None:
    async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(place.requests) == 1:
            writer.write(OK)
        else:
            await anyio.sleep(0.5)

    async with Place(act).opened() as place:
        await place.ask("GET", patience=60)
        with anyio.fail_after(3), pytest.raises(SilentError):
            await place.ask("GET", patience=0.05)


async def test_who_is_cancelled_gives_room_and_connection_up() -> None:
    async with Place(sends(0.05, OK), connections=1).opened() as place:
        for _ in range(10):
            with anyio.move_on_after(0.01):
                await place.ask("GET")
        with anyio.fail_after(3):
            assert (await place.ask("GET")).is_whole


async def test_no_connection_means_nothing_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Place(sends(OK)).opened() as place:
        place.url = "http://127.0.0.1:1/x"
        with pytest.raises(NotSentError):
            await place.ask()

        async def never(*args: object, **how: object) -> None:
            await anyio.sleep_forever()

        monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", never)
        place.pool._connect_within = 0.01
        with pytest.raises(NotSentError, match=r"within 0\.01 s"):
            await place.ask()


async def test_closing_ends_what_is_under_way() -> None:
    async with Place(sends(0.5)).opened() as place, anyio.create_task_group() as group:

        async def cut() -> None:
            with pytest.raises(BrokenError):
                await place.ask()

        group.start_soon(cut)
        while not place.requests:
            await anyio.sleep(0.01)
        await place.pool.close()


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\nb"])
async def test_a_header_cannot_smuggle_another(value: str) -> None:
    async with Place(sends(OK)).opened() as place:
        with pytest.raises(ValueError, match="line"):
            await place.pool.ask(
                "GET", place.url, headers={"a": value}, body=None, patience=1, longest=1
            )
        with pytest.raises(ValueError, match="as it is"):
            await place.pool.ask(
                "GET", place.url + "?a b", headers={}, body=None, patience=1, longest=1
            )


async def test_what_is_large_arrives_as_well() -> None:
    async with (
        serve(always(activated(200, record()))) as server,
        Client(server.url, AUTH) as client,
    ):
        for size in (10, 300_000, 1_000_000, 10):
            await client.actions.invoke("hello", {"a": "x" * size})
    assert [len(request.json["a"]) for request in server.requests] == [10, 300_000, 1_000_000, 10]
