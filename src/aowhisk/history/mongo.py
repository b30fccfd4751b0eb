"""The history in a journal's MongoDB database.

Each question is one query over an index; runs that are said to be open cost one more, which looks
at their events, and failures one more a class, for the examples.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from aowhisk.errors import JournalError
from aowhisk.events.codec import clean
from aowhisk.events.model import CallEvent, CallFailed, Cause, Ended, Event, RunState
from aowhisk.events.mongo import MongoJournal
from aowhisk.events.mongo_database import Database
from aowhisk.events.mongo_events import BREATH, Events
from aowhisk.events.mongo_runs import Runs, clip
from aowhisk.events.mongo_schema import existing
from aowhisk.events.writer import Away
from aowhisk.history.calls import Calls, Step, step_of, time_of
from aowhisk.history.source import Mode, Period, uses_of
from aowhisk.history.values import (
    CallSummary,
    FailureClass,
    FailureExample,
    ObjectUse,
    RunSummary,
    Sample,
)

__all__ = ["MongoSource"]

_UNUSED = ("body.result", "body.params", "body.items", "body.dag")
_SAMPLE = ["bytes_read", "duration_ms", "init_ms", "at", "run"]


class MongoSource:
    """Reads an open database; `before` is awaited before each question, None for nothing."""

    def __init__(
        self, database: Database, before: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self._database = database
        self._events = Events(database)
        self._runs = Runs(database)
        self._before = before

    @classmethod
    @asynccontextmanager
    async def open(cls, journal: MongoJournal) -> AsyncIterator[MongoSource]:
        """The source of a journal, which is left as open or closed as it is. Raises ConfigError
        where there is none; one of an older version is brought up to date."""
        before = journal.commit if journal.database.is_open else None
        async with existing(journal.database) as database:
            yield cls(database, before)

    async def runs(
        self, name: str | None, state: RunState | None, period: Period, limit: int
    ) -> list[RunSummary]:
        """Newest first."""
        if limit < 1:
            return []
        query: dict[str, Any] = {"started": _between(period)}
        if name is not None:
            query["name"] = clip(name)
        async with self._asking():
            found = await self._runs.newest(query, None if state is None else state.value, limit)
        return [_summary(each) for each in found]

    async def events(self, run: str) -> tuple[Event, ...]:
        """In order."""
        async with self._asking():
            return tuple(await self._events.find({"run": run}, [("seq", 1)]))

    async def calls(self, run: str) -> list[CallSummary]:
        """In the order in which they were begun."""
        query, calls = {"run": run, "call": {"$exists": True}}, Calls()
        async with self._asking():
            documents = await self._database.find(
                "events", query, without=_UNUSED, sort=[("seq", 1)]
            )
            for n, document in enumerate(documents):
                calls.take(await self._step(document))
                if n % BREATH == 0:
                    await asyncio.sleep(0)
        return calls.summaries()

    async def objects(self, key: str, mode: Mode, limit: int) -> list[ObjectUse]:
        """Newest first."""
        if limit < 1:
            return []
        query: dict[str, Any] = {f"{mode}s": clean(key)}
        if mode == "write":
            query["kept"] = {"$ne": clean(key)}
        async with self._asking():
            ends = await self._events.find(query, [("at", -1)], without=_UNUSED, limit=limit)
        uses = [use for end in ends if isinstance(end, Ended) for use in _uses(end, key, mode)]
        return uses[:limit]

    async def failures(self, period: Period, examples: int) -> list[FailureClass]:
        """Most frequent first."""
        failed = {"body.error_class": {"$exists": True}, "at": _between(period)}
        is_attempt = {"$eq": ["$kind", Ended.kind]}
        counts = {
            "_id": "$body.error_class",
            "attempts": {"$sum": {"$cond": [is_attempt, 1, 0]}},
            "calls": {"$sum": {"$cond": [{"$eq": ["$body.final", False]}, 0, 1]}},
            "last": {"$max": "$at"},
        }
        async with self._asking():
            groups = await self._database.aggregate(
                "events", [{"$match": failed}, {"$group": counts}]
            )
            found = [
                FailureClass(
                    each["_id"],
                    int(each["attempts"]),
                    int(each["calls"]),
                    time_of(each["last"]),
                    await self._examples(each["_id"], period, examples),
                )
                for each in groups
            ]
        return sorted(found, key=lambda each: (-each.attempts - each.calls, each.error_class))

    async def activations(self, action: str, near: int, limit: int) -> list[Sample]:
        """Nearest in bytes read first."""
        if limit < 1:
            return []
        sides = (
            ({"$gte": near}, [("bytes_read", 1), ("at", -1)]),
            ({"$lt": near}, [("bytes_read", -1), ("at", 1)]),
        )
        found = []
        async with self._asking():
            for size, sort in sides:
                query = {"body.action": action, "bytes_read": size}
                found += await self._database.find("events", query, _SAMPLE, sort=sort, limit=limit)
        samples = [_sample(each) for each in found]
        return sorted(samples, key=lambda each: abs(each.bytes_read - near))[:limit]

    async def _examples(self, name: str, period: Period, most: int) -> tuple[FailureExample, ...]:
        if most < 1:
            return ()
        query = {"body.error_class": name, "at": _between(period)}
        found = await self._events.find(query, [("at", -1)], without=_UNUSED, limit=most)
        return tuple(
            FailureExample(each.run, each.call, each.time, each.error or "")
            for each in found
            if isinstance(each, Ended | CallFailed)
        )

    async def _step(self, document: Mapping[str, Any]) -> Step:
        if "json" in document or "chunks" in document:
            event = await self._events.event(document)
            assert isinstance(event, CallEvent)
            return step_of(event)
        body = document["body"]
        of = body.get("of")
        activation = body.get("activation") or {}
        return Step(
            kind=document["kind"],
            at=document["at"],
            run=of or document["run"],
            call=document["call"],
            action=body.get("action"),
            is_repair=of is None and body.get("cause") == Cause.RECOVERY.value,
            is_final=body.get("final", True),
            error=body.get("error") or body.get("reason"),
            error_class=body.get("error_class"),
            activation=activation.get("id") or body.get("activation_id"),
        )

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        if self._before is not None:
            await self._before()
        with _told(self._database.label):
            yield


@contextmanager
def _told(label: str) -> Iterator[None]:
    try:
        yield
    except Away as error:
        raise JournalError(f"the journal {label} cannot be read: {error}") from error


def _between(period: Period) -> dict[str, float]:
    return {"$gte": period.since, "$lt": period.until}


def _uses(end: Ended, key: str, mode: Mode) -> Iterator[ObjectUse]:
    """An attempt that was found to have written what it did not tell had declared it."""
    told = any(record.key == key for record in end.writes)
    return uses_of(end, () if told else (key,), key, mode)


def _summary(document: Mapping[str, Any]) -> RunSummary:
    ended = document["ended"]
    return RunSummary(
        document["_id"],
        document["name"],
        RunState(document["state"]),
        time_of(document["started"]),
        None if ended is None else time_of(ended),
        {each["name"]: each["value"] for each in document.get("labels", ())},
    )


def _sample(document: Mapping[str, Any]) -> Sample:
    duration, init = document["duration_ms"], document.get("init_ms")
    return Sample(
        document["bytes_read"],
        (duration - (init or 0)) / 1000,
        None if init is None else init / 1000,
        time_of(document["at"]),
        document["run"],
    )
