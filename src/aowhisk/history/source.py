"""What the history of any journal is read from, and the answers out of lists of events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from aowhisk.events.memory import MemoryJournal
from aowhisk.events.model import (
    CallEvent,
    CallFailed,
    Ended,
    Event,
    Intended,
    RunStarted,
    RunState,
    state_of,
)
from aowhisk.history.calls import Calls, step_of, time_of
from aowhisk.history.values import (
    CallSummary,
    FailureClass,
    FailureExample,
    ObjectUse,
    RunSummary,
    Sample,
)

__all__ = ["MemorySource", "Mode", "Period", "Source", "uses_of"]

Mode = Literal["read", "write"]
_EVER = 1e11  # epoch seconds: beyond any event


@dataclass(frozen=True, slots=True)
class Period:
    """From `since` on and before `until`, in epoch seconds."""

    since: float = -_EVER
    until: float = _EVER

    def __contains__(self, at: float) -> bool:
        return self.since <= at < self.until


class Source(Protocol):
    """Answers the questions of History; every list is as long as `limit` at most."""

    async def runs(
        self, name: str | None, state: RunState | None, period: Period, limit: int
    ) -> list[RunSummary]:
        """Newest first."""

    async def events(self, run: str) -> tuple[Event, ...]:
        """In order."""

    async def calls(self, run: str) -> list[CallSummary]:
        """In the order in which they were begun."""

    async def objects(self, key: str, mode: Mode, limit: int) -> list[ObjectUse]:
        """Newest first."""

    async def failures(self, period: Period, examples: int) -> list[FailureClass]:
        """Most frequent first."""

    async def activations(self, action: str, near: int, limit: int) -> list[Sample]:
        """Nearest in bytes read first."""


class MemorySource:
    """The events that a journal in memory holds."""

    def __init__(self, journal: MemoryJournal) -> None:
        self._journal = journal

    @property
    def _all(self) -> Mapping[str, Sequence[Event]]:
        return self._journal.events

    async def runs(
        self, name: str | None, state: RunState | None, period: Period, limit: int
    ) -> list[RunSummary]:
        """Newest first."""
        found = []
        for run, events in self._all.items():
            first, (stands, ended) = events[0], state_of(events)
            if not isinstance(first, RunStarted) or first.at not in period:
                continue
            if (name is None or first.name == name) and (state is None or stands is state):
                since = None if ended is None else time_of(ended)
                found.append(
                    RunSummary(run, first.name, stands, first.time, since, dict(first.labels))
                )
        return sorted(found, key=lambda each: each.started, reverse=True)[:limit]

    async def events(self, run: str) -> tuple[Event, ...]:
        """In order."""
        return tuple(self._all.get(run, ()))

    async def calls(self, run: str) -> list[CallSummary]:
        """In the order in which they were begun."""
        events = self._all.get(run, ())
        return Calls(step_of(each) for each in events if isinstance(each, CallEvent)).summaries()

    async def objects(self, key: str, mode: Mode, limit: int) -> list[ObjectUse]:
        """Newest first."""
        found = [use for each in self._ends() for use in uses_of(*each, key, mode)]
        return sorted(found, key=lambda each: each.at, reverse=True)[:limit]

    async def failures(self, period: Period, examples: int) -> list[FailureClass]:
        """Most frequent first."""
        by_class: dict[str, list[Ended | CallFailed]] = defaultdict(list)
        every = (event for events in self._all.values() for event in events)
        for event in every:
            if not isinstance(event, Ended | CallFailed) or event.at not in period:
                continue
            if event.error_class is not None:
                by_class[event.error_class].append(event)
        found = []
        for name, events_ in by_class.items():
            newest = sorted(events_, key=lambda each: each.at, reverse=True)
            shown = tuple(
                FailureExample(e.run, e.call, e.time, e.error or "") for e in newest[:examples]
            )
            attempts = sum(isinstance(e, Ended) for e in newest)
            calls = sum(isinstance(e, CallFailed) or e.final for e in newest)
            found.append(FailureClass(name, attempts, calls, newest[0].time, shown))
        return sorted(found, key=lambda each: (-each.attempts - each.calls, each.error_class))

    async def activations(self, action: str, near: int, limit: int) -> list[Sample]:
        """Nearest in bytes read first."""
        found = []
        for event, _ in self._ends():
            record = event.activation
            if event.action != action or event.error is not None or record is None:
                continue
            if record.duration is not None:
                size, init = sum(r.size for r in event.reads), record.init_time
                ran = record.duration - (init or 0.0)
                found.append(Sample(size, round(ran, 3), init, event.time, event.run))
        return sorted(found, key=lambda each: abs(each.bytes_read - near))[:limit]

    def _ends(self) -> Iterator[tuple[Ended, tuple[str, ...]]]:
        """Every attempt that ended, and what it had declared to write."""
        for events in self._all.values():
            declared = {e.attempt: e.writes for e in events if isinstance(e, Intended) and e.writes}
            for event in events:
                if isinstance(event, Ended):
                    yield event, declared.get(event.attempt, ())


def uses_of(event: Ended, declared: Collection[str], key: str, mode: Mode) -> Iterator[ObjectUse]:
    """The uses of one object by an attempt that had declared to write these."""
    who = (key, event.time, event.of, event.call, event.attempt, event.action, event.run)
    records = event.reads if mode == "read" else tuple(w for w in event.writes if not w.kept)
    for each in records:
        if each.key == key:
            yield ObjectUse(*who, each.size, each.etag, each.by)
    if mode == "write" and not event.reported and key in declared:
        yield ObjectUse(*who)
