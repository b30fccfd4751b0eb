"""One worker process, which is one container: started, initialised, run again and again, ended."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread

from aowhisk.local.http import to_json
from aowhisk.local.logs import Logs
from aowhisk.models import JSON

__all__ = ["Container", "Ended", "Launch", "OutOfTime"]

WORKER = Path(__file__).with_name("worker.py")
_CHUNK = 1 << 18
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Ended(Exception):
    """The process ended, or was ended, before it answered."""


class OutOfTime(Exception):
    """The time limit ended the process."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How containers are started: the interpreter, their environment, the folder that gets one
    folder for each."""

    python: str
    environ: Mapping[str, str]
    folder: Path


class Container:
    """A process that holds one action. `key` says which, `uses` how many activations it has
    begun, `idle_since` when the last one ended; `memory_limit` is in bytes."""

    def __init__(self, key: Hashable, number: int, launch: Launch, *, memory_limit: int) -> None:
        self.key = key
        self.uses = 0
        self.idle_since = 0.0
        self.out_of_memory = False
        self._memory_limit = memory_limit
        self._folder = launch.folder / str(number)
        self._folder.mkdir(parents=True)
        self._start(launch)

    def _start(self, launch: Launch) -> None:
        # In this thread and not in another: starting takes a millisecond or two, and no thread's
        # end can be taken for ours.
        self._socket, theirs = socket.socketpair()
        stdout, stdout_theirs = os.pipe()
        stderr, stderr_theirs = os.pipe()
        lifeline_theirs, self._lifeline = os.pipe()
        self._pipes = (stdout, stderr)
        try:
            self._process = subprocess.Popen(
                [launch.python, "-u", str(WORKER), str(theirs.fileno()), str(lifeline_theirs)],
                stdin=subprocess.DEVNULL,
                stdout=stdout_theirs,
                stderr=stderr_theirs,
                pass_fds=(theirs.fileno(), lifeline_theirs),
                cwd=self._folder,
                env=dict(launch.environ),
                start_new_session=True,
            )
        except BaseException:
            for fd in (stdout, stderr, self._lifeline):
                os.close(fd)
            self._socket.close()
            raise
        finally:
            theirs.close()
            for fd in (stdout_theirs, stderr_theirs, lifeline_theirs):
                os.close(fd)
        self._socket.setblocking(False)
        self.logs = Logs(stdout, stderr)
        for fd, name in zip(self._pipes, ("stdout", "stderr"), strict=True):
            os.set_blocking(fd, False)
            asyncio.get_running_loop().add_reader(fd, self._read_log, fd, name)

    @property
    def pid(self) -> int:
        """The process id, which is also the id of its process group."""
        return self._process.pid

    async def ask(self, request: Mapping[str, JSON], seconds: float) -> str:
        """Send one request and give the JSON of its answer; raises Ended, or OutOfTime (and then
        the process is dead).

        A cancelled one kills the process: its answer would be taken for the next one's.
        """
        try:
            with anyio.move_on_after(seconds):
                return self._answered(await self._exchange(to_json(request) + b"\n"))
        except anyio.get_cancelled_exc_class():
            self.kill()
            raise
        self.kill()
        raise OutOfTime

    async def _exchange(self, line: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        chunks: list[bytes] = []
        try:
            await loop.sock_sendall(self._socket, line)
            while not chunks or not chunks[-1].endswith(b"\n"):
                chunk = await loop.sock_recv(self._socket, _CHUNK)
                if not chunk:
                    raise Ended
                chunks.append(chunk)
        except OSError as problem:
            raise Ended from problem
        return b"".join(chunks)

    def _answered(self, line: bytes) -> str:
        peak, _, answer = line.partition(b" ")
        if int(peak) > self._memory_limit:
            self.out_of_memory = True
            self.kill()
            raise Ended
        return answer.decode("utf-8", "replace")

    def check(self) -> None:
        """Kill what uses too much memory, and what its own dead main process left running."""
        if self._process.poll() is not None:
            self.kill()
        elif resident(self.pid) > self._memory_limit:
            self.out_of_memory = True
            self.kill()

    def kill(self) -> None:
        """End the process and everything that it started in its group, now."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    async def close(self) -> None:
        """Kill, wait for the end, and take everything away."""
        self.kill()
        loop = asyncio.get_running_loop()
        for fd in self._pipes:
            loop.remove_reader(fd)
            os.close(fd)
        self._socket.close()
        os.close(self._lifeline)
        with anyio.CancelScope(shield=True):
            pause = 0.001
            while self._process.poll() is None:
                await anyio.sleep(pause)
                pause = min(pause * 2, 0.05)
            await anyio.to_thread.run_sync(lambda: shutil.rmtree(self._folder, ignore_errors=True))

    def _read_log(self, fd: int, name: str) -> None:
        if not self.logs.read(name):
            asyncio.get_running_loop().remove_reader(fd)  # the other end is closed


def resident(pid: int) -> int:
    """Bytes of resident memory of a process and what it started; 0 where the system does not say
    (no /proc)."""
    total, pids = 0, [pid]
    while pids:
        one = pids.pop()
        try:
            with open(f"/proc/{one}/statm", "rb") as file:
                total += int(file.read().split()[1]) * _PAGE
            with open(f"/proc/{one}/task/{one}/children", "rb") as file:
                pids += [int(child) for child in file.read().split()]
        except (OSError, IndexError):
            continue
    return total
