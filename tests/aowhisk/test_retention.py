"""Old runs are forgotten; who wrote the objects that are there is not."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from aowhisk.errors import ConfigError, JournalError
from aowhisk.events.model import (
    Cause,
    Ended,
    Event,
    Intended,
    RunEnded,
    RunStarted,
    RunState,
    Taken,
)
from aowhisk.events.sqlite import SqliteJournal
from aowhisk.history import History
from aowhisk.models import Activation
from aowhisk.replay import replay
from aowhisk.retention import plan_pruning, prune
from object_store.wire import IORecord

T = 1_700_000_000.0
TABLES = ("events", "runs", "objects", "activations")


def time(seconds: float) -> datetime:
    return datetime.fromtimestamp(T + seconds, tz=UTC)


def call(run: str, name: str, at: float, reads: str = "", writes: str = "") -> list[Event]:
    """A call that read and wrote these keys of one letter."""
    who: dict[str, Any] = {"run": run, "of": run, "call": name, "attempt": f"{run}-{name}"}
    record = Activation(id="f" * 32, name="a", duration=1.0)
    return [
        Intended(**who, action="a", params={}, at=T + at),
        Ended(
            **who,
            action="a",
            activation=record,
            reads=tuple(IORecord(f"b/{key}", 1, "0" * 32) for key in reads),
            writes=tuple(IORecord(f"b/{key}", 1, "0" * 32) for key in writes),
            reported=True,
            at=T + at + 1,
        ),
    ]


def whole(run: str, at: float, *events: list[Event], end: RunState | None) -> list[Event]:
    found: list[Event] = [RunStarted(run=run, name="n", at=T + at)]
    found += [each for several in events for each in several]
    if end is not None:
        found.append(RunEnded(run=run, state=end, at=T + at + 9))
    return found


EVENTS = [
    *whole(
        "old",
        0,
        call("old", "split", 1, writes="ab"),
        call("old", "encode", 3, reads="a", writes="c"),
        call("old", "other", 5, reads="b", writes="d"),
        call("old", "nothing", 7),
        end=RunState.SUCCEEDED,
    ),
    *whole("plain", 10, call("plain", "nothing", 11), end=RunState.FAILED),
    *whole("open", 20, call("open", "x", 21, writes="x"), end=None),
    *whole("new", 100, call("new", "join", 101, reads="c", writes="d"), end=RunState.SUCCEEDED),
]
BEFORE = time(50)


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A closed journal with the runs above."""
    journal = SqliteJournal(tmp_path / "j.db")
    await journal.open()
    for event in EVENTS:
        journal.put(event)
    await journal.close()
    return tmp_path / "j.db"


def counts(path: Path, run: str) -> dict[str, int]:
    connection = sqlite3.connect(path)
    found = {
        table: connection.execute(f"SELECT count(*) FROM {table} WHERE run = ?", (run,)).fetchone()
        for table in TABLES
    }
    connection.close()
    return {table: count for table, (count,) in found.items()}


async def store_of(keys: Collection[str], *there: str) -> set[str]:
    return {key for key in keys if key in there}


async def test_old_runs_are_forgotten_whole_when_told_so(path: Path) -> None:
    new, open_ = counts(path, "new"), counts(path, "open")
    plan = await plan_pruning(path, BEFORE, lineage=False)
    assert (set(plan.runs), plan.trimmed, plan.unfinished) == ({"old", "plain"}, set(), 1)
    assert await prune(plan) == 10 + 4
    for run in ("old", "plain"):
        assert counts(path, run) == dict.fromkeys(TABLES, 0)
    assert (counts(path, "new"), counts(path, "open")) == (new, open_)


async def test_a_plan_alone_changes_nothing(path: Path) -> None:
    before = [counts(path, run) for run in ("old", "plain", "open", "new")]
    await plan_pruning(path, BEFORE)
    assert [counts(path, run) for run in ("old", "plain", "open", "new")] == before


async def test_by_itself_the_last_writer_of_every_object_stays(path: Path) -> None:
    plan = await plan_pruning(path, BEFORE)
    # a, b and c were last written here; d by a newer run
    assert (plan.objects, plan.kept) == (3, {"old-split", "old-encode"})
    assert await prune(plan) == 6 + 4
    journal = SqliteJournal(path)
    await journal.open()
    [written] = await journal.writers("b/c", other_than="")
    assert (written.intended.attempt, written.ended.attempt) == ("old-encode", "old-encode")
    assert [w.ended.of for w in await journal.writers("b/d", other_than="")] == ["new"]
    kinds = [event.kind for event in await journal.read("old")]
    assert kinds == ["intended", "ended"] * 2
    async with History.open(journal) as history:
        assert [each.run for each in await history.runs()] == ["new", "open", "old"]
        assert [each.call for each in await history.who_read("b/a")] == ["encode"]
        assert len(await history.activations("a")) == 4
    await journal.close()


async def test_with_a_store_only_what_is_there_keeps_its_lineage_and_what_it_was_made_of(
    path: Path,
) -> None:
    plan = await plan_pruning(path, BEFORE, exists=lambda keys: store_of(keys, "b/c", "b/d"))
    assert (plan.objects, plan.kept) == (1, {"old-encode", "old-split"})
    gone = await plan_pruning(path, BEFORE, exists=lambda keys: store_of(keys, "b/b", "b/d"))
    assert gone.kept == {"old-split"}
    nothing = await plan_pruning(path, BEFORE, exists=lambda keys: store_of(keys, "b/d"))
    assert (nothing.kept, nothing.trimmed) == (set(), set())


async def test_pruning_again_finds_what_has_become_of_no_use(path: Path) -> None:
    await prune(await plan_pruning(path, BEFORE))
    again = await plan_pruning(path, BEFORE)
    assert (again.runs, again.kept) == (("old",), {"old-split", "old-encode"})
    assert await prune(again) == 0
    await prune(await plan_pruning(path, BEFORE, exists=lambda keys: store_of(keys)))
    assert counts(path, "old") == dict.fromkeys(TABLES, 0)


async def test_a_run_that_was_taken_up_meanwhile_is_left_alone(path: Path) -> None:
    plan = await plan_pruning(path, BEFORE, lineage=False)
    journal = SqliteJournal(path)
    await journal.open()
    await journal.take("plain", after=4)
    await prune(plan)
    assert [e.kind for e in await journal.read("plain")][-1] == Taken.kind
    assert list(await journal.read("old")) == []
    await journal.close()


async def test_what_is_left_of_a_run_cannot_be_taken_for_a_run(path: Path) -> None:
    await prune(await plan_pruning(path, BEFORE))
    async with History.open(f"sqlite://{path}") as history:
        with pytest.raises(JournalError, match="first is no run_started"):
            replay(await history.events("old"))


async def test_the_writer_in_an_earlier_run_counts_as_the_one_it_is(path: Path) -> None:
    """A call of `old` that a later, also old, run had to run again."""
    journal = SqliteJournal(path)
    await journal.open()
    who: dict[str, Any] = {"run": "later", "of": "old", "call": "split", "attempt": "later-split"}
    who |= {"action": "a", "cause": Cause.RECOVERY}
    for event in whole(
        "later",
        30,
        [
            Intended(**who, params={}, at=T + 31),
            Ended(**who, writes=(IORecord("b/a", 1, "0" * 32),), reported=True, at=T + 32),
        ],
        end=RunState.SUCCEEDED,
    ):
        journal.put(event)
    await journal.close()
    plan = await plan_pruning(path, BEFORE, exists=lambda keys: store_of(keys, "b/a"))
    assert plan.kept == {"old-split", "later-split"}
    assert plan.trimmed == {"old", "later"}


async def test_where_there_is_no_journal_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no journal"):
        await plan_pruning(tmp_path / "none.db", BEFORE)
    assert list(tmp_path.iterdir()) == []
