"""Retention: forgetting runs that ended long ago, but not who wrote the objects that are there.

A run whose lineage is kept stays in the list of runs, and of its events the intents and ends of the
attempts that wrote a kept object last, or what that was made of. It can be recovered from, but
without its first event it is no run that could be resumed or joined.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, TypeVar

from aowhisk.errors import ConfigError, JournalError
from aowhisk.events.schema import prepare

__all__ = ["Exists", "Pruning", "plan_pruning", "prune"]

Exists = Callable[[Collection[str]], Awaitable[Collection[str]]]
"""Gives those of the keys that are in the store."""
_T = TypeVar("_T")
_BATCH = 50  # runs a transaction: who writes the journal meanwhile waits for one
_BUSY = 10.0
_OVER = "state IN ('succeeded', 'failed', 'cancelled')"


class _Use(NamedTuple):
    """A row of `objects`; the first five are its key there."""

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
class Pruning:
    """What is to be forgotten, or was. `runs` are those that ended before `before`; of `trimmed`,
    which are among them, the lineage stays: `kept` attempts, which wrote `objects` keys.
    `unfinished` counts older runs that have not ended: they are left alone."""

    path: Path
    before: datetime
    runs: tuple[str, ...] = ()
    trimmed: frozenset[str] = frozenset()
    kept: frozenset[str] = frozenset()
    objects: int = 0
    unfinished: int = 0
    uses: dict[str, list[_Use]] = field(default_factory=dict, repr=False, hash=False)


async def plan_pruning(
    path: Path, before: datetime, *, lineage: bool = True, exists: Exists | None = None
) -> Pruning:
    """What `prune` would forget of the runs that ended before that time.

    With `lineage` the attempts stay that wrote an object last, with all that it was made of:
    for every object, or with `exists` for those that are there. Raises ConfigError where there is
    no journal.
    """
    found = await asyncio.to_thread(_with, path, lambda connection: _look(connection, path, before))
    if not lineage or not found.runs:
        return found
    old = set(found.runs)
    newest = await asyncio.to_thread(_with, path, lambda connection: _newest(connection, found))
    alive = {key for key, use in newest.items() if use.run in old}
    if exists is not None:
        alive &= set(await exists(sorted(alive)))
    kept = frozenset(_ancestry(alive, newest, found))
    trimmed = frozenset(
        run for run, uses in found.uses.items() if any(each.attempt in kept for each in uses)
    )
    return Pruning(
        path=path,
        before=before,
        runs=found.runs,
        trimmed=trimmed,
        kept=kept,
        objects=len(alive),
        unfinished=found.unfinished,
        uses=found.uses,
    )


async def prune(plan: Pruning) -> int:
    """Forget what the plan says, some runs at a time; gives the number of events deleted. A run
    that was taken up again meanwhile is left alone."""
    return await asyncio.to_thread(_with, plan.path, lambda connection: _prune(connection, plan))


def _with(path: Path, work: Callable[[sqlite3.Connection], _T]) -> _T:
    """Do some work on the open file."""
    if not path.is_file():
        raise ConfigError(f"there is no journal at {path}; name another with --journal")
    try:
        connection = sqlite3.connect(path, isolation_level=None, timeout=_BUSY)
        try:
            prepare(connection, path)
            return work(connection)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise JournalError(f"the journal {path} cannot be pruned: {error}") from error


def _look(connection: sqlite3.Connection, path: Path, before: datetime) -> Pruning:
    when = before.timestamp()
    rows = connection.execute(f"SELECT run FROM runs WHERE {_OVER} AND ended < ?", (when,))
    runs = tuple(run for (run,) in rows)
    [unfinished] = connection.execute(
        f"SELECT count(*) FROM runs WHERE NOT {_OVER} AND started < ?", (when,)
    ).fetchone()
    old, uses = set(runs), defaultdict(list)
    for row in connection.execute(
        "SELECT key, at, run, seq, n, mode, of, attempt, mode = 'write' AND by IS NOT NULL "
        "FROM objects"
    ):
        use = _Use(*row)
        if use.run in old:
            uses[use.run].append(use)
    return Pruning(path, before, runs, unfinished=unfinished, uses=dict(uses))


def _newest(connection: sqlite3.Connection, found: Pruning) -> dict[str, _Use]:
    """The last writing of each object that the old runs wrote or read."""
    newest: dict[str, _Use] = {}
    for key in {use.key for uses in found.uses.values() for use in uses}:
        row = connection.execute(
            "SELECT key, at, run, seq, n, mode, of, attempt, 0 FROM objects "
            "WHERE key = ? AND mode = 'write' AND by IS NULL ORDER BY at DESC, seq DESC LIMIT 1",
            (key,),
        ).fetchone()
        if row is not None:
            newest[key] = _Use(*row)
    return newest


def _ancestry(keys: Iterable[str], newest: dict[str, _Use], found: Pruning) -> Iterator[str]:
    """The attempts that made these objects, and what those read, all the way up."""
    writers: dict[tuple[str, str], set[str]] = defaultdict(set)
    reads: dict[str, set[str]] = defaultdict(set)
    for use in (use for uses in found.uses.values() for use in uses):
        if use.mode == "read":
            reads[use.attempt].add(use.key)
        elif not use.is_kept:
            writers[use.key, use.of].add(use.attempt)
    seen: set[str] = set()
    stack = list(keys)
    done: set[str] = set()
    while stack:
        key = stack.pop()
        if key in done or key not in newest:
            continue
        done.add(key)
        for attempt in writers[key, newest[key].of] - seen:
            seen.add(attempt)
            yield attempt
            stack.extend(reads[attempt])


def _prune(connection: sqlite3.Connection, plan: Pruning) -> int:
    deleted = 0
    for first in range(0, len(plan.runs), _BATCH):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for run in plan.runs[first : first + _BATCH]:
                over = connection.execute(
                    f"SELECT 1 FROM runs WHERE run = ? AND {_OVER} AND ended < ?",
                    (run, plan.before.timestamp()),
                )
                if over.fetchone():
                    deleted += _forget(connection, plan, run)
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # a full disk has rolled it back already
                connection.execute("ROLLBACK")
            raise
    return deleted


def _forget(connection: sqlite3.Connection, plan: Pruning, run: str) -> int:
    """Delete a run, or what of it is no lineage; gives the number of events."""
    gone: list[int] = []
    for seq, kind, attempt in connection.execute(
        "SELECT seq, kind, attempt FROM events WHERE run = ?", (run,)
    ):
        if attempt not in plan.kept or kind not in ("intended", "ended"):
            gone.append(seq)
    connection.executemany(
        """DELETE FROM activations WHERE (action, bytes_read, at, run, seq) = (
          SELECT json_extract(body, '$.action'),
            (SELECT coalesce(sum(value->>'size'), 0) FROM json_each(body, '$.reads')),
            at, run, seq
          FROM events WHERE run = ? AND seq = ?)""",
        [(run, seq) for seq in gone],
    )
    connection.executemany(
        "DELETE FROM objects WHERE key = ? AND at = ? AND run = ? AND seq = ? AND n = ?",
        [use[:5] for use in plan.uses.get(run, ()) if use.attempt not in plan.kept],
    )
    connection.executemany(
        "DELETE FROM events WHERE run = ? AND seq = ?", [(run, seq) for seq in gone]
    )
    connection.execute("DELETE FROM leases WHERE run = ?", (run,))
    if run not in plan.trimmed:
        connection.execute("DELETE FROM runs WHERE run = ?", (run,))
    return len(gone)
