"""The tables of the SQLite journal, and how an older file becomes one of today.

`events` is the journal itself: one row an event, in the order of `seq` within its run; `body` holds
the event's other fields as JSON. `runs` and `objects` are taken from it while it is written, for
questions that people ask; `calls` and `attempts` are views. `activations`, the successful ones by
action and bytes read, fills itself by a trigger, so that a process of an older version that still
has the file open takes part. `shared` holds small documents by which processes agree.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from aowhisk.errors import ConfigError, JournalError
from aowhisk.events.damage import reason

__all__ = ["VERSION", "prepare", "version_of"]

VERSION = 3

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

_V2 = """
ALTER TABLE events ADD COLUMN error_class TEXT AS (json_extract(body, '$.error_class')) VIRTUAL;
ALTER TABLE events ADD COLUMN fatal INTEGER
  AS (CASE kind WHEN 'ended' THEN coalesce(json_extract(body, '$.final'), 1) ELSE 1 END) VIRTUAL;
CREATE INDEX events_failures_by_time ON events (at, error_class, kind, fatal)
  WHERE error_class IS NOT NULL;
CREATE INDEX runs_by_time ON runs (started);
CREATE TABLE activations (
  action TEXT NOT NULL, bytes_read INTEGER NOT NULL, at REAL NOT NULL,
  run TEXT NOT NULL, seq INTEGER NOT NULL, duration_ms INTEGER NOT NULL, init_ms INTEGER,
  PRIMARY KEY (action, bytes_read, at DESC, run, seq)
) WITHOUT ROWID;
CREATE TRIGGER events_activations AFTER INSERT ON events
  WHEN NEW.kind = 'ended' AND json_extract(NEW.body, '$.activation.duration') IS NOT NULL
    AND json_extract(NEW.body, '$.error') IS NULL
BEGIN
  INSERT OR IGNORE INTO activations VALUES (
    json_extract(NEW.body, '$.action'),
    (SELECT coalesce(sum(value->>'size'), 0) FROM json_each(NEW.body, '$.reads')),
    NEW.at, NEW.run, NEW.seq,
    json_extract(NEW.body, '$.activation.duration'),
    json_extract(NEW.body, '$.activation.annotations.initTime'));
END;
INSERT OR IGNORE INTO activations
  SELECT json_extract(body, '$.action'),
    (SELECT coalesce(sum(value->>'size'), 0) FROM json_each(body, '$.reads')),
    at, run, seq, json_extract(body, '$.activation.duration'),
    json_extract(body, '$.activation.annotations.initTime')
  FROM events WHERE kind = 'ended' AND json_extract(body, '$.activation.duration') IS NOT NULL
    AND json_extract(body, '$.error') IS NULL;
"""
_V3 = """
CREATE TABLE shared (name TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
"""
_STEPS = (_V1, _V2, _V3)  # what makes a file of version n one of version n + 1


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables, bring those of an older version up to date, or check that they are of a
    version known here.

    Raises ConfigError for a file that is no SQLite database, JournalError for one that a newer
    version wrote; neither is touched.
    """
    if version_of(connection, path) == VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in _STEPS[version_of(connection, path) :]:  # again: another process may have done
            for statement in _statements(step):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # a full disk has rolled it back already
            connection.execute("ROLLBACK")
        raise


def version_of(connection: sqlite3.Connection, path: Path) -> int:
    """The version of the file's tables, 0 for an empty file; raises as `prepare` does."""
    try:
        found = int(connection.execute("PRAGMA user_version").fetchone()[0])
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    except sqlite3.DatabaseError as error:
        raise ConfigError(reason(path, error)) from error
    if found > VERSION:
        raise JournalError(
            f"the journal {path} was written by a newer aowhisk (its version is {found}, this one "
            f"knows {VERSION}); update aowhisk, or name another journal"
        )
    if found == 0 and tables:
        raise ConfigError(f"{path} is a SQLite file of something else; name another journal")
    return found


def _statements(script: str) -> Iterator[str]:
    """The statements of a script, one by one: `executescript` would commit in between."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
