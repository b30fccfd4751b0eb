"""Questions to a journal: the same answers from every kind of it, over indexes."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest

from aowhisk.errors import ConfigError, JournalError
from aowhisk.events import Journal, MemoryJournal, open_journal
from aowhisk.events.model import (
    Accepted,
    CallAbandoned,
    CallFailed,
    Cause,
    Ended,
    Event,
    Intended,
    Retrying,
    RunEnded,
    RunStarted,
    RunState,
)
from aowhisk.events.sqlite import SqliteJournal
from aowhisk.history import CallState, FailureExample, History, RunSummary, Sample
from aowhisk.history.sqlite import SqliteSource
from aowhisk.models import Activation
from aowhisk.telemetry import Telemetry
from object_store.wire import IORecord

T = 1_700_000_000.0


def time(seconds: float) -> datetime:
    return datetime.fromtimestamp(T + seconds, tz=UTC)


def attempt(run: str, call: str, at: float, **facts: Any) -> list[Event]:
    """An attempt of a second that ended at `at`; `declared` are the writes it declares."""
    who: dict[str, Any] = {"run": run, "of": facts.pop("of", run), "call": call}
    who |= {"attempt": f"{run}{call}{at:g}", "action": facts.pop("action", "act")}
    who["cause"] = facts.pop("cause", Cause.FIRST)
    ms = facts.pop("ms", 1000)
    notes = {"initTime": 400} if facts.pop("cold", False) else {}
    record = Activation(id=f"id{at:g}", name="act", duration=ms / 1000, annotations=notes)
    facts.setdefault("activation", record)
    writes = facts.pop("declared", ())
    return [
        Intended(**who, params={}, writes=writes, at=T + at - 1),
        Ended(**who, **facts, at=T + at, sent=T + at - 1),
    ]


def rec(key: str, size: int = 3, **facts: Any) -> IORecord:
    return IORecord(key, size, "e" * 32, **facts)


FAILED = {"error": "no", "error_class": "ActionError"}
EVENTS: list[Event] = [
    RunStarted(run="r1", name="n", labels={"team": "film"}, at=T),
    *attempt("r1", "write", 1, writes=(rec("b/x"), rec("b/y")), reported=True),
    *attempt("r1", "read", 2, reads=(rec("b/x", 70, by="r1/write/r1write1"),), reported=True),
    *attempt("r1", "silent", 3, declared=("b/z",)),
    *attempt("r1", "odd", 4, **FAILED, final=False, activation=None),
    Retrying(run="r1", of="r1", call="odd", attempt="r1odd4", delay=1.0, error="no", at=T + 4),
    *attempt("r1", "odd", 5, cause=Cause.RETRY, cold=True, reads=(rec("b/y", 30),)),
    RunEnded(run="r1", state=RunState.SUCCEEDED, at=T + 10),
    RunStarted(run="r2", name="n", at=T + 20),
    *attempt("r2", "write", 21, of="r1", cause=Cause.RECOVERY, writes=(rec("b/x"),), ms=500),
    *attempt("r2", "again", 22, writes=(rec("b/y", kept=True, by="r1/write/r1write1"),)),
    *attempt("r2", "bad", 23, **FAILED),
    *attempt("r2", "stuck", 24, error="gone", error_class="MissingObject", final=False),
    CallFailed(run="r2", of="r2", call="stuck", error="b", error_class="RecoveryFailed", at=T + 25),
    CallAbandoned(run="r2", of="r2", call="never", reason="bad failed", at=T + 26),
    Intended(run="r2", of="r2", call="open", attempt="o", action="slow", params={}, at=T + 27),
    Accepted(run="r2", of="r2", call="open", attempt="o", activation_id="idO", at=T + 28),
    RunEnded(run="r2", state=RunState.FAILED, at=T + 30),
    RunStarted(run="r3", name="other", at=T + 40),
]


@pytest.fixture(params=["memory", "sqlite", "mongo", "nx"])
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Journal]:
    """Each kind, open, with the events above."""
    urls = {"memory": "memory:", "sqlite": f"sqlite://{tmp_path}/a%20b/journal%3f.db"}
    found = open_journal(urls.get(request.param) or request.getfixturevalue(f"{request.param}_url"))
    await found.open()
    for event in EVENTS:
        found.put(event)
    yield found
    await found.close()


@pytest.fixture
async def history(journal: Journal) -> AsyncIterator[History]:
    async with History.open(journal) as found:
        yield found


async def test_runs_are_found_by_name_state_and_time_newest_first(history: History) -> None:
    async def ids(**wanted: Any) -> list[str]:
        return [each.run for each in await history.runs(**wanted)]

    assert await ids() == ["r3", "r2", "r1"]
    assert await ids(limit=2) == ["r3", "r2"]
    assert await ids(name="n") == ["r2", "r1"]
    assert await ids(state=RunState.RUNNING) == ["r3"]
    assert await ids(name="n", state=RunState.FAILED) == ["r2"]
    assert await ids(since=time(20), until=time(40)) == ["r2"]
    assert await ids(name="n", since=time(30)) == []
    found = (await history.runs(state=RunState.SUCCEEDED))[0]
    expected = RunSummary("r1", "n", RunState.SUCCEEDED, time(0), time(10), {"team": "film"})
    assert (found, found.seconds) == (expected, 10.0)


async def test_calls_of_a_run_tell_where_they_stand(history: History) -> None:
    first = {each.call: each for each in await history.calls("r1")}
    assert list(first) == ["write", "read", "silent", "odd"]
    odd = first["odd"]
    assert (odd.state, odd.attempts, odd.activation) == (CallState.SUCCEEDED, 2, "id5")
    assert (odd.started, odd.ended, odd.seconds) == (time(3), time(5), 2.0)
    assert (odd.error_class, odd.error) == (None, None)
    second = {(each.run, each.call): each for each in await history.calls("r2")}
    assert second["r1", "write"].state is CallState.SUCCEEDED
    assert second["r2", "bad"].error_class == "ActionError"
    stuck, never, still = (second["r2", name] for name in ("stuck", "never", "open"))
    assert (stuck.state, stuck.error_class) == (CallState.FAILED, "RecoveryFailed")
    assert (never.state, never.error) == (CallState.ABANDONED, "bad failed")
    assert (never.started, never.seconds) == (None, None)
    assert (still.state, still.activation, still.action) == (CallState.OPEN, "idO", "slow")
    assert await history.calls("unknown") == []


async def test_a_call_that_failed_in_recovery_keeps_its_first_result(journal: Journal) -> None:
    for event in attempt("r1", "write", 12, cause=Cause.RECOVERY, **FAILED):
        journal.put(event)
    async with History.open(journal) as history:
        found = next(each for each in await history.calls("r1") if each.call == "write")
    assert (found.state, found.attempts, found.ended) == (CallState.SUCCEEDED, 2, time(1))


async def test_who_wrote_and_who_read_an_object_is_known_across_runs(history: History) -> None:
    wrote = await history.who_wrote("b/x")
    assert [(w.run, w.call, w.recorded, w.at) for w in wrote] == [
        ("r1", "write", "r2", time(21)),
        ("r1", "write", "r1", time(1)),
    ]
    assert [w.recorded for w in await history.who_wrote("b/x", limit=1)] == ["r2"]
    [read] = await history.who_read("b/x")
    assert (read.call, read.size, read.by) == ("read", 70, "r1/write/r1write1")
    assert (read.action, read.attempt, read.etag) == ("act", "r1read2", "e" * 32)
    [declared] = await history.who_wrote("b/z")
    assert (declared.call, declared.size, declared.etag) == ("silent", None, None)
    assert len(await history.who_wrote("b/y")) == 1  # what was kept was not written
    assert await history.who_wrote("b/none") == []


async def test_failures_are_counted_by_class_with_examples(history: History) -> None:
    found = {each.error_class: each for each in await history.failures()}
    assert list(found) == ["ActionError", "MissingObject", "RecoveryFailed"]
    errors = found["ActionError"]
    assert (errors.attempts, errors.calls, errors.last) == (2, 1, time(23))
    assert errors.examples[0] == FailureExample("r2", "bad", time(23), "no")
    assert [each.at for each in errors.examples] == [time(23), time(4)]
    assert (found["MissingObject"].attempts, found["MissingObject"].calls) == (1, 0)
    assert (found["RecoveryFailed"].attempts, found["RecoveryFailed"].calls) == (0, 1)
    [old] = await history.failures(since=time(0), until=time(23), examples=0)
    assert (old.error_class, old.attempts, old.calls, old.examples) == ("ActionError", 1, 0, ())


async def test_activations_are_found_by_the_bytes_they_read(history: History) -> None:
    found = await history.activations("act", near=40)
    assert found[0] == Sample(30, 0.6, 0.4, time(5), "r1")
    assert found[1] == Sample(70, 1.0, None, time(2), "r1")
    assert {each.bytes_read for each in found[2:]} == {0}
    assert len(found) == 6
    assert [each.bytes_read for each in await history.activations("act", near=1000, limit=2)] == [
        70,
        30,
    ]
    assert await history.activations("other") == []


async def test_events_and_telemetry_of_a_run(history: History) -> None:
    events = [event for event in EVENTS if event.run == "r2"]
    assert list(await history.events("r2")) == events
    assert await history.telemetry("r2") == Telemetry.of(events)
    assert (await history.telemetry("r2")).recovery.repairs == 1
    assert await history.telemetry("unknown") == Telemetry()


async def test_times_without_a_zone_are_refused(history: History) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        await history.runs(since=datetime(2024, 1, 1))  # noqa: DTZ001


async def written(path: Path) -> SqliteJournal:
    journal = SqliteJournal(path)
    await journal.open()
    for event in EVENTS:
        journal.put(event)
    await journal.commit()
    return journal


async def test_every_question_goes_over_an_index(tmp_path: Path) -> None:
    journal = await written(tmp_path / "j.db")
    asked: list[str] = []
    async with SqliteSource.open(tmp_path / "j.db") as source:
        source._connection.set_trace_callback(asked.append)
        history = History(source)
        for name in (None, "n"):
            for state in (None, RunState.FAILED):
                for since in (None, time(1)):
                    await history.runs(name=name, state=state, since=since)
        await history.calls("r1")
        await history.who_wrote("b/x")
        await history.who_read("b/x")
        await history.failures(since=time(1), until=time(100))
        await history.activations("act", near=40)
    with sqlite3.connect(tmp_path / "j.db") as connection:
        plans = [
            step[3] for query in asked for step in connection.execute(f"EXPLAIN QUERY PLAN {query}")
        ]
    connection.close()
    await journal.close()
    assert len(asked) == 8 + 1 + 2 + 4 + 2
    assert [plan for plan in plans if "SCAN" in plan] == []
    assert sum("SEARCH" in plan for plan in plans) >= len(asked)
    runs = [plan for plan in plans if " runs " in plan]
    assert {plan.split("INDEX ")[1].split()[0] for plan in runs} == {
        "runs_by_name",
        "runs_by_state",
        "runs_by_time",
    }


async def test_a_path_may_begin_with_more_slashes_than_one(tmp_path: Path) -> None:
    """As SQLAlchemy has it: sqlite:////absolute/path."""
    await (await written(tmp_path / "j.db")).close()
    async with History.open(f"sqlite:///{tmp_path}/j.db") as history:
        assert [run.run for run in await history.runs(limit=1)] == ["r3"]


async def test_the_history_reads_while_a_writer_is_at_work_and_sees_what_is_durable(
    tmp_path: Path,
) -> None:
    journal = await written(tmp_path / "j.db")
    async with History.open(f"sqlite://{tmp_path}/j.db") as history:
        other = sqlite3.connect(tmp_path / "j.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with anyio.fail_after(2):
            assert len(await history.runs()) == 3
        other.execute("ROLLBACK")
        other.close()
        journal.put(RunStarted(run="r4", name="n", at=T + 50))
        await journal.commit()
        assert len(await history.runs()) == 4
    await journal.close()


async def test_the_history_cannot_write(tmp_path: Path) -> None:
    await (await written(tmp_path / "j.db")).close()
    async with SqliteSource.open(tmp_path / "j.db") as source:
        with pytest.raises(JournalError, match="readonly"):
            await source._ask("DELETE FROM runs")


async def test_where_there_is_no_journal_is_said(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("not a database, but long enough to look like one " * 50)
    for where, text in (
        (f"sqlite://{tmp_path}/none.db", "there is no journal at"),
        (f"sqlite://{tmp_path}/notes", "not a usable SQLite file"),
        ("ftp:x", "no journal for ftp"),
    ):
        with pytest.raises(ConfigError, match=text):
            async with History.open(where):
                pass
    assert not (tmp_path / "none.db").exists()


async def test_the_history_of_nothing_is_empty() -> None:
    async with History.open("memory:") as history:
        assert await history.runs() == []
    async with History.open(MemoryJournal()) as history:
        assert await history.failures() == []
