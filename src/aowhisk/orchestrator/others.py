"""Runs that other processes began: looked at, watched and ended by way of the journal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator

import anyio

from aowhisk.errors import AowhiskError, Interrupted
from aowhisk.events import Event, RunState
from aowhisk.events.model import RunStarted, state_of
from aowhisk.orchestrator.ground import Ground
from aowhisk.orchestrator.owners import ENDED, Owners, replayed, unknown
from aowhisk.replay import History
from aowhisk.scheduler import Execution, Run

__all__ = ["GLANCE", "Ending", "Others"]

GLANCE = 0.25  # seconds between looks at a run of another process
_STANDING = ENDED | {RunState.INTERRUPTED}


class Others:
    """Whoever is at work on a run, here it is what the journal says of it."""

    def __init__(self, ground: Ground, owners: Owners) -> None:
        self._ground = ground
        self._owners = owners

    async def look(self, run: str) -> Run:
        """The run as it stands now. Raises UnknownRun."""
        history = await self._owners.look(run)
        if history is None:
            raise unknown(run)
        return self._shown(run, history).run()

    async def watch(self, run: str) -> Execution:
        """The run, once it has ended. Raises UnknownRun, and Interrupted where it was stopped."""
        history = await replayed([event async for event in self.events(run)])
        if history.state is RunState.INTERRUPTED:
            raise Interrupted(
                f"run {run} was interrupted by the process that was at work on it; `resume` goes on"
            )
        return self._shown(run, history)

    async def events(self, run: str) -> AsyncIterator[Event]:
        """The events of a run that others are at work on, as they come, until it has ended or was
        interrupted. Raises UnknownRun."""
        count, state = 0, RunState.QUEUED
        while state not in _STANDING:
            if count:
                await anyio.sleep(GLANCE)
            new = await self._ground.recorder.journal.read(run, after=count)
            if not count and not new:
                raise unknown(run)
            is_pruned = not count and not isinstance(new[0], RunStarted)
            count, (state, _) = count + len(new), state_of(new, state)
            for event in new:
                yield event
            if is_pruned:  # it will have no end
                return

    async def cancel(self, run: str) -> bool:
        """Take the run from whoever has it and end it; whether it has ended now. Raises
        UnknownRun."""
        history = await self._owners.look(run)
        if history is None:
            raise unknown(run)
        if history.state in ENDED:
            return True
        if not await self._owners.seize(run, history):
            return False
        await self._owners.end(run, history)
        return True

    def _shown(self, run: str, history: History) -> Execution:
        parts, slots = self._ground.parts, self._ground.concurrency(None)
        execution = Execution(run, parts, name=history.started.name, concurrency=slots)
        execution.glance(history)
        return execution


class Ending:
    """The end of a run, to be awaited or not; awaiting raises what kept it from ending."""

    def __init__(self, run: str, others: Others, own: Callable[[str], Execution | None]) -> None:
        """`own` gives the run's execution where this process is at work on it."""
        self._run = run
        self._others = others
        self._own = own
        self._done = anyio.Event()
        self._error: AowhiskError | None = None

    def __await__(self) -> Generator[object, None, None]:
        return self._wait().__await__()

    async def _wait(self) -> None:
        await self._done.wait()
        if self._error is not None:
            raise self._error

    async def bring_about(self) -> None:
        """Do it."""
        try:
            while (own := self._own(self._run)) is None:
                if await self._others.cancel(self._run):
                    return
                await anyio.sleep(GLANCE)  # somebody else was faster
            own.cancel()
            await own.done.wait()
        except AowhiskError as error:
            self._error = error
        finally:
            self._done.set()
