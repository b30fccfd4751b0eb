"""What a run's time, requests and money went into, from its events alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from aowhisk.events.model import (
    Cause,
    Ended,
    Event,
    Intended,
    Requests,
    RunStarted,
    Taken,
    Throttled,
)
from aowhisk.telemetry.attempt import AttemptTelemetry
from aowhisk.telemetry.bound import Bound
from aowhisk.telemetry.ends import Ends
from aowhisk.telemetry.summary import ActionTelemetry, RecoveryShare

__all__ = ["Meter", "Tape", "Telemetry"]


@dataclass(frozen=True, slots=True)
class Meter:
    """Requests sent: invocations posted, GETs of an activation (`polls`), lists of activations,
    HEADs of objects; `throttled` counts the invocations that were refused (429)."""

    invokes: int = 0
    polls: int = 0
    lists: int = 0
    heads: int = 0
    throttled: int = 0

    @property
    def total(self) -> int:
        """All requests."""
        return self.invokes + self.polls + self.lists + self.heads


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The numbers of one run; durations in seconds, sizes in bytes.

    `started` and `ended` are epoch seconds of the first and the last event; `idle` is what of the
    time between them nobody had the run: queued, or between one process and the next. `attempts`
    are those that ended, in that order; `open` counts those of which no end is known. `requests` is
    None where nothing was counted (the run is not over, or was made by an older version); `holds`
    counts the times that an invocation was held back by the namespace's limits, `held_back` is for
    how long, over all of them.
    """

    run: str = ""
    name: str = ""
    started: float = 0.0
    ended: float = 0.0
    idle: float = 0.0
    attempts: tuple[AttemptTelemetry, ...] = ()
    open: int = 0
    bound: Bound = field(default_factory=Bound)
    requests: Meter | None = None
    holds: int = 0
    held_back: float = 0.0

    @classmethod
    def of(cls, events: Iterable[Event]) -> Telemetry:
        """Of the events of one run, in order; of any prefix of them; of none."""
        return Tape(events).telemetry()

    @property
    def makespan(self) -> float:
        """Seconds from the first event to the last, without the idle ones."""
        return max(0.0, self.ended - self.started - self.idle)

    @property
    def efficiency(self) -> float:
        """How near the makespan came to its lower bound, `bound.seconds`: 1 is all that could be
        had with these durations and slots; 0 for a run that took no time."""
        return self.bound.seconds / self.makespan if self.makespan > 0 else 0.0

    @property
    def calls(self) -> int:
        """How many calls were attempted to an end."""
        return len({(each.run, each.call) for each in self.attempts})

    @property
    def retries(self) -> int:
        """Attempts made because the one before had failed."""
        return self._count(Cause.RETRY)

    @property
    def lost(self) -> int:
        """Attempts made because the one before could not be found."""
        return self._count(Cause.LOST)

    @property
    def recovery(self) -> RecoveryShare:
        """What recovery of lost objects cost."""
        return RecoveryShare.of(self.attempts)

    @property
    def cold_starts(self) -> int:
        """Attempts that began with a cold start."""
        return sum(each.is_cold for each in self.attempts)

    @property
    def gb_seconds(self) -> float:
        """What is paid for: memory limit (GB of 1024 MB) times seconds of cold start and run,
        unrounded, over all attempts whose limit is known."""
        return math.fsum(each.gb_seconds or 0.0 for each in self.attempts)

    @property
    def unpriced(self) -> int:
        """Attempts that `gb_seconds` leaves out, since their record does not tell the limit."""
        return sum(each.memory is None for each in self.attempts)

    @property
    def bytes_read(self) -> int:
        """What all attempts read from the store."""
        return sum(each.bytes_read for each in self.attempts)

    @property
    def bytes_written(self) -> int:
        """What all attempts wrote to the store."""
        return sum(each.bytes_written for each in self.attempts)

    @property
    def actions(self) -> tuple[ActionTelemetry, ...]:
        """The attempts by action."""
        return ActionTelemetry.of(self.attempts)

    @property
    def parts(self) -> dict[str, float]:
        """Where the time of all attempts went: the sum of each part by its name."""
        each = [attempt.parts for attempt in self.attempts]
        names = each[0] if each else {}
        return {name: math.fsum(parts[name] for parts in each) for name in names}

    def _count(self, cause: Cause) -> int:
        return sum(each.cause is cause for each in self.attempts)


class Tape:
    """What the telemetry of one run is made of, event by event, in order."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self._first: Event | None = None
        self._last = self._idle = 0.0
        self._intents: dict[str, float] = {}
        self._ends = Ends("")
        self._holds: list[float] = []
        self._requests: list[Requests] = []
        self._made: Telemetry | None = None
        for event in events:
            self.receive(event)

    def receive(self, event: Event) -> None:
        """Take the next event."""
        if self._first is None:
            self._first, self._last = event, event.at
            self._ends = Ends(event.run)
        if isinstance(event, Intended):
            self._intents[event.attempt] = event.at
        elif isinstance(event, Ended):
            self._ends.add(event, self._intents.pop(event.attempt, None))
        elif isinstance(event, Taken):  # nobody has put anything since the event before
            self._idle += max(0.0, event.at - self._last)
        elif isinstance(event, Throttled):
            self._holds.append(event.seconds)
        elif isinstance(event, Requests):
            self._requests.append(event)
        self._last, self._made = event.at, None

    def telemetry(self) -> Telemetry:
        """The numbers of what was taken so far."""
        if self._made is None:
            self._made = self._make()
        return self._made

    def _make(self) -> Telemetry:
        first = self._first
        if first is None:
            return Telemetry()
        begun = first if isinstance(first, RunStarted) else None
        attempts = tuple(AttemptTelemetry.of(*each) for each in self._ends)
        slots = begun.concurrency if begun and begun.concurrency > 0 else None
        own = (each for each in attempts if each.run == first.run)
        return Telemetry(
            run=first.run,
            name=begun.name if begun else "",
            started=first.at,
            ended=max(first.at, self._last),
            idle=self._idle,
            attempts=attempts,
            open=len(self._intents),
            bound=Bound.of(begun.dag if begun else None, own, slots),
            requests=_meter(self._requests),
            holds=len(self._holds),
            held_back=math.fsum(self._holds),
        )


def _meter(found: Sequence[Requests]) -> Meter | None:
    if not found:
        return None
    return Meter(
        invokes=sum(each.invokes for each in found),
        polls=sum(each.polls for each in found),
        lists=sum(each.lists for each in found),
        heads=sum(each.heads for each in found),
        throttled=sum(each.throttled for each in found),
    )
