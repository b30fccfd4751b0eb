"""Replay: what a run had come to, from its events alone.

A pure function; any prefix of a run's events gives a state from which the run can go on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aowhisk import errors
from aowhisk.errors import AowhiskError, JournalError
from aowhisk.events.model import (
    Accepted,
    CallAbandoned,
    CallEvent,
    CallFailed,
    Cause,
    Ended,
    Event,
    Expanded,
    Intended,
    Renewed,
    Retrying,
    RunStarted,
    RunState,
    ShelvedEnd,
    Taken,
    state_of,
)
from aowhisk.lineage import CallRecord, CallRef, Lineage
from aowhisk.models import JSON, Abandoned, Failed, Outcome, Shelved, Succeeded
from aowhisk.retry import RetryPolicy, Terms
from aowhisk.telemetry import Tape

__all__ = ["History", "Pending", "record_of", "replay"]

_USUAL = Terms()


@dataclass(frozen=True, slots=True)
class Pending:
    """An attempt that was about to be sent and of which no end is known. `activation_id` is None
    where not even that is known: perhaps it was never sent. `at` is epoch seconds: when it was
    about to be sent, for the last time."""

    intended: Intended
    activation_id: str | None = None
    renewed: float = 0.0

    @property
    def at(self) -> float:
        """When it was about to be sent."""
        return max(self.renewed, self.intended.at)


@dataclass(slots=True)
class History:
    """What a run had come to.

    `items` are those of the maps that were expanded; `outcomes` the calls of this run that ended;
    `pending` the attempts that may still be running, of whatever run's calls; `tries` and
    `failures` how often a call was attempted, and tried again after an error; `lineage` all that
    was read and written.
    """

    started: RunStarted
    state: RunState = RunState.RUNNING
    count: int = 0
    ended: float | None = None
    items: dict[str, tuple[JSON, ...]] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    params: dict[str, JSON] = field(default_factory=dict)
    pending: dict[CallRef, Pending] = field(default_factory=dict)
    tries: Counter[CallRef] = field(default_factory=Counter)
    failures: Counter[CallRef] = field(default_factory=Counter)
    lineage: Lineage = field(default_factory=Lineage)
    tape: Tape = field(default_factory=Tape)
    """What its telemetry is made of."""
    doubtful: set[str] = field(default_factory=set)
    """Calls that must not be sent twice and may have been: what became of them is not known."""

    def without_failures(self) -> History:
        """The same, going on: the failed and abandoned calls are to be tried again from their
        beginning, but for those that must not be sent twice and may have been."""
        for call, outcome in list(self.outcomes.items()):
            if not isinstance(outcome, Succeeded) and call not in self.doubtful:
                ref = CallRef(self.started.run, call)
                del self.outcomes[call]
                self.failures.pop(ref, None)
        self.state, self.ended = RunState.RUNNING, None
        return self


def replay(events: Sequence[Event]) -> History:
    """What the events of one run, in order, say. Raises JournalError where they do not begin as a
    run does."""
    if not events or not isinstance(events[0], RunStarted):
        raise JournalError(
            "these are not the events of a run: the first is no run_started; pruning leaves only "
            "the lineage of old runs, and their ids cannot be used again"
        )
    history = History(events[0], count=len(events))
    intents: dict[str, Intended] = {}
    for event in events:
        _apply(history, intents, event)
        history.tape.receive(event)
    return history


def record_of(intended: Intended) -> CallRecord:
    """How to run a call again, from the intent of one of its attempts."""
    return CallRecord(
        ref=CallRef(intended.of, intended.call),
        action=intended.action,
        params=intended.params,
        idempotent=intended.idempotent,
        protocol=intended.protocol,
        ownership="shared" if intended.ownership == "shared" else "last",
        declared_reads=intended.reads,
        declared_writes=intended.writes,
        terms=_terms(intended),
    )


def _terms(intended: Intended) -> Terms:
    if intended.retry is None and intended.timeout is None:
        return _USUAL
    return Terms(RetryPolicy.from_json(intended.retry or {}), intended.timeout)


def _apply(history: History, intents: dict[str, Intended], event: Event) -> None:
    if isinstance(event, Ended):
        _end(history, intents.get(event.attempt), event)
    elif isinstance(event, Intended):
        intents[event.attempt] = event
        _intend(history, event)
    elif isinstance(event, CallEvent):
        _apply_to_call(history, event)
    elif isinstance(event, Expanded):
        history.items[event.node] = event.items
    elif isinstance(event, Taken) and history.state is RunState.FAILED:
        history.without_failures()
    else:
        state, ended = state_of([event], history.state)
        if state is not history.state or ended is not None:
            history.state, history.ended = state, ended


def _apply_to_call(history: History, event: CallEvent) -> None:
    match event:
        case Accepted():
            _accept(history, event)
        case Renewed():
            _renew(history, event)
        case Retrying():
            history.failures[CallRef(event.of, event.call)] += 1
        case CallFailed():
            _fail(history, event)
        case CallAbandoned() if event.of == event.run:
            lost = Abandoned(event.call, "", event.reason)
            history.outcomes.setdefault(event.call, lost)


def _intend(history: History, event: Intended) -> None:
    ref = CallRef(event.of, event.call)
    history.pending[ref] = Pending(event)
    history.tries[ref] += 1
    if event.of == event.run:
        history.params.setdefault(event.call, event.params)
        if not isinstance(history.outcomes.get(event.call), Succeeded):
            history.outcomes.pop(event.call, None)  # a resumed run tries again what had failed


def _renew(history: History, event: Renewed) -> None:
    ref = CallRef(event.of, event.call)
    pending = history.pending.get(ref)
    if pending is not None and pending.intended.attempt == event.attempt:
        history.pending[ref] = Pending(pending.intended, pending.activation_id, event.at)


def _accept(history: History, event: Accepted) -> None:
    ref = CallRef(event.of, event.call)
    pending = history.pending.get(ref)
    if pending is not None and pending.intended.attempt == event.attempt:
        history.pending[ref] = Pending(pending.intended, event.activation_id)


def _end(history: History, intended: Intended | None, event: Ended) -> None:
    ref = CallRef(event.of, event.call)
    pending = history.pending.get(ref)
    if pending is not None and pending.intended.attempt == event.attempt:
        del history.pending[ref]
    if intended is not None:
        history.lineage.record(
            record_of(intended),
            event.attempt,
            reads=event.reads if event.reported else None,
            writes=event.writes if event.reported else None,
            succeeded=event.error is None,
        )
    is_own = event.of == event.run and event.cause is not Cause.RECOVERY
    if not is_own or not event.final:
        return
    if event.error is None:
        history.outcomes.setdefault(event.call, _success(event, history.tries[ref]))
    else:
        if intended is not None and not intended.idempotent and _is_doubtful(event):
            history.doubtful.add(event.call)
        error = _error(event, history.tries[ref])
        history.outcomes[event.call] = Failed(
            call=event.call,
            action=event.action,
            error=error,
            activation=event.activation,
            attempts=history.tries[ref],
        )


def _success(event: Ended, tries: int) -> Succeeded:
    if isinstance(event, ShelvedEnd):
        return Shelved(event.call, event.action, event.read, event.activation, tries)
    return Succeeded(event.call, event.action, event.result, event.activation, tries)


def _is_doubtful(event: Ended) -> bool:
    """Whether nobody knows what became of the attempt."""
    return event.activation is None and event.error_class in ("Lost", "TimedOut")


def _fail(history: History, event: CallFailed) -> None:
    if event.of != event.run or isinstance(history.outcomes.get(event.call), Succeeded):
        return  # a writer that was run again: its first result stands
    tries = history.tries[CallRef(event.of, event.call)]
    error = _error(event, tries)
    history.outcomes[event.call] = Failed(event.call, "", error, attempts=tries)


def _error(event: Ended | CallFailed, attempts: int) -> AowhiskError:
    """The error that the event tells of; where what is known does not make one of its class, one of
    the nearest class that it makes."""
    attempt = {
        "action": getattr(event, "action", ""),
        "call": event.call,
        "activation": getattr(event, "activation", None),
        "attempts": attempts,
    }
    facts = event.error_facts if isinstance(event.error_facts, Mapping) else {}
    for cls in _classes(event.error_class):
        more = attempt if issubclass(cls, errors.ActivationFailed) else {}
        try:
            return cls(event.error or "", **facts, **more)
        except TypeError:  # of an older version, which kept no facts
            facts = {}
    return AowhiskError(event.error or "")


def _classes(name: str | None) -> list[type[AowhiskError]]:
    """The class of that name and those that it is derived from."""
    named = getattr(errors, name or "", None)
    if not isinstance(named, type):
        return []
    return [cls for cls in named.__mro__ if issubclass(cls, AowhiskError)]
