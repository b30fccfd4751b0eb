"""Retention: forgetting runs that ended long ago, but not who wrote the objects that are there.

A run whose lineage is kept stays in the list of runs, and of its events the intents and ends of the
attempts that wrote a kept object last, or what that was made of. It can be recovered from, but
without its first event it is no run that could be resumed or joined.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

from aowhisk.errors import ConfigError
from aowhisk.events import Journal, open_journal
from aowhisk.events.sqlite import SqliteJournal
from aowhisk.retention.plan import Exists, Pruning, Shelf, kept
from aowhisk.retention.sqlite import SqliteShelf

__all__ = ["Exists", "Pruning", "plan_pruning", "prune"]


async def plan_pruning(
    where: Journal | Path | str,
    before: datetime,
    *,
    lineage: bool = True,
    exists: Exists | None = None,
) -> Pruning:
    """What `prune` would forget of the runs that ended before that time, in a journal, at its URL
    or in its file.

    With `lineage` the attempts stay that wrote an object last, with all that it was made of:
    for every object, or with `exists` for those that are there. Raises ConfigError where there is
    no journal.
    """
    async with _shelf(where) as shelf:
        found = await shelf.look(before)
        if not lineage or not found.runs:
            return Pruning(where, before, found.runs, unfinished=found.unfinished, uses=found.uses)
        newest = await shelf.newest(found.keys)
    old = set(found.runs)
    alive = {key for key, use in newest.items() if use.run in old}
    if exists is not None:
        alive &= set(await exists(sorted(alive)))
    attempts = kept(alive, newest, found)
    return Pruning(
        where=where,
        before=before,
        runs=found.runs,
        trimmed=frozenset(
            run
            for run, uses in found.uses.items()
            if any(each.attempt in attempts for each in uses)
        ),
        kept=attempts,
        objects=len(alive),
        unfinished=found.unfinished,
        uses=found.uses,
    )


async def prune(plan: Pruning) -> int:
    """Forget what the plan says, some runs at a time; gives the number of events deleted. A run
    that was taken up again meanwhile is left alone. Where it is cut short, each run is there as it
    was, or is none that could be resumed; pruning again goes on."""
    async with _shelf(plan.where) as shelf:
        return await shelf.prune(plan)


@asynccontextmanager
async def _shelf(where: Journal | Path | str) -> AsyncIterator[Shelf]:
    if isinstance(where, Path):
        yield SqliteShelf(where)
        return
    journal = open_journal(where)
    if isinstance(journal, SqliteJournal):
        yield SqliteShelf(journal.path)
        return
    try:  # without its library no journal is of this kind
        from aowhisk.events.mongo import MongoJournal
        from aowhisk.retention.mongo import MongoShelf
    except ImportError:
        raise _unknown(journal) from None
    if not isinstance(journal, MongoJournal):
        raise _unknown(journal)
    async with MongoShelf.open(journal) as shelf:
        yield shelf


def _unknown(journal: Journal) -> ConfigError:
    return ConfigError(
        f"{journal!r} keeps nothing that could be pruned; name a journal at sqlite:///path or "
        "mongodb://host/database"
    )
