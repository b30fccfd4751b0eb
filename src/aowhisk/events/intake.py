"""Taking spool files into a journal: once, in order, and only what is still true.

Where a run stands as it was left, the events go behind those that the journal has, under the
numbers that they would have had. Where it has gone on without them, what became of attempts that
are still open is added, and nothing else. Intents are never added: what was not durable was not
sent.
"""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import anyio
import anyio.to_thread

from aowhisk.errors import Fenced, JournalError
from aowhisk.events.codec import dumps, to_json
from aowhisk.events.model import (
    Accepted,
    Ended,
    Event,
    Intended,
    RunEnded,
    RunInterrupted,
    RunStarted,
    RunState,
    state_of,
)
from aowhisk.events.sink import Journal, is_gone
from aowhisk.events.spool import Damaged, Spool, Spooled, set_aside
from aowhisk.events.writer import Away

__all__ = ["Taker", "outcomes", "remainder", "take_in"]

_OVER = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED})
_SECONDS = 30.0  # for the spool files, while the database is slow to answer
_TURNS = 5  # at a run that others go on with meanwhile
_log = logging.getLogger("aowhisk")


class Taker(Journal, Protocol):
    """A journal that takes spool files in."""

    async def append(
        self, run: str, events: Sequence[Event], *, after: int, declared: Declared
    ) -> None:
        """Put events behind the `after` ones that a run has, at once and past the queue. Raises
        Fenced where one of these numbers is taken, Away, and JournalError."""

    async def dismiss(self, run: str, owner: str) -> None:
        """`owner` is no longer at work on the run."""


Declared = Sequence[tuple[str, tuple[str, ...]]]
"""Attempts, and the keys that they said to write."""


async def take_in(journal: Taker, spool: Spool) -> None:
    """Take in the spool files of a journal that has just been opened. What cannot be taken in now
    stays for the next start; nothing here keeps this one from going on."""
    files = await anyio.to_thread.run_sync(spool.files)
    if not files:
        return
    with anyio.move_on_after(_SECONDS) as scope:
        for path in files:
            await _File(journal, path).take(spool, as_left=True)
        for path in files:  # last, for they add to runs as others had left them
            await _File(journal, path).take(spool, as_left=False)
    if scope.cancelled_caught:
        _log.warning("journal %r is slow; the rest of its spool files stays for later", journal)


@dataclass(frozen=True)
class _File:
    journal: Taker
    path: Path

    async def take(self, spool: Spool, *, as_left: bool) -> None:
        """Take the file in if its run stands as it was left (or, not `as_left`, does not)."""
        try:
            with spool.claim(self.path) as spooled:
                if spooled is not None:
                    await self._take(spooled, as_left)
        except Damaged as error:
            self._set_aside("damaged", f"{error}; what it had is found again in OpenWhisk")
        except (Away, JournalError, Fenced, OSError) as error:
            if not as_left:  # else it is tried again
                _log.warning("spool file %s stays for the next start: %s", self.path, error)

    async def _take(self, spooled: Spooled, as_left: bool) -> None:
        for _ in range(_TURNS):
            stored = await self.journal.read(spooled.run)
            if not stored and spooled.base:
                self._set_aside("unknown-run", f"the journal does not know run {spooled.run}")
                return
            add = remainder(stored, spooled)
            if (add is not None) is not as_left:
                return
            if add is None:
                if await _is_worked_at(self.journal, spooled):
                    _log.warning(
                        "spool file %s stays: another process is at work on its run", self.path
                    )
                    return
                add = outcomes(stored, spooled)
            with contextlib.suppress(Fenced):
                await self.journal.append(
                    spooled.run, add, after=len(stored), declared=_declared(stored, add)
                )
                await self._finish(spooled, len(add), as_left)
                return
        raise JournalError(f"run {spooled.run} goes on too fast")

    async def _finish(self, spooled: Spooled, count: int, as_left: bool) -> None:
        await self.journal.dismiss(spooled.run, spooled.owner)
        await anyio.to_thread.run_sync(partial(self.path.unlink, missing_ok=True))
        _log.warning(
            "journal %r: took in %d of the %d events of run %s in the spool file %s%s",
            self.journal,
            min(count, len(spooled.events)),
            len(spooled.events),
            spooled.run,
            self.path,
            "" if as_left else "; others have gone on with it meanwhile",
        )

    def _set_aside(self, name: str, why: str) -> None:
        aside = set_aside(self.path, name)
        _log.error("spool file %s cannot be taken in: %s; it is kept as %s", self.path, why, aside)


def remainder(stored: Sequence[Event], spooled: Spooled) -> list[Event] | None:
    """What is to be put behind `stored`, the events of the run: those spooled events that are not
    there yet, without intents; None where the run has gone on without them.

    A run that had not even begun becomes an interrupted one, so that nobody goes on with it unless
    told to.
    """
    if len(stored) < spooled.base:
        return None
    unsent = _unsent(spooled.events)
    rest = deque(spooled.events)
    for event in stored[spooled.base :]:
        while rest and id(rest[0]) in unsent and not _is_same(rest[0], event):
            rest.popleft()
        if not rest or not _is_same(rest.popleft(), event):
            return None
    add = [each for each in rest if id(each) not in unsent]
    if not stored and add and not isinstance(add[-1], RunInterrupted | RunEnded):
        add.append(RunInterrupted(run=spooled.run))
    return add


def outcomes(stored: Sequence[Event], spooled: Spooled) -> list[Event]:
    """What the spooled events say of attempts that are still open in a run that has not ended."""
    if state_of(stored)[0] in _OVER or not isinstance(stored[0], RunStarted):  # pruned: it has
        return []
    attempts: dict[tuple[str, str], str] = {}
    known: set[str] = set()
    for event in stored:
        if isinstance(event, Intended):
            attempts[event.of, event.call] = event.attempt
        elif isinstance(event, Ended) and attempts.get((event.of, event.call)) == event.attempt:
            del attempts[event.of, event.call]
        elif isinstance(event, Accepted):
            known.add(event.attempt)
    still_open = set(attempts.values())
    return [
        each
        for each in spooled.events
        if (isinstance(each, Ended) and each.attempt in still_open)
        or (isinstance(each, Accepted) and each.attempt in still_open - known)
    ]


def _unsent(events: Sequence[Event]) -> set[int]:
    """The intents (by `id`) from which nothing followed: what was not durable was not sent."""
    followed = {each.attempt for each in events if isinstance(each, Accepted | Ended)}
    intents = (each for each in events if isinstance(each, Intended))
    return {id(each) for each in intents if each.attempt not in followed}


def _is_same(one: Event, other: Event) -> bool:
    return (one.kind, one.at) == (other.kind, other.at) and (
        dumps(to_json(one)) == dumps(to_json(other))  # as stored: NaN is null by then
    )


def _declared(stored: Sequence[Event], add: Iterable[Event]) -> Declared:
    ends = {each.attempt for each in add if isinstance(each, Ended)}
    return [
        (each.attempt, each.writes)
        for each in stored
        if isinstance(each, Intended) and each.attempt in ends and each.writes
    ]


async def _is_worked_at(journal: Taker, spooled: Spooled) -> bool:
    """Whether another process may be at work on the run: an event put by us would stop it."""
    lease = await journal.lease(spooled.run)
    return lease is not None and lease.owner != spooled.owner and not is_gone(lease.owner)
