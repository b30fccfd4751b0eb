"""A journal in memory: everything is gone with the process. For tests and for runs nobody
resumes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from aowhisk.errors import Fenced
from aowhisk.events.model import (
    Ended,
    Event,
    Intended,
    RunStarted,
    RunState,
    Taken,
    state_of,
)
from aowhisk.events.sink import Lease, RunInfo, Told, Written, new_owner

__all__ = ["MemoryJournal"]

T = TypeVar("T")


class MemoryJournal:
    """Keeps the events of all runs in lists; `events` holds them by run."""

    def __init__(self) -> None:
        self.owner = new_owner()
        self.events: dict[str, list[Event]] = {}
        self._intents: dict[str, Intended] = {}
        self._writers: dict[str, list[Written]] = {}
        self._leases: dict[str, Lease] = {}
        self._shared: dict[str, Mapping[str, Any]] = {}

    async def open(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do: what was put can still be read."""

    def put(self, event: Event) -> None:
        """Keep an event."""
        self.events.setdefault(event.run, []).append(event)
        if isinstance(event, Intended):
            self._intents[event.attempt] = event
        elif isinstance(event, Ended):
            intended = self._intents.pop(event.attempt, None)
            if intended is not None:
                self._index(Written(intended, event))

    def _index(self, written: Written) -> None:
        reported = {w.key for w in written.ended.writes}
        declared = () if written.ended.reported else written.intended.writes
        for key in reported.union(declared):
            self._writers.setdefault(key, []).append(written)

    async def commit(self, run: str | None = None) -> None:
        """As durable as it gets."""

    async def read(self, run: str, *, after: int = 0) -> Sequence[Event]:
        """The events of a run behind the first `after`, in order."""
        return tuple(self.events.get(run, ())[after:])

    async def writers(self, key: str, *, other_than: str) -> Sequence[Written]:
        """The attempts of the run, but `other_than`, that wrote `key` last, oldest first."""
        known = [w for w in self._writers.get(key, ()) if w.intended.of != other_than]
        return [w for w in known if w.intended.of == known[-1].intended.of]

    async def runs(self, states: Collection[RunState]) -> Sequence[RunInfo]:
        """The runs in these states, oldest first."""
        found = []
        for run, events in self.events.items():
            first = events[0]
            state, ended = state_of(events)
            if state in states and isinstance(first, RunStarted):
                found.append(RunInfo(run, first.name, state, first.at, ended))
        return sorted(found, key=lambda info: info.started)

    async def take(self, run: str, *, after: int) -> None:
        """Own a run; nobody else can, but what was read may be old."""
        if len(self.events.get(run, ())) != after:
            raise Fenced(f"run {run} has gone on since it was read")
        self.put(Taken(run=run, owner=self.owner))

    async def beat(self, runs: Collection[str]) -> None:
        """Count on."""
        for run in runs:
            known = self._leases.get(run)
            self._leases[run] = Lease(self.owner, known.beat + 1 if known else 0)

    async def lease(self, run: str) -> Lease | None:
        """Who is at work on a run."""
        return self._leases.get(run)

    async def release(self, run: str) -> None:
        """Forget it."""
        self._leases.pop(run, None)

    def watch(self, told: Told) -> None:
        """Memory is never away."""

    async def amend(
        self, name: str, change: Callable[[Mapping[str, Any]], tuple[Mapping[str, Any], T]]
    ) -> T:
        """Change a document."""
        self._shared[name], answer = change(self._shared.get(name, {}))
        return answer
