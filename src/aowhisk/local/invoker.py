"""From an accepted invocation to its record: one way to begin, the tasks it runs in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial

import anyio
from anyio.abc import TaskGroup

from aowhisk.local.activation import Activation, Means
from aowhisk.local.builtins import Builtins
from aowhisk.local.faults import FaultPlan
from aowhisk.local.http import OVERLOADED, Refusal
from aowhisk.local.invocation import Invocation
from aowhisk.local.pool import Pool
from aowhisk.local.records import Record, Records
from aowhisk.local.runtimes import Runtimes

__all__ = ["Invoker"]


class Invoker:
    """Runs invocations in its own tasks, so that nothing that happens to a request touches one."""

    def __init__(
        self, records: Records, faults: FaultPlan, builtins: Builtins, runtimes: Runtimes
    ) -> None:
        self._means = Means(records, faults, builtins, runtimes)
        self._running: tuple[TaskGroup, Pool] | None = None
        self._closed = False
        self._open: set[Invocation] = set()
        self.begun: Counter[str] = Counter()
        """How many invocations were accepted, by `[package/]action`."""

    def open(self, tasks: TaskGroup, pool: Pool) -> None:
        """From now on run in `tasks`, with the containers of `pool`."""
        self._closed = False
        self._running = tasks, pool

    def close(self) -> None:
        """Accept no more."""
        self._running = None
        self._closed = True

    def abandon(self) -> None:
        """The tasks are gone: whoever still waits for what runs without one is told 202."""
        for invocation in self._open:
            invocation.done.set()

    def submit(self, invocation: Invocation) -> None:
        """Begin in a container; `invocation.done` tells the end. Refused (503) once the server
        stops."""
        tasks, pool = self._here()
        invocation.user.throttle.in_flight += 1
        activation = Activation(invocation, pool, self._means)
        self._begun(invocation)
        activation.begin(
            lambda: self._ended(invocation),
            lambda work: tasks.start_soon(self._run, work, invocation),
        )

    def start(self, invocation: Invocation, work: Callable[[Invocation], Awaitable[None]]) -> None:
        """Begin `work`, which is to end with `invocation.done`. Refused (503) once the server
        stops."""
        tasks, _ = self._here()
        self._begun(invocation)
        tasks.start_soon(self._run, partial(work, invocation), invocation)

    def _begun(self, invocation: Invocation) -> None:
        self.count(invocation)
        self._open.add(invocation)

    def _ended(self, invocation: Invocation) -> None:
        self._open.discard(invocation)
        invocation.ended.set()

    def count(self, invocation: Invocation) -> None:
        """Say that it has begun."""
        self.begun[invocation.name] += 1

    def keep(self, record: Record) -> None:
        """Store a record of what did not run in a container."""
        self._means.records.add(record)

    async def settled(self) -> None:
        """Wait until no activation is running."""
        while self._open:
            await next(iter(self._open)).ended.wait()

    def _here(self) -> tuple[TaskGroup, Pool]:
        if self._closed:
            raise Refusal(503, OVERLOADED)
        if self._running is None:
            raise RuntimeError("the local OpenWhisk is not running; enter it with `async with`")
        return self._running

    async def _run(self, work: Callable[[], Awaitable[None]], invocation: Invocation) -> None:
        try:
            await work()
        except anyio.get_cancelled_exc_class():
            invocation.done.set()  # the server stops: who still waits is told 202
            raise
        finally:
            self._ended(invocation)
