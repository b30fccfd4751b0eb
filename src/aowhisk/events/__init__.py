"""Events: the facts of a run, and everything that receives them."""

from __future__ import annotations

from aowhisk.errors import ConfigError
from aowhisk.events.memory import MemoryJournal
from aowhisk.events.model import Event, RunState
from aowhisk.events.sink import Journal, Recorder, Sink, Written

__all__ = [
    "Event",
    "Journal",
    "MemoryJournal",
    "Recorder",
    "RunState",
    "Sink",
    "Written",
    "open_journal",
]


def open_journal(where: Journal | str) -> Journal:
    """The journal that a URL names; a Journal is given back as it is. Raises ConfigError.

    `memory:` keeps events as long as the process lives.
    """
    if not isinstance(where, str):
        return where
    if where in ("memory:", "memory://"):
        return MemoryJournal()
    scheme = where.partition(":")[0]
    raise ConfigError(f"no journal for {scheme}: URLs; this version has memory:")
