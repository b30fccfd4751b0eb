"""MongoDB servers as processes on loopback, and a line to them that can be cut."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

TOOLS = Path(os.environ.get("TOOLS", Path.home() / ".cache/aowhisk-tools"))
FAKE = TOOLS / "mongo-fake"
NX = TOOLS / "nx/bin/nx-27017"
INSTALL = "tests/servers/install-mongo.sh installs it"


class MongoServer:
    """A server that speaks MongoDB's wire: "fake" (mongo-java-server, in memory) or "nx"
    (nx-27017, on disk)."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.folder = folder
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def is_installed(kind: str) -> bool:
        return NX.exists() if kind == "nx" else (FAKE / "classes/MongoSrv.class").exists()

    @property
    def url(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, on the port of before if there was one."""
        log = self.folder / "log"
        with log.open("wb") as out:
            self.process = subprocess.Popen(self._command(), stdout=out, stderr=out)
        until = time.monotonic() + 30
        while not self._is_ready(log):
            if self.process.poll() is not None or time.monotonic() > until:
                self.kill()
                raise RuntimeError(
                    f"the {self.kind} server did not start: {log.read_text()[-2000:]}"
                )
            time.sleep(0.02)  # noqa: TID251 -- another process

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _command(self) -> list[str]:
        if self.kind == "nx":
            self.port = self.port or _free_port()
            where = ["--host", "127.0.0.1", "-p", str(self.port)]
            files = ("--data-dir", "data"), ("--log-file", "nx.log"), ("--pid-file", "nx.pid")
            named = [part for option, name in files for part in (option, str(self.folder / name))]
            return [str(NX), *where, *named]
        heap = ["-Xmx768m", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"]
        path = f"{FAKE}/lib/*:{FAKE}/classes"
        return ["java", *heap, "-cp", path, "MongoSrv", str(self.port)]

    def _is_ready(self, log: Path) -> bool:
        if self.kind != "nx" and not self.port:
            said = re.search(r"^READY (\d+)$", log.read_text(), re.MULTILINE)
            self.port = int(said[1]) if said else 0
        if not self.port:
            return False
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False


class Line:
    """A TCP line to a server that can be cut, lose the answer to a request, or just not flow."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.lose_answer_to: bytes | None = None
        self.lost = 0
        self.flows = asyncio.Event()
        self.flows.set()

    async def connect(self) -> None:
        """Listen, on the port of before if there was one."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """End every connection and take no other."""
        if self._server is not None:
            self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, back}
        self._writers |= both
        losing = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._requests(reader, back, losing))
                group.create_task(self._answers(there, writer, losing))
        except* OSError:
            pass
        finally:
            self._writers -= both
            for each in both:
                each.transport.abort()

    async def _requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, losing: asyncio.Event
    ) -> None:
        while data := await reader.read(65536):
            await self.flows.wait()
            if self.lose_answer_to is not None and self.lose_answer_to in data:
                losing.set()
                self.lose_answer_to = None
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError

    async def _answers(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, losing: asyncio.Event
    ) -> None:
        while data := await reader.read(65536):
            if losing.is_set():
                self.lost += 1
                break
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError


def with_database(url: str, database: str) -> str:
    """The URL of a database behind the URL of a server."""
    base, _, query = url.partition("?")
    scheme, _, rest = base.partition("://")
    if "@" in rest and "authSource" not in query:
        query = f"{query}&authSource=admin".lstrip("&")
    return f"{scheme}://{rest.partition('/')[0]}/{database}" + (f"?{query}" if query else "")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
