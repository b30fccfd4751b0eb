"""Large results: not held in memory, and there whenever they are asked for."""

from __future__ import annotations

import gc
import json
import shutil
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from client_server import AUTH, Answer, Request, activated, record, refused, serve

from aowhisk import Client, Dag, Orchestrator, RunFailed, item
from aowhisk.errors import JournalError
from aowhisk.events import open_journal
from aowhisk.events.model import Ended, RunStarted, ShelvedEnd
from aowhisk.events.shelf import LARGE, FileShelf
from aowhisk.events.sink import Journal
from aowhisk.events.sqlite import SqliteJournal
from aowhisk.models import Activation, Succeeded

LARGE_TEXT = "x" * 100_000
AWKWARD = {"text": "y" * LARGE, "odd": "\ud800 \u2028 \U0001f600", "n": [10**25, 0.1, None]}


def ended(n: int, result: Any) -> Ended:
    return Ended(
        run="r",
        of="r",
        call=f"c.{n}",
        attempt=f"{n:024x}",
        action="a",
        result=result,
        activation=Activation("i" * 32, "a", result=result),
    )


@contextmanager
def traced() -> Iterator[list[int]]:
    """Bytes held after the block, beyond those before it."""
    held: list[int] = []
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        yield held
        gc.collect()
        held.append(tracemalloc.get_traced_memory()[0] - before)
    finally:
        tracemalloc.stop()


@pytest.fixture(params=["sqlite", "mongo"])
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Journal]:
    """Each that keeps results elsewhere."""
    url = f"sqlite://{tmp_path}/j.db"
    if request.param == "mongo":
        url = request.getfixturevalue("mongo_url")
    found = open_journal(url)
    await found.open()
    found.put(RunStarted(run="r", name="n"))
    await found.commit()
    yield found
    await found.close()


async def test_a_large_result_is_the_same_before_and_after_it_is_stored(journal: Journal) -> None:
    read = journal.put(ended(1, AWKWARD))
    assert read is not None
    assert read() == AWKWARD
    await journal.commit()
    assert read() == AWKWARD
    assert read() is not read()


async def test_a_small_result_is_held_as_ever(journal: Journal) -> None:
    assert journal.put(ended(1, {"n": 1})) is None


async def test_large_results_take_no_memory_once_they_are_stored(journal: Journal) -> None:
    kept = []
    with traced() as held:
        for n in range(50):
            kept.append(journal.put(ended(n, {"text": f"{n} {LARGE_TEXT}"})))
            await journal.commit()
    assert held[0] < 20 * len(LARGE_TEXT)
    assert [read()["text"][:3] for read in kept if read][7:9] == ["7 x", "8 x"]


async def test_a_large_result_can_be_read_when_the_journal_is_closed_and_gone(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "gone"
    journal = SqliteJournal(folder / "j.db")
    await journal.open()
    read = journal.put(ended(1, AWKWARD))
    await journal.close()
    shutil.rmtree(folder)
    assert read is not None
    assert read() == AWKWARD


async def test_the_events_of_a_run_are_read_without_their_large_results(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "j.db")
    await journal.open()
    journal.put(RunStarted(run="r", name="n"))
    for n in range(50):
        journal.put(ended(n, {"text": f"{n} {LARGE_TEXT}"}))
    await journal.commit()
    with traced() as held:
        events = await journal.read("r")
    assert held[0] < 10 * len(LARGE_TEXT)
    last = events[-1]
    assert isinstance(last, ShelvedEnd)
    assert last.result == {"text": f"49 {LARGE_TEXT}"}
    await journal.close()


async def test_a_result_that_was_pruned_is_said_to_be_gone(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "j.db")
    await journal.open()
    read = journal.put(ended(1, AWKWARD))
    await journal.commit()
    journal._file.connection.execute("DELETE FROM events")
    assert read is not None
    with pytest.raises(JournalError, match="has it been pruned"):
        read()
    await journal.close()


def test_where_a_result_cannot_be_laid_down_it_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "no space left on device")

    shelf = FileShelf()
    monkeypatch.setattr("os.pwrite", full)
    assert shelf.put("1") is None


async def large(request: Request) -> Answer:
    """Every action answers with what it was sent, and much more."""
    if request.method == "POST":
        n = json.loads(request.body).get("n")
        return activated(200, record({"n": n, "text": LARGE_TEXT}))
    if "/actions/" in request.path:
        return Answer(200, {"name": "a", "exec": {"kind": "python:3.11"}, "limits": {}})
    return refused(404, "The requested resource does not exist.")


def fan(count: int) -> Dag:
    dag = Dag("fan")
    many = dag.map("a", {"n": item}, over=list(range(count)), id="many")
    dag.call("a", {"n": many["n"]}, id="join")
    return dag


async def test_a_map_with_large_results_is_flat_and_its_join_gets_what_it_refers_to(
    tmp_path: Path,
) -> None:
    async with (
        serve(large) as server,
        Orchestrator(
            Client(server.url, AUTH), journal=f"sqlite://{tmp_path}/j.db", concurrency=4
        ) as orchestrator,
    ):
        await orchestrator.run(fan(4))
        server.requests.clear()
        with traced() as held:
            run = await orchestrator.run(fan(100), id="r")
            server.requests.clear()
        assert held[0] < 20 * len(LARGE_TEXT)
        join = run["join"]
        assert isinstance(join, Succeeded)
        assert join["n"] == list(range(100))
        again = await orchestrator.run(fan(100), id="r")
        assert again["many"]["n"] == list(range(100))
    assert run["many"].result[99] == {"n": 99, "text": LARGE_TEXT}  # type: ignore[union-attr]


async def test_a_run_that_goes_on_has_the_large_results_of_the_process_before(
    tmp_path: Path,
) -> None:
    is_broken = True

    async def world(request: Request) -> Answer:
        if is_broken and request.method == "POST" and b'"n":[' in request.body:
            return activated(502, record({"error": "no"}, status="application error"))
        return await large(request)

    url = f"sqlite://{tmp_path}/j.db"
    async with serve(world) as server:
        async with Orchestrator(Client(server.url, AUTH), journal=url, concurrency=4) as first:
            with pytest.raises(RunFailed):
                await first.run(fan(10), id="r")
        is_broken = False
        async with Orchestrator(Client(server.url, AUTH), journal=url, concurrency=4) as second:
            run = await second.resume("r")
            assert run["join"]["n"] == list(range(10))
            assert run["many"]["text"] == [LARGE_TEXT] * 10


async def test_a_reference_into_a_large_result_that_is_not_there_says_what_is(
    tmp_path: Path,
) -> None:
    dag = Dag("wrong")
    first = dag.call("a", {"n": 1}, id="first")
    dag.call("a", {"n": first["n"], "m": first["missing"]}, id="second")
    async with (
        serve(large) as server,
        Orchestrator(
            Client(server.url, AUTH), journal=f"sqlite://{tmp_path}/j.db", concurrency=4
        ) as orchestrator,
    ):
        with pytest.raises(RunFailed, match="it has 'n', 'text'"):
            await orchestrator.run(dag)
