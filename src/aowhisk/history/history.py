"""Questions to a journal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from aowhisk.errors import ConfigError
from aowhisk.events import Journal, MemoryJournal, open_journal
from aowhisk.events.model import Event, RunState
from aowhisk.events.sqlite import SqliteJournal
from aowhisk.history.source import MemorySource, Period, Source
from aowhisk.history.sqlite import SqliteSource
from aowhisk.history.values import CallSummary, FailureClass, ObjectUse, RunSummary, Sample
from aowhisk.telemetry import Telemetry

__all__ = ["History"]


class History:
    """What a journal knows of its runs: `async with History.open("sqlite:///path") as history`.

    It only reads, and does not hold up who writes. Times are aware datetimes (naive ones are
    refused), sizes bytes, durations seconds. Every question goes over an index. Raises JournalError
    where the journal cannot be read.
    """

    def __init__(self, source: Source) -> None:
        self._source = source

    @classmethod
    @asynccontextmanager
    async def open(cls, where: Journal | str) -> AsyncIterator[History]:
        """The history of a journal, or of the URL of one. Of a journal that is open here, all that
        was put is seen. Raises ConfigError where there is none to be read."""
        journal = open_journal(where)
        if isinstance(journal, MemoryJournal):
            yield cls(MemorySource(journal))
        elif isinstance(journal, SqliteJournal):
            before = None if isinstance(where, str) else journal.commit
            async with SqliteSource.open(journal.path, before=before) as source:
                yield cls(source)
        else:
            async with _mongo_source(journal) as other:
                yield cls(other)

    async def runs(
        self,
        *,
        name: str | None = None,
        state: RunState | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
    ) -> list[RunSummary]:
        """The runs of that name and in that state that were started from `since` on and before
        `until` (None: any), newest first, `limit` at most."""
        return await self._source.runs(name, state, _period(since, until), limit)

    async def calls(self, run: str) -> list[CallSummary]:
        """The calls of a run, in the order in which they were begun; none for an unknown run."""
        return await self._source.calls(run)

    async def events(self, run: str) -> tuple[Event, ...]:
        """Everything that is known of a run, in order; empty for an unknown run."""
        return await self._source.events(run)

    async def telemetry(self, run: str) -> Telemetry:
        """Where the time, the requests and the money of a run went; all 0 for an unknown run."""
        return Telemetry.of(await self._source.events(run))

    async def who_wrote(self, key: str, *, limit: int = 100) -> list[ObjectUse]:
        """The attempts of all runs that wrote the object "bucket/name", or had declared to, newest
        first."""
        return await self._source.objects(key, "write", limit)

    async def who_read(self, key: str, *, limit: int = 100) -> list[ObjectUse]:
        """The attempts of all runs that read the object "bucket/name", newest first, each with the
        writer that it saw."""
        return await self._source.objects(key, "read", limit)

    async def failures(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        examples: int = 3,
    ) -> list[FailureClass]:
        """What failed from `since` on and before `until` (None: any time), by class of error, most
        frequent first, each with its newest `examples`."""
        return await self._source.failures(_period(since, until), examples)

    async def activations(self, action: str, *, near: int = 0, limit: int = 200) -> list[Sample]:
        """Successful activations of an action, those that read about as many bytes as `near` first:
        how long an input of that size takes. Of the same size, newer ones come first from `near`
        on."""
        return await self._source.activations(action, near, limit)


@asynccontextmanager
async def _mongo_source(journal: Journal) -> AsyncIterator[Source]:
    try:  # without its library no journal is of this kind
        from aowhisk.events.mongo import MongoJournal
        from aowhisk.history.mongo import MongoSource
    except ImportError:
        raise _unknown(journal) from None
    if not isinstance(journal, MongoJournal):
        raise _unknown(journal)
    async with MongoSource.open(journal) as source:
        yield source


def _unknown(journal: Journal) -> ConfigError:
    return ConfigError(f"history reads memory:, sqlite: and mongodb: journals, not {journal!r}")


def _period(since: datetime | None, until: datetime | None) -> Period:
    for time in (since, until):
        if time is not None and time.tzinfo is None:
            raise ValueError(f"{time!r} has no time zone; say datetime(..., tzinfo=UTC)")
    every = Period()
    return Period(
        every.since if since is None else since.timestamp(),
        every.until if until is None else until.timestamp(),
    )
