"""The folder that keeps entities and records."""

import fcntl
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from aowhisk.errors import ConfigError
from aowhisk.local.archive import APPLICATION, VERSION, Archive
from aowhisk.local.entities import Action, Binding, Package, Parameter
from aowhisk.local.http import Refusal
from aowhisk.local.records import Record
from aowhisk.models import Status

ACTION = Action(
    namespace="anna/p",
    name="a",
    exec={"kind": "python:3", "code": "x\ud800", "$odd": [None]},
    limits={"timeout": 1},
    parameters={"k": Parameter({"$type": 1}, init=True)},
    annotations={"final": True},
    updated=12,
    serial=34,
)
PACKAGE = Package(namespace="anna", name="b", binding=Binding("bert", "p"))


def record(number: int, result: Any = None) -> Record:
    identity = f"{number:032x}"
    document = {"activationId": identity, "response": {"result": result}}
    return Record(identity, "anna", "anna/a", number, Status.APPLICATION_ERROR, document)


def fill(folder: Path, *items: Action | Package | Record | str, **settings: Any) -> None:
    archive = Archive(folder, **settings)
    archive.open()
    for item in items:
        if isinstance(item, Record):
            archive.add(item)
        elif isinstance(item, str):
            archive.keep(item, None)
        else:
            archive.keep(item.path, item)
    archive.close()


def test_what_was_given_is_there_again(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "deep" / "data")
    assert archive.open().fresh
    archive.close()

    fill(tmp_path / "deep" / "data", ACTION, PACKAGE, record(2, {"ü": "\ud800"}), record(1))

    archive = Archive(tmp_path / "deep" / "data")
    contents = archive.open()
    archive.close()
    assert not contents.fresh
    assert contents.entities == [ACTION, PACKAGE]
    expected = [record(1), record(2, {"ü": "\ud800"})]
    assert [one.document for one in contents.records] == [one.document for one in expected]
    assert contents.records == expected


def test_the_last_writing_of_an_entity_counts(tmp_path: Path) -> None:
    changed = Package(namespace="anna", name="b", version="0.0.2")
    fill(tmp_path, ACTION, PACKAGE, ACTION.path, changed)

    archive = Archive(tmp_path)
    assert archive.open().entities == [changed]
    archive.close()


def test_only_the_newest_records_are_kept(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("aowhisk.local.archive._PRUNE", 1)
    for number in range(6):
        fill(tmp_path, record(number), capacity=3)

    archive = Archive(tmp_path)
    kept = [one.start for one in archive.open().records]
    archive.close()
    assert kept == [3, 4, 5]


def test_no_more_records_are_read_than_are_kept(tmp_path: Path) -> None:
    fill(tmp_path, *(record(number) for number in range(6)))

    archive = Archive(tmp_path, capacity=3)
    assert [one.start for one in archive.open().records] == [3, 4, 5]
    archive.close()


def test_a_second_server_on_the_folder_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    first = Archive(tmp_path)
    first.open()

    with pytest.raises(
        ConfigError, match=r"another local OpenWhisk \(process \d+\) has the folder"
    ):
        Archive(tmp_path).open()

    first.close()
    again = Archive(tmp_path)
    again.open()
    again.close()


def test_data_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    fill(tmp_path, ACTION)
    file = tmp_path / "openwhisk.sqlite"
    with sqlite3.connect(file, isolation_level=None) as db:
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    db.close()
    (tmp_path / "lock").unlink()
    before = {one.name: (one.read_bytes(), one.stat().st_mtime_ns) for one in tmp_path.iterdir()}

    with pytest.raises(ConfigError, match=f"its format is {VERSION + 1}, this one knows {VERSION}"):
        Archive(tmp_path).open()

    after = {one.name: (one.read_bytes(), one.stat().st_mtime_ns) for one in tmp_path.iterdir()}
    assert after == before


def test_the_version_stands_in_the_file_from_the_start(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    archive.open()

    header = (tmp_path / "openwhisk.sqlite").read_bytes()[:100]

    archive.close()
    assert int.from_bytes(header[60:64], "big") == VERSION
    assert int.from_bytes(header[68:72], "big") == APPLICATION


@pytest.mark.parametrize("content", [b"a note", b"SQLite format 3\0" + bytes(200)])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "openwhisk.sqlite").write_bytes(content)

    with pytest.raises(ConfigError, match="was not written by a local OpenWhisk"):
        Archive(tmp_path).open()


def test_a_server_that_ended_while_it_began_does_not_spoil_the_folder(tmp_path: Path) -> None:
    (tmp_path / "openwhisk.sqlite").touch()

    archive = Archive(tmp_path)
    assert archive.open().fresh
    archive.close()


def test_damaged_data_is_a_config_error_and_gives_the_folder_back(tmp_path: Path) -> None:
    fill(tmp_path, ACTION)
    with sqlite3.connect(tmp_path / "openwhisk.sqlite", isolation_level=None) as db:
        db.execute('UPDATE entities SET entity = \'{"$type": "Ghost", "fields": {}}\'')
    db.close()

    with pytest.raises(ConfigError, match="cannot be read: there is no Ghost"):
        Archive(tmp_path).open()

    with (tmp_path / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_folder_that_cannot_be_made_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError, match="Not a directory"):
        Archive(tmp_path / "file" / "data").open()


async def test_settled_means_that_another_reader_finds_it(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    archive.open()
    await archive.settled()
    archive.keep(ACTION.path, ACTION)
    archive.add(record(1))

    await archive.settled()

    db = sqlite3.connect(tmp_path / "openwhisk.sqlite")
    found = db.execute("SELECT path, (SELECT count(*) FROM records) FROM entities").fetchall()
    db.close()
    archive.close()
    assert found == [(ACTION.path, 1)]


async def test_what_cannot_be_written_is_said_and_written_later(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    archive.open()
    db = sqlite3.connect(tmp_path / "openwhisk.sqlite", isolation_level=None)
    db.execute("ALTER TABLE entities RENAME TO away")
    archive.keep(PACKAGE.path, PACKAGE)

    with pytest.raises(Refusal, match="internal server error"):
        await archive.settled()

    db.execute("ALTER TABLE away RENAME TO entities")
    archive.keep(ACTION.path, ACTION)
    await archive.settled()
    found = db.execute("SELECT path FROM entities ORDER BY path").fetchall()
    db.close()
    archive.close()
    assert found == [(PACKAGE.path,), (ACTION.path,)]


def test_what_cannot_be_stored_is_refused_when_it_is_given(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    archive.open()

    with pytest.raises(TypeError, match="cannot be stored"):
        archive.keep("anna/p", Package(namespace="anna", name="p", annotations={"a": {1, 2}}))

    archive.close()
