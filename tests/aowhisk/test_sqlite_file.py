"""A SQLite file that is written: what is quick needs no thread, what may take long has one."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from aowhisk.errors import JournalError
from aowhisk.events.schema import prepare
from aowhisk.events.sqlite_file import SqliteFile
from aowhisk.events.writer import Away


@asynccontextmanager
async def opened(path: Path, *, sync: str = "normal") -> AsyncIterator[SqliteFile]:
    """One that has been written to."""
    file = SqliteFile(path / "j.db", sync=sync)
    await file.open()
    file.wrote(await file.call(write(file)))
    yield file
    await file.close()


def write(file: SqliteFile) -> Callable[[], int]:
    """A write of one row."""

    def work() -> int:
        file.connection.execute("INSERT OR REPLACE INTO leases VALUES ('r', 'me', 1)")
        return 1

    return work


async def test_what_is_quick_is_done_at_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as file:
        where: list[int] = []
        assert file.at_once(lambda: where.append(threading.get_ident()))
        assert where == [threading.get_ident()]
        assert await file.call(threading.get_ident) != threading.get_ident()


async def test_the_first_write_goes_to_the_thread_for_it_may_wait_for_the_disk(
    tmp_path: Path,
) -> None:
    file = SqliteFile(tmp_path / "j.db", sync="normal")
    await file.open()
    assert not file.at_once(write(file))
    await file.close()


async def test_where_every_commit_waits_for_the_disk_nothing_is_done_at_once(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, sync="full") as file:
        assert not file.at_once(write(file))


async def test_nothing_is_done_at_once_while_the_thread_uses_the_connection(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as file:
        go = threading.Event()
        under_way = file._submit(go.wait)
        assert not file.at_once(write(file))
        go.set()
        under_way.result(10)
        assert file.at_once(write(file))


async def test_while_another_process_writes_only_the_thread_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aowhisk.events.sqlite_file._BUSY", 0.3)
    async with opened(tmp_path) as file:
        other = sqlite3.connect(tmp_path / "j.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        began = time.perf_counter()
        assert not file.at_once(write(file))
        assert time.perf_counter() - began < 0.25
        with pytest.raises(Away):
            await file.call(write(file))
        assert time.perf_counter() - began > 0.25
        other.close()
        assert file.at_once(write(file))


@pytest.mark.parametrize("is_busy", [True, False])
async def test_once_commits_are_slow_they_are_the_threads_for_a_while(
    tmp_path: Path, is_busy: bool
) -> None:
    def slow() -> None:
        if not is_busy:
            threading.Event().wait(0.006)  # as for a disk
        until = time.thread_time() + 0.006
        while is_busy and time.thread_time() < until:
            pass

    async with opened(tmp_path) as file:
        assert [file.at_once(slow) for _ in range(5)] == [True, True, True, True, False]


async def test_that_others_had_the_processor_meanwhile_does_not_make_a_commit_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as file:
        monkeypatch.setattr(time, "perf_counter", iter(range(1000)).__next__)
        assert all(file.at_once(lambda: None) for _ in range(20))


async def test_the_file_takes_in_its_wal_now_and_then_and_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aowhisk.events.sqlite_file._CHECKPOINT", 100)
    reader = None
    async with opened(tmp_path) as file:
        reader = sqlite3.connect(tmp_path / "j.db")  # so that closing alone does not do it
        size = (tmp_path / "j.db").stat().st_size
        file.connection.execute("CREATE TABLE large AS SELECT zeroblob(1000000)")
        file.wrote(90)
        await file.call(lambda: None)
        assert (tmp_path / "j.db").stat().st_size > size + 10**6
        file.connection.execute("INSERT INTO large SELECT zeroblob(2000000)")
        file.wrote(1)
    assert (tmp_path / "j.db").stat().st_size > size + 3 * 10**6
    reader.close()


async def test_opening_that_is_cancelled_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, go = threading.Event(), threading.Event()

    def slowly(connection: sqlite3.Connection, path: Path) -> None:
        entered.set()
        go.wait()
        prepare(connection, path)

    monkeypatch.setattr("aowhisk.events.sqlite_file.prepare", slowly)
    file = SqliteFile(tmp_path / "j.db", sync="normal")
    async with anyio.create_task_group() as group:
        group.start_soon(file.open)
        await asyncio.to_thread(entered.wait)
        group.cancel_scope.cancel()
        threading.Timer(0.05, go.set).start()
    await asyncio.wrap_future(file._thread.submit(go.wait))  # the thread is done with all of it
    assert not file.is_open
    await file.open()
    await file.close()


async def test_one_that_is_not_open_says_so(tmp_path: Path) -> None:
    file = SqliteFile(tmp_path / "j.db", sync="normal")
    with pytest.raises(JournalError, match="not open"):
        await file.call(write(file))
    await file.close()
