"""A SQLite file that is written: its connection, and the thread that uses it.

What is quick is done without the thread: to wake it and be woken takes longer than a small commit,
which waits for no disk (WAL, synchronous=NORMAL).
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import anyio

from aowhisk.errors import ConfigError, JournalError
from aowhisk.events.damage import reason
from aowhisk.events.schema import VERSION, prepare
from aowhisk.events.writer import Away

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

__all__ = ["SqliteFile"]

_T = TypeVar("_T")
_BUSY = 5.0  # seconds to wait for another process's write
_QUICK = 0.001  # seconds that the loop may be held, on average
_OUTLIER = 0.005  # what counts at most of one time that was longer
_DOUBTS = 16  # times that are looked at closely, after one that was longer
_REST = 1.0  # seconds without, once it was longer
_CHECKPOINT = 8_000  # rows between two checkpoints: 5 to 8 MB
_PER_COMMIT = 16  # rows that a commit counts for: it writes whole pages of four tables
_PASSING = {  # what may pass: others write, the disk is full, was taken away, ...
    *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR),
    *(sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOMEM),
    *(sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_SCHEMA, sqlite3.SQLITE_INTERRUPT),
}


class _Watch:
    """How long something takes that may wait for the disk. That other processes had the processor
    meanwhile does not count, where the system tells: the thread would not be spared that."""

    __slots__ = ("_cpu", "_waits", "_wall")

    def __init__(self) -> None:
        self._wall, self._cpu, self._waits = time.perf_counter(), time.thread_time(), _waits()

    @property
    def seconds(self) -> float:
        """Since it was made."""
        if _waits() != self._waits or self._waits < 0:
            return time.perf_counter() - self._wall
        return time.thread_time() - self._cpu


def _waits() -> int:
    """How often this thread has given the processor up, to wait for something; -1 where nobody
    knows."""
    who = getattr(resource, "RUSAGE_THREAD", None)
    return -1 if who is None else resource.getrusage(who).ru_nvcsw


class SqliteFile:
    """`sync` is "normal" or "full". Belongs to one event loop."""

    def __init__(self, path: Path, *, sync: str) -> None:
        self._path = path
        self._sync = sync
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="aowhisk-journal")
        self._last: Future[object] | None = None
        self._connection: sqlite3.Connection | None = None
        self._waits = True
        self._average = 0.0
        self._doubts = 0
        self._rests_until = 0.0
        self._rows = 0
        self._restarts = True

    @property
    def is_open(self) -> bool:
        """Whether it was opened, and not closed."""
        return self._connection is not None

    @property
    def connection(self) -> sqlite3.Connection:
        """What `call` and `at_once` work with. Raises JournalError unless it is open."""
        if self._connection is None:
            raise JournalError(f"the journal {self._path} is not open")
        return self._connection

    async def open(self) -> None:
        """Open it, make it at need; raises ConfigError or JournalError, and touches nothing
        then."""
        try:
            await self.call(self._connect)
        except BaseException:  # cancelled, the thread goes on
            with anyio.CancelScope(shield=True):
                await self.call(self._disconnect)
            raise

    async def close(self) -> None:
        """Let go of it, after all that was asked for."""
        await self.call(self._disconnect)
        self._thread.shutdown(wait=False)

    async def call(self, work: Callable[[], _T]) -> _T:
        """Run blocking work in the thread; raises Away where it may succeed later, JournalError
        where it cannot."""
        try:
            return await asyncio.wrap_future(self._submit(work))
        except sqlite3.Error as error:
            if _code(error) in _PASSING:
                raise Away(error) from error
            raise JournalError(reason(self._path, error)) from error

    def at_once(self, work: Callable[[], object]) -> bool:
        """Do it here and now, unless that may take long; gives whether it was done. It must leave
        nothing behind where it raises an error of SQLite's."""
        now = time.perf_counter()
        is_idle = self._last is None or self._last.done()
        if self._sync != "normal" or not is_idle or now < self._rests_until or self._restarts:
            return False
        watch = _Watch() if self._doubts else None
        try:
            self._wait_for_others(False)
            work()
        except sqlite3.Error:  # locked, full, or worse: the thread will find out
            return False
        took = time.perf_counter() - now
        if watch is not None:
            self._doubts -= 1
            took = watch.seconds
        elif took > _QUICK:
            self._doubts, took = _DOUBTS, 0.0
        self._average += 0.1 * (min(took, _OUTLIER) - self._average)
        if self._average > _QUICK:
            self._average, self._rests_until = 0.0, now + _REST
        return True

    def wrote(self, rows: int) -> None:
        """So many rows were written: let the thread see to it that the WAL does not grow for
        ever."""
        self._restarts = False
        self._rows += rows + _PER_COMMIT
        if self._rows >= _CHECKPOINT:
            self._rows = 0
            self._submit(self._checkpoint)

    def _submit(self, work: Callable[[], _T]) -> Future[_T]:
        def patiently() -> _T:
            if self._connection is not None:
                self._wait_for_others(True)
            return work()

        made = self._thread.submit(patiently)
        self._last = made  # type: ignore[assignment]  # of what it gives nobody asks
        return made

    def _wait_for_others(self, waits: bool) -> None:
        """Whether to wait while another process writes."""
        if waits is not self._waits:
            self.connection.execute(f"PRAGMA busy_timeout = {_BUSY * 1000 if waits else 0:.0f}")
            self._waits = waits

    def _connect(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(
                self._path, isolation_level=None, timeout=_BUSY, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(f"the journal {self._path} cannot be opened: {error}") from error
        try:
            prepare(connection, self._path)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {self._sync.upper()}")
            connection.execute("PRAGMA wal_autocheckpoint = 0")  # it waits for the disk
            _check_rights(connection)
        except sqlite3.Error as error:
            connection.close()
            raise ConfigError(reason(self._path, error)) from error
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def _disconnect(self) -> None:
        if self._connection is None:
            return
        if self._rows:  # the last one to close the file does so, too; there may be others for ever
            self._checkpoint()
        self._connection.close()
        self._connection = None

    def _checkpoint(self) -> None:
        """Write the WAL into the file; the write after it waits for the disk once more."""
        self._restarts = True
        with contextlib.suppress(sqlite3.Error):  # the next one will do it
            self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()


def _check_rights(connection: sqlite3.Connection) -> None:
    """Raise sqlite3.Error where the file can be read and not written; it may be locked now."""
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        connection.execute("BEGIN IMMEDIATE")  # of a file that cannot be written, it only reads
        connection.execute(f"PRAGMA user_version = {VERSION}")
    except sqlite3.OperationalError as error:
        if _code(error) not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise
    if connection.in_transaction:
        connection.execute("ROLLBACK")
    connection.execute(f"PRAGMA busy_timeout = {_BUSY * 1000:.0f}")


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 for an error that is not SQLite's own."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
