"""Where things are kept: a store, tried with one object, and a journal, which is only looked at."""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, urlsplit

import anyio.to_thread

from aowhisk.config import state_folder
from aowhisk.doctor.finding import Finding, State, failed, ok, refused, warning
from aowhisk.doctor.subject import Subject, is_this_machine
from aowhisk.errors import AowhiskError, JournalError
from aowhisk.events import Journal, open_journal
from aowhisk.events.damage import damages
from aowhisk.events.schema import version_of
from aowhisk.models import JSON
from object_store import NoSuchKey, ObjectStore, StoreError, open_store

__all__ = ["check_journal", "check_store"]

_ROOM = 100 * 1024 * 1024
_READ_WHOLE = 256 * 1024 * 1024  # bytes of a journal above which it is not read from end to end
_UNFINISHED = "SELECT count(*) FROM runs WHERE state NOT IN ('succeeded', 'failed', 'cancelled')"


async def check_store(subject: Subject) -> Finding:
    """Can an object be written, read and deleted."""
    url = subject.get("store")
    if url is None:
        return warning(
            "no store is named: recovery cannot look what is there, and believes what actions say",
            "set AOWHISK_STORE, to the same store that actions get as OBJECT_STORE_URL",
        )
    try:
        async with open_store(url) as store:
            return _remote(subject, store.url, await _probe(store))
    except StoreError as error:
        return refused(error, todo="check AOWHISK_STORE")


async def _probe(store: ObjectStore) -> Finding:
    key, data = f"aowhisk/doctor/{secrets.token_hex(8)}", secrets.token_bytes(1024)
    start = time.monotonic()
    try:
        await store.put(key, data)
        wrote = time.monotonic()
        got = await store.get(key)
        read = time.monotonic()
    finally:
        await store.delete(key)
    facts: dict[str, JSON] = {
        "url": store.url,
        "write_ms": round((wrote - start) * 1000),
        "read_ms": round((read - wrote) * 1000),
    }
    if got != data:
        return failed(
            f"{store.url} gives back other bytes than were written",
            "look what is between: a cache or proxy; do not run anything on this store",
            **facts,
        )
    try:
        await store.head(key)
    except NoSuchKey:
        return ok(
            f"{store.url}: an object was written ({facts['write_ms']} ms), read "
            f"({facts['read_ms']} ms) and deleted",
            **facts,
        )
    return warning(
        f"{store.url}: an object that was deleted is still there",
        "recovery would take lost objects for present: look at versioning and caches",
        **facts,
    )


def _remote(subject: Subject, url: str, found: Finding) -> Finding:
    """Say where actions cannot see the same store."""
    if found.state is not State.OK or "apihost" not in subject.survey.values or subject.is_local:
        return found
    if subject.get("action_store"):
        return found
    parts = urlsplit(url)
    if parts.scheme in ("memory", "folder") or is_this_machine(parts.hostname):
        return warning(
            f"{found.found}; but actions run elsewhere and cannot see it",
            "name a store that both reach, or its address as they see it in AOWHISK_ACTION_STORE",
            **found.facts,
        )
    return found


async def check_journal(subject: Subject) -> Finding:
    """Can the journal be used; nothing is made, changed or taken in."""
    url = subject.get("journal")
    own = f"sqlite://{quote(str(state_folder() / 'journal.db'))}"
    journal = open_journal(url or own)
    place = getattr(journal, "path", None)
    if isinstance(place, Path):
        found = await anyio.to_thread.run_sync(_look_into, place, _spooled(journal))
        return found if url or found.state is State.FAILED else _named(found)
    if hasattr(journal, "database"):
        return await _ask_mongo(journal)
    return warning(
        "memory: events are gone when the process ends, and with them resume and recovery",
        "set AOWHISK_JOURNAL to sqlite:///path or mongodb://host/database",
    )


def _named(found: Finding) -> Finding:
    return Finding(found.state, f"{found.found} (the default)", found.todo, found.facts)


def _spooled(journal: Journal) -> int:
    spool = getattr(journal, "spool", None)
    return len(list(spool.files())) if spool is not None else 0


def _look_into(path: Path, spooled: int) -> Finding:
    if path.is_dir():
        return failed(f"{path} is a folder", "name a file in it in AOWHISK_JOURNAL")
    folder = next(each for each in path.absolute().parents if each.exists())
    if not os.access(folder, os.W_OK | os.X_OK) or (path.exists() and not os.access(path, os.W_OK)):
        where = path if path.exists() else folder
        return failed(
            f"{path}: {where} cannot be written by this user",
            "correct its owner and mode, or name another place in AOWHISK_JOURNAL",
        )
    free = shutil.disk_usage(folder).free
    facts: dict[str, JSON] = {"path": str(path), "free_bytes": free, "spool_files": spooled}
    told = f"{path} will be made at the first run"
    if path.exists():
        size = path.stat().st_size
        wrong = _damages(path) if size <= _READ_WHOLE else []
        if wrong:
            return failed(
                f"{path} is damaged: {wrong[0]}",
                f"`aowhisk journal repair --journal sqlite://{quote(str(path))}`",
                **facts,
            )
        version, unfinished = _read(path)
        facts |= {"bytes": size, "version": version, "unfinished": unfinished}
        told = f"{path} is sound ({size / 1e6:.1f} MB), {unfinished} runs in it have not ended"
    if spooled:
        told += f"; {spooled} spool files wait, and the next start takes them in"
    if free < _ROOM:
        return warning(f"{told}; {free / 1e6:.0f} MB are free", "make room on that disk", **facts)
    return ok(told, **facts)


def _open(path: Path) -> sqlite3.Connection:
    """To read, and so that no file appears beside it: SQLite makes them even to read, and they
    would belong to whoever runs this. While a writer has it open they are there."""
    alone = not path.with_name(path.name + "-wal").exists()
    options = "mode=ro&immutable=1" if alone else "mode=ro"
    return sqlite3.connect(f"{path.resolve().as_uri()}?{options}", uri=True)


def _damages(path: Path) -> list[str]:
    """What is wrong with it. What looks wrong is looked at once more, with SQLite's locks: someone
    may just have begun to write."""
    try:
        with closing(_open(path)) as connection:
            if connection.execute("PRAGMA integrity_check(1)").fetchone() == ("ok",):
                return []
    except sqlite3.DatabaseError:
        pass
    return damages(path)


def _read(path: Path) -> tuple[int, int]:
    """The version, and how many runs have not ended; raises ConfigError or JournalError."""
    with closing(_open(path)) as connection:
        version = version_of(connection, path)
        if not version:
            return 0, 0
        try:
            return version, int(connection.execute(_UNFINISHED).fetchone()[0])
        except sqlite3.Error as error:
            raise JournalError(f"the journal {path} cannot be read: {error}") from error


async def _ask_mongo(journal: Journal) -> Finding:
    from aowhisk.events.mongo import MongoJournal
    from aowhisk.events.mongo_database import Database
    from aowhisk.events.mongo_schema import VERSION as NEWEST

    assert isinstance(journal, MongoJournal)
    database, version = journal.database, 0

    async def look(database: Database) -> None:
        nonlocal version
        found = await database.find("journal", {"_id": "aowhisk"})
        version = found[0]["version"] if found else 0

    start = time.monotonic()
    try:
        await database.open(look)
    except AowhiskError as error:
        hint = "check AOWHISK_JOURNAL and that the server runs"
        return failed(str(error).partition("; ")[0], hint)
    await database.close()
    ms = round((time.monotonic() - start) * 1000)
    facts: dict[str, JSON] = {"place": database.label, "version": version, "open_ms": ms}
    if version > NEWEST:
        return failed(
            f"{database.label} was written by a newer aowhisk (version {version})",
            "update aowhisk, or name another database",
            **facts,
        )
    told = (
        f"a journal of version {version}" if version else "no journal yet; the first run makes one"
    )
    return ok(f"{database.label} answers ({ms} ms): {told}", **facts)
