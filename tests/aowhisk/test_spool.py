"""What a journal could not take before its process ended: kept in a file, and taken in once."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mongo_server import Line
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient

from aowhisk.errors import Fenced, JournalError
from aowhisk.events import RunState, open_journal
from aowhisk.events.intake import outcomes, remainder
from aowhisk.events.model import (
    Accepted,
    Cause,
    Ended,
    Event,
    Intended,
    RunEnded,
    RunInterrupted,
    RunStarted,
    Taken,
    Throttled,
)
from aowhisk.events.mongo import MongoJournal
from aowhisk.events.spool import Damaged, Spool, Spooled
from aowhisk.events.sqlite import SqliteJournal

Kept = SqliteJournal | MongoJournal
STARTED = RunStarted(run="r", name="n", at=1.0)


def intended(call: str, attempt: str, **facts: object) -> Intended:
    who = {"run": "r", "of": "r", "call": call, "attempt": attempt, "action": "a"}
    return Intended(**who, params={}, **facts)  # type: ignore[arg-type]


def ended(call: str, attempt: str, **facts: object) -> Ended:
    who = {"run": "r", "of": "r", "call": call, "attempt": attempt, "action": "a"}
    return Ended(**who, result={"n": attempt}, **facts)  # type: ignore[arg-type]


class Place:
    """A journal's URL, and the means to keep everybody from it for a while."""

    def __init__(self, url: str, path: Path | None, line: Line | None) -> None:
        self.url = url
        self._path = path
        self._line = line
        self._lock: sqlite3.Connection | None = None

    async def cut(self) -> None:
        if self._line is not None:
            await self._line.cut()
        else:
            assert self._path is not None
            self._lock = sqlite3.connect(self._path, isolation_level=None)
            self._lock.execute("BEGIN IMMEDIATE")

    async def mend(self) -> None:
        if self._line is not None:
            await self._line.connect()
        elif self._lock is not None:
            self._lock.close()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Kept]:
        journal = open_journal(self.url)
        assert isinstance(journal, Kept)
        await journal.open()
        try:
            yield journal
        finally:
            await journal.close()

    async def events(self) -> list[Event]:
        """What a start finds, and what it finds once more."""
        async with self.opened() as journal:
            found = list(await journal.read("r"))
        async with self.opened() as journal:
            assert list(await journal.read("r")) == found
        return found

    async def leave(self, durable: Sequence[Event], late: Sequence[Event]) -> list[Path]:
        """A process puts all these events and ends; the late ones do not arrive. Gives its spool
        files."""
        async with self.opened() as journal:
            put(journal, durable)
            await journal.commit()
            await self.cut()
            put(journal, late)
        await self.mend()
        return journal.spool.files()


@pytest.fixture(params=["sqlite", "mongo"])
async def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Place]:
    monkeypatch.setattr("aowhisk.events.sqlite_file._BUSY", 0.05)
    monkeypatch.setattr("aowhisk.events.sqlite._CLOSING", 0.1)
    monkeypatch.setattr("aowhisk.events.mongo._CLOSING", 0.1)
    if request.param == "sqlite":
        path = tmp_path / "j.db"
        yield Place(f"sqlite://{path}", path, None)
        return
    if os.environ.get("MONGO_URI"):
        pytest.skip("a server of MONGO_URI may name hosts of its own")
    url: str = request.getfixturevalue("mongo_url")
    line = Line(int(url.split(":")[2].partition("/")[0]))
    await line.connect()
    yield Place(f"mongodb://127.0.0.1:{line.port}/{url.rpartition('/')[2]}", None, line)
    await line.cut()


def put(journal: Kept, events: Sequence[Event]) -> None:
    for event in events:
        journal.put(event)


async def test_what_could_not_be_written_is_taken_in_by_the_next_start_in_order_and_once(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    durable = [STARTED, intended("c", "t"), intended("d", "u")]
    late = [ended("c", "t"), ended("d", "u"), RunInterrupted(run="r")]
    [file] = await place.leave(durable, late)
    assert f"3 events of run r wait in {file}" in caplog.text
    assert await place.events() == durable + late
    assert not file.exists()
    async with place.opened() as journal:
        assert [i.state for i in await journal.runs([RunState.INTERRUPTED])] == [
            RunState.INTERRUPTED
        ]


async def test_a_spool_file_and_its_folder_are_for_their_owner_alone(place: Place) -> None:
    [file] = await place.leave([STARTED], [Throttled(run="r", seconds=1, text="")])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert not list(file.parent.glob("*.part"))


async def test_each_run_has_a_file_of_its_own(place: Place) -> None:
    others = [Throttled(run=run, seconds=n, text="") for n in range(3) for run in "rs"]
    files = await place.leave([STARTED, RunStarted(run="s", name="n")], others)
    assert len(files) == 2
    assert len(await place.events()) == 4


async def test_intents_that_were_not_durable_were_not_sent_and_are_left_out(place: Place) -> None:
    durable = [STARTED, intended("c", "t")]
    late: list[Event] = [intended("d", "u"), ended("c", "t"), intended("e", "v")]
    await place.leave(durable, late)
    assert await place.events() == [*durable, late[1]]


async def test_a_run_that_was_taken_over_gets_the_outcomes_of_open_attempts_alone(
    place: Place,
) -> None:
    durable = [STARTED, *(intended(call, call) for call in "cdef")]
    late = [*(ended(call, call) for call in "cde"), RunEnded(run="r", state=RunState.FAILED)]
    [file] = await place.leave(durable, late)
    aside = file.rename(file.with_suffix(".later"))
    async with place.opened() as other:
        await other.take("r", after=len(durable))
        going = [ended("d", "d", at=7.0), intended("e", "e2", cause=Cause.LOST)]
        put(other, [*going, RunInterrupted(run="r")])
        await other.commit("r")
    aside.rename(file)
    found = await place.events()
    assert found[5].kind == "taken"
    assert found[6:8] == going
    assert found[8].kind == "run_interrupted"
    assert found[9:] == [late[0]]
    assert not file.exists()


async def test_a_run_that_has_ended_under_another_owner_gets_nothing(place: Place) -> None:
    durable = [STARTED, intended("c", "t")]
    [file] = await place.leave(durable, [ended("c", "t")])
    aside = file.rename(file.with_suffix(".later"))
    async with place.opened() as other:
        await other.take("r", after=2)
        put(other, [RunEnded(run="r", state=RunState.CANCELLED)])
        await other.commit("r")
    aside.rename(file)
    assert len(await place.events()) == 4
    assert not file.exists()


async def test_while_another_process_is_at_work_on_the_run_the_file_stays(place: Place) -> None:
    [file] = await place.leave([STARTED, intended("c", "t")], [ended("c", "t")])
    aside = file.rename(file.with_suffix(".later"))
    async with place.opened() as other:
        await other.take("r", after=2)
        await other.beat(["r"])
        aside.rename(file)
        async with place.opened() as journal:
            assert len(await journal.read("r")) == 3
        assert file.exists()
        put(other, [Throttled(run="r", seconds=1, text="")])
        await other.commit("r")  # it was not stopped
        await other.release("r")
    assert [e.kind for e in await place.events()][3:] == ["throttled", "ended"]


async def test_of_the_files_of_two_owners_the_later_one_comes_first(place: Place) -> None:
    durable = [STARTED, intended("c", "t"), intended("d", "u")]
    late = [ended("c", "t"), RunInterrupted(run="r")]
    [file] = await place.leave(durable, late)
    aside = file.rename(file.with_suffix(".later"))
    async with place.opened() as other:
        await other.take("r", after=3)
        await place.cut()
        end = [ended("d", "u"), RunEnded(run="r", state=RunState.FAILED)]
        put(other, end)
    await place.mend()
    aside.rename(file)
    found = await place.events()
    assert found[3].kind == "taken"
    assert found[4:] == end


async def test_an_owner_that_lost_its_run_leaves_nothing(place: Place) -> None:
    async with place.opened() as one, place.opened() as two:
        put(one, [STARTED])
        await one.commit()
        await two.take("r", after=1)
        put(one, [Throttled(run="r", seconds=1, text="")])
        with pytest.raises(Fenced):
            await one.commit("r")
        put(one, [Throttled(run="r", seconds=2, text="")])
    assert one.spool.files() == []


async def test_a_take_over_that_did_not_arrive_leaves_nothing(place: Place) -> None:
    async with place.opened() as one:
        put(one, [STARTED])
        await one.commit()
    async with place.opened() as two:
        await place.cut()
        with anyio.move_on_after(0.2):
            await two.take("r", after=1)
    await place.mend()
    assert two.spool.files() == []


async def test_of_many_that_start_at_once_one_takes_it_in(place: Place) -> None:
    late = [Throttled(run="r", seconds=n, text="") for n in range(50)]
    await place.leave([STARTED], late)

    async def start() -> None:
        async with place.opened():
            pass

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(start)
    assert await place.events() == [STARTED, *late]


async def test_a_file_that_was_taken_in_and_not_removed_adds_nothing(
    place: Place, tmp_path: Path
) -> None:
    durable = [STARTED, intended("c", "t")]
    late: list[Event] = [intended("d", "u"), ended("c", "t"), RunInterrupted(run="r")]
    [file] = await place.leave(durable, late)
    shutil.copy(file, tmp_path / "copy")
    found = await place.events()
    shutil.copy(tmp_path / "copy", file)
    assert await place.events() == found == [*durable, *late[1:]]
    assert not file.exists()


CHILD = """
import sys, anyio
from aowhisk.events import open_journal

async def main():
    journal = open_journal(sys.argv[1])
    print("ready", flush=True)
    await journal.open()
    await journal.close()

anyio.run(main)
"""


async def test_who_is_killed_while_it_takes_a_file_in_doubles_nothing(place: Place) -> None:
    late = [Throttled(run="r", seconds=n, text="x" * 500) for n in range(5000)]
    async with place.opened() as journal:
        put(journal, [STARTED])
        await journal.commit()
        spool = journal.spool
    file = spool.keep(Spooled("r", journal.owner, 1, tuple(late)))
    kept = file.read_bytes()
    for seconds in (0.05, 0.15, 0.3):
        command = [sys.executable, "-c", CHILD, place.url]
        async with await anyio.open_process(command, stderr=None) as child:
            assert child.stdout is not None
            await child.stdout.receive()
            with anyio.move_on_after(seconds):
                await child.wait()
            with suppress(ProcessLookupError):
                child.kill()
    file.write_bytes(kept)  # if one of them was quick enough to remove it
    assert await place.events() == [STARTED, *late]


async def test_a_run_that_had_not_begun_waits_for_a_resume(place: Place) -> None:
    await place.leave([], [STARTED])
    assert [e.kind for e in await place.events()] == ["run_started", "run_interrupted"]
    async with place.opened() as journal:
        assert [i.run for i in await journal.runs([RunState.INTERRUPTED])] == ["r"]
        assert not await journal.runs([RunState.QUEUED, RunState.RUNNING])


async def test_events_of_a_run_that_the_journal_does_not_know_are_kept_aside(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    async with place.opened() as journal:
        spool = journal.spool
    file = spool.keep(Spooled("gone", "o:1:x", 7, (Throttled(run="gone", seconds=1, text=""),)))
    async with place.opened() as journal:
        assert list(await journal.read("gone")) == []
    assert not file.exists()
    assert file.with_name(file.name + ".unknown-run").exists()
    assert "the journal does not know run gone" in caplog.text


async def test_a_damaged_file_is_said_and_kept_aside_and_stops_nobody(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    [file] = await place.leave([STARTED], [Throttled(run="r", seconds=1, text="")])
    file.write_bytes(file.read_bytes()[:-80])
    assert await place.events() == [STARTED]
    assert f"{file} cannot be taken in" in caplog.text
    assert file.with_name(file.name + ".damaged").exists()
    assert not file.exists()


async def test_the_writes_that_a_silent_attempt_had_declared_count(place: Place) -> None:
    await place.leave([STARTED, intended("c", "t", writes=("b/x",))], [ended("c", "t")])
    async with place.opened() as journal:
        assert [w.ended.attempt for w in await journal.writers("b/x", other_than="")] == ["t"]


async def test_the_lease_of_the_one_that_ended_is_no_longer_waited_for(place: Place) -> None:
    async with place.opened() as journal:
        put(journal, [STARTED])
        await journal.commit()
        await journal.beat(["r"])
        await place.cut()
        put(journal, [Throttled(run="r", seconds=1, text="")])
    await place.mend()
    async with place.opened() as journal:
        assert await journal.lease("r") is None


async def test_where_the_first_place_cannot_be_written_the_state_folder_takes_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "j.db-spool").write_text("in the way")
    spool = SqliteJournal(tmp_path / "j.db").spool
    file = spool.keep(Spooled("r", "o:1:x", 0, (STARTED,)))
    assert file.parent == tmp_path / "state" / "aowhisk" / "spool"
    assert spool.files() == [file]
    async with Place(f"sqlite://{tmp_path}/j.db", None, None).opened() as journal:
        assert (await journal.read("r"))[0] == STARTED


async def test_without_any_place_the_log_says_what_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("aowhisk.events.sqlite_file._BUSY", 0.05)
    monkeypatch.setattr("aowhisk.events.sqlite._CLOSING", 0.1)
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(Spool, "folders", lambda self: [tmp_path / "file" / "spool"])
    place = Place(f"sqlite://{tmp_path}/j.db", tmp_path / "j.db", None)
    assert await place.leave([STARTED], [Throttled(run="r", seconds=1, text="")]) == []
    assert "1 events of run r are lost" in caplog.text


async def test_where_the_disk_is_full_the_file_waits_until_there_is_room(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "j.db")
    await journal.open()
    put(journal, [STARTED])
    await journal.commit()
    file = journal._file
    await file.call(lambda: file.connection.execute("PRAGMA max_page_count = 1"))
    late = [Throttled(run="r", seconds=n, text="x" * 1000) for n in range(100)]
    put(journal, late)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aowhisk.events.sqlite._CLOSING", 0.1)
        await journal.close()
    assert len(journal.spool.files()) == 1
    assert await Place(f"sqlite://{tmp_path}/j.db", None, None).events() == [STARTED, *late]


async def test_a_file_of_a_newer_version_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    spool = SqliteJournal(tmp_path / "j.db").spool
    with monkeypatch.context() as patch:
        patch.setattr("aowhisk.events.spool._VERSION", 2)
        file = spool.keep(Spooled("r", "o:1:x", 0, (STARTED,)))
    before = file.read_bytes()
    with pytest.raises(JournalError, match="newer"), spool.claim(file):
        pass
    async with Place(f"sqlite://{tmp_path}/j.db", None, None).opened() as journal:
        assert list(await journal.read("r")) == []
    assert "stays for the next start: a newer aowhisk wrote it" in caplog.text
    assert file.read_bytes() == before


@pytest.mark.parametrize("library", [AsyncIOMotorClient, AsyncMongoClient])
async def test_behind_a_client_of_the_callers_the_place_is_its_servers_and_database(
    library: type[Any],
) -> None:
    client = library("mongodb://someone:s3cr3t@127.0.0.1:1,127.0.0.2:2/work", connect=False)
    place = MongoJournal(client, database="work")._database.place
    closing = client.close()
    if closing is not None:
        await closing
    assert place == "mongodb://127.0.0.1:1,127.0.0.2:2/work"


async def test_neither_name_nor_text_of_a_file_has_credentials() -> None:
    journal = MongoJournal("mongodb://someone:s3cr3t@db.example.org:27017/work?authSource=admin")
    file = journal.spool.keep(Spooled("r", journal.owner, 0, (STARTED,)))
    shown = str(file) + file.read_text()
    assert "s3cr3t" not in shown
    assert "someone" not in shown
    other = MongoJournal("mongodb://another:pa55@db.example.org:27017/work")
    assert other.spool.files() == [file]
    elsewhere = MongoJournal("mongodb://another:pa55@db.example.org:27017/play")
    assert elsewhere.spool.files() == []
    file.unlink()


def test_any_part_of_a_file_is_known_for_damaged(tmp_path: Path) -> None:
    spool = Spool("here", beside=tmp_path / "spool")
    spooled = Spooled("r", "o:1:x", 3, (STARTED, intended("c", "é"), ended("c", "é")))
    file = spool.keep(spooled)
    with spool.claim(file) as found:
        assert found == spooled
    whole = file.read_bytes()
    for end in range(len(whole) - 1):
        file.write_bytes(whole[:end])
        with pytest.raises(Damaged), spool.claim(file):
            pass
    file.write_bytes(whole.replace(b'"base":3', b'"base":4'))
    with pytest.raises(Damaged), spool.claim(file):
        pass


def test_a_file_that_another_has_is_left_to_it(tmp_path: Path) -> None:
    spool = Spool("here", beside=tmp_path / "spool")
    file = spool.keep(Spooled("r", "o:1:x", 0, (STARTED,)))
    with spool.claim(file) as mine:
        assert mine is not None
        with spool.claim(file) as again:
            assert again is None
        file.unlink()
    with spool.claim(file) as gone:
        assert gone is None


def test_the_head_of_a_file_says_to_a_person_whose_it_is(tmp_path: Path) -> None:
    file = Spool("here", beside=tmp_path / "spool").keep(Spooled("r", "o:1:x", 3, (STARTED,)))
    head = json.loads(file.read_text().splitlines()[0])
    assert (head["journal"], head["run"], head["owner"], head["count"]) == ("here", "r", "o:1:x", 1)


KINDS = st.sampled_from(["intended", "ended", "accepted", "throttled"])


def log(kinds: Sequence[str]) -> list[Event]:
    """Events as one owner puts them: an end or an activation follows an intent."""
    found: list[Event] = [STARTED]
    open_: list[str] = []
    for n, kind in enumerate(kinds):
        if kind == "intended":
            open_.append(f"a{n}")
            found.append(intended(f"c{n}", open_[-1], at=float(n)))
        elif kind == "ended" and open_:
            attempt = open_.pop(0)
            found.append(ended(f"c{attempt[1:]}", attempt, at=float(n)))
        elif kind == "accepted" and open_:
            who = {"run": "r", "of": "r", "call": f"c{open_[0][1:]}", "attempt": open_[0]}
            found.append(Accepted(**who, activation_id="f", at=float(n)))  # type: ignore[arg-type]
        else:
            found.append(Throttled(run="r", seconds=n, text="", at=float(n)))
    return found


@given(kinds=st.lists(KINDS, max_size=30), data=st.data())
def test_however_often_the_taking_in_is_cut_short_every_event_is_there_once_and_in_order(
    kinds: Sequence[str], data: st.DataObject
) -> None:
    events = log(kinds)
    base = data.draw(st.integers(1, len(events)))
    stored = data.draw(st.integers(base, len(events)))  # a part arrived, unacknowledged
    spooled = Spooled("r", "o", base, tuple(events[base:]))
    journal = events[:stored]
    for _ in range(3):
        add = remainder(journal, spooled) if spooled.events else []
        assert add is not None
        journal = journal + add[: data.draw(st.integers(0, len(add)))]
    rest = remainder(journal, spooled)
    assert rest is not None
    journal = journal + rest
    kept = [each for each in events if each in journal]
    assert journal == kept
    missing = [each for each in events if each not in journal]
    ends = {each.attempt for each in events if isinstance(each, Ended | Accepted)}
    assert all(isinstance(each, Intended) and each.attempt not in ends for each in missing)


@given(kinds=st.lists(KINDS, max_size=30), data=st.data())
def test_of_a_run_that_was_taken_only_open_attempts_get_their_end_and_once(
    kinds: Sequence[str], data: st.DataObject
) -> None:
    events = log(kinds)
    base = data.draw(st.integers(1, len(events)))
    spooled = Spooled("r", "o", base, tuple(events[base:]))
    journal = [*events[:base], Taken(run="r", owner="other")]
    intents = {each.attempt for each in journal if isinstance(each, Intended)}
    over = {each.attempt for each in journal if isinstance(each, Ended)}
    if spooled.events:
        assert remainder(journal, spooled) is None
    add = outcomes(journal, spooled)
    assert [each for each in add if isinstance(each, Ended)] == [
        each
        for each in spooled.events
        if isinstance(each, Ended) and each.attempt in intents - over
    ]
    assert outcomes(journal + add, spooled) == []
