"""Whose run is whose: leases say who is at work, the numbers of events decide.

A process that dies leaves a lease whose beat stands still; once it has stood for `lease` seconds by
our own clock, we try to take the run. Of several that try, the journal lets one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Collection, Sequence

import anyio
import anyio.to_thread

from aowhisk.errors import Conflict, Fenced, JournalError, UnknownRun
from aowhisk.events import Event, Recorder, RunState
from aowhisk.events.model import (
    CallAbandoned,
    RunEnded,
    RunInterrupted,
    RunStarted,
    Taken,
)
from aowhisk.events.sink import is_gone
from aowhisk.replay import History, replay

__all__ = ["ENDED", "Owners", "check_code", "check_resumable", "replayed", "unknown"]

ENDED = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED})
_MANY = 1000  # events, of which a replay takes long enough to hold up everything else
_AT_ONCE = 20  # leases that are asked for
_SURELY = 2.0  # seconds for the first event of a run, whoever stops it
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
        self._tenure = recorder.tenure
        self._lease = lease
        self._clock = clock
        self._sleep = sleep
        self._held: set[str] = set()
        """Runs that this process is at work on, or about to be."""

    async def look(self, run: str) -> History | None:
        """What the journal says of a run, None if it does not know it."""
        events = await self._journal.read(run)
        return await replayed(events) if events else None

    async def begin(self, started: RunStarted, known: Callable[[], None]) -> History | None:
        """Own a run, new or not: None where it begins with this, its history where it goes on or
        has ended. As long as another process is at work on it, this waits; `known` is called
        before, once the journal has the run."""
        is_first = await self._put_first(started)
        known()
        return None if is_first else await self._join(started.run)

    async def begin_alone(self, started: RunStarted) -> History | None:
        """Own a run of code, new or not. Raises Conflict for one that is over, and Fenced where
        another process is at work on it."""
        if await self._put_first(started):
            return None
        return await self.take(started.run, check_code)

    async def queue(self, started: RunStarted) -> bool:
        """Leave a run for whoever serves; False where there is one of this id."""
        if self._recorder.count(started.run):
            return False  # we put it there ourselves
        self._journal.put(started)
        try:
            await self._journal.commit(started.run)
        except Fenced:
            return False
        self._recorder.show(started)
        return True

    async def take(self, run: str, check: Callable[[str, History], None]) -> History:
        """The history of a run that is ours from now on. Raises UnknownRun, what `check` raises,
        and Fenced where another process is at work on it."""
        while True:
            history = await self.find(run, check)
            if await self.seize(run, history):
                return history

    async def find(self, run: str, check: Callable[[str, History], None]) -> History:
        """The history of a run that nobody is at work on, as it seems; raises as `take` does."""
        beats = await self._beats(run)
        if beats:
            raise await self._fenced(run)
        history = await self.look(run)
        if history is None:
            raise unknown(run)
        check(run, history)
        is_new = beats is None and history.state is RunState.RUNNING
        if is_new and await self._is_stirring(run, history):
            raise await self._fenced(run)
        return history.without_failures() if history.state is RunState.FAILED else history

    async def _fenced(self, run: str) -> Fenced:
        lease = await self._journal.lease(run)
        who = lease.owner if lease else "another process"
        return Fenced(f"run {run} is still owned: {who} is at work on it")

    async def seize(self, run: str, history: History) -> bool:
        """Own a run that has only this history; False where it has gone on."""
        if run in self._held:
            return False
        self._hold(run)
        try:
            taken = Taken(run=run, owner=self._journal.owner)
            await self._journal.take(run, after=history.count)
            history.tape.receive(taken)
            await self._tenure.renew([run])
        except Fenced:
            self.lose(run)
            return False
        except BaseException:
            self.lose(run)
            raise
        return True

    async def end(self, run: str, history: History) -> None:
        """Say of a run that is ours, and of which nothing is sent, that it was cancelled."""
        for ref in history.pending:
            self._recorder.record(
                CallAbandoned(run=run, of=ref.run, call=ref.call, reason="the run was cancelled")
            )
        try:
            await self._recorder.commit(RunEnded(run=run, state=RunState.CANCELLED))
        finally:
            await self.release(run)

    def _hold(self, run: str) -> None:
        self._held.add(run)
        self._tenure.begin(run)

    async def _put_first(self, started: RunStarted) -> bool:
        """Whether this was the run's first event; if so, the run is ours."""
        run = started.run
        if run in self._held or self._recorder.count(run):
            return False  # we know it
        self._hold(run)
        self._journal.put(started)
        try:
            with anyio.move_on_after(_SURELY, shield=True):  # stopped now, it would look begun
                await self._journal.commit(run)
                await self._tenure.renew([run])
            await self._journal.commit(run)
            self._recorder.show(started)
        except Fenced:  # somebody has put the first event
            self.lose(run)
            return False
        except BaseException:  # nobody shall find it and take it for one that lost its process
            self._journal.put(RunInterrupted(run=run))
            self.lose(run)
            raise
        return True

    async def _join(self, run: str) -> History | None:
        """The history of a run that is ours now, or has ended; None where there is none. Waits
        while somebody else is at work on it."""
        while (history := await self.look(run)) is not None:
            if history.state in ENDED:
                return history
            if not await self._is_alive(run, history) and await self.seize(run, history):
                return history
        return None

    async def _is_alive(self, run: str, history: History) -> bool:
        """Whether somebody is at work on a run that has not ended."""
        beats = await self._beats(run)
        if beats is None and history.state is RunState.RUNNING:
            return await self._is_stirring(run, history)
        return bool(beats)

    async def _beats(self, run: str) -> bool | None:
        """Whether the beat of a run moves while we look; None where it has no lease."""
        if run in self._held:  # in this process
            await self._sleep(self._lease / 5)
            return True
        first = await self._journal.lease(run)
        if first is None:
            return None
        if first.owner == self._journal.owner or is_gone(first.owner):
            return False
        deadline = self._clock() + self._lease
        while self._clock() < deadline:
            await self._sleep(self._lease / 5)
            now = await self._journal.lease(run)
            if now is None:
                return None
            if now != first:
                return True
        return False

    async def _is_stirring(self, run: str, history: History) -> bool:
        """A run without a lease may have begun just now: whether it says so a moment later."""
        await self._sleep(self._lease / 2)
        if run in self._held or await self._journal.lease(run) is not None:
            return True
        return len(await self._journal.read(run)) != history.count

    async def beat(self, runs: Callable[[], Collection[str]], lost: Callable[[str], None]) -> None:
        """Say again and again that we are at work on these runs, and tell `lost` of one that
        another process has taken; never returns."""
        while True:
            await self._sleep(self._lease / 4)
            current = runs()
            try:
                taken = await self._taken(current)
                if still := [run for run in current if run not in taken]:
                    await self._tenure.renew(still)
            except JournalError:
                _log.warning("the leases of %d runs could not be renewed", len(current))
            else:
                for run in taken:
                    lost(run)

    async def _taken(self, runs: Collection[str]) -> set[str]:
        """Those of the runs that are another's by now; many are asked for at once, for a lease does
        not wait."""
        found: set[str] = set()
        failed: list[JournalError] = []
        left = iter(runs)

        async def look() -> None:
            for run in left:
                try:
                    if await self._is_taken(run):
                        found.add(run)
                except JournalError as error:
                    failed.append(error)
                    return

        async with anyio.create_task_group() as group:
            for _ in range(min(len(runs), _AT_ONCE)):
                group.start_soon(look)
        if failed:
            raise failed[0]
        return found

    async def _is_taken(self, run: str) -> bool:
        """Whether a run that was ours is another's: the lease says when to look, the events
        decide."""
        lease = await self._journal.lease(run)
        if lease is not None and lease.owner == self._journal.owner:
            return False
        events = await self._journal.read(run)
        takers = [event.owner for event in events if isinstance(event, Taken)]
        return bool(takers) and takers[-1] != self._journal.owner

    def lose(self, run: str) -> None:
        """Another process has the run: it is no longer ours to release."""
        self._held.discard(run)
        self._tenure.end(run)

    async def release(self, run: str) -> None:
        """Let others have the run at once."""
        self.lose(run)
        try:
            await self._journal.release(run)
        except JournalError:
            _log.warning("the lease of run %s could not be released", run)


async def replayed(events: Sequence[Event]) -> History:
    """What a run had come to; thousands of events are replayed beside the loop."""
    if len(events) > _MANY:
        return await anyio.to_thread.run_sync(replay, events)
    return replay(events)


def unknown(run: str) -> UnknownRun:
    """That the journal has no run of this id."""
    return UnknownRun(
        f"the journal knows no run {run!r}; runs are listed by `python -m aowhisk journal runs`"
    )


def check_resumable(run: str, history: History) -> None:
    """Raise Conflict for a run with which `resume` cannot go on."""
    _check_open(run, history)
    if history.started.dag is None:
        raise Conflict(
            f"run {run} is a run of code; go on with "
            f"`async with orchestrator.start({history.started.name!r}, id={run!r})`"
        )


def check_code(run: str, history: History) -> None:
    """Raise Conflict for a run with which `start` cannot go on."""
    if history.started.dag is not None:
        raise Conflict(f"run {run!r} exists already, of a dag; give this one another id")
    _check_open(run, history)


def _check_open(run: str, history: History) -> None:
    if history.state is RunState.SUCCEEDED:
        raise Conflict(f"run {run} has succeeded; there is nothing to resume")
    if history.state is RunState.CANCELLED:
        raise Conflict(f"run {run} was cancelled; start a new one")
