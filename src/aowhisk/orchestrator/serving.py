"""Serving: taking runs that are queued in the journal, and those whose process died."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

import anyio

from aowhisk.errors import Conflict, Fenced, GraphError, JournalError, UnknownRun
from aowhisk.events import RunState
from aowhisk.orchestrator.active import Active
from aowhisk.orchestrator.ground import Ground
from aowhisk.orchestrator.owners import Owners, check_resumable
from aowhisk.replay import History

__all__ = ["ADOPTABLE", "Serving"]

ADOPTABLE = (RunState.QUEUED, RunState.RUNNING)
_log = logging.getLogger("aowhisk")


class Serving:
    """`at_work` gives the runs that this process is at work on; `go_on` goes on with one that is
    its own by now, as its history says."""

    def __init__(
        self,
        ground: Ground,
        owners: Owners,
        *,
        at_work: Callable[[], Collection[str]],
        go_on: Callable[[str, History], Active],
    ) -> None:
        self._ground = ground
        self._owners = owners
        self._at_work = at_work
        self._go_on = go_on
        self._seizing = 0
        self._unreadable: set[str] = set()

    async def adopt(
        self, states: Collection[RunState] = ADOPTABLE, *, at_once: int | None = None
    ) -> list[Active]:
        """Take queued runs, and runs of dags whose owner died, as long as fewer than `at_once` are
        at work here."""
        self._ground.check_open()
        await self._ground.ready()
        found = await self._ground.recorder.journal.runs(states)
        ours = set(self._at_work())
        others = [info for info in found if info.run not in ours]
        taken = [
            await self._adopt(info.run, at_once)
            for info in others
            if info.state is RunState.QUEUED and self._has_room(at_once)
        ]

        async def watch(run: str) -> None:
            taken.append(await self._adopt(run, at_once))

        with _one_error():
            async with anyio.create_task_group() as group:
                for info in others:
                    if info.state is not RunState.QUEUED:
                        group.start_soon(watch, info.run)
        return [active for active in taken if active is not None]

    async def serve(self, *, at_once: int, every: float) -> None:
        """Adopt, again and again. To see that an owner died takes as long as a lease; the queue
        does not wait for that."""

        async def again(state: RunState) -> None:
            while True:
                if self._has_room(at_once):
                    await self.adopt([state], at_once=at_once)
                await anyio.sleep(every)

        with _one_error():
            async with anyio.create_task_group() as group:
                for state in ADOPTABLE:
                    group.start_soon(again, state)

    async def _adopt(self, run: str, at_once: int | None) -> Active | None:
        """The run, if it could be taken."""
        try:
            history = await self._owners.find(run, check_resumable)
        except (Fenced, Conflict, UnknownRun):  # somebody has it, or it is no run of a dag
            return None
        except JournalError as error:  # perhaps a newer aowhisk wrote it
            await self._ground.recorder.journal.commit()  # else it is all of the journal
            if run not in self._unreadable:
                self._unreadable.add(run)
                _log.error("run %s cannot be gone on with: %s", run, error)
            return None
        if not self._has_room(at_once):
            return None
        self._seizing += 1
        try:
            if not await self._owners.seize(run, history):
                return None
            try:
                active = self._go_on(run, history)
                active.execution.is_served = True
                return active
            except GraphError as error:  # it must not keep us from all others
                _log.error("run %s cannot be gone on with: %s", run, error)
                return None
        finally:
            self._seizing -= 1

    def _has_room(self, at_once: int | None) -> bool:
        return at_once is None or len(self._at_work()) + self._seizing < at_once


@contextmanager
def _one_error() -> Iterator[None]:
    """The first error of a task group by itself."""
    try:
        yield
    except ExceptionGroup as errors:
        first: Exception = errors
        while isinstance(first, ExceptionGroup):
            first = first.exceptions[0]
        raise first from None
