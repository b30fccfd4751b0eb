"""The tables of the SQLite journal, and how an older file becomes one of today.

`events` is the journal itself: one row an event, in the order of `seq` within its run; `body` holds
the event's other fields as JSON. `runs` and `objects` are taken from it while it is written, for
questions that people ask; `calls` and `attempts` are views.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from aowhisk.errors import ConfigError, JournalError

__all__ = ["VERSION", "prepare"]

VERSION = 1

_V1 = """
CREATE TABLE events (
  run TEXT NOT NULL, seq INTEGER NOT NULL, at REAL NOT NULL, kind TEXT NOT NULL,
  call TEXT, attempt TEXT, body TEXT NOT NULL,
  PRIMARY KEY (run, seq)
) WITHOUT ROWID;
CREATE INDEX events_failures ON events (json_extract(body, '$.error_class'), at)
  WHERE json_extract(body, '$.error_class') IS NOT NULL;
CREATE TABLE runs (
  run TEXT PRIMARY KEY, name TEXT NOT NULL, state TEXT NOT NULL, labels TEXT NOT NULL,
  started REAL NOT NULL, ended REAL
) WITHOUT ROWID;
CREATE INDEX runs_by_name ON runs (name, started);
CREATE INDEX runs_by_state ON runs (state, started);
CREATE TABLE leases (run TEXT PRIMARY KEY, owner TEXT NOT NULL, beat INTEGER NOT NULL)
  WITHOUT ROWID;
CREATE TABLE objects (
  key TEXT NOT NULL, at REAL NOT NULL, run TEXT NOT NULL, seq INTEGER NOT NULL, n INTEGER NOT NULL,
  mode TEXT NOT NULL CHECK (mode IN ('read', 'write')),
  of TEXT NOT NULL, call TEXT NOT NULL, attempt TEXT NOT NULL,
  size INTEGER, etag TEXT, by TEXT,
  PRIMARY KEY (key, at, run, seq, n)
) WITHOUT ROWID;
CREATE VIEW attempts AS
  SELECT run, seq, at, call, attempt,
    json_extract(body, '$.action') AS action,
    json_extract(body, '$.cause') AS cause,
    json_extract(body, '$.error_class') AS error_class,
    json_extract(body, '$.error') AS error,
    json_extract(body, '$.activation.id') AS activation,
    json_extract(body, '$.activation.duration') AS duration_ms,
    json_extract(body, '$.activation.annotations.waitTime') AS wait_ms,
    json_extract(body, '$.activation.annotations.initTime') AS init_ms
  FROM events WHERE kind = 'ended';
CREATE VIEW calls AS
  SELECT run, call, count(*) AS attempts, max(at) AS ended,
    sum(error_class IS NOT NULL) AS failures
  FROM attempts GROUP BY run, call;
"""


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables, or check that they are of a version known here.

    Raises ConfigError for a file that is no SQLite database, JournalError for one that a newer
    version wrote; neither is touched.
    """
    try:
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    except sqlite3.DatabaseError as error:
        raise ConfigError(
            f"the journal {path} is not a usable SQLite file ({error}); move it aside, or name "
            "another with AOWHISK_JOURNAL=sqlite:///path"
        ) from error
    if found > VERSION:
        raise JournalError(
            f"the journal {path} was written by a newer aowhisk (its version is {found}, this one "
            f"knows {VERSION}); update aowhisk, or name another journal"
        )
    if found == 0 and tables:
        raise ConfigError(f"{path} is a SQLite file of something else; name another journal")
    if found == 0:
        script = f"BEGIN IMMEDIATE; {_V1} PRAGMA user_version = {VERSION}; COMMIT;"
        connection.executescript(script)
