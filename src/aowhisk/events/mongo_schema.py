"""The collections of the MongoDB journal, their indexes, and how an older one becomes one of today.

`journal` has one document, with the version. Every step is done again without harm, so a process
that dies in the middle, or several at once, leave nothing that the next one does not finish; the
version is raised last.

Version 2 has more fields on the ends of attempts: what was `kept` of the objects in `writes`, and
of successful activations `bytes_read`, `duration_ms` and `init_ms`.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from aowhisk.errors import ConfigError, JournalError
from aowhisk.events.model import Ended
from aowhisk.events.mongo_database import Database, Index
from aowhisk.events.mongo_documents import measured
from aowhisk.events.mongo_events import Events
from aowhisk.events.writer import Away

__all__ = ["INDEXES", "VERSION", "existing", "prepare"]

VERSION = 2
INDEXES = {
    "events": (
        Index("run_seq", ("run", "seq"), unique=True),
        Index("state_run", ("state", "run"), only="state"),
        Index("writes_at", ("writes", "at"), only="writes"),
        Index("reads_at", ("reads", "at"), only="reads"),
        Index("failures_at", ("body.error_class", "at"), only="body.error_class"),
        Index("failures_by_time", ("at", "body.error_class"), only="body.error_class"),
        Index("activations", ("body.action", "bytes_read", "-at"), only="bytes_read"),
    ),
    "runs": (
        Index("state_started", ("state", "started")),
        Index("name_started", ("name", "started")),
        Index("started", ("started",)),
    ),
    "chunks": (Index("run", ("run",)),),
    "leases": (),
    "shared": (),
}
_log = logging.getLogger("aowhisk")
_OURS = {"_id": "aowhisk"}
_PAUSE = 0.2  # seconds before an index is asked for again
_PAGE = 1000  # events that are brought up to date at once
_UNUSED = ("body.result", "body.params")


@asynccontextmanager
async def existing(database: Database) -> AsyncIterator[Database]:
    """The database, open, and afterwards as open or closed as it was. Raises ConfigError where
    there is no journal in it; one of an older version is brought up to date."""
    if database.is_open:
        yield database
        return
    await database.open(lambda database: prepare(database, create=False))
    try:
        yield database
    finally:
        with anyio.CancelScope(shield=True):
            await database.close()


async def prepare(database: Database, *, create: bool = True) -> None:
    """See that the database is ours and not newer, make what is missing, bring an older one up to
    date. Where there is none, make it, or without `create` raise ConfigError. Raises ConfigError
    for one of something else and JournalError for a newer one; both are left alone."""
    found = await database.find("journal", _OURS)
    version = found[0]["version"] if found else 0
    if version > VERSION:
        raise JournalError(
            f"the journal {database.label} was written by a newer aowhisk (its version is "
            f"{version}, this one knows {VERSION}); update aowhisk, or name another journal"
        )
    if not found:
        await _check_empty(database)
        if not create:
            raise ConfigError(
                f"there is no journal in {database.label}; name another with AOWHISK_JOURNAL"
            )
        await database.insert("journal", [{**_OURS, "version": VERSION}])
    elif version < VERSION:
        await _bring_up_to_date(database)
    elif not create:
        return
    for collection, indexes in INDEXES.items():
        for index in indexes:
            await _make(database, collection, index)
    if 0 < version < VERSION:
        older = {**_OURS, "version": {"$lt": VERSION}}
        await database.update("journal", [(older, {"$set": {"version": VERSION}})])


async def _check_empty(database: Database) -> None:
    for collection in INDEXES:
        if await database.find(collection, {}, ["_id"], limit=1):
            if await database.find("journal", _OURS):
                return  # another process has made it just now
            raise ConfigError(
                f"the database {database.label} has {collection!r} of something else; name "
                "another database in AOWHISK_JOURNAL"
            )


async def _make(database: Database, collection: str, index: Index) -> None:
    """Make an index, however long that takes on a server that is there: asked again, it goes on
    with what it is about."""
    while True:
        try:
            await database.index(collection, index)
            return
        except Away:
            await database.ping()
            _log.info("journal %s: index %s is being made", database.label, index.name)
            await anyio.sleep(_PAUSE)


async def _bring_up_to_date(database: Database) -> None:
    """Give the ends of attempts the fields that version 1 did not have."""
    _log.warning("journal %s is brought up to date to version %d", database.label, VERSION)
    events, last = Events(database), ""
    while True:
        page = await database.find(
            "events",
            {"kind": Ended.kind, "_id": {"$gt": last}},
            without=_UNUSED,
            sort=[("_id", 1)],
            limit=_PAGE,
        )
        changes = []
        for document in page:
            event = await events.event(document)
            if isinstance(event, Ended) and (more := measured(event)):
                changes.append(({"_id": document["_id"]}, {"$set": more}))
        await database.update("events", changes)
        if len(page) < _PAGE:
            return
        last = page[-1]["_id"]
