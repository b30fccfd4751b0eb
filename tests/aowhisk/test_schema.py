"""A file of an older version becomes one of today, whole, and by whoever comes first."""

from __future__ import annotations

import json
import sqlite3
import threading
from pathlib import Path

import pytest

from aowhisk.errors import JournalError
from aowhisk.events.codec import to_json
from aowhisk.events.model import Ended, Event, Intended, RunStarted, Throttled
from aowhisk.events.schema import VERSION, prepare
from aowhisk.events.sqlite import SqliteJournal
from aowhisk.history import History
from aowhisk.models import Activation
from object_store.wire import IORecord

# As the first version made its files; not to be changed any more.
V1 = """
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
PRAGMA user_version = 1;
"""
WHO = {"run": "r", "of": "r", "call": "c", "action": "a"}
READ = (IORecord("b/x", 7, "0" * 32), IORecord("b/y", 5, "0" * 32))
RECORD = Activation(id="f" * 32, name="a", duration=2.0, annotations={"initTime": 500})
EVENTS: list[Event] = [
    RunStarted(run="r", name="n", at=1.0),
    Intended(**WHO, attempt="t", params={}, at=2.0),  # type: ignore[arg-type]
    Ended(**WHO, attempt="t", error="no", error_class="ActionError", final=False, at=3.0),  # type: ignore[arg-type]
    Ended(**WHO, attempt="u", activation=RECORD, reads=READ, at=4.0),  # type: ignore[arg-type]
]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A file of version 1 with the events above."""
    path = tmp_path / "old.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(V1)
    for seq, event in enumerate(EVENTS):
        insert(connection, seq, event)
    connection.execute("INSERT INTO runs VALUES ('r', 'n', 'running', '{}', 1.0, NULL)")
    connection.close()
    return path


def insert(connection: sqlite3.Connection, seq: int, event: Event) -> None:
    """As the first version does."""
    facts = (getattr(event, "call", None), getattr(event, "attempt", None))
    row = (event.run, seq, event.at, event.kind, *facts, json.dumps(to_json(event)))
    connection.execute("INSERT INTO events VALUES (?,?,?,?,?,?,?)", row)


def tables(path: Path) -> list[tuple[str, ...]]:
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name").fetchall()
    found += connection.execute("PRAGMA user_version").fetchall()
    connection.close()
    return found


async def test_a_file_of_version_1_is_brought_up_to_date_with_all_it_holds(old: Path) -> None:
    journal = SqliteJournal(old)
    await journal.open()
    assert list(await journal.read("r")) == EVENTS
    journal.put(Throttled(run="other", seconds=1, text=""))
    await journal.commit()
    async with History.open(journal) as history:
        [sample] = await history.activations("a")
        [failure] = await history.failures()
    assert (sample.bytes_read, sample.seconds, sample.init) == (12, 1.5, 0.5)
    assert (failure.error_class, failure.attempts, failure.calls) == ("ActionError", 1, 0)
    await journal.close()


async def test_it_has_the_same_tables_as_a_new_file(old: Path, tmp_path: Path) -> None:
    for path in (old, tmp_path / "new.db"):
        journal = SqliteJournal(path)
        await journal.open()
        await journal.close()
    assert tables(old) == tables(tmp_path / "new.db")
    assert tables(old)[-1] == (VERSION,)


async def test_the_history_brings_an_older_file_up_to_date_as_well(old: Path) -> None:
    async with History.open(f"sqlite://{old}") as history:
        assert len(await history.activations("a")) == 1
        assert len(await history.calls("r")) == 1


async def test_a_process_of_the_older_version_may_go_on_writing(old: Path) -> None:
    older = sqlite3.connect(old, isolation_level=None)
    older.execute("SELECT * FROM runs").fetchall()
    async with History.open(f"sqlite://{old}") as history:
        late = Ended(**WHO, attempt="v", activation=RECORD, at=5.0)  # type: ignore[arg-type]
        insert(older, len(EVENTS), late)
        assert len(await history.activations("a")) == 2
    older.close()


def test_of_many_processes_that_come_at_once_one_does_it(old: Path) -> None:
    problems: list[BaseException] = []

    def come() -> None:
        connection = sqlite3.connect(old, isolation_level=None, timeout=10)
        try:
            prepare(connection, old)
        except BaseException as error:  # noqa: BLE001 -- told to the test
            problems.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert tables(old)[-1] == (VERSION,)


def test_a_step_that_fails_leaves_the_file_as_it_was(old: Path) -> None:
    connection = sqlite3.connect(old, isolation_level=None)
    connection.execute("CREATE TABLE activations (mine)")
    before = tables(old)
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        prepare(connection, old)
    connection.close()
    assert tables(old) == before


async def test_a_newer_file_is_not_read_either(old: Path) -> None:
    connection = sqlite3.connect(old)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    before = old.read_bytes()
    with pytest.raises(JournalError, match="newer aowhisk"):
        async with History.open(f"sqlite://{old}"):
            pass
    assert old.read_bytes() == before
