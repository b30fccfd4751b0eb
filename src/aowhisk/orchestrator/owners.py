"""Whose run is whose: leases say who is at work, the numbers of events decide.

A process that dies leaves a lease whose beat stands still; once it has stood for `lease` seconds by
our own clock, we try to take the run. Of several that try, the journal lets one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Collection

import anyio

from aowhisk.errors import Conflict, Fenced, JournalError, UnknownRun
from aowhisk.events import Recorder, RunState
from aowhisk.events.model import RunStarted
from aowhisk.replay import History, replay

__all__ = ["ENDED", "Owners"]

ENDED = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED})
_log = logging.getLogger("aowhisk")


class Owners:
    """One process among those that share a journal."""

    def __init__(
        self,
        recorder: Recorder,
        *,
        lease: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._recorder = recorder
        self._journal = recorder.journal
        self._lease = lease
        self._clock = clock
        self._sleep = sleep

    async def look(self, run: str) -> History | None:
        """What the journal says of a run, None if it does not know it."""
        events = await self._journal.read(run)
        return replay(events) if events else None

    async def begin(self, started: RunStarted) -> History | None:
        """Own a run, new or not: None where it begins with this, its history where it goes on or
        has ended. As long as another process is at work on it, this waits."""
        while True:
            try:
                await self._recorder.commit(started)
            except Fenced:  # somebody has put the first event
                history = await self.join(started.run)
                if history is not None:
                    return history
            else:
                await self._journal.beat([started.run])
                return None

    async def join(self, run: str) -> History | None:
        """The history of a run that is ours now, or has ended; None where there is none. Waits
        while another process is at work on it."""
        while (history := await self.look(run)) is not None:
            if history.state in ENDED:
                return history
            if not await self._is_alive(run, history) and await self._take(run, history):
                return history
        return None

    async def take(self, run: str) -> History:
        """The history of a run that is ours from now on. Raises UnknownRun, Conflict for a run that
        succeeded or was cancelled, Fenced where another process is at work on it."""
        while True:
            history = await self.look(run)
            if history is None:
                raise UnknownRun(
                    f"the journal knows no run {run!r}; runs are listed by "
                    "`python -m aowhisk journal runs`"
                )
            check_resumable(run, history)
            if await self._is_alive(run, history):
                lease = await self._journal.lease(run)
                who = lease.owner if lease else "another process"
                raise Fenced(f"run {run} is still owned: {who} is at work on it")
            if await self._take(run, history):
                return history

    async def _take(self, run: str, history: History) -> bool:
        try:
            await self._journal.take(run, after=history.count)
        except Fenced:
            return False  # it has gone on: look again
        await self._journal.beat([run])
        return True

    async def _is_alive(self, run: str, history: History) -> bool:
        """Whether another process is at work on the run: its beat moves while we look."""
        if history.state in ENDED:
            return False
        first = await self._journal.lease(run)
        if first is None:
            return history.state is RunState.RUNNING and await self._is_stirring(run, history)
        if first.owner == self._journal.owner:
            return False
        deadline = self._clock() + self._lease
        while self._clock() < deadline:
            await self._sleep(self._lease / 5)
            now = await self._journal.lease(run)
            if now is None:
                return False
            if now != first:
                return True
        return False

    async def _is_stirring(self, run: str, history: History) -> bool:
        """A run without a lease may have begun just now: whether it says so a moment later."""
        await self._sleep(self._lease / 5)
        if await self._journal.lease(run) is not None:
            return True
        return len(await self._journal.read(run)) != history.count

    async def beat(self, runs: Callable[[], Collection[str]]) -> None:
        """Say again and again that we are at work on these runs; never returns."""
        while True:
            await self._sleep(self._lease / 4)
            current = runs()
            if not current:
                continue
            try:
                await self._journal.beat(current)
            except JournalError:
                _log.warning("the leases of %d runs could not be renewed", len(current))

    async def release(self, run: str) -> None:
        """Let others have the run at once."""
        try:
            await self._journal.release(run)
        except JournalError:
            _log.warning("the lease of run %s could not be released", run)


def check_resumable(run: str, history: History) -> None:
    """Raise Conflict for a run with which nobody can go on."""
    if history.state is RunState.SUCCEEDED:
        raise Conflict(f"run {run} has succeeded; there is nothing to resume")
    if history.state is RunState.CANCELLED:
        raise Conflict(f"run {run} was cancelled; start a new one")
