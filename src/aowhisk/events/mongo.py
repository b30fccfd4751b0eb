"""The shared journal: one MongoDB database for any number of processes.

    db.events.find({run: "..."}).sort({seq: 1})       what happened; `_id` is "RUN#SEQ"
    db.events.find({writes: "bucket/key"})            who wrote an object; `reads`: who read it
    db.events.find({"body.error_class": "TimedOut"})  failures
    db.runs.find({state: "running"}), db.leases.find()

A number of a run is unique by `_id`, and that alone decides whose run it is. Everything rests on
single documents. An event carries the keys that its attempt read and wrote, so lineage is durable
with it; `runs` is an index of the events that sets itself right (mongo_runs). A body too large for
one document is put into `chunks` before its event.
"""

from __future__ import annotations

import asyncio
import itertools
import zlib
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

import anyio

from aowhisk.errors import JournalError
from aowhisk.events import shared
from aowhisk.events.codec import clean
from aowhisk.events.intake import Declared, take_in
from aowhisk.events.model import Ended, Event, Intended, RunState
from aowhisk.events.mongo_database import Client, Database, Encoded, encode
from aowhisk.events.mongo_documents import shortened, whole
from aowhisk.events.mongo_events import Events
from aowhisk.events.mongo_runs import Change, Runs, change_of
from aowhisk.events.mongo_schema import prepare
from aowhisk.events.shelf import LARGE, FileShelf, Kept
from aowhisk.events.sink import Lease, RunInfo, Told, Written
from aowhisk.events.spool import Spool
from aowhisk.events.writer import Away, Hold, Writer

__all__ = ["MongoJournal"]

_T = TypeVar("_T")
_MOST = 1000  # events in a batch
_LARGE = 4_000_000  # bytes of a document; MongoDB takes 16 MiB
_CHUNK = 8_000_000
_CLOSING = 5.0


@dataclass(frozen=True, slots=True)
class _Row:
    """An event as it is written: `put` tells it from any other of this owner, `change` is what it
    changes in the document of its run, `text` its body if that is in chunks; `kept` is its result
    if that is large, and `result` the same as JSON."""

    hold: Hold
    seq: int
    event: Event
    id: str
    put: int
    document: Encoded
    change: Change | None
    text: str | None
    kept: Kept | None
    result: str


class MongoJournal:
    """A journal in the database behind a URL, or behind a client (motor's or PyMongo's
    AsyncMongoClient) that its owner closes. `database` wins over the URL's; the default is
    "aowhisk"."""

    def __init__(self, where: Client | str, *, database: str | None = None) -> None:
        self._database = Database(where, database)
        self._writer = Writer(self._database.label, self._row, self._store, most=_MOST)
        self._runs = Runs(self._database)
        self._events = Events(self._database)
        self._shelf = FileShelf()
        self._puts = itertools.count()

    def __repr__(self) -> str:
        return f"MongoJournal({self._database.label!r})"

    @property
    def owner(self) -> str:
        """The name of this process among those that share the database."""
        return self._writer.owner

    @property
    def database(self) -> Database:
        """Where it is."""
        return self._database

    @property
    def spool(self) -> Spool:
        """Where that is left which cannot be written before the end."""
        return Spool(self._database.place)

    async def open(self) -> None:
        """Connect, make what is missing, and take in what earlier processes on this machine could
        not write; raises ConfigError or JournalError."""
        await self._database.open(prepare)
        try:
            await take_in(self, self.spool)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Write what is queued, for a few seconds at most, the rest into a spool file, and
        disconnect."""
        if not self._database.is_open:
            return
        try:
            await self._writer.finish(_CLOSING, self.spool)
        finally:
            with anyio.CancelScope(shield=True):
                await self._database.close()

    def put(self, event: Event) -> Kept | None:
        """Queue an event; it is written soon, and before anything put later. Of an end with a large
        result, gives what reads that."""
        row = self._writer.put(event)
        return None if row is None else row.kept

    async def commit(self, run: str | None = None) -> None:
        """Return once everything put so far is durable. While the database is away, it waits;
        raises JournalError where trying again cannot help, Fenced where another process owns
        `run`."""
        await self._writer.commit(run)

    async def take(self, run: str, *, after: int) -> None:
        """Own a run of which we have read `after` events. Raises Fenced."""
        await self._writer.take(run, after=after)
        before = {"run": run, "seq": after - 1}
        if after and not await self._ask(lambda: self._database.find("events", before, ["seq"])):
            mine = {"run": run, "seq": after, "owner": self.owner}
            await self._ask(lambda: self._database.delete("events", mine))
            raise self._writer.let_go(run)
        await self._ask(lambda: self._learn(run))

    async def read(self, run: str, *, after: int = 0) -> Sequence[Event]:
        """The events of a run behind the first `after`, in order."""
        await self.commit()
        wanted = {"run": run, "seq": {"$gte": after}} if after else {"run": run}
        return await self._ask(lambda: self._events.find(wanted, [("seq", 1)]))

    async def append(
        self, run: str, events: Sequence[Event], *, after: int, declared: Declared
    ) -> None:
        """Put events behind the `after` ones that a run has. Raises Fenced, Away."""
        await self._writer.append(run, events, after=after, declared=declared)

    async def writers(self, key: str, *, other_than: str) -> Sequence[Written]:
        """The attempts of the run, but `other_than`, that wrote `key` last, oldest first."""
        await self.commit()
        return await self._ask(lambda: self._writers(clean(key), other_than))

    async def runs(self, states: Collection[RunState]) -> Sequence[RunInfo]:
        """The runs in these states, oldest first."""
        await self.commit()
        return await self._ask(lambda: self._runs.find({state.value for state in states}))

    async def beat(self, runs: Collection[str]) -> None:
        """Say of these runs that we are still at work on them."""
        change = {"$set": {"owner": self.owner}, "$inc": {"beat": 1}}
        changes = [({"_id": run}, change) for run in runs]
        await self._ask(lambda: self._database.update("leases", changes, upsert=True))

    async def lease(self, run: str) -> Lease | None:
        """Who is at work on a run; None if nobody says so."""
        found = await self._ask(lambda: self._database.find("leases", {"_id": run}))
        return Lease(found[0]["owner"], found[0]["beat"]) if found else None

    async def release(self, run: str) -> None:
        """We are no longer at work on the run."""
        await self.dismiss(run, self.owner)

    def watch(self, told: Told) -> None:
        """Call `told` when the database is away and when it is back."""
        self._writer.watch(told)

    async def dismiss(self, run: str, owner: str) -> None:
        """`owner` is no longer at work on the run."""
        lease = {"_id": run, "owner": owner}
        await self._ask(lambda: self._database.delete("leases", lease))

    async def amend(self, name: str, change: shared.Change[_T]) -> _T:
        """Change a small document that all processes share; gives back what `change` answers."""
        return await self._ask(lambda: shared.amend_mongo(self._database, name, change))

    async def _ask(self, work: Callable[[], Awaitable[_T]]) -> _T:
        return await self._writer.insist(work)

    def _row(self, event: Event, hold: Hold, seq: int, declared: tuple[str, ...]) -> _Row:
        put = next(self._puts)
        change = change_of(event, seq)
        document = whole(event, seq, self._writer.owner, declared)
        result = str(document["body"].get("result", ""))
        kept = Kept(event.result) if len(result) > LARGE and isinstance(event, Ended) else None
        document["put"] = put
        if change is not None:
            document.update(change.marks)
        encoded, text = encode(document), None
        if encoded is None or len(encoded.raw) > _LARGE:
            short, text = shortened(document, event)
            if len(text) <= _LARGE:
                short["json"], text = text, None
            else:
                short["chunks"] = True
            encoded = encode(short)
            if encoded is None:
                raise JournalError(f"event {event.kind} of run {event.run} cannot be BSON")
        result = "" if kept is None else result
        id = document["_id"]
        return _Row(hold, seq, event, id, put, encoded, change, text, kept, result)

    async def _store(self, batch: list[_Row]) -> None:
        """Write a batch in order, but for the runs that another owner has by now. Any part of it
        may be there already, from a try whose answer was lost."""
        changes = [row.change for row in batch if row.change is not None]
        unsure = await self._runs.announce(changes)
        for row in batch:
            if row.text is not None:
                await self._store_text(row, row.text)
        await self._insert(batch)
        stored = [row.change for row in batch if row.change is not None and not row.hold.lost]
        await self._runs.settle(stored, unsure)
        for row in batch:
            if row.kept is not None and not row.hold.lost:
                row.kept.let_go(self._shelf.put(row.result))

    async def _insert(self, batch: list[_Row]) -> None:
        while batch:
            if not await self._database.insert("events", [row.document for row in batch]):
                return
            ids = [row.id for row in batch]
            found = await self._database.find("events", {"_id": {"$in": ids}}, ["owner", "put"])
            stored = {each["_id"]: (each["owner"], each["put"]) for each in found}
            for row in batch:
                if stored.get(row.id, (self.owner, row.put)) != (self.owner, row.put):
                    row.hold.lost = True
            left = [row for row in batch if row.id not in stored and not row.hold.lost]
            if len(left) == len(batch):
                raise Away("an event is there that a majority does not know yet")
            batch = left

    async def _store_text(self, row: _Row, text: str) -> None:
        data = await asyncio.to_thread(zlib.compress, text.encode(), 1)
        parts = [data[n : n + _CHUNK] for n in range(0, len(data), _CHUNK)]
        for n, part in enumerate(parts):  # the name is ours alone: there already means stored
            name = f"{self.owner}#{row.put}#{n}"
            await self._database.insert(
                "chunks", [{"_id": name, "run": row.hold.run, "data": part}]
            )

    async def _writers(self, key: str, other_than: str) -> list[Written]:
        wrote = {"writes": key, "of": {"$ne": other_than}}
        last = await self._database.find("events", wrote, ["of"], sort=[("at", -1)], limit=1)
        if not last:
            return []
        wrote["of"] = last[0]["of"]
        ends = await self._events.find(wrote, [("at", 1), ("seq", 1)])
        attempts = [end.attempt for end in ends if isinstance(end, Ended)]
        runs = sorted({end.run for end in ends})
        intended = {"run": {"$in": runs}, "kind": "intended", "attempt": {"$in": attempts}}
        begun = {
            each.attempt: each
            for each in await self._events.find(intended, [("seq", 1)])
            if isinstance(each, Intended)
        }
        return [
            Written(begun[end.attempt], end)
            for end in ends
            if isinstance(end, Ended) and end.attempt in begun
        ]

    async def _learn(self, run: str) -> None:
        """What the open attempts of a run that we took have declared to write."""
        query = {"run": run, "kind": {"$in": ["intended", "ended"]}}
        found = await self._database.find("events", query, ["attempt", "kind", "declares"])
        ended = {each["attempt"] for each in found if each["kind"] == "ended"}
        self._writer.declare(
            (each["attempt"], tuple(each["declares"]))
            for each in found
            if "declares" in each and each["attempt"] not in ended
        )
