"""A journal in memory: everything is gone with the process. For tests and for runs nobody
resumes.
"""

from __future__ import annotations

from collections.abc import Sequence

from aowhisk.events.model import Ended, Event, Intended
from aowhisk.events.sink import Written

__all__ = ["MemoryJournal"]


class MemoryJournal:
    """Keeps the events of all runs in lists; `events` holds them by run."""

    def __init__(self) -> None:
        self.events: dict[str, list[Event]] = {}
        self._intents: dict[str, Intended] = {}
        self._writers: dict[str, list[Written]] = {}

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
        for key in reported | set(written.intended.writes):
            self._writers.setdefault(key, []).append(written)

    async def commit(self) -> None:
        """As durable as it gets."""

    async def read(self, run: str) -> Sequence[Event]:
        """All events of a run, in order."""
        return tuple(self.events.get(run, ()))

    async def writers(self, key: str, *, other_than: str) -> Sequence[Written]:
        """The attempts of the run, but `other_than`, that wrote `key` last, oldest first."""
        known = [w for w in self._writers.get(key, ()) if w.intended.of != other_than]
        return [w for w in known if w.intended.of == known[-1].intended.of]
