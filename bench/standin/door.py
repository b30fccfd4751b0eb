"""HTTP/1.1 as far as our clients speak it: requests with a content-length, keep-alive, no more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeAlias

__all__ = ["App", "Door", "Reply"]

Reply: TypeAlias = Callable[[int, str, str], None]
"""Answers with a status, JSON text and an activation id, "" for none; now or later, once."""
App: TypeAlias = Callable[[bytes, bytes, bytes, Reply], None]
"""Takes method, target, body."""

_REASONS = {200: "OK", 202: "Accepted", 404: "Not Found", 429: "Too Many Requests"}


class Door(asyncio.Protocol):
    """One connection; a client sends its next request after the answer to the last."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            line, _, headers = self._buffer[:end].partition(b"\r\n")
            _, found, rest = headers.lower().partition(b"content-length:")
            size = int(rest.partition(b"\r\n")[0]) if found else 0
            if len(self._buffer) < end + 4 + size:
                return
            body = self._buffer[end + 4 : end + 4 + size]
            self._buffer = self._buffer[end + 4 + size :]
            method, target, _ = line.split(b" ")
            self._app(method, target, body, self._reply)

    def _reply(self, status: int, body: str, activation: str) -> None:
        if self._transport.is_closing():
            return
        told = f"x-openwhisk-activation-id: {activation}\r\n" if activation else ""
        reason = _REASONS.get(status, "Error")
        self._transport.write(
            f"HTTP/1.1 {status} {reason}\r\n{told}content-type: application/json\r\n"
            f"content-length: {len(body.encode())}\r\n\r\n{body}".encode()
        )
