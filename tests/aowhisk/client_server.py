"""A scripted HTTP server on a loopback port, down at the socket: it can also break the rules."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

AUTH = "23bc46b1-71f6-4ed5-8c54-816aa4f8c502:not-a-real-secret"
ID = "0123456789abcdef0123456789abcdef"


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query))

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """An answer; `cut` sends the head and this many bytes of the body, then hangs up."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None

    def to_bytes(self) -> bytes:
        text = isinstance(self.body, str)
        raw = self.body.encode() if text else json.dumps(self.body).encode()
        raw = b"" if self.body is None else raw
        kind = "text/plain" if text else "application/json"
        headers = {"Content-Type": kind, "Content-Length": str(len(raw)), **self.headers}
        head = "".join(f"{key}: {value}\r\n" for key, value in headers.items())
        body = raw if self.cut is None else raw[: self.cut]
        return f"HTTP/1.1 {self.status} X\r\n{head}\r\n".encode() + body


HANG_UP = Answer(status=0)
"""Read the request, then close the connection without a word."""

Script = Callable[[Request], Awaitable[Answer]]


@dataclass
class Server:
    url: str
    requests: list[Request] = field(default_factory=list)
    connections: int = 0

    @property
    def posts(self) -> int:
        return sum(request.method == "POST" for request in self.requests)


def always(*answers: Answer) -> Script:
    """Give these answers in turn, the last one for ever."""
    left = list(answers)

    async def script(request: Request) -> Answer:
        return left.pop(0) if len(left) > 1 else left[0]

    return script


@contextlib.asynccontextmanager
async def serve(
    script: Script, *, idle: float | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    """Run `script`; a connection idle for `idle` seconds is closed, at once where that is 0."""
    server = Server("")
    open_: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_[task] = writer
        server.connections += 1
        try:
            await _converse(reader, writer, script, server, idle)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            del open_[task]
            writer.close()

    listener = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=tls)
    port = listener.sockets[0].getsockname()[1]
    server.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    try:
        yield server
    finally:
        listener.close()
        tasks = list(open_)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listener.wait_closed()


async def _converse(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    script: Script,
    server: Server,
    idle: float | None,
) -> None:
    while True:
        try:
            async with asyncio.timeout(idle or None):
                head = await reader.readuntil(b"\r\n\r\n")
        except TimeoutError:
            return
        lines = head.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ")
        pairs = (line.partition(":") for line in lines[1:] if line)
        headers = {key.lower(): value.strip() for key, _, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        request = Request(method, target, headers, body)
        server.requests.append(request)
        answer = await script(request)
        if answer is HANG_UP:
            return
        writer.write(answer.to_bytes())
        await writer.drain()
        if answer.cut is not None or idle == 0:
            return


def record(
    result: Any = None, *, status: str = "success", id_: str = ID, **more: Any
) -> dict[str, Any]:
    """A whole activation record."""
    return {
        "activationId": id_,
        "name": "hello",
        "namespace": "guest",
        "version": "0.0.1",
        "subject": "guest",
        "publish": False,
        "start": 1_700_000_000_000,
        "end": 1_700_000_000_100,
        "duration": 100,
        "logs": [],
        "annotations": [{"key": "path", "value": "guest/hello"}],
        "response": {
            "status": status,
            "success": status == "success",
            "result": {} if result is None else result,
        },
        **more,
    }


def activated(status: int, body: Any, **more: Any) -> Answer:
    """An answer that has an activation behind it."""
    return Answer(status, body, {"x-openwhisk-activation-id": ID}, **more)


def refused(status: int, text: str) -> Answer:
    """OpenWhisk's own way to say no."""
    return Answer(status, {"error": text, "code": "4711abc"})
