"""Forgetting old runs in MongoDB, where nothing is done as a whole: cut short anywhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import pytest
from pymongo import MongoClient
from test_retention import BEFORE, EVENTS, NOTHING, T, call, opened, traces, whole

from aowhisk.errors import Fenced, JournalError
from aowhisk.events import Journal
from aowhisk.events.model import Ended, RunEnded, RunStarted, RunState
from aowhisk.events.mongo import MongoJournal
from aowhisk.events.mongo_database import Database
from aowhisk.history import History
from aowhisk.replay import replay
from aowhisk.retention import plan_pruning, prune

OLD = ("old", "plain", "big", "gone")
YOUNG = ("open", "new")


@pytest.fixture(autouse=True)
def small_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is large for a document, and for a chunk, is less here."""
    monkeypatch.setattr("aowhisk.events.mongo._LARGE", 2_000)
    monkeypatch.setattr("aowhisk.events.mongo._CHUNK", 1_000)


@pytest.fixture
def database(mongo_url: str) -> Iterator[Any]:
    """The test's database, as a person would look at it."""
    with MongoClient[dict[str, Any]](mongo_url) as client:
        yield client.get_default_database()


async def fill(url: str) -> None:
    async with opened(url) as journal:
        for event in EVENTS:
            journal.put(event)
        for event in (
            *whole("gone", 30, call("gone", "x", 31), end=RunState.CANCELLED),
            *whole("big", 40, call("big", "c", 41), end=RunState.FAILED),
        ):
            if isinstance(event, Ended) and event.run == "big":
                event = replace(event, result={"x": os.urandom(5_000).hex()})
            journal.put(event)
        await journal.beat(["plain", "new"])


class Dying:
    """A process that prunes and dies at its `left`-th change of the database."""

    def __init__(self, left: int, patch: pytest.MonkeyPatch) -> None:
        self.left = left
        for name in ("insert", "delete"):
            self._wrap(name, getattr(Database, name), patch)

    def _wrap(self, name: str, real: Any, patch: pytest.MonkeyPatch) -> None:
        async def change(database: Database, *args: Any, **options: Any) -> Any:
            if self.left == 0:
                raise JournalError("the process died")
            self.left -= 1
            return await real(database, *args, **options)

        patch.setattr(Database, name, change)


async def check(url: str, young: Mapping[str, Any]) -> None:
    """Each run is as it was, or cannot be taken for one; nothing else has changed."""
    async with History.open(url) as history:
        for run in OLD:
            events = await history.events(run)
            if events and isinstance(events[0], RunStarted):
                state = replay(events).state
                assert state in (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)
            elif events:
                with pytest.raises(JournalError, match="first is no run_started"):
                    replay(events)
    for run in YOUNG:
        assert await traces(url, run) == young[run]


@pytest.mark.parametrize("lineage", [True, False])
async def test_wherever_it_is_cut_short_no_run_is_half_there_and_the_next_pruning_goes_on(
    mongo_url: str, database: Any, lineage: bool
) -> None:
    died_at = 0
    while True:
        database.client.drop_database(database.name)
        await fill(mongo_url)
        assert database.chunks.count_documents({}) > 0
        young = {run: await traces(mongo_url, run) for run in YOUNG}
        plan = await plan_pruning(mongo_url, BEFORE, lineage=lineage)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("aowhisk.retention.mongo._AT_ONCE", 3)
            dying = Dying(died_at, patch)
            try:
                await prune(plan)
            except JournalError:
                await check(mongo_url, young)
        await prune(await plan_pruning(mongo_url, BEFORE, lineage=lineage))
        await check(mongo_url, young)
        for run in OLD if not lineage else ("plain", "big", "gone"):
            assert await traces(mongo_url, run) == NOTHING
        if lineage:
            assert (await traces(mongo_url, "old"))["events"] == 4
        assert database.chunks.count_documents({}) == 0
        assert [each["_id"] for each in database.leases.find()] == ["new"]
        assert database.runs.count_documents({}) == 2 + lineage
        if dying.left > 0:
            break
        died_at += 1
    assert died_at > 8


async def test_a_process_that_is_killed_in_the_middle_leaves_what_the_next_one_finishes(
    mongo_url: str, database: Any
) -> None:
    async with opened(mongo_url) as journal:
        for n in range(400):
            for event in whole(f"r{n}", n / 100, call(f"r{n}", "c", n / 100), end=RunState.FAILED):
                journal.put(event)
    command = [sys.executable, "-m", "aowhisk", "journal", "prune", "--journal", mongo_url]
    command += ["--older-than", "1d", "--yes", "--no-keep-lineage"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    with anyio.fail_after(30):
        while database.runs.count_documents({}) == 400:
            await anyio.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    async with History.open(mongo_url) as history:
        for n in range(400):
            events = await history.events(f"r{n}")
            if events and isinstance(events[0], RunStarted):
                assert len(events) >= 4
                replay(events)
    assert await prune(await plan_pruning(mongo_url, BEFORE, lineage=False)) > 0
    assert database.events.count_documents({}) == database.runs.count_documents({}) == 0


@asynccontextmanager
async def taken_between(
    url: str, taker: Journal, patch: pytest.MonkeyPatch
) -> AsyncIterator[list[str]]:
    """While pruning is about to fence what it found, another process takes a failed run."""
    said: list[str] = []
    insert = Database.insert

    async def late(database: Database, collection: str, documents: Any, **options: Any) -> Any:
        if not said and collection == "events" and database is not taker.database:  # type: ignore[attr-defined]
            said.append("looked")
            await taker.take("plain", after=4)
            said.append("taken")
        return await insert(database, collection, documents, **options)

    patch.setattr(Database, "insert", late)
    yield said


async def test_who_takes_a_failed_run_while_it_is_about_to_be_forgotten_keeps_it(
    mongo_url: str, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(mongo_url)
    plan = await plan_pruning(mongo_url, BEFORE, lineage=False)
    async with (
        opened(mongo_url) as taker,
        taken_between(mongo_url, taker, monkeypatch) as said,
    ):
        await prune(plan)
        assert said == ["looked", "taken"]
        kinds = [event.kind for event in await taker.read("plain")]
        assert kinds == ["run_started", "intended", "ended", "run_ended", "taken"]
        taker.put(RunEnded(run="plain", state=RunState.SUCCEEDED))
        await taker.commit("plain")
    assert {each["_id"] for each in database.runs.find()} == {"plain", *YOUNG}
    assert database.leases.count_documents({"_id": "plain"}) == 1


async def test_who_would_take_it_once_it_is_fenced_is_too_late(
    mongo_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(mongo_url)
    plan = await plan_pruning(mongo_url, BEFORE, lineage=False)
    delete, tried = Database.delete, 0
    async with opened(mongo_url) as taker:

        async def late(database: Database, *args: Any) -> None:
            nonlocal tried
            if database is not taker.database:  # type: ignore[attr-defined]
                with pytest.raises(Fenced):
                    await taker.take("plain", after=4)
                tried += 1
            await delete(database, *args)

        monkeypatch.setattr(Database, "delete", late)
        await prune(plan)
        with pytest.raises(Fenced):
            await taker.take("plain", after=4)
        assert list(await taker.read("plain")) == []
    assert tried > 4


async def test_runs_of_which_the_list_does_not_say_that_they_ended_are_forgotten_as_well(
    mongo_url: str, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(*_: object) -> None:
        raise JournalError("the process died")

    journal = MongoJournal(mongo_url)
    await journal.open()
    journal.put(RunStarted(run="r", name="n", at=T))
    await journal.commit()
    monkeypatch.setattr(journal._runs, "settle", die)
    journal.put(RunEnded(run="r", state=RunState.SUCCEEDED, at=T + 5))
    with pytest.raises(JournalError):
        await journal.commit()
    await journal.close()
    assert database.runs.find_one()["state"] == "running"
    assert await prune(await plan_pruning(mongo_url, BEFORE)) == 2
    assert database.events.count_documents({}) == database.runs.count_documents({}) == 0


async def test_a_pruning_whose_server_is_away_says_so(
    mongo_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aowhisk.events.writer import Away

    async def away(*_: object, **__: object) -> None:
        raise Away("no line")

    await fill(mongo_url)
    plan = await plan_pruning(mongo_url, BEFORE)
    monkeypatch.setattr(Database, "delete", away)
    with pytest.raises(JournalError, match="cannot be pruned: no line"):
        await prune(plan)
