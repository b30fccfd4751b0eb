"""Old runs are forgotten; who wrote the objects that are there is not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import whole_actions

from aowhisk import Dag, Orchestrator
from aowhisk.errors import ConfigError, Fenced, JournalError
from aowhisk.events import Journal, open_journal
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
from aowhisk.history import History
from aowhisk.models import Activation
from aowhisk.replay import replay
from aowhisk.retention import plan_pruning, prune, sqlite
from object_store.wire import IORecord

T = 1_700_000_000.0


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


@pytest.fixture(params=["sqlite", "mongo", "nx"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A closed journal of each kind with the runs above."""
    is_file = request.param == "sqlite"
    url = (
        f"sqlite://{tmp_path}/j.db" if is_file else request.getfixturevalue(f"{request.param}_url")
    )
    async with opened(url) as journal:
        for event in EVENTS:
            journal.put(event)
    return url


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Journal]:
    journal = open_journal(url)
    await journal.open()
    try:
        yield journal
    finally:
        await journal.close()


async def traces(url: str, run: str) -> dict[str, int]:
    """How much of a run there is, whatever is asked."""
    async with History.open(url) as history:
        uses = [
            use
            for key in "abcdx"
            for use in (*await history.who_wrote(f"b/{key}"), *await history.who_read(f"b/{key}"))
        ]
        return {
            "events": len(await history.events(run)),
            "runs": sum(each.run == run for each in await history.runs()),
            "uses": sum(use.recorded == run for use in uses),
            "samples": sum(each.run == run for each in await history.activations("a")),
        }


NOTHING = {"events": 0, "runs": 0, "uses": 0, "samples": 0}


async def store_of(keys: Collection[str], *there: str) -> set[str]:
    return {key for key in keys if key in there}


async def test_old_runs_are_forgotten_whole_when_told_so(url: str) -> None:
    new, open_ = await traces(url, "new"), await traces(url, "open")
    assert new == {"events": 4, "runs": 1, "uses": 2, "samples": 1}
    plan = await plan_pruning(url, BEFORE, lineage=False)
    assert (set(plan.runs), plan.trimmed, plan.unfinished) == ({"old", "plain"}, set(), 1)
    assert await prune(plan) == 10 + 4
    for run in ("old", "plain"):
        assert await traces(url, run) == NOTHING
    assert (await traces(url, "new"), await traces(url, "open")) == (new, open_)


async def test_a_plan_alone_changes_nothing(url: str) -> None:
    before = [await traces(url, run) for run in ("old", "plain", "open", "new")]
    await plan_pruning(url, BEFORE)
    assert [await traces(url, run) for run in ("old", "plain", "open", "new")] == before


async def test_by_itself_the_last_writer_of_every_object_stays(url: str) -> None:
    plan = await plan_pruning(url, BEFORE)
    # a, b and c were last written here; d by a newer run
    assert (plan.objects, plan.kept) == (3, {"old-split", "old-encode"})
    assert await prune(plan) == 6 + 4
    journal = open_journal(url)
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
    url: str,
) -> None:
    plan = await plan_pruning(url, BEFORE, exists=lambda keys: store_of(keys, "b/c", "b/d"))
    assert (plan.objects, plan.kept) == (1, {"old-encode", "old-split"})
    gone = await plan_pruning(url, BEFORE, exists=lambda keys: store_of(keys, "b/b", "b/d"))
    assert gone.kept == {"old-split"}
    nothing = await plan_pruning(url, BEFORE, exists=lambda keys: store_of(keys, "b/d"))
    assert (nothing.kept, nothing.trimmed) == (set(), set())


async def test_pruning_again_finds_what_has_become_of_no_use(url: str) -> None:
    await prune(await plan_pruning(url, BEFORE))
    again = await plan_pruning(url, BEFORE)
    assert (again.runs, again.kept) == (("old",), {"old-split", "old-encode"})
    assert await prune(again) == 0
    await prune(await plan_pruning(url, BEFORE, exists=lambda keys: store_of(keys)))
    assert await traces(url, "old") == NOTHING


async def test_a_run_that_was_taken_up_meanwhile_is_left_alone(url: str) -> None:
    plan = await plan_pruning(url, BEFORE, lineage=False)
    journal = open_journal(url)
    await journal.open()
    await journal.take("plain", after=4)
    await prune(plan)
    assert [e.kind for e in await journal.read("plain")][-1] == Taken.kind
    assert list(await journal.read("old")) == []
    await journal.close()


async def test_what_is_left_of_a_run_cannot_be_taken_for_a_run(url: str) -> None:
    await prune(await plan_pruning(url, BEFORE))
    async with History.open(url) as history:
        with pytest.raises(JournalError, match="first is no run_started"):
            replay(await history.events("old"))


async def test_the_id_of_what_is_left_of_a_run_is_not_given_to_another(
    url: str, tmp_path: Path
) -> None:
    await prune(await plan_pruning(url, BEFORE))
    dag = Dag("again")
    dag.call("a", {})
    async with Orchestrator.local(
        actions={"a": whole_actions.link}, root=tmp_path / "local", journal=url
    ) as orchestrator:
        for ask in (orchestrator.enqueue, orchestrator.run, orchestrator.submit):
            with pytest.raises(JournalError, match="cannot be used again"):
                await ask(dag, id="old")
        with pytest.raises(JournalError, match="cannot be used again"):
            await orchestrator.resume("old")
        assert await orchestrator.enqueue(dag, id="plain") == "plain"  # forgotten as a whole
    assert (await traces(url, "old"))["events"] == 4


async def test_the_writer_in_an_earlier_run_counts_as_the_one_it_is(url: str) -> None:
    """A call of `old` that a later, also old, run had to run again."""
    journal = open_journal(url)
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
    plan = await plan_pruning(url, BEFORE, exists=lambda keys: store_of(keys, "b/a"))
    assert plan.kept == {"old-split", "later-split"}
    assert plan.trimmed == {"old", "later"}


async def test_a_pruning_of_a_file_that_is_cut_short_has_forgotten_whole_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite://{tmp_path}/j.db"
    async with opened(url) as journal:
        for event in EVENTS:
            journal.put(event)
    before = {run: await traces(url, run) for run in ("old", "plain", "open", "new")}
    forget, left = sqlite._forget, 1

    def die(*args: Any) -> int:
        nonlocal left
        left -= 1
        count = forget(*args)
        if left < 0:
            raise KeyboardInterrupt
        return count

    monkeypatch.setattr(sqlite, "_forget", die)
    monkeypatch.setattr(sqlite, "_BATCH", 1)
    plan = await plan_pruning(url, BEFORE, lineage=False)
    with pytest.raises(KeyboardInterrupt):
        await prune(plan)
    assert await traces(url, plan.runs[0]) == NOTHING
    for run in {*before} - {plan.runs[0]}:
        assert await traces(url, run) == before[run]


async def test_a_run_that_was_forgotten_after_it_was_read_cannot_be_taken(url: str) -> None:
    async with opened(url) as journal:
        read = len(await journal.read("plain"))
        await prune(await plan_pruning(url, BEFORE, lineage=False))
        with pytest.raises(Fenced, match="was forgotten"):
            await journal.take("plain", after=read)
        assert list(await journal.read("plain")) == []
        journal.put(RunStarted(run="plain", name="n"))  # the id is free
        await journal.commit("plain")
        assert [event.kind for event in await journal.read("plain")] == ["run_started"]


async def test_where_there_is_no_journal_nothing_is_made(tmp_path: Path, mongo_url: str) -> None:
    for where in (tmp_path / "none.db", f"sqlite://{tmp_path}/none.db", mongo_url):
        with pytest.raises(ConfigError, match="there is no journal"):
            await plan_pruning(where, BEFORE)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigError, match="keeps nothing that could be pruned"):
        await plan_pruning("memory:", BEFORE)
