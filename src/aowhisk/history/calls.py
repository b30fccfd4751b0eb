"""The calls of a run, folded out of its events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

from aowhisk.events.model import (
    Accepted,
    CallAbandoned,
    CallEvent,
    CallFailed,
    Cause,
    Ended,
    Event,
    Intended,
)
from aowhisk.history.values import CallState, CallSummary

__all__ = ["summaries", "time_of"]


def time_of(at: float) -> datetime:
    """An aware UTC time from epoch seconds."""
    return datetime.fromtimestamp(at, tz=UTC)


def summaries(events: Iterable[Event]) -> list[CallSummary]:
    """One a call, in the order in which they were begun."""
    found: dict[tuple[str, str], CallSummary] = {}
    for event in events:
        if isinstance(event, CallEvent):
            ref = (event.of, event.call)
            known = found.get(ref) or CallSummary(event.of, event.call, "", CallState.OPEN)
            found[ref] = _after(known, event)
    return list(found.values())


def _after(call: CallSummary, event: CallEvent) -> CallSummary:
    match event:
        case Intended():
            call = replace(
                call,
                action=event.action,
                attempts=call.attempts + 1,
                started=call.started or event.time,
            )
            return call if call.state is CallState.SUCCEEDED else _reopened(call)
        case Accepted():
            return replace(call, activation=event.activation_id)
        case Ended():
            return _ended(call, event)
        case CallFailed() if call.state is not CallState.SUCCEEDED:
            return replace(
                call,
                state=CallState.FAILED,
                ended=event.time,
                error_class=event.error_class,
                error=event.error,
            )
        case CallAbandoned() if call.state is not CallState.SUCCEEDED:
            return replace(call, state=CallState.ABANDONED, ended=event.time, error=event.reason)
    return call


def _ended(call: CallSummary, event: Ended) -> CallSummary:
    call = replace(call, action=event.action)
    if event.activation is not None:
        call = replace(call, activation=event.activation.id)
    if not event.final or call.state is CallState.SUCCEEDED:
        return call  # its first result stands
    if event.cause is Cause.RECOVERY and event.of == event.run and event.error is not None:
        return call
    failed = event.error is not None
    return replace(
        call,
        state=CallState.FAILED if failed else CallState.SUCCEEDED,
        ended=event.time,
        error_class=event.error_class if failed else None,
        error=event.error,
    )


def _reopened(call: CallSummary) -> CallSummary:
    return replace(call, state=CallState.OPEN, ended=None, error_class=None, error=None)
