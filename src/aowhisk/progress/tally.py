"""What the events of one run add up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from aowhisk.events.model import (
    CallAbandoned,
    CallEvent,
    CallFailed,
    Cause,
    Ended,
    Event,
    Expanded,
    Intended,
    Recovered,
    RecoveryPlanned,
    RunEnded,
    RunInterrupted,
    RunStarted,
    RunState,
)

__all__ = ["CallTally", "Rescue", "Tally"]


@dataclass(slots=True)
class CallTally:
    """One call. `of` is its run; `seconds` its time in the cluster, `read` and `written` its bytes,
    all over every attempt. `open` are the attempts of which no end is known. `error` says why it
    failed or was given up, None while it has not."""

    of: str
    call: str
    action: str = ""
    causes: Counter[Cause] = field(default_factory=Counter)
    cold: int = 0
    warm: int = 0
    seconds: float = 0.0
    read: int = 0
    written: int = 0
    open: set[str] = field(default_factory=set)
    done: bool = False
    error: str | None = None

    @property
    def attempts(self) -> int:
        """How often it was sent."""
        return self.causes.total()

    def start(self, event: Intended) -> None:
        """Count an attempt that begins."""
        self.action = event.action
        self.causes[event.cause] += 1
        self.open.add(event.attempt)

    def end(self, event: Ended) -> None:
        """Count an attempt that ended."""
        self.action = event.action
        self.open.discard(event.attempt)
        self.read += sum(record.size for record in event.reads)
        self.written += sum(record.size for record in event.writes if not record.kept)
        if event.activation is not None:
            self.seconds += event.activation.duration or 0.0
            self.cold += event.activation.init_time is not None
            self.warm += event.activation.init_time is None
        if event.final and not self.done:
            self.done, self.error = True, event.error


@dataclass(slots=True)
class Rescue:
    """Objects that were gone when `call` wanted them, and what brought them back.

    `steps` are the calls that ran again and the keys each restored; `seconds` is None while it goes
    on; `reason` says why it failed, None that it did not."""

    call: str
    lost: tuple[str, ...]
    steps: tuple[tuple[str, tuple[str, ...]], ...]
    seconds: float | None = None
    reason: str | None = None


class Tally:
    """The sums of one run; give it the run's events in order."""

    def __init__(self, run: str) -> None:
        self.run = run
        self.name = ""
        self.state = RunState.RUNNING
        self.started: float | None = None
        self.ended: float | None = None
        self.rescues: list[Rescue] = []
        self._calls: dict[tuple[str, str], CallTally] = {}
        self._singles: set[str] = set()
        self._unexpanded: set[str] = set()
        self._expanded: Counter[str] = Counter()

    @classmethod
    def of(cls, events: Iterable[Event]) -> Tally:
        """The tally of a run's events, as a journal gives them; at least one."""
        every = list(events)
        tally = cls(every[0].run)
        for event in every:
            tally.add(event)
        return tally

    @property
    def calls(self) -> list[CallTally]:
        """The calls in the order in which they were first sent."""
        return list(self._calls.values())

    @property
    def done(self) -> int:
        """How many calls of this run were begun and ended."""
        return sum(call.done and call.attempts > 0 for call in self._own())

    @property
    def failed(self) -> int:
        """How many calls of this run failed or were given up."""
        return sum(call.done and call.error is not None for call in self._own())

    @property
    def running(self) -> int:
        """How many attempts were sent and have not ended."""
        return sum(len(call.open) for call in self._calls.values())

    @property
    def total(self) -> int:
        """How many calls there are, as far as known."""
        seen = {call.call for call in self._own()}
        known = len(self._singles) + self._expanded.total()
        return max(known, len(self._singles | seen))

    @property
    def open_ended(self) -> bool:
        """Whether more calls than `total` may come."""
        return self.state is RunState.RUNNING and bool(self._unexpanded)

    def seconds(self, now: float) -> float:
        """How long it has been going on by `now` (epoch seconds), or took."""
        if self.started is None:
            return 0.0
        return max(0.0, (self.ended if self.ended is not None else now) - self.started)

    def add(self, event: Event) -> None:
        """Take one event into account; those of other runs are left out."""
        if event.run != self.run:
            return
        match event:
            case CallEvent():
                self._add_to_call(event)
            case RunStarted():
                self._begin(event)
            case Expanded():
                self._unexpanded.discard(event.node)
                self._expanded[event.node] = len(event.items)
            case RunInterrupted():
                state = RunState.QUEUED if event.queued else RunState.INTERRUPTED
                self.state, self.ended = state, event.at
            case RunEnded():
                self.state, self.ended = event.state, event.at

    def _add_to_call(self, event: CallEvent) -> None:
        match event:
            case Intended():
                self._call(event).start(event)
            case Ended():
                self._call(event).end(event)
            case CallFailed(error=reason) | CallAbandoned(reason=reason):
                call = self._call(event)
                call.done, call.error = True, reason
            case RecoveryPlanned():
                self.rescues.append(Rescue(event.call, event.lost, event.steps))
            case Recovered():
                self._rescued(event)

    def _begin(self, event: RunStarted) -> None:
        if self.started is None:
            self.started = event.at
        self.name, self.state, self.ended = event.name, RunState.RUNNING, None
        nodes = event.dag["nodes"] if isinstance(event.dag, dict) else []
        self._singles = {node["id"] for node in nodes if node.get("over") is None}
        maps = {node["id"] for node in nodes if node.get("over") is not None}
        self._unexpanded = maps - set(self._expanded)

    def _rescued(self, event: Recovered) -> None:
        for rescue in reversed(self.rescues):
            if rescue.call == event.call and rescue.seconds is None:
                rescue.seconds, rescue.reason = event.seconds, event.reason
                return

    def _own(self) -> list[CallTally]:
        return [call for call in self._calls.values() if call.of == self.run]

    def _call(self, event: CallEvent) -> CallTally:
        return self._calls.setdefault((event.of, event.call), CallTally(event.of, event.call))
