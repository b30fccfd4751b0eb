"""Writes that become one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aowhisk.local.gathering import gathering


class Recorder:
    """What reaches the system, on the way to a real transport."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.sent: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.sent.append(data)
        self.transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)


@pytest.fixture
def talk() -> Callable[..., Any]:
    """A client's end of a connection whose server does `act` with its transport."""

    @asynccontextmanager
    async def open_(
        act: Callable[[Any], None],
    ) -> AsyncIterator[tuple[asyncio.StreamReader, Recorder]]:
        recorders: list[Recorder] = []

        class Server(asyncio.Protocol):
            def connection_made(self, transport: Any) -> None:
                transport._transport = recorder = Recorder(transport._transport)
                recorders.append(recorder)
                act(transport)

        loop = asyncio.get_running_loop()
        server = await loop.create_server(gathering(Server), "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                assert await reader.read(1) == b"h"
                yield reader, recorders[0]
            finally:
                writer.close()
                await writer.wait_closed()

    return open_


async def test_pieces_written_in_one_turn_of_the_loop_are_sent_as_one(
    talk: Callable[..., Any],
) -> None:
    def act(transport: Any) -> None:
        transport.write(b"head")
        transport.write(b"body")

    async with talk(act) as (reader, recorder):
        assert await reader.readexactly(7) == b"eadbody"
        assert recorder.sent == [b"headbody"]


async def test_what_is_written_later_is_sent_later(talk: Callable[..., Any]) -> None:
    def act(transport: Any) -> None:
        transport.write(b"head")
        loop = asyncio.get_running_loop()
        loop.call_later(0.01, transport.write, b"body")

    async with talk(act) as (reader, recorder):
        assert await reader.readexactly(7) == b"eadbody"
        assert recorder.sent == [b"head", b"body"]


async def test_what_was_written_before_it_is_closed_is_sent(talk: Callable[..., Any]) -> None:
    def act(transport: Any) -> None:
        transport.write(b"head")
        transport.write(b"body")
        assert not transport.is_closing()
        transport.close()
        assert transport.is_closing()

    async with talk(act) as (reader, recorder):
        assert await reader.read() == b"eadbody"
        assert recorder.sent == [b"headbody"]
