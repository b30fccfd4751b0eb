"""Large results that are not held in memory: where they are read when somebody asks for them.

A result is held until its event is stored. From then on a SQLite journal gives it again; of one in
MongoDB, which may be far away, it lies in a file of this machine that nobody sees and that is gone
with the process.
"""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
import threading
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from aowhisk.errors import JournalError
from aowhisk.models import JSON

__all__ = ["LARGE", "FileShelf", "Kept", "SqliteShelf"]

LARGE: Final = 1024
"""Characters of an end, as JSON, above which its result is not held in memory."""


class Kept:
    """A result; call it to read it. It is held until it is let go of."""

    __slots__ = ("_read", "_value")

    def __init__(self, value: JSON) -> None:
        self._value = value
        self._read: Callable[[], JSON] | None = None

    def __call__(self) -> JSON:
        """The result."""
        return self._value if self._read is None else self._read()

    def let_go(self, read: Callable[[], JSON] | None) -> None:
        """It can be read from now on; None: it cannot, and goes on being held."""
        if read is not None:
            self._read, self._value = read, None


class SqliteShelf:
    """The results in the SQLite journal `path`, also once that is closed or its file has lost its
    name."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def at(self, run: str, seq: int) -> Callable[[], JSON] | None:
        """Reads the result of an end that is stored; None where the file cannot be opened."""
        try:
            self._opened()
        except sqlite3.Error:
            return None
        return partial(self._read, run, seq)

    def _opened(self) -> sqlite3.Connection:
        with self._lock:
            if self._connection is None:
                made = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
                weakref.finalize(self, made.close)
                made.execute("PRAGMA query_only = 1")
                made.execute("SELECT 1 FROM events LIMIT 1").fetchone()
                self._connection = made
            return self._connection

    def _read(self, run: str, seq: int) -> JSON:
        connection = self._opened()
        try:
            with self._lock:
                found = connection.execute(
                    "SELECT body FROM events WHERE run = ? AND seq = ?", (run, seq)
                ).fetchone()
        except sqlite3.Error as error:
            raise JournalError(
                f"a result cannot be read from journal {self._path}: {error}"
            ) from error
        if found is None:
            raise JournalError(
                f"event {seq} of run {run} is no longer in the journal {self._path}, and its "
                "result is not either; has it been pruned?"
            )
        return json.loads(found[0]).get("result")


class FileShelf:
    """Results in a temporary file, made for the first of them."""

    def __init__(self) -> None:
        self._file: int | None = None
        self._end = 0

    def put(self, text: str) -> Callable[[], JSON] | None:
        """Reads the value of that JSON text, from now on; None where there is no room for it."""
        data = text.encode("utf-8", "surrogatepass")
        try:
            if self._file is None:
                with tempfile.TemporaryFile(prefix="aowhisk-results-") as made:
                    self._file = os.dup(made.fileno())
                weakref.finalize(self, os.close, self._file)
            written = os.pwrite(self._file, data, self._end)
        except OSError:
            return None
        if written < len(data):
            return None
        self._end += written
        return partial(self._read, self._end - written, written)

    def _read(self, offset: int, size: int) -> JSON:
        assert self._file is not None
        return json.loads(os.pread(self._file, size, offset).decode("utf-8", "surrogatepass"))
