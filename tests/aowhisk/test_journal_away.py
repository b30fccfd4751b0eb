"""The journal is away in the middle of a run: nothing new is invoked, and nothing is lost."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeAlias

import anyio
import pytest
from cluster import Cluster
from mongo_server import Line

from aowhisk import Client, Dag, Orchestrator, Patience, item
from aowhisk.events import Event, RunState, open_journal
from aowhisk.events.model import Ended, Intended, JournalAway, JournalBack, RunEnded, RunStarted
from aowhisk.local import GUEST

Cutter: TypeAlias = Callable[[], Awaitable[None]]


@pytest.fixture
async def line(mongo_url: str) -> AsyncIterator[Line]:
    """A line to the server that can be cut."""
    if os.environ.get("MONGO_URI"):
        pytest.skip("a server of MONGO_URI may name hosts of its own")
    found = Line(int(mongo_url.split(":")[2].partition("/")[0]))
    await found.connect()
    yield found
    await found.cut()


class Seen:
    """A sink that counts the ends of calls."""

    def __init__(self) -> None:
        self.ended = 0
        self.notices: list[str] = []

    def receive(self, event: Event) -> None:
        self.ended += isinstance(event, Ended)
        if isinstance(event, JournalAway | JournalBack):
            self.notices.append(event.kind)


def tallies(cluster: Cluster, count: int, seconds: float = 0) -> Dag:
    dag = Dag("away")
    params = {"ledger": str(cluster.ledger), "seconds": seconds, "n": item}
    dag.map("tally", params, over=list(range(count)), id="many")
    return dag


def orchestrator(cluster: Cluster, line: Line | None, url: str, seen: Seen) -> Orchestrator:
    through = url if line is None else f"mongodb://127.0.0.1:{line.port}/{url.rpartition('/')[2]}"
    return Orchestrator(
        Client(cluster.url, GUEST),
        journal=through,
        concurrency=8,
        sinks=[seen],
        patience=Patience(grace=0.5, lease=30),
    )


async def reach(seen: Seen, count: int) -> None:
    """Return once so many calls have ended."""
    with anyio.fail_after(60):
        while seen.ended < count:
            await anyio.sleep(0.01)


async def read(url: str, run: str) -> Sequence[Event]:
    journal = open_journal(url)
    await journal.open()
    try:
        return await journal.read(run)
    finally:
        await journal.close()


def check_complete(events: Sequence[Event], count: int) -> None:
    """Every call has its intent and, after it, its end, once; first and last are the run's."""
    assert isinstance(events[0], RunStarted)
    assert isinstance(events[-1], RunEnded)
    calls = {f"many.{n}" for n in range(count)}
    intents = [event.call for event in events if isinstance(event, Intended)]
    ends = [event.call for event in events if isinstance(event, Ended)]
    assert Counter(intents) == Counter(calls)
    assert Counter(ends) == Counter(calls)
    intended: set[str] = set()
    for event in events:
        if isinstance(event, Intended):
            intended.add(event.attempt)
        if isinstance(event, Ended):
            assert event.attempt in intended


async def test_a_run_waits_for_its_journal_and_goes_on(
    cluster: Cluster, line: Line, mongo_url: str
) -> None:
    count, seconds, seen = 2000, 10.0, Seen()
    async with orchestrator(cluster, line, mongo_url, seen) as opened:
        handle = await opened.submit(tallies(cluster, count), id="r")
        await reach(seen, count // 3)
        await line.cut()
        await anyio.sleep(seconds / 3)  # what was in flight ends
        before = len(cluster.sent())
        await anyio.sleep(2 * seconds / 3)
        assert len(cluster.sent()) == before < count, "something was invoked meanwhile"
        await line.connect()
        with anyio.fail_after(120):
            run = await handle
    assert run.state is RunState.SUCCEEDED
    assert len(cluster.sent()) == count
    check_complete(await read(mongo_url, "r"), count)
    assert seen.notices == ["journal_away", "journal_back"]


async def test_the_end_of_a_run_waits_for_its_journal_longer_than_the_last_words_may_take(
    cluster: Cluster, line: Line, mongo_url: str
) -> None:
    seen = Seen()
    dag = Dag("away")
    params = {"ledger": str(cluster.ledger), "seconds": 0.3, "n": item}
    dag.map("tally", params, over=[0], id="many")
    async with orchestrator(cluster, line, mongo_url, seen) as opened:
        handle = await opened.submit(dag, id="r")
        while not cluster.sent():
            await anyio.sleep(0.01)
        await line.cut()
        await reach(seen, 1)
        with anyio.move_on_after(2.0):
            await handle
            raise AssertionError("it ended without its journal")
        await line.connect()
        with anyio.fail_after(60):
            assert (await handle).state is RunState.SUCCEEDED
    check_complete(await read(mongo_url, "r"), 1)


async def leave_in_the_middle(cluster: Cluster, opened: Orchestrator, cut: Cutter) -> int:
    """Begin a run of 20 calls, cut off the journal while the first run, and end when those have
    ended; gives how many that were."""
    seen = Seen()
    async with opened:
        opened.recorder.add(seen)
        await opened.submit(tallies(cluster, 20, seconds=0.3), id="r")
        while len(cluster.sent()) < 8:
            await anyio.sleep(0.01)
        await cut()
        with anyio.fail_after(30):
            while seen.ended < len(cluster.sent()):
                await anyio.sleep(0.1)
    return seen.ended


async def check_nothing_ran_twice(cluster: Cluster, opened: Orchestrator, ended: int) -> None:
    async with opened:
        events = await opened.recorder.journal.read("r")
        assert sum(isinstance(event, Ended) for event in events) == ended < 20
        with anyio.fail_after(30):  # nobody looks for what was not sent
            run = await opened.resume("r")
        assert run.state is RunState.SUCCEEDED
        check_complete(await opened.recorder.journal.read("r"), 20)
    assert len(cluster.sent()) == 20


async def test_a_process_that_ends_while_mongodb_is_away_loses_nothing(
    cluster: Cluster, line: Line, mongo_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aowhisk.events.mongo._CLOSING", 0.5)
    one = orchestrator(cluster, line, mongo_url, Seen())
    ended = await leave_in_the_middle(cluster, one, line.cut)
    await line.connect()
    await check_nothing_ran_twice(cluster, orchestrator(cluster, line, mongo_url, Seen()), ended)


async def test_a_process_that_ends_while_its_file_is_locked_loses_nothing(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aowhisk.events.sqlite_file._BUSY", 0.05)
    monkeypatch.setattr("aowhisk.events.sqlite._CLOSING", 0.5)
    connections: list[sqlite3.Connection] = []

    async def lock() -> None:
        connection = sqlite3.connect(cluster.root / "journal.db", isolation_level=None, timeout=10)
        connection.execute("BEGIN IMMEDIATE")
        connections.append(connection)

    one = orchestrator(cluster, None, cluster.sqlite, Seen())
    ended = await leave_in_the_middle(cluster, one, lock)
    connections[0].close()
    two = orchestrator(cluster, None, cluster.sqlite, Seen())
    await check_nothing_ran_twice(cluster, two, ended)
