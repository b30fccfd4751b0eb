"""What only the journal in MongoDB does; the rest is in test_journal.py."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import TaskGroup
from mongo_server import INSTALL, Line, MongoServer
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient, MongoClient
from pymongo.errors import OperationFailure

from aowhisk.errors import ConfigError, Fenced, JournalError
from aowhisk.events import RunState, open_journal
from aowhisk.events.model import (
    Ended,
    Event,
    Expanded,
    Intended,
    RecoveryPlanned,
    RunEnded,
    RunInterrupted,
    RunStarted,
    Throttled,
)
from aowhisk.events.mongo import MongoJournal
from aowhisk.events.mongo_database import Database
from aowhisk.events.mongo_documents import event_of, whole
from aowhisk.events.mongo_schema import INDEXES
from aowhisk.events.writer import Away
from object_store.wire import IORecord

CALL = {"run": "r", "of": "r", "call": "c", "attempt": "t", "action": "a"}
INSERT_EVENTS = b"\x02insert\x00\x07\x00\x00\x00events\x00"


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[MongoJournal]:
    journal = MongoJournal(url)
    await journal.open()
    try:
        yield journal
    finally:
        await journal.close()


@pytest.fixture
async def journal(mongo_url: str) -> AsyncIterator[MongoJournal]:
    async with opened(mongo_url) as found:
        yield found


@pytest.fixture
def database(mongo_url: str) -> Iterator[Any]:
    """The test's database, as a person would look at it."""
    with MongoClient[dict[str, Any]](mongo_url) as client:
        yield client.get_default_database()


@pytest.fixture
async def line(mongo_url: str) -> AsyncIterator[Line]:
    """A line to the server that can be cut."""
    if os.environ.get("MONGO_URI"):
        pytest.skip("a server of MONGO_URI may name hosts of its own")
    found = Line(int(mongo_url.split(":")[2].partition("/")[0]))
    await found.connect()
    yield found
    await found.cut()


def through(line: Line, url: str) -> str:
    return f"mongodb://127.0.0.1:{line.port}/{url.rpartition('/')[2]}"


def numbered(*seconds: float, run: str = "r") -> list[Event]:
    return [Throttled(run=run, seconds=n, text="") for n in seconds]


async def seconds(journal: MongoJournal, run: str = "r") -> list[float]:
    return [e.seconds for e in await journal.read(run) if isinstance(e, Throttled)]


def put(journal: MongoJournal, *events: Event) -> None:
    for event in events:
        journal.put(event)


class Halting:
    """The journal's database, whose server dies once while it stores a batch of events: the first
    `stored` of them are there, and no answer comes."""

    def __init__(self, journal: MongoJournal, stored: int) -> None:
        self._insert = journal._database.insert
        self._stored: int | None = stored
        self.is_dead = anyio.Event()
        self.is_back = anyio.Event()

    async def insert(
        self, collection: str, documents: Sequence[Any], *, ordered: bool = True
    ) -> set[int]:
        if collection != "events" or self._stored is None:
            return await self._insert(collection, documents, ordered=ordered)
        stored, self._stored = self._stored, None
        await self._insert(collection, documents[:stored])
        self.is_dead.set()
        await self.is_back.wait()
        raise Away("the server died")


@pytest.mark.parametrize("stored", [0, 3, 6])
async def test_a_batch_of_which_a_part_was_stored_is_completed_and_not_doubled(
    mongo_url: str, stored: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(mongo_url) as journal:
        halting = Halting(journal, stored)
        monkeypatch.setattr(journal._database, "insert", halting.insert)
        halting.is_back.set()
        put(journal, *numbered(*range(6)))
        await journal.commit("r")
        assert await seconds(journal) == list(range(6))


async def test_who_is_overtaken_in_the_middle_of_a_batch_is_fenced_and_its_other_runs_go_on(
    mongo_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(mongo_url) as one, opened(mongo_url) as two:
        halting = Halting(one, 2)
        monkeypatch.setattr(one._database, "insert", halting.insert)
        put(one, RunStarted(run="r", name="n"), *numbered(1, 2, 3))
        put(one, RunStarted(run="s", name="n"), *numbered(4, run="s"))
        await halting.is_dead.wait()
        await two.take("r", after=2)
        put(two, *numbered(5))
        await two.commit("r")
        halting.is_back.set()
        with pytest.raises(Fenced):
            await one.commit("r")
        await one.commit("s")
        assert [e.kind for e in await two.read("r")] == [
            "run_started",
            "throttled",
            "taken",
            "throttled",
        ]
        assert await seconds(two) == [1, 5]
        assert await seconds(two, "s") == [4]


class Breaking:
    """The journal's database behind a line that breaks: a batch of events is stored not at all, in
    part, or as a whole, and no answer comes; it may even be stored while it is sent again."""

    def __init__(self, journal: MongoJournal, random: Random, group: TaskGroup) -> None:
        self._insert = journal._database.insert
        self._random = random
        self._group = group

    async def insert(
        self, collection: str, documents: Sequence[Any], *, ordered: bool = True
    ) -> set[int]:
        if collection != "events" or self._random.random() < 0.6:
            return await self._insert(collection, documents, ordered=ordered)
        part = documents[: self._random.randint(0, len(documents))]
        if self._random.random() < 0.3:
            self._group.start_soon(self._late, collection, part)
        else:
            await self._insert(collection, part)
        raise Away("the line broke")

    async def _late(self, collection: str, documents: Sequence[Any]) -> None:
        await anyio.sleep(self._random.random() / 100)
        await self._insert(collection, documents)


def check_log(found: Sequence[Mapping[str, Any]], owner: str) -> None:
    """No number is missing, no event is there twice, who owned the run when put it there, and what
    each has put is in its order."""
    assert [each["seq"] for each in found] == list(range(len(found)))
    for each in found:
        owner = each["body"]["owner"] if each["kind"] == "taken" else owner
        assert each["owner"] == owner
    values = [each["body"]["seconds"] for each in found if each["kind"] == "throttled"]
    assert len(set(values)) == len(values)
    for name in (1, 2, 3):
        mine = [value for value in values if value // 1000 == name]
        assert mine == sorted(mine)


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_breaks_a_log_has_no_holes_nothing_doubled_and_one_owner_at_a_time(
    mongo_url: str, database: Any, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aowhisk.events.writer._PAUSES", (0.001,))
    random = Random(seed)
    acknowledged: list[tuple[str, float]] = []

    async def own(journal: MongoJournal, run: str, name: int) -> None:
        for turn in range(3):
            read = len(await journal.read(run))
            if read == 0:
                continue
            try:
                await journal.take(run, after=read)
                for n in range(random.randint(1, 12)):
                    sent = [name * 1000 + turn * 100 + 2 * n + k for k in (0, 1)]
                    put(journal, *numbered(*sent, run=run))
                    await journal.commit(run)
                    acknowledged.extend((run, each) for each in sent)
            except Fenced:
                await anyio.sleep(random.random() / 100)

    async with AsyncExitStack() as stack:
        several = [await stack.enter_async_context(opened(mongo_url)) for _ in range(3)]
        async with anyio.create_task_group() as late:
            for each in several:
                breaking = Breaking(each, random, late)
                monkeypatch.setattr(each._database, "insert", breaking.insert)
            put(several[0], *(RunStarted(run=run, name="n") for run in "rs"))
            await several[0].commit()
            with anyio.fail_after(30):
                async with anyio.create_task_group() as group:
                    for name, each in enumerate(several):
                        for run in "rs":
                            group.start_soon(own, each, run, name + 1)
    for run in "rs":
        found = list(database.events.find({"run": run}).sort("seq"))
        check_log(found, several[0].owner)
        values = {each["body"].get("seconds") for each in found}
        assert {value for of, value in acknowledged if of == run} <= values
    assert len(acknowledged) > 10


async def test_an_answer_lost_after_the_batch_was_stored_doubles_nothing(
    mongo_url: str, line: Line
) -> None:
    async with opened(through(line, mongo_url)) as journal:
        for n in range(5):
            line.lose_answer_to = INSERT_EVENTS
            put(journal, *numbered(2 * n, 2 * n + 1))
            await journal.commit("r")
        assert line.lost == 5
        assert await seconds(journal) == list(range(10))


async def test_a_database_cut_off_in_the_middle_of_2000_events_costs_none_of_them(
    mongo_url: str, line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    done = 0

    async def one(worker: int, journal: MongoJournal) -> None:
        nonlocal done
        for n in range(100):
            put(journal, *numbered(n, run=f"r{worker}"))
            await journal.commit(f"r{worker}")
            done += 1

    async def cut() -> None:
        while done < 500:
            await anyio.sleep(0.005)
        await line.cut()
        before = done
        await anyio.sleep(3)
        assert done <= before + 20  # at most what was stored when the line was cut
        await line.connect()

    async with opened(through(line, mongo_url)) as journal:
        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                group.start_soon(cut)
                for worker in range(20):
                    group.start_soon(one, worker, journal)
        for worker in range(20):
            assert await seconds(journal, f"r{worker}") == list(range(100))
    assert caplog.text.count("nothing new is invoked") == 1
    assert caplog.text.count("waited for it") == 1


async def test_a_line_that_is_dead_without_a_word_is_given_up(
    mongo_url: str, line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    options = "?socketTimeoutMS=200&connectTimeoutMS=200&serverSelectionTimeoutMS=200"
    async with opened(through(line, mongo_url) + options) as journal:
        line.flows.clear()
        put(journal, *numbered(1, 2))
        with anyio.fail_after(10):
            while "is away" not in caplog.text:
                await anyio.sleep(0.01)
        line.flows.set()
        with anyio.fail_after(10):
            assert await seconds(journal) == [1, 2]


async def test_questions_and_beats_wait_while_the_database_is_away(
    mongo_url: str, line: Line
) -> None:
    async with opened(through(line, mongo_url)) as journal:
        put(journal, RunStarted(run="r", name="n"))
        await journal.commit()
        await line.cut()
        found: list[Any] = []

        async def ask() -> None:
            await journal.beat(["r"])
            found.append(await journal.lease("r"))
            found.append(await journal.runs([RunState.RUNNING]))

        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                group.start_soon(ask)
                await anyio.sleep(0.2)
                assert not found
                await line.connect()
        assert found[0].owner == journal.owner
        assert found[1][0].run == "r"


async def test_many_processes_say_at_once_that_they_are_at_work_on_a_run(mongo_url: str) -> None:
    async with AsyncExitStack() as stack:
        several = [await stack.enter_async_context(opened(mongo_url)) for _ in range(5)]
        async with anyio.create_task_group() as group:
            for each in several:
                group.start_soon(each.beat, [f"r{n}" for n in range(50)])
        lease = await several[0].lease("r7")
        assert lease is not None
        assert lease.beat == 5


async def test_where_the_server_has_no_partial_indexes_they_are_whole(
    mongo_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = Database._collection

    class Whole:  # as FerretDB 1.24 answers
        def __init__(self, there: Any) -> None:
            self._there = there

        def __getattr__(self, name: str) -> Any:
            return getattr(self._there, name)

        async def create_index(self, keys: Any, **options: Any) -> None:
            if "partialFilterExpression" in options:
                raise OperationFailure("not implemented yet", 238)
            await self._there.create_index(keys, **options)

    monkeypatch.setattr(Database, "_collection", lambda self, *args: Whole(of(self, *args)))
    async with opened(mongo_url) as journal:
        journal.put(RunStarted(run="r", name="n"))
        await journal.commit("r")
    with MongoClient[dict[str, Any]](mongo_url) as client:
        made = client.get_default_database()["events"].index_information()
    assert {index.name for index in INDEXES["events"]} <= set(made)


def test_no_document_has_arrays_in_arrays() -> None:
    steps = (("r/w", ("b/x", "b/y")),)
    event = RecoveryPlanned(run="r", of="r", call="c", lost=("b/x",), steps=steps)
    document = whole(event, 0, "me", ())

    def nested(value: object, inside: bool = False) -> bool:
        if isinstance(value, list | tuple):
            return inside or any(nested(each, True) for each in value)
        return isinstance(value, dict) and any(nested(each) for each in value.values())

    assert not nested(document)
    assert event_of(document) == event


async def test_nothing_acknowledged_is_lost_when_the_server_is_killed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if not MongoServer.is_installed("nx"):
        pytest.skip(f"nx-27017 is not installed; {INSTALL}")
    server = MongoServer("nx", tmp_path)
    server.start()
    acknowledged = 0

    async def write(journal: MongoJournal) -> None:
        nonlocal acknowledged
        for n in range(600):
            put(journal, *numbered(3 * n, 3 * n + 1, 3 * n + 2))
            await journal.commit("r")
            acknowledged = 3 * n + 3

    async def kill() -> None:
        for share in (300, 900):
            while acknowledged < share:
                await anyio.sleep(0.005)
            server.kill()
            before = acknowledged
            await anyio.to_thread.run_sync(server.start)
            with MongoClient[dict[str, Any]](server.url) as client:
                stored = client["aowhisk"]["events"].count_documents({"run": "r"})
            assert stored >= before

    try:
        async with opened(server.url) as journal:
            with anyio.fail_after(60):
                async with anyio.create_task_group() as group:
                    group.start_soon(write, journal)
                    group.start_soon(kill)
            assert await seconds(journal) == list(range(1800))
    finally:
        server.kill()
    assert "is back" in caplog.text


@pytest.mark.parametrize("library", [AsyncIOMotorClient, AsyncMongoClient])
async def test_a_client_of_either_library_is_accepted_and_left_open(
    mongo_url: str, library: Any
) -> None:
    client = library(mongo_url)
    name = mongo_url.rpartition("/")[2].partition("?")[0]
    journal = MongoJournal(client, database=name)
    await journal.open()
    put(journal, RunStarted(run="r", name="n"), *numbered(*range(5)))
    await journal.take("r", after=6)
    await journal.beat(["r"])
    assert len(await journal.read("r")) == 7
    assert [each.run for each in await journal.runs([RunState.RUNNING])] == ["r"]
    await journal.close()
    assert await client[name]["events"].find_one({"run": "r"}) is not None
    closing = client.close()
    if closing is not None:
        await closing


async def test_without_motor_the_client_is_pymongos(
    mongo_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "motor.motor_asyncio", None)
    async with opened(mongo_url) as journal:
        assert isinstance(journal._database._client, AsyncMongoClient)
        put(journal, *numbered(1))
        assert await seconds(journal) == [1]


def test_without_either_library_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name.startswith("aowhisk.events.mongo")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pymongo", None)
    with pytest.raises(ConfigError, match=r"pip install 'aowhisk\[mongo\]'"):
        open_journal("mongodb://localhost")


BIG = [os.urandom(6_000_000).hex() for _ in range(3)]  # 36 MB, of which half remains compressed


@pytest.mark.parametrize(
    "event",
    [
        Expanded(run="r", node="m", items=tuple(BIG)),
        Ended(**CALL, result={"x": BIG}, error="é" * 5_000_000, error_class="ActionError"),
        Ended(
            **CALL,
            reported=True,
            writes=tuple(IORecord(f"b/{n:0900}", n, "0" * 32) for n in range(20_000)),
        ),
        RunStarted(run="r", name="n" * 5_000_000, labels={"a": "b"}, dag={"x": BIG}),
    ],
    ids=["items", "result", "writes", "dag"],
)
async def test_an_event_larger_than_a_document_comes_back_as_it_was(
    journal: MongoJournal, event: Event, database: Any
) -> None:
    put(journal, event, *numbered(1))
    await journal.commit("r")
    assert next(iter(await journal.read("r"))) == event
    assert database.events.count_documents({"kind": event.kind}) == 1
    if isinstance(event, Ended) and event.error_class:
        assert database.events.count_documents({"body.error_class": "ActionError"}) == 1
    if isinstance(event, Ended) and event.writes:
        assert database.events.count_documents({"writes": f"b/{7:0900}"}) == 1
    if isinstance(event, RunStarted):
        [found] = await journal.runs([RunState.RUNNING])
        assert found.name == event.name[:1000]


ODD: Mapping[str, Any] = {
    "$set": {"a.b": 1, "": None},
    "$ref": "x",
    "$id": "y",
    "a.b": [1 << 80, -(1 << 70), 1e308, -0.0, 1.0],
    "nul\0key": "nul\0value",
    "\ud800": "lone \udfff surrogate",
    "_id": 1,
    "😀": "é",
}


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": [value]}
    return value


@pytest.mark.parametrize(
    "value", [ODD, deep(150), {"x": {"$ref": "a", "$id": "b"}}], ids=["odd", "deep", "reference"]
)
async def test_whatever_is_json_comes_back_as_it_was(journal: MongoJournal, value: Any) -> None:
    record = IORecord("b/\ud800.$x", 1 << 70, "0" * 32)
    events: list[Event] = [
        RunStarted(run="r", name="\ud800", labels={"$a.b": "\ud800", "": "x"}, dag=value),
        Expanded(run="r", node="m", items=(value, value)),
        Intended(**CALL, params=value, writes=("b/$x.y", "b/\ud800")),
        Ended(**CALL, result=value, reads=(record,), error="\ud800 \0", error_class="E"),
    ]
    put(journal, *events)
    await journal.commit("r")
    assert list(await journal.read("r")) == events
    assert str(list(await journal.read("r"))) == str(events)  # 1.0 stays a float
    assert len(await journal.writers("b/$x.y", other_than="")) == 1


async def test_people_can_ask_with_mongosh(journal: MongoJournal, database: Any) -> None:
    put(journal, RunStarted(run="r", name="n", labels={"team": "film"}, at=1.0))
    put(journal, Intended(**CALL, params={"n": 1}, at=2.0))
    wrote = (IORecord("b/x", 3, "0" * 32),)
    put(journal, Ended(**CALL, error="no", error_class="TimedOut", writes=wrote, at=3.0))
    put(journal, RunEnded(run="r", state=RunState.FAILED, at=4.0))
    await journal.commit("r")
    [run] = database.runs.find({"state": "failed"})
    assert (run["name"], run["started"], run["ended"]) == ("n", 1.0, 4.0)
    assert run["labels"] == [{"name": "team", "value": "film"}]
    [intended] = database.events.find({"run": "r", "kind": "intended"})
    assert intended["_id"] == "r#0000000001"
    assert intended["body"] == {"action": "a", "params": '{"n":1}'}
    [ended] = database.events.find({"body.error_class": "TimedOut", "at": {"$gt": 2}})
    assert (ended["call"], ended["writes"], ended["owner"]) == ("c", ["b/x"], journal.owner)
    assert database.events.count_documents({"writes": "b/x"}) == 1
    assert database.journal.find_one() == {"_id": "aowhisk", "version": 2}


async def test_a_run_whose_end_did_not_get_into_the_list_of_runs_is_listed_as_ended(
    mongo_url: str, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(mongo_url) as one:

        async def die(*_: object) -> None:
            raise JournalError("the process died")

        put(one, RunStarted(run="r", name="n", at=1.0), RunStarted(run="s", name="n", at=2.0))
        await one.commit()
        monkeypatch.setattr(one._runs, "settle", die)
        put(one, RunEnded(run="r", state=RunState.SUCCEEDED, at=5.0), RunInterrupted(run="s"))
        with pytest.raises(JournalError):
            await one.commit()
    assert database.runs.count_documents({"state": "running"}) == 2
    async with opened(mongo_url) as two:
        assert await two.runs([RunState.RUNNING]) == []
        [found] = await two.runs([RunState.SUCCEEDED])
        assert (found.run, found.started, found.ended) == ("r", 1.0, 5.0)
        assert [each.run for each in await two.runs([RunState.INTERRUPTED])] == ["s"]
    assert database.runs.count_documents({"state": "running"}) == 0


async def test_a_run_that_was_announced_and_never_started_or_taken_is_not_listed_as_if(
    mongo_url: str, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncExitStack() as stack:
        one, two, three, four = [
            await stack.enter_async_context(opened(mongo_url)) for _ in range(4)
        ]

        async def die(*_: object) -> None:
            raise JournalError("the process died")

        put(one, RunStarted(run="r", name="n"), RunInterrupted(run="r"))
        put(one, RunStarted(run="q", name="n", queued=True))
        await one.commit()
        for each in (one, two, three):
            monkeypatch.setattr(each, "_insert", die)
        put(one, RunStarted(run="never", name="n"))
        with pytest.raises(JournalError):
            await one.commit()
        for taker, run, after in ((two, "r", 2), (three, "q", 1)):
            with pytest.raises(JournalError):
                await taker.take(run, after=after)
        assert {each["state"] for each in database.runs.find()} == {"running"}
        assert await four.runs([RunState.RUNNING]) == []
        assert [each.run for each in await four.runs([RunState.QUEUED])] == ["q"]
        assert [each.run for each in await four.runs([RunState.INTERRUPTED])] == ["r"]
        await four.take("r", after=2)
        assert [each.run for each in await four.runs(list(RunState))] == ["r", "q"]


async def test_of_two_names_for_one_run_the_list_shows_that_of_the_event(
    mongo_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(mongo_url) as one, opened(mongo_url) as two:
        halting = Halting(one, 0)
        monkeypatch.setattr(one._database, "insert", halting.insert)
        put(one, RunStarted(run="r", name="loser"))
        await halting.is_dead.wait()
        put(two, RunStarted(run="r", name="winner"), RunEnded(run="r", state=RunState.FAILED))
        await two.commit("r")
        halting.is_back.set()
        with pytest.raises(Fenced):
            await one.commit("r")
        assert [i.name for i in await one.runs([RunState.FAILED])] == ["winner"]


async def test_a_journal_of_a_newer_version_is_refused_and_left_alone(
    mongo_url: str, database: Any
) -> None:
    database.journal.insert_one({"_id": "aowhisk", "version": 99})
    with pytest.raises(JournalError, match="newer aowhisk"):
        await MongoJournal(mongo_url).open()
    assert database.list_collection_names() == ["journal"]


async def test_a_database_of_something_else_is_refused_and_left_alone(
    mongo_url: str, database: Any
) -> None:
    database.events.insert_one({"mine": 1})
    with pytest.raises(ConfigError, match="something else"):
        await MongoJournal(mongo_url).open()
    assert database.list_collection_names() == ["events"]


async def test_a_journal_is_opened_again_with_all_it_has(mongo_url: str, database: Any) -> None:
    for n in range(3):
        async with opened(mongo_url) as journal:
            put(journal, *numbered(n, run=f"r{n}"))
    assert database.events.count_documents({}) == 3


async def test_a_server_that_is_not_there_is_a_config_error_without_the_password() -> None:
    line = Line(1)
    await line.connect()
    await line.cut()
    journal = MongoJournal(
        f"mongodb://me:s3cret@127.0.0.1:{line.port}/x?serverSelectionTimeoutMS=100"
    )
    assert "s3cret" not in repr(journal)
    with anyio.fail_after(2), pytest.raises(ConfigError, match="cannot be reached") as caught:
        await journal.open()
    assert "s3cret" not in str(caught.value)
    assert f"127.0.0.1:{line.port}/x" in str(caught.value)


async def test_credentials_that_the_server_refuses_are_a_config_error_without_them(
    mongo_url: str,
) -> None:
    if os.environ.get("MONGO_URI"):
        pytest.skip("a server of MONGO_URI may know the user")
    url = mongo_url.replace("://", "://me:s3cret@")
    with pytest.raises(ConfigError, match="cannot be used") as caught:
        await MongoJournal(url).open()
    assert "s3cret" not in f"{caught.value!r} {caught.value.__cause__!r}"


@pytest.mark.parametrize(
    "url",
    [
        "mongodb://",
        "mongodb://me:s3cr/et@host/x",
        "mongodb://me:s3c@ret@host/x",
        "mongodb://me:s3cr?et@host/x",
        "mongodb://me:s3cret@host:port/x",
        "mongodb://me:s3cret@host/x?readPreference=none",
        "mongodb://me:s3cret@host/x?tlsInsecure=maybe&tls=true",
        "mongodb://host/x?jounral=true",
        "mongodb://me:s3cret@host/x?tls=true&tlsCAFile=/no/such/file",
    ],
)
async def test_a_url_that_is_not_valid_is_a_config_error_without_a_trace_of_the_password(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    journal = open_journal(url)
    with pytest.raises(ConfigError) as caught:
        await journal.open()
    shown = f"{journal!r} {caught.value!r} {caught.value.__cause__!r} {caplog.text}"
    assert "s3c" not in shown
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("name", ["my films", "a.b", "x" * 64])
async def test_a_name_that_no_database_can_have_is_a_config_error(name: str) -> None:
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1"):
        await MongoJournal(
            "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=10", database=name
        ).open()


async def test_a_cluster_that_dns_does_not_know_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="check the URL") as caught:
        await open_journal("mongodb+srv://me:s3cret@cluster.invalid/x").open()
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("library", ["motor", "pymongo"])
async def test_opening_that_is_cancelled_leaves_no_client_open(
    mongo_url: str, line: Line, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    if library == "pymongo":
        monkeypatch.setitem(sys.modules, "motor.motor_asyncio", None)
    database = Database(through(line, mongo_url))
    reached = anyio.Event()

    async def forever(_: Database) -> None:
        reached.set()
        await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        group.start_soon(database.open, forever)
        await reached.wait()
        assert line._writers
        group.cancel_scope.cancel()
    assert not database.is_open
    with anyio.fail_after(5):
        while line._writers:
            await anyio.sleep(0.01)


async def test_who_waits_for_a_journal_that_is_closed_is_told_where_its_events_are(
    mongo_url: str, line: Line, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aowhisk.events.mongo._CLOSING", 0.2)
    journal = MongoJournal(through(line, mongo_url))
    await journal.open()
    await line.cut()
    put(journal, *numbered(1, 2, 3))

    async def wait() -> None:
        with pytest.raises(JournalError, match="3 events of run r wait in /"):
            await journal.commit()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.lowlevel.checkpoint()
            await journal.close()
    assert "3 events of run r wait in /" in caplog.text


async def test_a_journal_that_is_not_open_says_so(mongo_url: str) -> None:
    journal = MongoJournal(mongo_url)
    await journal.close()
    with pytest.raises(JournalError, match="not open"):
        await journal.read("r")


def test_the_database_is_the_urls_unless_another_is_named() -> None:
    shown = [
        repr(MongoJournal(url, database=name))
        for url, name in (
            ("mongodb://me:pw@a:1,b:2", None),
            ("mongodb://a/films?w=1", None),
            ("mongodb+srv://me:pw@a.example/films", "other"),
        )
    ]
    assert shown == [
        "MongoJournal('mongodb://a:1,b:2/aowhisk')",
        "MongoJournal('mongodb://a/films')",
        "MongoJournal('mongodb://a.example/other')",
    ]
