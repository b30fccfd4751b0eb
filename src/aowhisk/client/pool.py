"""Connections of HTTP/1.1 that are kept and used again: a request costs less than half of what it
costs over a client for everything.

No proxies, no redirects, no compression, no large bodies: those go another way (transport.py).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

from aowhisk.client.answer import Answer, MalformedError

__all__ = ["BrokenError", "NotSentError", "Pool", "SilentError"]

_ADDRESSES = 0.25  # seconds until the next address of a host is tried, too (RFC 8305)


class NotSentError(Exception):
    """There is no connection; nothing was sent."""


class BrokenError(Exception):
    """The connection was lost before an answer was there."""


class SilentError(Exception):
    """Nothing has come for too long."""


class _Place(NamedTuple):
    """What a URL names."""

    origin: tuple[str, int, bool]  # host, port, with TLS
    host: str  # as the header has it
    target: str


@lru_cache(maxsize=4096)
def _place(url: str) -> _Place:
    parts = urlsplit(url)
    is_tls = parts.scheme == "https"
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    if not target.isascii() or not target.isprintable() or " " in target:
        raise ValueError(f"{target!r} cannot be sent as it is")
    port = parts.port or (443 if is_tls else 80)
    return _Place((parts.hostname or "", port, is_tls), parts.netloc.rpartition("@")[2], target)


class _Socket(asyncio.Protocol):
    """One connection, for one request at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport
        self._answer: Answer | None = None  # of a request that is under way: it may be large
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._heard = self._patience = self._until = 0.0
        self.is_open = False
        self.idle_since = 0.0

    async def ask(self, request: bytes, *, patience: float, longest: float) -> Answer:
        """What comes back, whole or not. `patience` is seconds of silence, `longest` of all. Raises
        BrokenError, SilentError. Cancelling closes the connection."""
        self._answer = answer = Answer()
        self._waiter = self._loop.create_future()
        self._heard = self._loop.time()
        self._patience, self._until = patience, self._heard + longest
        self._watch()
        try:
            self._transport.write(request)
            await self._waiter
        except BaseException:
            self.close()
            raise
        finally:
            self._waiter = self._answer = None
        if answer.is_last or not answer.is_whole:
            self.close()
        return answer

    def close(self) -> None:
        """Let go of it, at once."""
        self.is_open = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._waiter is None or self._waiter.done():
            self.close()  # nobody asked for anything
            return
        self._heard = self._loop.time()
        try:
            self._answer.feed(data)
        except MalformedError as error:
            self._settle(BrokenError(f"what came is no answer: {error}"))
            return
        if self._answer.is_whole:
            self._waiter.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if error is None and self._answer is not None:
            self._answer.end()
        self._settle(BrokenError(str(error or "the server closed the connection")))

    def _settle(self, error: Exception) -> None:
        """No more will come; if its head is there it is an answer, though perhaps no whole one."""
        if self._waiter is not None and not self._waiter.done():
            if self._answer is not None and self._answer.status:
                self._waiter.set_result(None)
            else:
                self._waiter.set_exception(error)

    def _watch(self) -> None:
        """See to it that silence is noticed: by one timer, that is set anew when it is due."""
        due = min(self._heard + self._patience, self._until)
        if self._timer is not None and self._timer.when() > due:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._waiter is None:
            return
        now = self._loop.time()
        if now >= self._until or now - self._heard >= self._patience:
            self._settle(SilentError(f"nothing has come for {now - self._heard:.0f} s"))
        else:
            self._watch()


class Pool:
    """At most `connections` of them, to any servers; make it inside a running loop. A connection
    that was idle for `keep` seconds is closed; `connect` is seconds to wait for a new one. `tls`
    verifies servers, True as the system does."""

    def __init__(
        self, *, tls: ssl.SSLContext | bool, connections: int, keep: float, connect: float
    ) -> None:
        self._tls = tls
        self._room = asyncio.Semaphore(connections)
        self._keep = keep
        self._connect_within = connect
        self._loop = asyncio.get_running_loop()
        self._idle: dict[tuple[str, int, bool], list[_Socket]] = {}
        self._busy: set[_Socket] = set()
        self._sweeper: asyncio.TimerHandle | None = None

    async def ask(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None,
        patience: float,
        longest: float,
    ) -> Answer:
        """Send one request and read its answer, whole or not; a GET that got none is sent once
        more. Raises NotSentError, BrokenError, SilentError."""
        place = _place(url)
        request = _head(method, place, headers, body) + (body or b"")
        async with self._room:
            try:
                return await self._exchange(place, request, patience, longest)
            except BrokenError:
                if method != "GET":
                    raise
            return await self._exchange(place, request, patience, longest)

    async def close(self) -> None:
        """Close every connection."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for socket in (*self._busy, *(each for idle in self._idle.values() for each in idle)):
            socket.close()
        self._idle.clear()
        await asyncio.sleep(0)  # their ends are told in the loop's next turn

    async def _exchange(
        self, place: _Place, request: bytes, patience: float, longest: float
    ) -> Answer:
        socket = self._kept(place.origin) or await self._connect(place.origin)
        self._busy.add(socket)
        try:
            return await socket.ask(request, patience=patience, longest=longest)
        finally:
            self._busy.discard(socket)
            if socket.is_open:
                socket.idle_since = self._loop.time()
                self._idle.setdefault(place.origin, []).append(socket)
                if self._sweeper is None:
                    self._sweeper = self._loop.call_later(self._keep, self._sweep)

    def _kept(self, origin: tuple[str, int, bool]) -> _Socket | None:
        """The one that was used last, of those that are still good."""
        idle = self._idle.get(origin, [])
        oldest = self._loop.time() - self._keep
        while idle:
            socket = idle.pop()
            if socket.is_open and socket.idle_since > oldest:
                return socket
            socket.close()
        return None

    def _sweep(self) -> None:
        """Close what has been idle for too long."""
        self._sweeper = None
        oldest = self._loop.time() - self._keep
        for origin, idle in self._idle.items():
            for socket in idle:
                if socket.idle_since <= oldest:
                    socket.close()
            self._idle[origin] = [each for each in idle if each.is_open]
        if any(self._idle.values()):
            self._sweeper = self._loop.call_later(self._keep / 2, self._sweep)

    async def _connect(self, origin: tuple[str, int, bool]) -> _Socket:
        host, port, is_tls = origin
        try:
            async with asyncio.timeout(self._connect_within):
                _, socket = await self._loop.create_connection(
                    lambda: _Socket(self._loop),
                    host,
                    port,
                    ssl=(self._tls or None) if is_tls else None,
                    happy_eyeballs_delay=None if _is_address(host) else _ADDRESSES,
                )
        except TimeoutError as error:
            raise NotSentError(f"no connection within {self._connect_within:g} s") from error
        except (OSError, ValueError) as error:  # refused, DNS, TLS; a name that is none
            raise NotSentError(str(error) or type(error).__name__) from error
        return socket


def _is_address(host: str) -> bool:
    """Whether it is one address, so that there are no others to try."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _head(method: str, place: _Place, headers: Mapping[str, str], body: bytes | None) -> bytes:
    fields = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if fields.count("\n") != len(headers):
        raise ValueError("a header holds a line's end")
    length = "" if body is None else f"content-length: {len(body)}\r\n"
    text = f"{method} {place.target} HTTP/1.1\r\nhost: {place.host}\r\n{fields}{length}\r\n"
    return text.encode("latin-1")
