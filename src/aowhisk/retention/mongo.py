"""Old runs in a journal's MongoDB database.

There are no transactions, so the order counts. A failed run could be resumed by a process that has
read it already: its next number is taken by an event that says it was cancelled, so that whoever
comes later with that number is fenced, and whoever was first keeps the run. Then the first event of
a run goes: what is left cannot be taken for a run, wherever this ends. That mark goes after all
others: who gets its number then finds that the number before is gone. The document in `runs` goes
last, so that the next pruning finds what is left.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import Any

from aowhisk.errors import JournalError
from aowhisk.events.model import RunEnded, RunState
from aowhisk.events.mongo import MongoJournal
from aowhisk.events.mongo_database import Database
from aowhisk.events.mongo_documents import whole
from aowhisk.events.mongo_runs import Runs
from aowhisk.events.mongo_schema import existing
from aowhisk.events.sink import new_owner
from aowhisk.events.writer import Away
from aowhisk.retention.plan import Found, Pruning, Use

__all__ = ["MongoShelf"]

_OVER = {RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED}
_BATCH = 50  # runs at once
_AT_ONCE = 1000  # documents, or keys, in a query
_USES = ["run", "seq", "at", "of", "attempt", "reads", "writes", "kept"]
_EVENT = ["run", "seq", "at", "kind", "state", "attempt", "owner", "put", "chunks"]
_Document = Mapping[str, Any]


class MongoShelf:
    """An open database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._owner = new_owner()
        self._puts = itertools.count()

    @classmethod
    @asynccontextmanager
    async def open(cls, journal: MongoJournal) -> AsyncIterator[MongoShelf]:
        """That of a journal, which is left as open or closed as it is. Raises ConfigError where
        there is none."""
        async with existing(journal.database) as database:
            yield cls(database)

    async def look(self, before: datetime) -> Found:
        """What is older."""
        when, uses = before.timestamp(), dict[str, list[Use]]()
        with self._told():
            infos = await Runs(self._database).find({state.value for state in RunState})
            over = [i for i in infos if i.state in _OVER]
            runs = [i.run for i in over if i.ended is not None and i.ended < when]
            for some in _slices(runs, _BATCH):
                query = {"run": {"$in": some}, "kind": "ended"}
                for document in await self._database.find("events", query, _USES):
                    uses.setdefault(document["run"], []).extend(_uses(document))
        unfinished = sum(i.state not in _OVER and i.started < when for i in infos)
        return Found(tuple(runs), unfinished, uses)

    async def newest(self, keys: Collection[str]) -> dict[str, Use]:
        """The last writing of each object, by any run."""
        newest: dict[str, Use] = {}
        with self._told():
            for some in _slices(sorted(keys), _AT_ONCE):
                found = await self._database.find("events", {"writes": {"$in": some}}, _USES)
                for use in (use for document in found for use in _uses(document)):
                    known = newest.get(use.key)
                    is_wanted = use.mode == "write" and not use.is_kept and use.key in keys
                    if is_wanted and (known is None or known[1:4:2] < use[1:4:2]):  # at, seq
                        newest[use.key] = use
        return newest

    async def prune(self, plan: Pruning) -> int:
        """Forget; gives the number of events."""
        with self._told():
            return sum([await self._forget(plan, some) for some in _slices(plan.runs, _BATCH)])

    async def _forget(self, plan: Pruning, runs: Sequence[str]) -> int:
        found: dict[str, list[_Document]] = {run: [] for run in runs}
        query = {"run": {"$in": list(runs)}}
        for each in await self._database.find("events", query, _EVENT, sort=[("seq", 1)]):
            found[each["run"]].append(each)
        when = plan.before.timestamp()
        found = {run: events for run, events in found.items() if _is_over(events, when)}
        marks = await self._fence(found)
        gone = [e for events in found.values() for e in events if not _stays(e, plan)]
        await self._delete("events", [e["_id"] for e in gone if e["seq"] == 0])
        await self._delete("events", [e["_id"] for e in gone if e["seq"] != 0])
        await self._delete("events", marks)
        await self._delete_chunks(plan, found)
        await self._delete("leases", list(found))
        await self._delete("runs", [run for run in found if run not in plan.trimmed])
        return len(gone)

    async def _fence(self, found: dict[str, list[_Document]]) -> list[str]:
        """See to it that no failed run can be taken any more; leaves out of `found` those that were
        taken just now. Gives the names of the events that say so."""
        marks = [
            self._mark(run, last, events)
            for run, events in found.items()
            if (last := _last(events)) and last["state"] == RunState.FAILED.value
        ]
        lost = await self._database.insert("events", marks, ordered=False)
        for n in lost:
            del found[marks[n]["run"]]
        return [mark["_id"] for n, mark in enumerate(marks) if n not in lost]

    def _mark(self, run: str, ended: _Document, events: Sequence[_Document]) -> dict[str, Any]:
        state = RunState.CANCELLED
        event = RunEnded(run=run, state=state, at=ended["at"])
        document = whole(event, events[-1]["seq"] + 1, self._owner, ())
        return {**document, "put": next(self._puts), "state": state.value}

    async def _delete_chunks(self, plan: Pruning, found: Mapping[str, Sequence[_Document]]) -> None:
        """Those of the events that are gone, and those of which the event was never written."""
        used = {
            f"{each['owner']}#{each['put']}"
            for events in found.values()
            for each in events
            if "chunks" in each and _stays(each, plan)
        }
        chunks = await self._database.find("chunks", {"run": {"$in": list(found)}}, ["_id"])
        names = [each["_id"] for each in chunks]
        await self._delete("chunks", [n for n in names if n.rpartition("#")[0] not in used])

    async def _delete(self, collection: str, names: Sequence[str]) -> None:
        for some in _slices(names, _AT_ONCE):
            await self._database.delete(collection, {"_id": {"$in": some}})

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except Away as error:
            label = self._database.label
            raise JournalError(f"the journal {label} cannot be pruned: {error}") from error


def _slices(values: Sequence[str], most: int) -> Iterator[list[str]]:
    for first in range(0, len(values), most):
        yield list(values[first : first + most])


def _uses(document: _Document) -> Iterable[Use]:
    who = (document["of"], document["attempt"])
    kept = set(document.get("kept", ()))
    used = [("read", key) for key in document.get("reads", ())]
    used += [("write", key) for key in document.get("writes", ())]
    for n, (mode, key) in enumerate(used):
        is_kept = mode == "write" and key in kept
        yield Use(key, document["at"], document["run"], document["seq"], n, mode, *who, is_kept)


def _stays(event: _Document, plan: Pruning) -> bool:
    return plan.keeps(event["kind"], event.get("attempt"))


def _last(events: Sequence[_Document]) -> _Document | None:
    """The event that says where the run stands."""
    return next((each for each in reversed(events) if "state" in each), None)


def _is_over(events: Sequence[_Document], when: float) -> bool:
    """Whether these are of a run that ended before, or what is left of one."""
    last = _last(events)
    if last is None or events[0]["seq"] != 0:
        return True
    return RunState(last["state"]) in _OVER and bool(last["at"] < when)
