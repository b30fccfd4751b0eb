"""One worker process, which is one container: started, initialised, run again and again, ended."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

import anyio
import anyio.to_thread

from aowhisk.local.cgroups import Cgroup
from aowhisk.local.launch import Launch
from aowhisk.local.logs import Logs
from aowhisk.local.processes import end_all, usage
from aowhisk.local.runtimes import Runtime

__all__ = ["Answer", "Container", "Ending", "Outcome"]

MARK = "AOWHISK_CONTAINER"
PROCESSES = 512
"""How many processes a container may have; OpenWhisk's images have 1024."""
SHARED = 64 << 20
"""Bytes that a container may seem to have beyond its limit where the kernel holds it to that: of
what it shares with others, and had before, nothing counts there."""
_CHUNK = 1 << 18
_LARGEST = 1 << 28  # bytes of one answer


class Ending(Enum):
    """How a call ends that is not answered."""

    ENDED = "the process ended, or closed the pipe"
    OVER_TIME = "the time limit ended it"
    OUT_OF_MEMORY = "the memory limit ended it"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the process wrote for a call: JSON, as a rule. `failed` is told by it."""

    text: str
    failed: bool = False


Outcome: TypeAlias = Answer | Ending


@dataclass(slots=True)
class _Call:
    """A request under way."""

    told: Callable[[Outcome], None]
    timer: asyncio.TimerHandle


class Container:
    """A process that can `hold` one action. `key` says which, `slots` how many activations it may
    run at once and `running` how many it does; `uses` how many it has begun, `idle_since` when the
    last one ended. `spoiled`: it must not be used again; `gone` is told when the process has
    ended by itself."""

    def __init__(
        self,
        number: int,
        runtime: Runtime,
        launch: Launch,
        *,
        gone: Callable[[Container], None] = lambda _: None,
    ) -> None:
        self._gone = gone
        self.runtime = runtime
        self.key: Hashable = None
        self.slots = 1
        self.running = 0
        self.uses = 0
        self.idle_since = 0.0
        self.spoiled = False
        self._memory_limit = 0
        self._out_of_memory = False
        self._calls: dict[str, _Call] = {}
        self._received: list[bytes] = []
        self._unsent = memoryview(b"")
        self._folder = launch.folder / str(number)
        self._folder.mkdir(parents=True)
        self._mark = f"{MARK}={os.getpid()}-{self._folder}"
        self._cgroup: Cgroup | None = None
        if launch.cgroups is not None:
            with suppress(OSError):  # then we look ourselves
                self._cgroup = launch.cgroups.new(str(number))
        self._loop = asyncio.get_running_loop()
        self._start(launch)

    def _start(self, launch: Launch) -> None:
        started = launch.start(self.runtime, self._folder, self._mark, self._cgroup)
        self._process = started.process
        self._requests, self._answers = started.requests, started.answers
        self._lifeline = started.lifeline
        self._logs = {started.stdout: "stdout", started.stderr: "stderr"}
        self.logs = Logs(started.stdout, started.stderr)
        self._watch_descriptors()

    def _watch_descriptors(self) -> None:
        loop = self._loop
        for fd in (self._requests, self._answers, *self._logs):
            os.set_blocking(fd, False)
        loop.add_reader(self._answers, self._read_answers)
        for fd, name in self._logs.items():
            loop.add_reader(fd, self._read_log, fd, name)
        self._pidfd = -1
        with suppress(AttributeError, OSError):  # there is none: `check` looks now and then
            self._pidfd = os.pidfd_open(self.pid)
            loop.add_reader(self._pidfd, self._exited)

    @property
    def pid(self) -> int:
        """The process id, which is also the id of its process group."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def hold(self, key: Hashable, *, memory_limit: int, slots: int = 1) -> None:
        """From now on it is the container of one action; `memory_limit` is in bytes."""
        self.key = key
        self.slots = slots
        self._memory_limit = memory_limit
        if self._cgroup is not None:
            try:
                self._cgroup.limit(memory_limit)
                self._memory_limit += SHARED
            except OSError:  # then we look ourselves
                pass

    def send(
        self, call: str, request: bytes, seconds: float, told: Callable[[Outcome], None]
    ) -> None:
        """Send one line; `told` gets the answer, once. Over time, the process is killed."""
        timer = self._loop.call_later(seconds, self._over_time, call)
        self._calls[call] = _Call(told, timer)
        if self._unsent:
            self._unsent = memoryview(bytes(self._unsent) + request)
            return
        try:
            sent = os.write(self._requests, request)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._loop.call_soon(self._exited)
            return
        if sent < len(request):
            self._unsent = memoryview(request)[sent:]
            self._loop.add_writer(self._requests, self._send_on)

    async def ask(self, call: str, request: bytes, seconds: float) -> Outcome:
        """`send`, and wait for what is told. A cancelled one kills the process: its answer would be
        taken for the next one's."""
        future: asyncio.Future[Outcome] = self._loop.create_future()
        self.send(
            call,
            request,
            seconds,
            lambda outcome: None if future.done() else future.set_result(outcome),
        )
        try:
            return await future
        except asyncio.CancelledError:
            self.kill()
            raise

    def begin_logs(self, limit: int) -> None:
        """An activation begins that may log `limit` bytes. Where others are running here, nobody
        can say whose a line is; it goes to the first that ends."""
        if self.running == 1:
            self.logs.begin(limit)

    def end_logs(self) -> list[str]:
        """The lines of the activation that ends now."""
        return self.logs.end(last=self.running == 1)

    def check(self) -> None:
        """Kill what uses too much memory or too many processes, and what its own dead main process
        left running."""
        if not self.is_alive:
            self._exited()
            return
        memory, processes = usage(self.pid, most=PROCESSES, memory_limit=self._memory_limit)
        if processes > PROCESSES:
            self.logs.add("stderr", f"The action had more than {PROCESSES} processes: all killed.")
            self.kill()
        elif memory > self._memory_limit:
            self._out_of_memory = True
            self.kill()
        elif self._has_run_out:
            self.spoiled = True  # it has lost a process that it had started, and may go on without

    def kill(self) -> None:
        """End the process and everything that it started in its group, now."""
        self.spoiled = True
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    async def close(self) -> None:
        """Kill, wait for the end, and take everything away, also what left the process group."""
        self.kill()
        self._settle(Ending.ENDED)
        for fd in (self._answers, *self._logs, self._pidfd):
            if fd >= 0:
                self._loop.remove_reader(fd)
                os.close(fd)
        self._loop.remove_writer(self._requests)
        os.close(self._requests)
        os.close(self._lifeline)
        with anyio.CancelScope(shield=True):
            pause = 0.001
            while self._process.poll() is None:
                await anyio.sleep(pause)
                pause = min(pause * 2, 0.05)
            await anyio.to_thread.run_sync(self._clear)

    def _clear(self) -> None:
        end_all(self._mark)
        if self._cgroup is not None:
            self._cgroup.remove()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _send_on(self) -> None:
        try:
            self._unsent = self._unsent[os.write(self._requests, self._unsent) :]
        except BlockingIOError:
            return
        except OSError:
            self._unsent = memoryview(b"")
        if not self._unsent:
            self._loop.remove_writer(self._requests)

    def _read_answers(self) -> None:
        try:
            data = os.read(self._answers, _CHUNK)
        except BlockingIOError:
            return
        if not data:
            self._loop.remove_reader(self._answers)
            self.kill()
            self._settle(self._ending())
            return
        if not self._received and data.find(b"\n") == len(data) - 1:
            self._take(data)
            return
        self._received.append(data)
        if b"\n" in data:
            *lines, rest = b"".join(self._received).split(b"\n")
            self._received = [rest] if rest else []
            for line in lines:
                self._take(line + b"\n")
        elif sum(map(len, self._received)) > _LARGEST:
            self.kill()

    def _take(self, line: bytes) -> None:
        """One line has come: the answer of the call that it names. One that names none is what the
        action itself wrote, and answers the call there is, as it would in OpenWhisk."""
        head, _, rest = line.partition(b" ")
        memory, _, name = head.partition(b"#")
        failed = memory.endswith(b"!")
        if memory.removesuffix(b"!").isdigit():
            line, call = rest, name.decode()
            if not failed and int(memory) > self._memory_limit:
                self._too_large()
                return
        else:
            call = ""
        call = call or next(iter(self._calls), "")
        under_way = self._calls.pop(call, None)
        if under_way is None:
            self.spoiled = True  # nobody asks, or not any more
            return
        text = line.decode("utf-8", "replace")
        under_way.timer.cancel()
        under_way.told(
            Answer(text if self.runtime.proxy.newline else text.removesuffix("\n"), failed)
        )

    def _too_large(self) -> None:
        self._out_of_memory = True
        self.kill()
        self._settle(Ending.OUT_OF_MEMORY)

    def _over_time(self, call: str) -> None:
        self.kill()
        under_way = self._calls.pop(call, None)
        if under_way is not None:
            under_way.told(Ending.OVER_TIME)

    def _exited(self) -> None:
        """The process is gone: what it has written still counts."""
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
        while self._calls:
            before = len(self._calls), sum(map(len, self._received))
            self._read_answers()
            if before == (len(self._calls), sum(map(len, self._received))):
                break
        self.kill()
        self._settle(self._ending())
        self._gone(self)

    @property
    def _has_run_out(self) -> bool:
        """Whether the kernel has killed something here for its memory."""
        return self._cgroup is not None and self._cgroup.has_killed

    def _ending(self) -> Ending:
        gone = self._out_of_memory or self._has_run_out
        return Ending.OUT_OF_MEMORY if gone else Ending.ENDED

    def _settle(self, ending: Ending) -> None:
        """Nobody will be answered any more."""
        while self._calls:
            _, under_way = self._calls.popitem()
            under_way.timer.cancel()
            under_way.told(ending)

    def _read_log(self, fd: int, name: str) -> None:
        if not self.logs.read(name):
            self._loop.remove_reader(fd)  # the other end is closed
