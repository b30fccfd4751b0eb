"""Who receives events: the journal, which must succeed, and sinks, which are best effort."""

from __future__ import annotations

import logging
import math
import os
import secrets
import socket
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

from aowhisk.events.model import Ended, Event, Intended, RunState, ShelvedEnd
from aowhisk.events.tenure import Tenure
from aowhisk.models import JSON

__all__ = [
    "Journal",
    "Lease",
    "Recorder",
    "RunInfo",
    "Sink",
    "Told",
    "Written",
    "is_gone",
    "new_owner",
]

_log = logging.getLogger("aowhisk")
T = TypeVar("T")


def new_owner() -> str:
    """A name for this process that no other has or will have: machine, process, and chance."""
    return f"{_machine()}:{os.getpid()}:{secrets.token_hex(6)}"


def is_gone(owner: str) -> bool:
    """Whether the owner was a process of this very machine that is not there any more. False where
    nothing is known of it."""
    machine, _, rest = owner.rpartition(":")[0].rpartition(":")
    if machine != _machine() or "/" not in machine or not rest.isdigit():
        return False
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _machine() -> str:
    """The host and, on Linux, the boot and the namespace in which process ids mean something."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        return socket.gethostname()
    return f"{socket.gethostname()}/{boot}/{space.strip('pid:[]')}"


Told: TypeAlias = Callable[[str | None, int], None]
"""Takes why a journal is away, None that it is back; and how many events wait for it."""


class Sink(Protocol):
    """Anything that likes to know. It must return at once; one that raises is logged and
    dropped.
    """

    def receive(self, event: Event) -> None:
        """Take one event."""


@dataclass(frozen=True, slots=True)
class Written:
    """An attempt that wrote an object: its intent and its end."""

    intended: Intended
    ended: Ended


@dataclass(frozen=True, slots=True)
class Lease:
    """Who says to be at work on a run; `beat` grows as long as that is so."""

    owner: str
    beat: int


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run in a list; times are epoch seconds."""

    run: str
    name: str
    state: RunState
    started: float
    ended: float | None = None


class Journal(Protocol):
    """The sink that must not lose an event.

    The events of a run are numbered from 0, and no number is given twice: that decides whose run it
    is. Whoever puts the first event of a run owns it, until another takes it.
    """

    @property
    def owner(self) -> str:
        """The name of this journal's process among those that share the database."""

    async def open(self) -> None:
        """Get ready; raises ConfigError where it cannot be used."""

    async def close(self) -> None:
        """Make what was put durable and let go."""

    def put(self, event: Event) -> Callable[[], JSON] | None:
        """Queue an event behind all earlier ones; those of a run that another owns are dropped.

        Of an end whose result is large, gives what reads that at once, whenever it is wanted, so
        that nobody need hold it; None for everything else.
        """

    async def commit(self, run: str | None = None) -> None:
        """Return once everything put so far is durable. Raises JournalError, and Fenced where
        another process owns `run`."""

    async def read(self, run: str, *, after: int = 0) -> Sequence[Event]:
        """The events of a run behind the first `after`, in order; none for an unknown run."""

    async def writers(self, key: str, *, other_than: str) -> Sequence[Written]:
        """Who wrote `key`, oldest first: the attempts of calls of the run (but `other_than`) that
        wrote it last; empty where none is known."""

    async def runs(self, states: Collection[RunState]) -> Sequence[RunInfo]:
        """The runs in these states, oldest first."""

    async def take(self, run: str, *, after: int) -> None:
        """Own a run of which we have read `after` events: put Taken behind them. Raises Fenced
        where another event has that number by now: read again."""

    async def beat(self, runs: Collection[str]) -> None:
        """Say of these runs, which we own, that we are still at work on them."""

    async def lease(self, run: str) -> Lease | None:
        """Who is at work on a run; None if nobody says so."""

    async def release(self, run: str) -> None:
        """We are no longer at work on the run."""

    def watch(self, told: Told) -> None:
        """Call `told` when the database is away, with the reason, and when it is back, with None;
        and with the number of events that wait for it."""

    async def amend(
        self, name: str, change: Callable[[Mapping[str, Any]], tuple[Mapping[str, Any], T]]
    ) -> T:
        """Change a small JSON document that all processes share, empty at first, one at a time.
        `change` makes of what it says what it shall say, and an answer, which is given back; it may
        be called more than once, in another thread."""


class Recorder:
    """Gives each event to the journal and to every sink. `lease` is the seconds for which a run
    stays ours without a word of us."""

    def __init__(
        self, journal: Journal, sinks: Iterable[Sink] = (), *, lease: float = math.inf
    ) -> None:
        self.journal = journal
        self.tenure = Tenure(journal, lease)
        self._sinks: list[Sink] = list(sinks)
        self._counts: dict[str, int] = {}
        self._followers: dict[str, Sink] = {}

    def add(self, sink: Sink) -> None:
        """Let `sink` receive what comes from now on."""
        self._sinks.append(sink)

    def remove(self, sink: Sink) -> None:
        """Stop giving events to `sink`; one that is not there is no error."""
        if sink in self._sinks:
            self._sinks.remove(sink)

    def follow(self, run: str, sink: Sink) -> None:
        """Let `sink`, in place of whichever did, receive the events of one run."""
        self._followers[run] = sink

    def unfollow(self, run: str, sink: Sink) -> None:
        """Stop giving it those events."""
        if self._followers.get(run) is sink:
            del self._followers[run]

    def count(self, run: str) -> int:
        """How many events of a run were recorded here."""
        return self._counts.get(run, 0)

    def record(self, *events: Event) -> None:
        """Journal events in order, durable with the next commit, and show them to the sinks."""
        for event in events:
            self.keep(event)

    def keep(self, event: Event) -> Event:
        """Do that with one event; gives it as it may be held, without a large result."""
        if event.is_kept:
            read = self.journal.put(event)
            if read is not None and isinstance(event, Ended):
                event = ShelvedEnd(event, read)
        self.show(event)
        return event

    def show(self, event: Event) -> None:
        """Show the sinks an event that was put into the journal."""
        if event.is_kept:
            self._counts[event.run] = self._counts.get(event.run, 0) + 1
        follower = self._followers.get(event.run)
        if follower is not None:
            follower.receive(event)
        for sink in tuple(self._sinks):
            self._offer(sink, event)

    async def commit(self, *events: Event) -> None:
        """Record events and return once they, and everything before them, are durable."""
        self.record(*events)
        await self.journal.commit(events[0].run if events else None)

    def _offer(self, sink: Sink, event: Event) -> None:
        try:
            sink.receive(event)
        except Exception:  # noqa: BLE001 -- an observer of any make must not stop the run
            self.remove(sink)
            _log.warning("sink %r failed on %s and is dropped", sink, event.kind, exc_info=True)
