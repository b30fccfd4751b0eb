"""Entities and records on disk: SQLite in a folder, which one server has at a time."""

from __future__ import annotations

import asyncio
import fcntl
import inspect
import json
import logging
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from aowhisk.errors import ConfigError
from aowhisk.local import entities
from aowhisk.local.codec import Codec
from aowhisk.local.entities import Entity
from aowhisk.local.http import Refusal
from aowhisk.local.records import Record
from aowhisk.models import Status

__all__ = ["Archive", "Contents"]

_log = logging.getLogger(__name__)
VERSION = 1
APPLICATION = 0x616F776B  # "aowk"
CAPACITY = 100_000
_RETRY = 1.0  # seconds until what could not be written is tried again
_PRUNE = 1000  # records between two looks at how many there are
_SCHEMA = """
CREATE TABLE entities (path TEXT PRIMARY KEY, entity TEXT NOT NULL);
CREATE TABLE records (number INTEGER PRIMARY KEY, id TEXT NOT NULL, namespace TEXT NOT NULL,
                      path TEXT NOT NULL, start INTEGER NOT NULL, status TEXT NOT NULL,
                      document TEXT NOT NULL);
CREATE INDEX records_by_start ON records (start);
"""
_INSERT = """
INSERT INTO records (id, namespace, path, start, status, document) VALUES (?, ?, ?, ?, ?, ?)
"""
_NEWEST = """
SELECT * FROM (SELECT * FROM records ORDER BY start DESC, number DESC LIMIT ?)
ORDER BY start, number
"""
_STATUSES = {status.value: status for status in Status}
_CODEC = Codec(
    *(
        one
        for _, one in inspect.getmembers(entities, inspect.isclass)
        if one.__module__ == entities.__name__
    ),
)


@dataclass(frozen=True, slots=True)
class Contents:
    """What an archive held when it was opened, records oldest first; `fresh` if there was none."""

    entities: list[Entity]
    records: list[Record]
    fresh: bool


@dataclass(slots=True)
class _Change:
    path: str
    entity: str | None


class Archive:
    """What `folder` keeps. One thread writes, whatever has come in since it last wrote in one
    transaction; it survives the end of the process, however that comes."""

    def __init__(self, folder: Path, *, capacity: int = CAPACITY) -> None:
        self._folder = folder
        self._file = folder / "openwhisk.sqlite"
        self._capacity = capacity
        self._lock: IO[str] | None = None
        self._thread: threading.Thread | None = None
        self._queue: deque[_Change | Record] = deque()
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._work = threading.Event()
        self._given = self._written = self._unpruned = 0
        self._closing = False

    def open(self) -> Contents:
        """Take the folder and read it. Raises ConfigError where another server has it, or a newer
        aowhisk wrote it; that is left as it is."""
        self._check_version()
        self._take()
        try:
            self._check_version()
            self._db = sqlite3.connect(
                self._file, isolation_level=None, check_same_thread=False, timeout=10
            )
            try:
                contents = self._read()
            except BaseException:
                self._db.close()
                raise
        except (OSError, sqlite3.Error, KeyError, ValueError) as problem:
            self._release()
            raise ConfigError(f"the data in {self._folder} cannot be read: {problem}") from problem
        except ConfigError:
            self._release()
            raise
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="archive", daemon=True)
        self._thread.start()
        return contents

    def keep(self, path: str, entity: Entity | None) -> None:
        """The entity at `path` is now this one, or gone; it is written soon."""
        text = None if entity is None else json.dumps(_CODEC.encode(entity))
        self._give(_Change(path, text))

    def add(self, record: Record) -> None:
        """There is this record now; it is written soon."""
        self._give(record)

    async def settled(self) -> None:
        """Wait until everything that was given is on disk; 500 where it could not be written."""
        if self._written == self._given:
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((self._given, future))
        self._work.set()
        await future

    def close(self) -> None:
        """Write what is left, and give the folder back."""
        self._closing = True
        self._work.set()
        if self._thread is not None:
            self._thread.join()
            self._db.close()
        self._release()

    def _give(self, item: _Change | Record) -> None:
        self._queue.append(item)
        self._given += 1
        self._work.set()

    # The rest runs before the thread starts, or in it.

    def _check_version(self) -> None:
        """Looks at the file without SQLite, which would touch it (SQLite's file format, 1.3)."""
        try:
            with self._file.open("rb") as file:
                header = file.read(100)
        except FileNotFoundError:
            return
        except OSError as problem:
            raise ConfigError(f"cannot read {self._file}: {problem}") from problem
        if not header:
            return  # a server ended just when it began
        version, application = (int.from_bytes(header[at : at + 4], "big") for at in (60, 68))
        if len(header) < 100 or application != APPLICATION:
            raise ConfigError(
                f"{self._file} was not written by a local OpenWhisk; name another folder"
            )
        if version > VERSION:
            raise ConfigError(
                f"{self._file} was written by a newer aowhisk (its format is {version}, this one "
                f"knows {VERSION}); nothing was changed"
            )

    def _take(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = (self._folder / "lock").open("a+", encoding="ascii")
        except OSError as problem:
            raise ConfigError(f"cannot keep data in {self._folder}: {problem}") from problem
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as problem:
            lock.seek(0)
            owner = lock.read().strip()
            lock.close()
            raise ConfigError(
                f"another local OpenWhisk (process {owner}) has the folder {self._folder}; "
                "stop it, or name another folder"
            ) from problem
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def _read(self) -> Contents:
        fresh = self._db.execute("SELECT 1 FROM sqlite_master").fetchone() is None
        if fresh:
            self._create()
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        return Contents(list(self._read_entities()), list(self._read_records()), fresh)

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _create(self) -> None:
        # With a rollback journal, so that the version stands in the file itself from the start.
        os.chmod(self._file, 0o600)
        self._db.executescript(
            f"BEGIN; PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION};"
            f"{_SCHEMA} COMMIT;"
        )

    def _read_entities(self) -> Iterator[Entity]:
        for (text,) in self._db.execute("SELECT entity FROM entities"):
            yield _CODEC.decode(json.loads(text))

    def _read_records(self) -> Iterator[Record]:
        found = self._db.execute(_NEWEST, (self._capacity,))
        for _, activation, namespace, path, start, status, document in found:
            yield Record(activation, namespace, path, start, _STATUSES[status], document)

    def _run(self) -> None:
        batch: list[_Change | Record] = []
        while batch or self._queue or not self._closing:
            self._work.wait(_RETRY if batch else None)
            self._work.clear()
            while self._queue:
                batch.append(self._queue.popleft())
            problem = self._write(batch) if batch else None
            if problem is None:
                self._written += len(batch)
                batch = []
            self._tell(problem)
            if problem is not None and self._closing:
                return

    def _write(self, batch: list[_Change | Record]) -> Exception | None:
        try:
            self._db.execute("BEGIN")
            for item in batch:
                self._write_one(item)
            self._prune()
            self._db.execute("COMMIT")
        except sqlite3.Error as problem:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            _log.error("%d changes cannot be written to %s: %s", len(batch), self._folder, problem)
            return problem
        return None

    def _write_one(self, item: _Change | Record) -> None:
        if isinstance(item, Record):
            document = json.dumps(item.document)
            self._db.execute(
                _INSERT,
                (item.id, item.namespace, item.path, item.start, item.status.value, document),
            )
            self._unpruned += 1
        elif item.entity is None:
            self._db.execute("DELETE FROM entities WHERE path = ?", (item.path,))
        else:
            self._db.execute(
                "INSERT OR REPLACE INTO entities VALUES (?, ?)", (item.path, item.entity)
            )

    def _prune(self) -> None:
        if self._unpruned < _PRUNE:
            return
        self._unpruned = 0
        self._db.execute(
            "DELETE FROM records WHERE start < "
            "(SELECT start FROM records ORDER BY start DESC LIMIT 1 OFFSET ?)",
            (self._capacity - 1,),
        )

    def _tell(self, problem: Exception | None) -> None:
        while self._waiting and (problem is not None or self._waiting[0][0] <= self._written):
            _, future = self._waiting.popleft()
            with suppress(RuntimeError):  # its loop is closed
                future.get_loop().call_soon_threadsafe(_resolve, future, problem is not None)


def _resolve(future: asyncio.Future[None], failed: bool) -> None:
    if future.done():
        return
    if failed:
        future.set_exception(Refusal(500, "There was an internal server error."))
    else:
        future.set_result(None)
