"""What every journal promises, and what only the one in a file does."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from aowhisk.errors import ConfigError, Fenced, JournalError
from aowhisk.events import Journal, MemoryJournal, open_journal
from aowhisk.events.codec import KINDS, from_json, to_json
from aowhisk.events.model import (
    Accepted,
    CallAbandoned,
    CallFailed,
    Cause,
    Diverged,
    Ended,
    Event,
    Expanded,
    Intended,
    ObjectsMissing,
    Recovered,
    RecoveryPlanned,
    Renewed,
    Requests,
    Retrying,
    RunEnded,
    RunInterrupted,
    RunStarted,
    RunState,
    Taken,
    Throttled,
)
from aowhisk.events.shelf import SqliteShelf
from aowhisk.events.sqlite import SqliteJournal
from aowhisk.events.sqlite_rows import events_of
from aowhisk.models import Activation, Status, from_ms
from object_store.wire import IORecord

CALL = {"run": "r", "of": "r", "call": "c"}
ACTIVATION = Activation(
    id="f" * 32,
    name="a",
    status=Status.SUCCESS,
    start=from_ms(1_700_000_000_123),
    end=from_ms(1_700_000_000_456),
    duration=0.333,
    annotations={"waitTime": 5, "initTime": 100},
)
READ = IORecord("b/x", 3, "0" * 32, sha256="1" * 64, by="r/c/t", at=5, ms=6)
EVENTS: list[Event] = [
    RunStarted(run="r", name="n", labels={"a": "b"}, dag={"nodes": []}, concurrency=7),
    Expanded(run="r", node="m", items=(1, {"a": [None, "é"]})),
    Intended(
        **CALL,
        attempt="t",
        action="a",
        params={"n": 1},
        try_=2,
        cause=Cause.RECOVERY,
        restore=("b/x",),
        idempotent=False,
        protocol=False,
        ownership="shared",
        reads=("b/r",),
        writes=("b/w",),
        retry={"retries": 5, "on": ["platform"]},
        timeout=2.5,
    ),
    Intended(run="r", of="earlier", call="c", attempt="u", action="a", params={}, restore=()),
    Renewed(**CALL, attempt="t"),
    Accepted(**CALL, attempt="t", activation_id="f" * 32),
    Ended(
        **CALL,
        attempt="t",
        action="a",
        cause=Cause.RETRY,
        result={"x": [1.5]},
        activation=ACTIVATION,
        reads=(READ,),
        writes=(READ,),
        reported=True,
        final=False,
        sent=1.0,
        queued=0.5,
    ),
    Ended(**CALL, attempt="u", action="a", error="no", error_class="ActionError"),
    Ended(**CALL, attempt="v", action="a", error="no", error_facts={"meta": {"$ref": [None, 1.5]}}),
    Retrying(**CALL, attempt="t", delay=0.5, error="no", activation_id="f" * 32),
    ObjectsMissing(**CALL, attempt="t", keys=("b/x",)),
    RecoveryPlanned(**CALL, lost=("b/x",), steps=(("r/w", ("b/x",)),)),
    Recovered(**CALL, seconds=0.25, reason="budget"),
    Diverged(**CALL, action="a", key="b/x", before="1", after="2"),
    CallFailed(**CALL, error="no", error_class="GraphError", error_facts={"node": None}),
    CallAbandoned(**CALL, reason="x"),
    Throttled(run="r", seconds=2.0, text="slow"),
    Requests(run="r", invokes=5, polls=4, lists=3, heads=2, throttled=1),
    Taken(run="r", owner="someone"),
    RunInterrupted(run="r", in_flight=("t",)),
    RunInterrupted(run="r", queued=True),
    RunEnded(run="r", state=RunState.FAILED),
]


def url_of(kind: str, request: pytest.FixtureRequest, folder: Path) -> str:
    if kind == "mongo":
        url: str = request.getfixturevalue("mongo_url")
        return url
    return "memory:" if kind == "memory" else f"sqlite://{folder}/deep/journal.db"


@pytest.fixture(params=["memory", "sqlite", "motor", "pymongo"])
async def journal(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Journal]:
    """Each of them, open; the one in MongoDB through either library."""
    kind = request.param
    if kind == "pymongo":
        monkeypatch.setitem(sys.modules, "motor.motor_asyncio", None)
    found = open_journal(
        url_of("mongo" if kind in ("motor", "pymongo") else kind, request, tmp_path)
    )
    await found.open()
    yield found
    await found.close()


@pytest.fixture(params=["sqlite", "mongo"])
async def journals(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[Sequence[Journal]]:
    """Eight at one place, as of eight processes; open."""
    url = url_of(request.param, request, tmp_path)
    found = [open_journal(url) for _ in range(8)]
    for each in found:
        await each.open()
    yield found
    for each in found:
        await each.close()


def test_the_list_of_events_above_has_every_kind() -> None:
    assert {event.kind for event in EVENTS} == set(KINDS)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_an_event_comes_back_from_json_as_it_was(event: Event) -> None:
    assert from_json(event.kind, event.run, event.at, to_json(event)) == event


async def test_a_journal_gives_back_every_kind_of_event_in_order(journal: Journal) -> None:
    for event in EVENTS:
        journal.put(event)
    await journal.commit()
    assert list(await journal.read("r")) == EVENTS
    assert list(await journal.read("unknown")) == []


async def test_runs_are_kept_apart(journal: Journal) -> None:
    for n in range(300):
        journal.put(Throttled(run=f"r{n % 3}", seconds=n, text=""))
    await journal.commit()
    for n in range(3):
        found = [e.seconds for e in await journal.read(f"r{n}") if isinstance(e, Throttled)]
        assert found == list(range(n, 300, 3))


async def test_the_last_run_that_wrote_an_object_is_found_with_all_its_attempts(
    journal: Journal,
) -> None:
    for run in ("r1", "r2", "r3"):
        for attempt in ("a", "b"):
            who = {"run": run, "of": run, "call": "c", "attempt": run + attempt, "action": "x"}
            journal.put(Intended(**who, params={"run": run}))  # type: ignore[arg-type]
            wrote = (IORecord("b/x", 1, "0" * 32),)
            journal.put(Ended(**who, writes=wrote, reported=True))  # type: ignore[arg-type]
    found = await journal.writers("b/x", other_than="r3")
    assert [(w.intended.attempt, w.ended.attempt) for w in found] == [
        ("r2a", "r2a"),
        ("r2b", "r2b"),
    ]
    assert found[0].intended.params == {"run": "r2"}
    assert list(await journal.writers("b/none", other_than="")) == []


async def test_what_a_silent_call_declares_counts_as_written(journal: Journal) -> None:
    who = {**CALL, "attempt": "t", "action": "x"}
    journal.put(Intended(**who, params={}, writes=("b/x",)))  # type: ignore[arg-type]
    journal.put(Ended(**who))  # type: ignore[arg-type]
    assert len(await journal.writers("b/x", other_than="")) == 1


async def test_a_hundred_tasks_commit_at_once(journal: Journal) -> None:
    async def one(n: int) -> None:
        for step in range(20):
            journal.put(Throttled(run=f"r{n}", seconds=step, text=""))
            await journal.commit()

    async with anyio.create_task_group() as group:
        for n in range(100):
            group.start_soon(one, n)
    for n in range(100):
        assert len(await journal.read(f"r{n}")) == 20


async def test_runs_are_listed_by_where_they_stand(journal: Journal) -> None:
    for n in range(4):
        journal.put(RunStarted(run=f"r{n}", name=f"n{n}", at=float(n), queued=n == 0))
    journal.put(RunEnded(run="r1", state=RunState.SUCCEEDED, at=9.0))
    journal.put(RunInterrupted(run="r2"))
    journal.put(RunStarted(run="r4", name="n4", at=4.0))
    journal.put(RunInterrupted(run="r4", queued=True))
    await journal.commit()
    running = await journal.runs([RunState.RUNNING])
    assert [(i.run, i.name, i.state) for i in running] == [("r3", "n3", RunState.RUNNING)]
    others = await journal.runs([RunState.SUCCEEDED, RunState.INTERRUPTED, RunState.QUEUED])
    assert [(i.run, i.started) for i in others[:3]] == [("r0", 0.0), ("r1", 1.0), ("r2", 2.0)]
    assert (others[3].run, others[3].state, others[3].ended) == ("r4", RunState.QUEUED, None)
    assert others[1].ended == 9.0
    await journal.take("r0", after=1)
    assert [i.run for i in await journal.runs([RunState.RUNNING])] == ["r0", "r3"]


async def test_a_lease_is_whose_beat_grows_until_it_is_released(journal: Journal) -> None:
    journal.put(RunStarted(run="r", name="n"))
    await journal.commit()
    assert await journal.lease("r") is None
    await journal.beat(["r"])
    first = await journal.lease("r")
    await journal.beat(["r"])
    second = await journal.lease("r")
    assert first is not None
    assert second is not None
    assert first.owner == second.owner == journal.owner
    assert second.beat > first.beat
    await journal.release("r")
    assert await journal.lease("r") is None


async def test_taking_a_run_that_has_gone_on_since_it_was_read_is_fenced(journal: Journal) -> None:
    journal.put(RunStarted(run="r", name="n"))
    journal.put(Throttled(run="r", seconds=1, text=""))
    await journal.commit()
    with pytest.raises(Fenced):
        await journal.take("r", after=1)
    await journal.take("r", after=2)
    assert (await journal.read("r"))[-1].kind == "taken"


async def test_the_next_process_takes_the_run_and_the_one_before_is_fenced(
    journals: Sequence[Journal],
) -> None:
    one, two = journals[:2]
    one.put(RunStarted(run="r", name="n"))
    one.put(RunStarted(run="s", name="n"))
    await one.commit("r")
    await two.take("r", after=len(await two.read("r")))
    one.put(Throttled(run="r", seconds=1, text=""))
    one.put(Throttled(run="s", seconds=1, text=""))
    with pytest.raises(Fenced, match="another process"):
        await one.commit("r")
    await one.commit("s")
    two.put(Throttled(run="r", seconds=2, text=""))
    await two.commit("r")
    assert [e.kind for e in await one.read("r")] == ["run_started", "taken", "throttled"]
    assert [e.kind for e in await one.read("s")] == ["run_started", "throttled"]


async def test_of_many_that_take_a_run_at_once_one_gets_it(journals: Sequence[Journal]) -> None:
    journals[0].put(RunStarted(run="r", name="n"))
    await journals[0].commit()
    won: list[str] = []

    async def one(journal: Journal) -> None:
        try:
            await journal.take("r", after=1)
        except Fenced:
            return
        won.append(journal.owner)

    async with anyio.create_task_group() as group:
        for journal in journals:
            group.start_soon(one, journal)
    assert len(won) == 1
    taken = [e for e in await journals[0].read("r") if isinstance(e, Taken)]
    assert [e.owner for e in taken] == won


async def test_a_fenced_owner_can_take_its_run_back(journals: Sequence[Journal]) -> None:
    one, two = journals[:2]
    one.put(RunStarted(run="r", name="n"))
    await one.commit()
    await two.take("r", after=1)
    one.put(Throttled(run="r", seconds=1, text=""))
    with pytest.raises(Fenced):
        await one.commit("r")
    await one.take("r", after=len(await one.read("r")))
    one.put(Throttled(run="r", seconds=2, text=""))
    await one.commit("r")
    assert [e.kind for e in await two.read("r")] == ["run_started", "taken", "taken", "throttled"]


async def test_taking_a_run_while_others_are_written_keeps_its_number(
    journals: Sequence[Journal],
) -> None:
    one, two = journals[:2]
    for n in range(20):
        one.put(RunStarted(run=f"r{n}", name="n"))
    await one.commit()

    async def noise() -> None:
        while True:
            two.put(Throttled(run="noise", seconds=0, text=""))
            await two.commit("noise")

    async with anyio.create_task_group() as group:
        group.start_soon(noise)
        for n in range(20):
            await two.take(f"r{n}", after=1)
        group.cancel_scope.cancel()


async def test_who_starts_a_run_that_another_has_started_is_fenced(
    journals: Sequence[Journal],
) -> None:
    one, two = journals[:2]
    one.put(RunStarted(run="r", name="one", at=1.0))
    await one.commit("r")
    two.put(RunStarted(run="r", name="two", at=2.0))
    two.put(RunEnded(run="r", state=RunState.FAILED))
    with pytest.raises(Fenced):
        await two.commit("r")
    assert [(i.name, i.started) for i in await two.runs(list(RunState))] == [("one", 1.0)]


async def test_what_a_call_declared_under_the_owner_before_counts_as_written(
    journals: Sequence[Journal],
) -> None:
    one, two = journals[:2]
    who = {**CALL, "attempt": "t", "action": "x"}
    one.put(Intended(**who, params={}, writes=("b/x",)))  # type: ignore[arg-type]
    await one.commit()
    await two.take("r", after=1)
    two.put(Ended(**who))  # type: ignore[arg-type]
    await two.commit("r")
    assert [w.ended.attempt for w in await one.writers("b/x", other_than="")] == ["t"]


CHILD = """
import asyncio, sys
from aowhisk.events.model import Throttled
from aowhisk.events.sqlite import SqliteJournal
from aowhisk.events.sqlite_rows import events_of

async def main():
    journal = SqliteJournal(sys.argv[1])
    await journal.open()
    n = 0
    while True:
        for _ in range(7):
            journal.put(Throttled(run="r", seconds=n, text="")); n += 1
        await journal.commit()
        print(n, flush=True)

asyncio.run(main())
"""


def test_what_was_committed_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    command = [sys.executable, "-c", textwrap.dedent(CHILD), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        said = 0
        for line in child.stdout:
            said = int(line)
            if said >= 700:
                break
        os.kill(child.pid, signal.SIGKILL)
        said = max([said, *(int(line) for line in child.stdout if line.endswith("\n"))])

    async def count() -> list[float]:
        journal = SqliteJournal(path)
        await journal.open()
        found = [e.seconds for e in await journal.read("r") if isinstance(e, Throttled)]
        await journal.close()
        return found

    found = anyio.run(count)
    assert len(found) >= said
    assert found == list(range(len(found)))


async def test_while_the_file_is_locked_commits_wait_and_nothing_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aowhisk.events.sqlite_file._BUSY", 0.05)
    journal = SqliteJournal(tmp_path / "j.db")
    await journal.open()
    other = sqlite3.connect(tmp_path / "j.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    journal.put(Throttled(run="r", seconds=1, text=""))
    with anyio.move_on_after(0.4) as scope:
        await journal.commit()
    assert scope.cancelled_caught
    assert "nothing new is invoked" in caplog.text
    journal.put(Throttled(run="r", seconds=2, text=""))
    other.execute("ROLLBACK")
    other.close()
    with anyio.fail_after(10):
        await journal.commit()
    assert "is back" in caplog.text
    assert len(await journal.read("r")) == 2
    await journal.close()


async def test_others_run_while_the_events_of_a_long_run_are_made() -> None:
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    rows = [("throttled", "r", 1.0, f'{{"seconds":{n},"text":""}}', None) for n in range(5000)]
    async with anyio.create_task_group() as group:
        group.start_soon(turn)
        assert len(await events_of(rows, SqliteShelf(Path("unused")))) == 5000
        group.cancel_scope.cancel()
    assert turns >= 50, "more than 100 events at a time"


async def test_a_file_that_is_no_journal_is_refused_and_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no database, but long enough to be looked at as if it were one " * 20)
    before = text.read_bytes()
    with pytest.raises(ConfigError, match="not a usable SQLite file"):
        await SqliteJournal(text).open()
    assert text.read_bytes() == before
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    with pytest.raises(ConfigError, match="something else"):
        await SqliteJournal(other).open()


async def test_a_journal_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(JournalError, match="newer aowhisk"):
        await SqliteJournal(path).open()


async def test_a_file_that_may_only_be_read_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = SqliteJournal(tmp_path / "j.db")
    await journal.open()
    await journal.close()
    connect = sqlite3.connect

    def read_only(path: Path, **options: Any) -> sqlite3.Connection:  # who runs this may be root
        return connect(f"file:{path}?mode=ro", uri=True, **options)

    monkeypatch.setattr("sqlite3.connect", read_only)
    with pytest.raises(ConfigError, match="readonly"):
        await SqliteJournal(tmp_path / "j.db").open()


async def test_a_file_that_is_locked_can_be_opened(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "j.db")
    await journal.open()
    await journal.close()
    other = sqlite3.connect(tmp_path / "j.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    journal = SqliteJournal(tmp_path / "j.db")
    with anyio.fail_after(2):
        await journal.open()
    other.close()
    await journal.close()


async def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be opened"):
        await SqliteJournal(tmp_path / "file" / "j.db").open()


@pytest.mark.parametrize(
    "url", ["sqlite:", "sqlite:///", "sqlite:///x?sink=1", "sqlite:///x?sync=half", "ftp:x"]
)
def test_a_url_that_names_no_journal_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        open_journal(url)


async def test_people_can_ask_with_plain_sql(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    journal = SqliteJournal(path)
    await journal.open()
    for event in EVENTS:
        journal.put(event)
    await journal.close()
    connection = sqlite3.connect(path)
    ask = lambda query: connection.execute(query).fetchall()  # noqa: E731
    assert ask("SELECT name, state FROM runs") == [("n", "failed")]
    assert ask("SELECT call, attempts, failures FROM calls") == [("c", 3, 1)]
    assert ask("SELECT mode, size FROM objects ORDER BY mode") == [("read", 3), ("write", 3)]
    assert ask("SELECT duration_ms, init_ms FROM attempts WHERE attempt = 't'") == [(333, 100)]
    plan = ask(
        "EXPLAIN QUERY PLAN SELECT * FROM events WHERE json_extract(body, '$.error_class') = 'X' "
        "AND json_extract(body, '$.error_class') IS NOT NULL AND at > 5"
    )
    assert "events_failures" in plan[0][3]
    connection.close()


def test_memory_is_a_journal_as_well() -> None:
    assert isinstance(open_journal("memory:"), MemoryJournal)


async def test_a_number_that_json_has_no_word_for_does_not_stop_the_journal(
    journal: Journal,
) -> None:
    odd = {"n": [float("nan"), {"x": float("inf")}, 1.5]}
    journal.put(RunStarted(run="r", name="n"))
    journal.put(Ended(**CALL, attempt="t", action="a", result=odd))
    with anyio.fail_after(10):
        await journal.commit()
    assert [event.kind for event in await journal.read("r")] == ["run_started", "ended"]


async def test_a_key_that_is_not_unicode_does_not_stop_the_journal(journal: Journal) -> None:
    """`reads` and `writes` may be named by the result of a call, and JSON can say such text."""
    journal.put(RunStarted(run="r", name="n"))
    journal.put(Intended(**CALL, attempt="t", action="a", params={}, writes=("b/\ud800",)))
    journal.put(Ended(**CALL, attempt="t", action="a"))
    with anyio.fail_after(10):
        await journal.commit()
    [written] = await journal.writers("b/\ud800", other_than="another")
    assert written.intended.writes == ("b/\ud800",)


LARGE = IORecord("b/x", 1 << 62, "e")


@pytest.mark.parametrize(
    "event",
    [
        CallAbandoned(run="r", of="r", call="\ud800", reason="no column takes this name"),
        Ended(**CALL, attempt="t", action="a", activation=ACTIVATION, reads=(LARGE,) * 3),
    ],
    ids=lambda event: event.kind,
)
async def test_what_cannot_be_written_at_all_is_an_error_of_whoever_waits(
    tmp_path: Path, event: Event
) -> None:
    journal = SqliteJournal(tmp_path / "j.db")
    await journal.open()
    journal.put(RunStarted(run="r", name="n"))
    journal.put(event)
    with anyio.fail_after(10), pytest.raises(JournalError, match="cannot be"):
        await journal.commit("r")
    await journal.close()
    after = SqliteJournal(tmp_path / "j.db")  # what was left in a spool file stops nobody
    with anyio.fail_after(10):
        await after.open()
    await after.close()


async def test_while_the_disk_is_full_commits_wait_and_nothing_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = SqliteJournal(tmp_path / "j.db")
    await journal.open()
    journal.put(RunStarted(run="r", name="n"))
    await journal.commit()

    async def room(pages: str) -> None:  # SQLite answers as on a full disk: SQLITE_FULL
        file = journal._file
        await file.call(lambda: file.connection.execute(f"PRAGMA max_page_count = {pages}"))

    await room("1")
    for n in range(200):
        journal.put(Throttled(run="r", seconds=n, text="x" * 1000))
    with anyio.move_on_after(0.5) as scope:
        await journal.commit("r")
    assert scope.cancelled_caught
    assert "full" in caplog.text
    assert "nothing new is invoked" in caplog.text
    await room("1000000")
    with anyio.fail_after(10):
        await journal.commit("r")
    found = [e.seconds for e in await journal.read("r") if isinstance(e, Throttled)]
    assert found == list(range(200))
    await journal.close()


async def test_the_log_of_a_file_stays_small_however_small_the_commits_are(
    tmp_path: Path,
) -> None:
    journal = SqliteJournal(tmp_path / "j.db")
    await journal.open()
    for n in range(2000):
        journal.put(Throttled(run=f"r{n % 50}", seconds=n, text="x" * 200))
        await journal.commit()
    size = (tmp_path / "j.db-wal").stat().st_size
    await journal.close()
    assert size < 10_000_000, "whole pages of each commit are kept"


async def test_an_end_and_the_intent_that_follows_from_it_share_a_commit(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "j.db")
    await journal.open()
    journal.put(RunStarted(run="r", name="n"))
    await journal.commit()
    statements: list[str] = []
    journal._file.connection.set_trace_callback(statements.append)

    async def next_call() -> None:
        journal.put(Throttled(run="r", seconds=2.0, text="the intent"))
        await journal.commit("r")

    async with anyio.create_task_group() as group:
        journal.put(Throttled(run="r", seconds=1.0, text="the end"))
        group.start_soon(next_call)
    [only] = {each for each in statements if not each.startswith("PRAGMA")}
    assert only.startswith("INSERT INTO events")  # one statement is one transaction
    assert "the end" in only
    assert "the intent" in only
    assert len(await journal.read("r")) == 3
    await journal.close()
