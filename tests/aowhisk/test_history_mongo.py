"""What only the history in MongoDB does; the answers themselves are in test_history.py."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from mongo_server import Line
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient, MongoClient
from test_history import EVENTS, FAILED, attempt, rec, time

from aowhisk.errors import ConfigError, JournalError
from aowhisk.events import open_journal
from aowhisk.events.model import Event, RunEnded, RunInterrupted, RunStarted, RunState
from aowhisk.events.mongo import MongoJournal
from aowhisk.events.mongo_database import Database, Index
from aowhisk.events.mongo_schema import INDEXES
from aowhisk.events.writer import Away
from aowhisk.history import CallState, History

T = 1_700_000_000.0
NEW = ("bytes_read", "duration_ms", "init_ms", "kept")
NEW_INDEXES = {"events": ("failures_by_time", "activations"), "runs": ("started",)}


@pytest.fixture
def database(mongo_url: str) -> Iterator[Any]:
    """The test's database, as a person would look at it."""
    with MongoClient[dict[str, Any]](mongo_url) as client:
        yield client.get_default_database()


async def fill(url: str, events: list[Event]) -> None:
    journal = open_journal(url)
    await journal.open()
    for event in events:
        journal.put(event)
    await journal.close()


def make_older(database: Any) -> None:
    """What version 1 would have left of these events."""
    database.events.update_many({}, {"$unset": dict.fromkeys(NEW, "")})
    for collection, names in NEW_INDEXES.items():
        for name in names:
            database[collection].drop_index(name)
    database.journal.update_one({"_id": "aowhisk"}, {"$set": {"version": 1}})


def measures(database: Any) -> dict[str, Any]:
    found = database.events.find({"kind": "ended"})
    return {each["_id"]: {name: each.get(name) for name in NEW} for each in found}


async def test_a_journal_of_version_1_is_brought_up_to_date_when_it_is_opened(
    mongo_url: str, database: Any
) -> None:
    await fill(mongo_url, EVENTS)
    filled = measures(database)
    assert sum(each["bytes_read"] is not None for each in filled.values()) == 6
    assert [each["kept"] for each in filled.values() if each["kept"]] == [["b/y"]]
    make_older(database)
    async with History.open(mongo_url) as history:
        assert len(await history.activations("act")) == 6
        assert len(await history.who_wrote("b/y")) == 1
    assert measures(database) == filled
    assert database.journal.find_one() == {"_id": "aowhisk", "version": 2}
    for collection, names in NEW_INDEXES.items():
        assert set(names) <= set(database[collection].index_information())


async def test_bringing_it_up_to_date_can_end_anywhere_and_is_done_again(
    mongo_url: str, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(mongo_url, EVENTS)
    filled = measures(database)
    make_older(database)
    monkeypatch.setattr("aowhisk.events.mongo_schema._PAGE", 2)
    update, left = Database.update, 2

    async def die(self: Database, *args: Any, **options: Any) -> None:
        nonlocal left
        if left == 0:
            raise JournalError("the process died")
        left -= 1
        await update(self, *args, **options)

    monkeypatch.setattr(Database, "update", die)
    with pytest.raises(JournalError, match="died"):
        await open_journal(mongo_url).open()
    assert database.journal.find_one()["version"] == 1
    assert measures(database) != filled
    monkeypatch.setattr(Database, "update", update)
    async with anyio.create_task_group() as group:  # by several at once
        for _ in range(3):
            group.start_soon(fill, mongo_url, [])
    assert measures(database) == filled
    assert database.journal.find_one()["version"] == 2


async def test_an_index_that_takes_longer_than_an_answer_may_is_waited_for(
    mongo_url: str, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, slow = Database.index, 3

    async def late(self: Database, *args: Any) -> None:
        nonlocal slow
        slow -= 1
        if slow >= 0:
            raise Away("timed out")
        await make(self, *args)

    async def gone(self: Database) -> None:
        raise Away("no server")

    monkeypatch.setattr(Database, "index", late)
    await fill(mongo_url, EVENTS)
    assert slow < 0
    assert "activations" in database.events.index_information()
    slow, ping = 1, Database.ping
    monkeypatch.setattr(Database, "ping", gone)
    with pytest.raises(ConfigError, match="cannot be reached"):
        await fill(mongo_url, [])
    monkeypatch.setattr(Database, "ping", ping)


async def test_where_there_is_no_journal_none_is_made(mongo_url: str, database: Any) -> None:
    with pytest.raises(ConfigError, match="there is no journal in mongodb://"):
        async with History.open(mongo_url):
            pass
    assert database.list_collection_names() == []
    database.journal.insert_one({"_id": "aowhisk", "version": 99})
    with pytest.raises(JournalError, match="newer aowhisk"):
        async with History.open(mongo_url):
            pass


async def test_asking_changes_nothing(
    mongo_url: str, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(mongo_url, EVENTS)
    for name in ("insert", "update", "delete", "index"):
        monkeypatch.delattr(Database, name)
    async with History.open(mongo_url) as history:
        assert len(await history.runs()) == 3
        assert len(await history.failures()) == 3


class Asked:
    """The queries that reach the database."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.queries: list[tuple[str, Any, list[tuple[str, int]], int]] = []
        find, aggregate = Database.find, Database.aggregate

        async def found(
            database: Database, collection: str, query: Any, *fields: Any, **options: Any
        ) -> Any:
            sort = list(options.get("sort", ()))
            self.queries.append((collection, query, sort, options.get("limit", 0)))
            return await find(database, collection, query, *fields, **options)

        async def made(database: Database, collection: str, pipeline: Any) -> Any:
            self.queries.append((collection, pipeline[0]["$match"], [], 0))
            return await aggregate(database, collection, pipeline)

        patch.setattr(Database, "find", found)
        patch.setattr(Database, "aggregate", made)


def serves(index: Index, query: Any, sort: list[tuple[str, int]], limit: int) -> bool:
    """Whether an index finds what a query asks for, and, where only the first are wanted, in the
    order in which they are."""
    if index.only is not None and index.only not in query:
        return False
    keys = [(key.removeprefix("-"), -1 if key[0] == "-" else 1) for key in index.keys]
    same = [key for key, value in query.items() if not isinstance(value, dict) or "$in" in value]
    fixed = next((n for n, (key, _) in enumerate(keys) if key not in same), len(keys))
    rest = keys[fixed:]
    turned = [(key, -way) for key, way in rest]
    is_sorted = sort in (rest[: len(sort)], turned[: len(sort)])
    return (fixed > 0 or rest[0][0] in query) and (is_sorted or not limit)


async def test_every_question_goes_over_an_index(
    mongo_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(mongo_url, EVENTS)
    async with History.open(mongo_url) as history:
        asked = Asked(monkeypatch)
        for name in (None, "n"):
            for state in (None, RunState.FAILED):
                for since in (None, time(1)):
                    await history.runs(name=name, state=state, since=since)
        assert len(asked.queries) <= 2 * 8  # those that are open cost one more
        asked.queries.clear()
        await history.calls("r1")
        await history.events("r1")
        await history.who_wrote("b/x")
        await history.who_read("b/x")
        assert len(asked.queries) == 4
        await history.failures(since=time(1), until=time(100))
        await history.activations("act", near=40)
        assert len(asked.queries) == 4 + (1 + 3) + 2
        for state in (None, RunState.FAILED, RunState.RUNNING):
            await history.runs(state=state)
    for collection, *asked_for in asked.queries:
        assert any(serves(index, *asked_for) for index in INDEXES[collection]), asked_for


@pytest.mark.parametrize("library", [AsyncIOMotorClient, AsyncMongoClient])
async def test_over_a_client_of_either_library_the_answers_are_the_same(
    mongo_url: str, library: Any
) -> None:
    await fill(mongo_url, EVENTS)
    client = library(mongo_url)
    name = mongo_url.rpartition("/")[2].partition("?")[0]
    async with History.open(MongoJournal(client, database=name)) as history:
        assert [each.run for each in await history.runs(state=RunState.FAILED)] == ["r2"]
        assert [each.error_class for each in await history.failures()] == [
            "ActionError",
            "MissingObject",
            "RecoveryFailed",
        ]
        assert len(await history.activations("act", near=40)) == 6
    closing = client.close()
    if closing is not None:
        await closing


async def test_runs_are_listed_as_their_events_say_where_the_list_is_behind(
    mongo_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(*_: object) -> None:
        raise JournalError("the process died")

    journal = MongoJournal(mongo_url)
    await journal.open()
    for n in range(8):
        journal.put(RunStarted(run=f"r{n}", name="n", at=T + n))
    await journal.commit()
    monkeypatch.setattr(journal._runs, "settle", die)
    for n in range(6):
        end: dict[str, Any] = {"run": f"r{n}", "at": T + 10 + n}
        interrupted = RunInterrupted(**end)
        journal.put(interrupted if n % 2 else RunEnded(**end, state=RunState.FAILED))
    with pytest.raises(JournalError):
        await journal.commit()
    await journal.close()
    lost = MongoJournal(mongo_url)
    await lost.open()
    monkeypatch.setattr(lost, "_insert", die)
    lost.put(RunStarted(run="never", name="n", at=T + 100))
    with pytest.raises(JournalError):
        await lost.commit()
    await lost.close()

    async with History.open(mongo_url) as history:

        async def ids(state: RunState | None, limit: int = 100) -> list[str]:
            return [each.run for each in await history.runs(state=state, limit=limit)]

        assert await ids(RunState.FAILED) == ["r4", "r2", "r0"]
        assert await ids(RunState.FAILED, 1) == ["r4"]
        assert await ids(RunState.INTERRUPTED, 2) == ["r5", "r3"]
        assert await ids(RunState.RUNNING) == ["r7", "r6"]
        assert await ids(None, 3) == ["r7", "r6", "r5"]
        [failed] = await history.runs(state=RunState.FAILED, limit=1)
        assert failed.ended == time(14)


async def test_what_is_too_large_for_a_document_has_its_place_in_every_answer(
    mongo_url: str,
) -> None:
    long, key = "no " * 2000 + "\ud800", "b/" + "k" * 900
    many = tuple(rec(f"b/{n:0900}", n) for n in range(4000))
    await fill(
        mongo_url,
        [
            RunStarted(run="r", name="n", at=T),
            *attempt("r", "big", 1, result={"x": os.urandom(6_000_000).hex()}, reads=many),
            *attempt("r", "bad", 2, error=long, error_class="ActionError"),
            *attempt("r", "huge", 3, writes=(*many, rec(key, 1 << 70)), reported=True),
        ],
    )
    async with History.open(mongo_url) as history:
        calls = {each.call: each for each in await history.calls("r")}
        assert calls["big"].state is CallState.SUCCEEDED
        assert calls["bad"].error == long
        assert [each.size for each in await history.who_wrote(key)] == [1 << 70]
        assert [each.size for each in await history.who_read(f"b/{7:0900}")] == [7]
        [failed] = await history.failures()
        assert failed.examples[0].error == long
        first = (await history.activations("act", near=10**9))[0]
        assert first.bytes_read == sum(range(4000))


async def test_names_and_keys_that_are_no_unicode_are_found_all_the_same(mongo_url: str) -> None:
    await fill(
        mongo_url,
        [
            RunStarted(run="long", name="n" * 5000, at=T - 1),
            RunStarted(run="r", name="\ud800", at=T),
            *attempt("r", "c", 1, writes=(rec("b/\ud800"),), reported=True),
        ],
    )
    async with History.open(mongo_url) as history:
        assert [each.run for each in await history.runs(name="\ud800")] == ["r"]
        assert [each.run for each in await history.runs(name="n" * 5000)] == ["long"]
        assert [each.key for each in await history.who_wrote("b/\ud800")] == ["b/\ud800"]


async def test_a_history_of_which_the_server_goes_away_says_so(mongo_url: str) -> None:
    if os.environ.get("MONGO_URI"):
        pytest.skip("a server of MONGO_URI may name hosts of its own")
    await fill(mongo_url, [RunStarted(run="r", name="n", at=T), *attempt("r", "c", 1, **FAILED)])
    line = Line(int(mongo_url.split(":")[2].partition("/")[0]))
    await line.connect()
    url = f"mongodb://127.0.0.1:{line.port}/{mongo_url.rpartition('/')[2]}"
    async with History.open(f"{url}?serverSelectionTimeoutMS=200") as history:
        assert len(await history.failures()) == 1
        await line.cut()
        with anyio.fail_after(5):
            for ask in (history.failures, history.runs):
                with pytest.raises(JournalError, match="cannot be read"):
                    await ask()
