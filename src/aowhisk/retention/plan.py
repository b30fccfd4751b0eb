"""What is to be forgotten, and what a journal has to be able to do for it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from aowhisk.events import Journal

__all__ = ["Exists", "Found", "Pruning", "Shelf", "Use", "kept"]

Exists = Callable[[Collection[str]], Awaitable[Collection[str]]]
"""Gives those of the keys that are in the store."""


class Use(NamedTuple):
    """An object that an attempt read or wrote, the `n`-th that the event `seq` of `run` tells of.
    `is_kept` says of a write that the object was left as it stood."""

    key: str
    at: float
    run: str
    seq: int
    n: int
    mode: str
    of: str
    attempt: str
    is_kept: bool


@dataclass(frozen=True, slots=True)
class Found:
    """The runs that ended before a time, the number of older ones that have not ended, and what
    each of the former read and wrote."""

    runs: tuple[str, ...]
    unfinished: int
    uses: Mapping[str, list[Use]]

    @property
    def keys(self) -> set[str]:
        """The objects that they read and wrote."""
        return {use.key for uses in self.uses.values() for use in uses}


@dataclass(frozen=True, slots=True)
class Pruning:
    """What is to be forgotten, or was. `runs` are those that ended before `before`; of `trimmed`,
    which are among them, the lineage stays: `kept` attempts, which wrote `objects` keys.
    `unfinished` counts older runs that have not ended: they are left alone."""

    where: Journal | Path | str
    before: datetime
    runs: tuple[str, ...] = ()
    trimmed: frozenset[str] = frozenset()
    kept: frozenset[str] = frozenset()
    objects: int = 0
    unfinished: int = 0
    uses: Mapping[str, list[Use]] = field(default_factory=dict, repr=False, hash=False)

    def keeps(self, kind: str, attempt: str | None) -> bool:
        """Whether an event of a run that is forgotten stays: for the lineage."""
        return attempt in self.kept and kind in ("intended", "ended")


class Shelf(Protocol):
    """A journal, as far as its old runs are concerned."""

    async def look(self, before: datetime) -> Found:
        """What is older."""

    async def newest(self, keys: Collection[str]) -> dict[str, Use]:
        """The last writing of each object, by any run."""

    async def prune(self, plan: Pruning) -> int:
        """Forget; gives the number of events."""


def kept(keys: Iterable[str], newest: Mapping[str, Use], found: Found) -> frozenset[str]:
    """The attempts that made these objects, and what those read, all the way up."""
    writers: dict[tuple[str, str], set[str]] = defaultdict(set)
    reads: dict[str, set[str]] = defaultdict(set)
    for use in (use for uses in found.uses.values() for use in uses):
        if use.mode == "read":
            reads[use.attempt].add(use.key)
        elif not use.is_kept:
            writers[use.key, use.of].add(use.attempt)
    attempts: set[str] = set()
    stack, done = list(keys), set[str]()
    while stack:
        key = stack.pop()
        if key in done or key not in newest:
            continue
        done.add(key)
        for attempt in writers[key, newest[key].of] - attempts:
            attempts.add(attempt)
            stack.extend(reads[attempt])
    return frozenset(attempts)
