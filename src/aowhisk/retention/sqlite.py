"""Old runs in a journal's SQLite file. Some runs are forgotten in one transaction: who writes the
journal meanwhile waits for one."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from aowhisk.errors import ConfigError, JournalError
from aowhisk.events.schema import prepare
from aowhisk.retention.plan import Found, Pruning, Use

__all__ = ["SqliteShelf"]

_T = TypeVar("_T")
_BATCH = 50  # runs a transaction
_BUSY = 10.0
_OVER = "state IN ('succeeded', 'failed', 'cancelled')"


class SqliteShelf:
    """The file at `path`, opened for each question."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def look(self, before: datetime) -> Found:
        """What is older."""
        return await self._do(lambda connection: _look(connection, before.timestamp()))

    async def newest(self, keys: Collection[str]) -> dict[str, Use]:
        """The last writing of each object, by any run."""
        return await self._do(lambda connection: _newest(connection, keys))

    async def prune(self, plan: Pruning) -> int:
        """Forget; gives the number of events."""
        return await self._do(lambda connection: _prune(connection, plan))

    async def _do(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        return await asyncio.to_thread(_with, self._path, work)


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


def _look(connection: sqlite3.Connection, when: float) -> Found:
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
        use = Use(*row)
        if use.run in old:
            uses[use.run].append(use)
    return Found(runs, unfinished, dict(uses))


def _newest(connection: sqlite3.Connection, keys: Collection[str]) -> dict[str, Use]:
    newest: dict[str, Use] = {}
    for key in keys:
        row = connection.execute(
            "SELECT key, at, run, seq, n, mode, of, attempt, 0 FROM objects "
            "WHERE key = ? AND mode = 'write' AND by IS NULL ORDER BY at DESC, seq DESC LIMIT 1",
            (key,),
        ).fetchone()
        if row is not None:
            newest[key] = Use(*row)
    return newest


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
        if not plan.keeps(kind, attempt):
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
