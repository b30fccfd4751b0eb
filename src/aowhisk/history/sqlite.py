"""The history in a journal's SQLite file, over a connection of its own that cannot write.

In WAL mode who reads does not wait for who writes, nor the other way round. Each question is one
statement over an index (failures: one more a class, for the examples).
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import anyio

from aowhisk.errors import ConfigError, JournalError
from aowhisk.events.codec import clean, from_json
from aowhisk.events.damage import reason
from aowhisk.events.model import Event, RunState
from aowhisk.events.schema import VERSION, prepare, version_of
from aowhisk.history.calls import Calls, Step, time_of
from aowhisk.history.source import Mode, Period
from aowhisk.history.values import (
    CallSummary,
    FailureClass,
    FailureExample,
    ObjectUse,
    RunSummary,
    Sample,
)

__all__ = ["SqliteSource"]

_T = TypeVar("_T")
_Rows = list[tuple[Any, ...]]
_EVENTS = "SELECT kind, run, at, body FROM events WHERE run = ? ORDER BY seq"
_STEPS = """SELECT kind, at, coalesce(json_extract(body, '$.of'), run), call,
    json_extract(body, '$.action'),
    json_extract(body, '$.cause') = 'recovery' AND json_extract(body, '$.of') IS NULL,
    json_extract(body, '$.final') IS NOT 0,
    coalesce(json_extract(body, '$.error'), json_extract(body, '$.reason')),
    json_extract(body, '$.error_class'),
    coalesce(json_extract(body, '$.activation.id'), json_extract(body, '$.activation_id'))
  FROM events WHERE run = ? AND call IS NOT NULL ORDER BY seq"""  # the fields of Step
_RUNS = "SELECT run, name, state, started, ended, labels FROM runs"
_OBJECTS = """SELECT o.key, o.at, o.of, o.call, o.attempt,
    coalesce(json_extract(e.body, '$.action'), ''), o.run, o.size, o.etag, o.by
  FROM objects o LEFT JOIN events e ON e.run = o.run AND e.seq = o.seq
  WHERE o.key = ? AND o.mode = ? AND (o.mode = 'read' OR o.by IS NULL)
  ORDER BY o.at DESC LIMIT ?"""  # a write with a `by` was kept as it stood
_FAILURES = """SELECT error_class, sum(kind = 'ended'), sum(fatal), max(at) FROM events
  WHERE error_class IS NOT NULL AND at >= ? AND at < ? GROUP BY error_class"""
_EXAMPLES = """SELECT run, call, at, json_extract(body, '$.error') FROM events
  WHERE json_extract(body, '$.error_class') IS NOT NULL
    AND json_extract(body, '$.error_class') = ? AND at >= ? AND at < ?
  ORDER BY at DESC LIMIT ?"""
_SAMPLES = "SELECT bytes_read, duration_ms, init_ms, at, run FROM activations WHERE action = ?"
_ABOVE = f"{_SAMPLES} AND bytes_read >= ? ORDER BY bytes_read, at DESC LIMIT ?"
_BELOW = f"{_SAMPLES} AND bytes_read < ? ORDER BY bytes_read DESC, at LIMIT ?"


class SqliteSource:
    """Reads the file at `path`; `before` is awaited before each question, None for nothing."""

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        thread: ThreadPoolExecutor,
        before: Callable[[], Awaitable[None]] | None,
    ) -> None:
        self._path = path
        self._connection = connection
        self._thread = thread
        self._before = before

    @classmethod
    @asynccontextmanager
    async def open(
        cls, path: Path, *, before: Callable[[], Awaitable[None]] | None = None
    ) -> AsyncIterator[SqliteSource]:
        """Open the file. Raises ConfigError where there is none that can be read, JournalError for
        one of a newer version; one of an older version is brought up to date."""
        loop, thread = asyncio.get_running_loop(), ThreadPoolExecutor(1, "aowhisk-history")
        try:
            with anyio.CancelScope(shield=True):  # the thread cannot be stopped
                connection = await loop.run_in_executor(thread, _connect, path)
            try:
                yield cls(path, connection, thread, before)
            finally:
                with anyio.CancelScope(shield=True):
                    await loop.run_in_executor(thread, connection.close)
        finally:
            thread.shutdown(wait=False)

    async def runs(
        self, name: str | None, state: RunState | None, period: Period, limit: int
    ) -> list[RunSummary]:
        """Newest first."""
        wanted = {"name": name, "state": None if state is None else state.value}
        given = {column: value for column, value in wanted.items() if value is not None}
        where = " AND ".join(
            [*(f"{column} = ?" for column in given), "started >= ?", "started < ?"]
        )
        query = f"{_RUNS} WHERE {where} ORDER BY started DESC LIMIT ?"
        rows = await self._ask(query, *given.values(), period.since, period.until, limit)
        return [
            RunSummary(
                run,
                its_name,
                RunState(its_state),
                time_of(started),
                None if ended is None else time_of(ended),
                json.loads(labels),
            )
            for run, its_name, its_state, started, ended, labels in rows
        ]

    async def events(self, run: str) -> tuple[Event, ...]:
        """In order."""
        return await self._call(
            lambda: tuple(
                from_json(kind, of, at, json.loads(body))
                for kind, of, at, body in self._connection.execute(_EVENTS, (run,))
            )
        )

    async def calls(self, run: str) -> list[CallSummary]:
        """In the order in which they were begun."""
        return await self._call(  # row by row: thousands of them at once wake the collector
            lambda: Calls(map(Step._make, self._connection.execute(_STEPS, (run,)))).summaries()
        )

    async def objects(self, key: str, mode: Mode, limit: int) -> list[ObjectUse]:
        """Newest first."""
        rows = await self._ask(_OBJECTS, clean(key), mode, limit)
        return [ObjectUse(name, time_of(at), *rest) for name, at, *rest in rows]

    async def failures(self, period: Period, examples: int) -> list[FailureClass]:
        """Most frequent first."""
        found = []
        for name, attempts, calls, last in await self._ask(_FAILURES, period.since, period.until):
            rows = await self._ask(_EXAMPLES, name, period.since, period.until, examples)
            shown = tuple(
                FailureExample(run, call, time_of(at), error or "") for run, call, at, error in rows
            )
            found.append(FailureClass(name, attempts, calls, time_of(last), shown))
        return sorted(found, key=lambda each: (-each.attempts - each.calls, each.error_class))

    async def activations(self, action: str, near: int, limit: int) -> list[Sample]:
        """Nearest in bytes read first."""
        rows = [
            *await self._ask(_ABOVE, action, near, limit),
            *await self._ask(_BELOW, action, near, limit),
        ]
        samples = [
            Sample(
                size,
                (duration - (init or 0)) / 1000,
                None if init is None else init / 1000,
                time_of(at),
                run,
            )
            for size, duration, init, at, run in rows
        ]
        return sorted(samples, key=lambda each: abs(each.bytes_read - near))[:limit]

    async def _ask(self, query: str, *values: object) -> _Rows:
        return await self._call(lambda: self._connection.execute(query, values).fetchall())

    async def _call(self, work: Callable[[], _T]) -> _T:
        if self._before is not None:
            await self._before()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as error:
            raise JournalError(reason(self._path, error)) from error


def _connect(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise ConfigError(f"there is no journal at {path}; name another with AOWHISK_JOURNAL")
    try:
        connection = _opened(path, "ro")
        try:
            found = version_of(connection, path)
            if found < VERSION:
                _bring_up_to_date(path)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise ConfigError(f"the journal {path} cannot be read: {error}") from error
    return connection


def _bring_up_to_date(path: Path) -> None:
    connection = _opened(path, "rw")
    try:
        prepare(connection, path)
    finally:
        connection.close()


def _opened(path: Path, mode: str) -> sqlite3.Connection:
    url = f"file:{quote(str(path.absolute()))}?mode={mode}"
    return sqlite3.connect(
        url, uri=True, isolation_level=None, check_same_thread=False, timeout=5.0
    )
