"""The embedded journal: one SQLite file.

What `commit` returned for survives `kill -9` of the process (WAL, synchronous=NORMAL), with
`?sync=full` also a loss of power. There is no timer: whatever is queued is written, in one
transaction, as soon as what was queued before it is.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, TypeVar

import anyio

from aowhisk.errors import ConfigError
from aowhisk.events import shared
from aowhisk.events.codec import clean
from aowhisk.events.intake import Declared, take_in
from aowhisk.events.model import Event, RunState
from aowhisk.events.shelf import Kept, SqliteShelf
from aowhisk.events.sink import Lease, RunInfo, Told, Written
from aowhisk.events.spool import Spool
from aowhisk.events.sqlite_file import SqliteFile
from aowhisk.events.sqlite_rows import SELECT, Row, events_of, row_of, written_of
from aowhisk.events.writer import Writer

__all__ = ["SqliteJournal"]

_T = TypeVar("_T")
_AT_ONCE = 96  # events that are written in about 1 ms
_MOST = 256  # events in a batch: the first may be sent while the next ones are written
_CLOSING = 5.0

_ROW = "(?,?,?,?,?,?,?)"
_EVENTS = {n: f"INSERT INTO events VALUES {','.join([_ROW] * n)}" for n in (64, 16, 4, 3, 2, 1)}
_READ = f"{SELECT} WHERE run = ? AND seq >= ? ORDER BY seq"
_OBJECT = "INSERT OR IGNORE INTO objects VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"
_BEAT = """INSERT INTO leases VALUES (?, ?, 0)
  ON CONFLICT (run) DO UPDATE SET owner = excluded.owner, beat = beat + 1"""
_OPEN = """SELECT attempt, json_extract(body, '$.writes') FROM events WHERE run = ?
  AND kind = 'intended' AND json_extract(body, '$.writes') IS NOT NULL AND attempt NOT IN
  (SELECT attempt FROM events WHERE run = ? AND kind = 'ended')"""


class SqliteJournal:
    """A journal in the file `path`, made at need; `sync` is "normal" or "full"."""

    def __init__(self, path: Path | str, *, sync: str = "normal") -> None:
        if sync not in ("normal", "full"):
            raise ConfigError(f"the journal's sync is {sync!r}; it is normal or full")
        self._path = Path(path)
        self._file = SqliteFile(self._path, sync=sync)
        self._writer = Writer(
            str(self._path),
            row_of,
            self._store,
            most=_MOST,
            at_once=self._store_at_once,
            few=_AT_ONCE,
        )
        self._shelf = SqliteShelf(self._path)
        beside = self._path.with_name(f"{self._path.name}-spool")
        self.spool = Spool(str(self._path.resolve()), beside=beside)

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self._path

    def __repr__(self) -> str:
        return f"SqliteJournal({str(self._path)!r})"

    @property
    def owner(self) -> str:
        """The name of this process among those that share the file."""
        return self._writer.owner

    async def open(self) -> None:
        """Open the file, and take in what earlier processes could not write to it; raises
        ConfigError or JournalError, and touches nothing then."""
        await self._file.open()
        try:
            await take_in(self, self.spool)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Write what is queued, for a few seconds at most, the rest into a spool file, and let
        go."""
        if not self._file.is_open:
            return
        try:
            await self._writer.finish(_CLOSING, self.spool)
        finally:
            with anyio.CancelScope(shield=True):
                await self._file.close()

    def put(self, event: Event) -> Kept | None:
        """Queue an event; it is written soon, and before anything put later. Of an end with a large
        result, gives what reads that."""
        row = self._writer.put(event)
        return None if row is None else row.kept

    async def commit(self, run: str | None = None) -> None:
        """Return once everything put so far is durable. While the file cannot be written (disk
        full, locked), it waits; raises JournalError where trying again cannot help, Fenced where
        another process owns `run`."""
        await self._writer.commit(run)

    async def read(self, run: str, *, after: int = 0) -> Sequence[Event]:
        """The events of a run behind the first `after`, in order."""
        await self.commit()
        rows = await self._ask(lambda: self._fetch(_READ, run, after))
        return await events_of(rows, self._shelf)

    async def append(
        self, run: str, events: Sequence[Event], *, after: int, declared: Declared
    ) -> None:
        """Put events behind the `after` ones that a run has. Raises Fenced, Away."""
        await self._writer.append(run, events, after=after, declared=declared)

    async def writers(self, key: str, *, other_than: str) -> Sequence[Written]:
        """The attempts of the run, but `other_than`, that wrote `key` last, oldest first."""
        await self.commit()
        rows = await self._ask(lambda: self._writers(clean(key), other_than))
        return [written_of(each) for each in rows]

    async def runs(self, states: Collection[RunState]) -> Sequence[RunInfo]:
        """The runs in these states, oldest first."""
        await self.commit()
        marks = ",".join("?" * len(states))
        query = (
            "SELECT run, name, state, started, ended FROM runs "
            f"WHERE state IN ({marks}) ORDER BY started"
        )
        rows = await self._ask(lambda: self._fetch(query, *(state.value for state in states)))
        return [RunInfo(run, name, RunState(state), *times) for run, name, state, *times in rows]

    async def take(self, run: str, *, after: int) -> None:
        """Own a run of which we have read `after` events. Raises Fenced."""
        await self._writer.take(run, after=after)
        before = "SELECT 1 FROM events WHERE run = ? AND seq = ?"
        if after and not await self._ask(lambda: self._fetch(before, run, after - 1)):
            drop = "DELETE FROM events WHERE run = ? AND seq = ?"
            await self._ask(lambda: self._change(drop, [(run, after)]))
            raise self._writer.let_go(run)
        rows = await self._ask(lambda: self._fetch(_OPEN, run, run))
        self._writer.declare((attempt, tuple(json.loads(writes))) for attempt, writes in rows)

    async def beat(self, runs: Collection[str]) -> None:
        """Say of these runs that we are still at work on them."""
        rows = [(run, self.owner) for run in runs]
        await self._ask(lambda: self._change(_BEAT, rows))

    async def lease(self, run: str) -> Lease | None:
        """Who is at work on a run; None if nobody says so."""
        rows = await self._ask(
            lambda: self._fetch("SELECT owner, beat FROM leases WHERE run = ?", run)
        )
        return Lease(*rows[0]) if rows else None

    async def release(self, run: str) -> None:
        """We are no longer at work on the run."""
        await self.dismiss(run, self.owner)

    def watch(self, told: Told) -> None:
        """Call `told` when the database is away and when it is back."""
        self._writer.watch(told)

    async def dismiss(self, run: str, owner: str) -> None:
        """`owner` is no longer at work on the run."""
        who = [(run, owner)]
        drop = "DELETE FROM leases WHERE run = ? AND owner = ?"
        await self._ask(lambda: self._change(drop, who))

    async def amend(self, name: str, change: shared.Change[_T]) -> _T:
        """Change a small document that all processes share; gives back what `change` answers."""
        return await self._ask(lambda: shared.amend_sqlite(self._file.connection, name, change))

    def _change(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        self._file.connection.executemany(statement, rows)

    async def _ask(self, work: Callable[[], _T]) -> _T:
        """Run blocking work in the journal's thread; waits while the file is locked or full."""
        return await self._writer.insist(lambda: self._file.call(work))

    def _store_at_once(self, batch: list[Row]) -> bool:
        if not self._file.at_once(lambda: self._insert(batch)):
            return False
        self._stored(batch)
        return True

    async def _store(self, batch: list[Row]) -> None:
        await self._file.call(lambda: self._insert(batch))
        self._stored(batch)

    def _stored(self, batch: list[Row]) -> None:
        self._file.wrote(len(batch))
        for row in batch:
            if row.kept is not None and not row.hold.lost:
                row.kept.let_go(self._shelf.at(row.hold.run, row.seq))

    def _fetch(self, query: str, *values: object) -> list[Any]:
        return self._file.connection.execute(query, values).fetchall()

    def _writers(self, key: str, other_than: str) -> list[tuple[Any, Any]]:
        last = self._fetch(
            "SELECT of FROM objects WHERE key = ? AND mode = 'write' AND of != ? "
            "ORDER BY at DESC LIMIT 1",
            key,
            other_than,
        )
        if not last:
            return []
        found = []
        for run, seq, attempt in self._fetch(
            "SELECT run, seq, attempt FROM objects WHERE key = ? AND mode = 'write' AND of = ? "
            "ORDER BY at, seq",
            key,
            last[0][0],
        ):
            [ended] = self._fetch(
                "SELECT kind, run, at, body FROM events WHERE run = ? AND seq = ?", run, seq
            )
            intended = self._fetch(
                "SELECT kind, run, at, body FROM events WHERE run = ? AND seq < ? "
                "AND kind = 'intended' AND attempt = ? ORDER BY seq DESC LIMIT 1",
                run,
                seq,
                attempt,
            )
            found += [(row, ended) for row in intended]
        return found

    def _insert(self, batch: list[Row]) -> None:
        """Write a batch in one transaction, but for the runs that another process owns."""
        connection = self._file.connection
        if self._insert_few(connection, batch):
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            try:
                self._insert_rows(connection, batch)
            except sqlite3.IntegrityError:
                connection.execute("ROLLBACK")
                connection.execute("BEGIN IMMEDIATE")
                self._find_lost(batch)
                self._insert_rows(connection, [row for row in batch if not row.hold.lost])
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise

    def _insert_few(self, connection: sqlite3.Connection, batch: list[Row]) -> bool:
        """Write a batch that takes one statement, which is a transaction by itself; gives whether
        that was so."""
        statement = _EVENTS.get(len(batch))
        if statement is None or any(row.objects or row.updates for row in batch):
            return False
        try:
            connection.execute(statement, [v for row in batch for v in row.columns])
        except sqlite3.IntegrityError:
            return False
        return True

    def _insert_rows(self, connection: sqlite3.Connection, batch: list[Row]) -> None:
        left, at = len(batch), 0
        for size, statement in _EVENTS.items():  # the thread holds others up between statements
            while left >= size:
                part = batch[at : at + size]
                connection.execute(statement, [v for row in part for v in row.columns])
                left, at = left - size, at + size
        for row in batch:
            for n, (key, *rest) in enumerate(row.objects):
                where = (key, row.event.at, row.hold.run, row.seq, n)
                connection.execute(_OBJECT, (*where, *rest))
            for statement, values in row.updates:
                connection.execute(statement, values)

    def _find_lost(self, batch: list[Row]) -> None:
        """Mark the runs of which another process has put the event that we wanted to put next."""
        first = {row.hold: row.seq for row in reversed(batch)}
        for hold, seq in first.items():
            if self._fetch("SELECT 1 FROM events WHERE run = ? AND seq = ?", hold.run, seq):
                hold.lost = True
