"""The documents of `runs`: where each run stands, as an index of the events that say so.

Before an event starts or takes a run, the document of the run says that it is open; after an event
ended or interrupted the run, it says that. So a process may die between any two writes, and a
document only ever says "open" for too long. Those that do are checked against the events when they
are read, and set right. No document is overwritten by what is known of an earlier event.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aowhisk.events.codec import clean
from aowhisk.events.model import Event, RunEnded, RunInterrupted, RunStarted, RunState, Taken
from aowhisk.events.mongo_database import Database
from aowhisk.events.sink import RunInfo

__all__ = ["Change", "Runs", "change_of", "clip"]

_STATES = [state.value for state in RunState]
_OPEN = {RunState.QUEUED.value, RunState.RUNNING.value}
_DOUBTFUL = {*_OPEN, RunState.INTERRUPTED.value}
_AT_ONCE = 1000  # runs in one query
_CLIP, _LABELS = 1000, 1000  # characters of a name, and labels, in the document of a run


@dataclass(frozen=True, slots=True)
class Change:
    """What an event changes in the document of its run; `starts` and `stops` say which kind of
    event it is, neither that it is Taken."""

    run: str
    fields: Mapping[str, Any]
    starts: bool = False
    stops: bool = False

    @property
    def marks(self) -> dict[str, Any]:
        """What the document of the event has of it, to be found by."""
        return {name: self.fields[name] for name in ("state", "name") if name in self.fields}


def change_of(event: Event, seq: int) -> Change | None:
    """What an event, its number being `seq`, changes in the document of its run."""
    match event:
        case RunStarted():
            state = RunState.QUEUED if event.queued else RunState.RUNNING
            labels = [{"name": clip(k), "value": clip(v)} for k, v in event.labels.items()]
            more = {"name": clip(event.name), "labels": labels[:_LABELS], "started": event.at}
            return Change(event.run, {**_fields(state, None, seq), **more}, starts=True)
        case Taken():
            return Change(event.run, _fields(RunState.RUNNING, None, seq))
        case RunInterrupted(queued=True):
            return Change(event.run, _fields(RunState.QUEUED, None, seq))
        case RunInterrupted():
            fields = _fields(RunState.INTERRUPTED, event.at, seq)
            return Change(event.run, fields, stops=True)
        case RunEnded():
            return Change(event.run, _fields(event.state, event.at, seq), stops=True)
    return None


class Runs:
    """The collection `runs` of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def announce(self, changes: Sequence[Change]) -> set[str]:
        """Say of runs that they are open, before the events that make them so are written. Gives
        back those of which it was said before, perhaps by another and with another name."""
        first = [each for each in changes if each.starts]
        documents = [{"_id": each.run, "run": each.run, **each.fields} for each in first]
        known = await self._database.insert("runs", documents, ordered=False)
        taken = [
            ({"_id": each.run, "seq": {"$lt": each.fields["seq"]}}, {"$set": each.fields})
            for each in changes
            if not each.starts and not each.stops
        ]
        await self._database.update("runs", taken)
        return {first[n].run for n in known}

    async def settle(self, changes: Iterable[Change], unsure: set[str]) -> None:
        """Say where runs stand now that these events are durable."""
        fields: dict[str, dict[str, Any]] = {}
        for each in changes:
            if each.stops or each.run in unsure:
                fields.setdefault(each.run, {}).update(each.fields)
        await self._set_right(fields)

    async def find(self, states: set[str]) -> list[RunInfo]:
        """The runs in these states, oldest first."""
        doubtful = _OPEN if states <= _OPEN else _DOUBTFUL
        query = {"state": {"$in": sorted(states | doubtful)}}
        documents = await self._database.find("runs", query)
        truth = await self._truth(documents)
        known = {each["_id"]: each["seq"] for each in documents}
        await self._set_right(
            {run: each for run, each in truth.items() if each["seq"] != known[run]}
        )
        infos = [_info(each) for each in _righted(documents, truth) if each["state"] in states]
        return sorted(infos, key=lambda info: info.started)

    async def newest(
        self, query: Mapping[str, Any], state: str | None, limit: int
    ) -> list[dict[str, Any]]:
        """The documents that a query finds, as they should be, of runs in this state (None: in
        any), those that started last first. Changes nothing."""
        doubtful = {} if state is None else {"state": {"$in": sorted({state, *_DOUBTFUL})}}
        most = limit
        while True:
            documents = await self._database.find(
                "runs", {**query, **doubtful}, sort=[("started", -1)], limit=most
            )
            found = _righted(documents, await self._truth(documents))
            wanted = [each for each in found if state is None or each["state"] == state]
            if len(wanted) >= limit or len(documents) < most:
                return wanted[:limit]
            most *= 4  # some of these were not what they said, or only doubtful

    async def _truth(self, documents: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """The fields that those of these documents which may be wrong should have, by the events of
        their runs."""
        runs = [each["_id"] for each in documents if each["state"] in _DOUBTFUL]
        wanted = ["run", "seq", "at", "state", "name"]
        truth: dict[str, dict[str, Any]] = {}
        for n in range(0, len(runs), _AT_ONCE):
            query = {"state": {"$in": _STATES}, "run": {"$in": list(runs[n : n + _AT_ONCE])}}
            for each in await self._database.find("events", query, wanted, sort=[("seq", 1)]):
                state = RunState(each["state"])
                ended = None if each["state"] in _OPEN else each["at"]
                known = truth.setdefault(each["run"], {})
                known.update(_fields(state, ended, each["seq"]))
                if "name" in each:  # it is the first
                    known.update(name=each["name"], started=each["at"])
        return truth

    async def _set_right(self, fields: Mapping[str, Mapping[str, Any]]) -> None:
        changes = [
            ({"_id": run, "seq": {"$lte": each["seq"]}}, {"$set": each})
            for run, each in fields.items()
        ]
        await self._database.update("runs", changes)


def _righted(
    documents: Iterable[Mapping[str, Any]], truth: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The documents as they should be, without runs whose first event was never written."""
    return [
        {**each, **truth.get(each["_id"], {})}
        for each in documents
        if each["_id"] in truth or each["state"] not in _DOUBTFUL
    ]


def _fields(state: RunState, ended: float | None, seq: int) -> dict[str, Any]:
    return {"state": state.value, "ended": ended, "seq": seq}


def clip(text: str) -> str:
    """A name or a label as the document of a run has it."""
    return clean(text[:_CLIP])


def _info(document: Mapping[str, Any]) -> RunInfo:
    return RunInfo(
        document["_id"],
        document["name"],
        RunState(document["state"]),
        document["started"],
        document["ended"],
    )
