"""Events as rows of the SQLite journal and back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from aowhisk.errors import JournalError
from aowhisk.events.codec import clean, dumps, from_json, to_json
from aowhisk.events.model import (
    Ended,
    Event,
    Intended,
    RunEnded,
    RunInterrupted,
    RunStarted,
    RunState,
    ShelvedEnd,
    Taken,
)
from aowhisk.events.shelf import LARGE, Kept, SqliteShelf
from aowhisk.events.sink import Written
from aowhisk.events.writer import Hold

__all__ = ["SELECT", "Row", "event_of", "events_of", "row_of", "written_of"]

_BREATH = 50  # events made of rows before others may run: about 1 ms
_STARTED = "INSERT OR IGNORE INTO runs VALUES (?,?,?,?,?,NULL)"
_MARKS = (RunStarted, Taken, RunEnded, RunInterrupted)  # what changes the row of a run
_STATE = "UPDATE runs SET state = ?, ended = ? WHERE run = ?"


class Row(NamedTuple):
    """An event as it is written: its body as JSON, what goes into `objects` for it (key first, then
    what follows `n`), and statements for the other tables; and its result, if that is large."""

    hold: Hold
    seq: int
    event: Event
    body: str
    objects: tuple[tuple[Any, ...], ...] = ()
    updates: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    kept: Kept | None = None

    @property
    def columns(self) -> tuple[Any, ...]:
        """The row of `events`."""
        event = self.event
        who = (getattr(event, "call", None), getattr(event, "attempt", None))
        return (event.run, self.seq, event.at, event.kind, *who, self.body)


def row_of(event: Event, hold: Hold, seq: int, declared: tuple[str, ...]) -> Row:
    """The row of an event, its number being `seq`; `declared` are the keys that its attempt said to
    write."""
    body = dumps(to_json(event))
    if not isinstance(event, Ended):
        return Row(hold, seq, event, body, (), _updates(event) if isinstance(event, _MARKS) else ())
    kept = Kept(event.result) if len(body) > LARGE else None
    return Row(hold, seq, event, body, _objects(event, declared), (), kept)


def event_of(kind: str, run: str, at: float, body: str) -> Event:
    """The event of a row."""
    return from_json(kind, run, at, json.loads(body))


SELECT = f"""SELECT kind, run, at,
  iif(kind = 'ended' AND length(body) > {LARGE}, json_remove(body, '$.result'), body),
  iif(kind = 'ended' AND length(body) > {LARGE}, seq, NULL) FROM events"""
"""The rows that `events_of` takes."""


async def events_of(rows: Sequence[tuple[Any, ...]], shelf: SqliteShelf) -> tuple[Event, ...]:
    """The events of rows, however many, without their large results; others run meanwhile."""
    events = []
    for n, (*row, seq) in enumerate(rows):
        event = event_of(*row)
        read = None if seq is None else shelf.at(event.run, seq)
        if read is not None and isinstance(event, Ended):
            event = ShelvedEnd(event, read)
        events.append(event)
        if n % _BREATH == 0:
            await asyncio.sleep(0)
    return tuple(events)


def written_of(rows: tuple[Any, Any]) -> Written:
    """An attempt, of the rows of its intent and of its end."""
    intended, ended = event_of(*rows[0]), event_of(*rows[1])
    if not isinstance(intended, Intended) or not isinstance(ended, Ended):
        raise JournalError("an attempt's rows in the journal are not its intent and its end")
    return Written(intended, ended)


def _objects(event: Ended, declared: tuple[str, ...]) -> tuple[tuple[Any, ...], ...]:
    if not (event.reads or event.writes or declared):
        return ()
    who = (event.of, event.call, event.attempt)
    reads = [(clean(r.key), "read", *who, r.size, r.etag, r.by) for r in event.reads]
    writes = [(clean(w.key), "write", *who, w.size, w.etag, w.by) for w in event.writes]
    unseen = () if event.reported else declared  # perhaps named by an earlier result, unchecked
    return (*reads, *writes, *((clean(k), "write", *who, None, None, None) for k in unseen))


def _updates(event: Event) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    if isinstance(event, RunStarted):
        state = RunState.QUEUED if event.queued else RunState.RUNNING
        labels = json.dumps(dict(event.labels))
        return ((_STARTED, (event.run, event.name, state.value, labels, event.at)),)
    if isinstance(event, Taken):
        return ((_STATE, (RunState.RUNNING.value, None, event.run)),)
    if isinstance(event, RunEnded):
        return ((_STATE, (event.state.value, event.at, event.run)),)
    if isinstance(event, RunInterrupted) and event.queued:
        return ((_STATE, (RunState.QUEUED.value, None, event.run)),)
    if isinstance(event, RunInterrupted):
        return ((_STATE, (RunState.INTERRUPTED.value, event.at, event.run)),)
    return ()
