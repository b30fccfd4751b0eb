"""The calls of a run, folded out of what happened to them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from aowhisk.events.model import CallEvent, Cause
from aowhisk.history.values import CallState, CallSummary

__all__ = ["Calls", "Step", "step_of", "time_of"]


class Step(NamedTuple):
    """What an event says of a call, in short. `kind` is the event's, `run` the call's own run;
    `is_repair` says that a call of the recorded run itself was run again to restore objects."""

    kind: str
    at: float
    run: str
    call: str
    action: str | None = None
    is_repair: bool = False
    is_final: bool = True
    error: str | None = None
    error_class: str | None = None
    activation: str | None = None


def step_of(event: CallEvent) -> Step:
    """The same, out of the event itself."""
    activation = getattr(event, "activation", None)
    known = getattr(event, "activation_id", None) if activation is None else activation.id
    return Step(
        kind=event.kind,
        at=event.at,
        run=event.of,
        call=event.call,
        action=getattr(event, "action", None),
        is_repair=getattr(event, "cause", None) is Cause.RECOVERY and event.of == event.run,
        is_final=getattr(event, "final", True),
        error=getattr(event, "error", None) or getattr(event, "reason", None),
        error_class=getattr(event, "error_class", None),
        activation=known,
    )


def time_of(at: float) -> datetime:
    """An aware UTC time from epoch seconds."""
    return datetime.fromtimestamp(at, tz=UTC)


class Calls:
    """The calls of a run, as far as the steps have come."""

    def __init__(self, steps: Iterable[Step] = ()) -> None:
        self._found: dict[tuple[str, str], _Call] = {}
        for step in steps:
            self.take(step)

    def take(self, step: Step) -> None:
        """Go on by one step."""
        ref = (step.run, step.call)
        call = self._found.get(ref)
        if call is None:
            call = self._found[ref] = _Call()
        call.take(step)

    def summaries(self) -> list[CallSummary]:
        """One a call, in the order in which they were begun."""
        return [call.summary(*ref) for ref, call in self._found.items()]


@dataclass(slots=True)
class _Call:
    """A call, as far as the steps have come."""

    action: str = ""
    state: CallState = CallState.OPEN
    attempts: int = 0
    started: float | None = None
    ended: float | None = None
    activation: str | None = None
    error_class: str | None = None
    error: str | None = None

    def take(self, step: Step) -> None:
        """Go on by one step; of a call that succeeded, the first result stands."""
        self.action = step.action or self.action
        self.activation = step.activation or self.activation
        if step.kind == "intended":
            self.attempts += 1
            if self.started is None:
                self.started = step.at
        if self.state is CallState.SUCCEEDED:
            return
        match step.kind:
            case "intended":
                self._stand(CallState.OPEN)
            case "ended" if step.is_final and step.error is None:
                self._stand(CallState.SUCCEEDED, step.at)
            case "ended" if step.is_final and not step.is_repair:
                self._stand(CallState.FAILED, step.at, step)
            case "call_failed":
                self._stand(CallState.FAILED, step.at, step)
            case "call_abandoned":
                self._stand(CallState.ABANDONED, step.at, step)

    def _stand(self, state: CallState, at: float | None = None, why: Step | None = None) -> None:
        self.state, self.ended = state, at
        self.error = why.error if why is not None else None
        self.error_class = why.error_class if why is not None else None

    def summary(self, run: str, call: str) -> CallSummary:
        """The same, as it is handed out."""
        return CallSummary(
            run=run,
            call=call,
            action=self.action,
            state=self.state,
            attempts=self.attempts,
            started=None if self.started is None else time_of(self.started),
            ended=None if self.ended is None else time_of(self.ended),
            activation=self.activation,
            error_class=self.error_class,
            error=self.error,
        )
