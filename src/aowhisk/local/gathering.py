"""Sends what a protocol writes in pieces as one: an answer's head and its body."""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["gathering"]


class Gathering:
    """A transport that sends at the end of the loop's turn, all that was written in it at once:
    one system call, one packet. All but writing and closing is the transport's own."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held: list[bytes] = []
        self._loop = asyncio.get_running_loop()

    def write(self, data: bytes) -> None:
        """Send it, a moment later."""
        if not self._held:
            self._loop.call_soon(self._send)
        self._held.append(data)

    def close(self) -> None:
        """Send what is held, and close."""
        self._send()
        self._transport.close()

    def _send(self) -> None:
        if self._held:
            held, self._held = self._held, []
            self._transport.write(b"".join(held))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def gathering(protocol: type[asyncio.Protocol]) -> type[asyncio.Protocol]:
    """The same protocol on gathering transports."""

    class OnGathering(protocol):  # type: ignore[misc, valid-type]
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            super().connection_made(Gathering(transport))

    return OnGathering
