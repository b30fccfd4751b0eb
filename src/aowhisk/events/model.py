"""The facts of a run, as values. Whoever keeps all events of a run can say everything about it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Any, ClassVar

from aowhisk.models import JSON, Activation
from object_store.wire import IORecord

__all__ = [
    "Accepted",
    "CallAbandoned",
    "CallFailed",
    "Cause",
    "Diverged",
    "Ended",
    "Event",
    "Expanded",
    "Intended",
    "JournalAway",
    "JournalBack",
    "ObjectsMissing",
    "Recovered",
    "RecoveryPlanned",
    "Renewed",
    "Requests",
    "Retrying",
    "RunEnded",
    "RunInterrupted",
    "RunStarted",
    "RunState",
    "ShelvedEnd",
    "Taken",
    "Throttled",
    "now",
    "state_of",
]


def now() -> float:
    """The wall clock of an event: epoch seconds."""
    return time.time()


class RunState(Enum):
    """Where a run stands. A queued one waits for whoever serves."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    CANCELLED = "cancelled"


class Cause(Enum):
    """Why an attempt is made."""

    FIRST = "first"
    RETRY = "retry"
    RERUN = "rerun"  # of a consumer, once its objects are back
    RECOVERY = "recovery"  # of a writer, to bring objects back
    LOST = "lost"  # the attempt before it could not be found


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A fact about the run `run`; `at` is the wall clock in epoch seconds."""

    kind: ClassVar[str] = "event"
    is_kept: ClassVar[bool] = True
    """Whether it belongs into the journal, too; else it is for sinks alone."""
    run: str
    at: float = field(default_factory=now)

    @property
    def time(self) -> datetime:
        """`at` as an aware UTC time."""
        return datetime.fromtimestamp(self.at, tz=UTC)

    def facts(self) -> dict[str, Any]:
        """Its fields by name, shallow: what a log line shows."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """The run exists. `dag` is its JSON, None for a run that decides as it goes; `queued` says that
    it waits for whoever serves. `concurrency` 0 leaves it to that one."""

    kind: ClassVar[str] = "run_started"
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    dag: JSON = None
    concurrency: int = 1
    queued: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken(Event):
    """From here on `owner` is the one who sends; whoever had the run before has to stop. Only the
    number of this event decides, since only one event can have it."""

    kind: ClassVar[str] = "taken"
    owner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Expanded(Event):
    """A map node became `len(items)` calls, one an item, in this order."""

    kind: ClassVar[str] = "expanded"
    node: str
    items: tuple[JSON, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEvent(Event):
    """A fact about one call. `of` is the run that the call belongs to: `run`, but for a writer of
    an earlier run that this one runs again."""

    call: str
    of: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Intended(CallEvent):
    """The attempt is about to be sent. `try_` counts the tries of the call, from 1; `restore` names
    the objects that a recovery attempt has to write; `retry` is the call's policy as JSON, None for
    the usual one, `timeout` seconds, None for what the action's limits imply."""

    kind: ClassVar[str] = "intended"
    attempt: str
    action: str
    params: JSON
    try_: int = 1
    cause: Cause = Cause.FIRST
    restore: tuple[str, ...] | None = None
    idempotent: bool = True
    protocol: bool = True
    ownership: str = "last"
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    retry: JSON = None
    timeout: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewed(CallEvent):
    """The attempt, which was intended a while ago, is about to be sent only now: until then it was
    not sent, or not taken, and the run may have been another's meanwhile."""

    kind: ClassVar[str] = "renewed"
    attempt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted(CallEvent):
    """OpenWhisk took the attempt and has not finished it."""

    kind: ClassVar[str] = "accepted"
    attempt: str
    activation_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended(CallEvent):
    """The attempt ended. `error` is None for a success, else the error's message, beside its class
    and what its attributes say; `final` says that the call ended with it. `sent` is epoch seconds
    of the POST; `queued` is seconds in our own queue, from being ready to its intent; `reported`
    says that the action told its reads and writes."""

    kind: ClassVar[str] = "ended"
    attempt: str
    action: str
    cause: Cause = Cause.FIRST
    result: JSON = None
    error: str | None = None
    error_class: str | None = None
    error_facts: JSON = None
    activation: Activation | None = None
    reads: tuple[IORecord, ...] = ()
    writes: tuple[IORecord, ...] = ()
    reported: bool = False
    final: bool = True
    sent: float = 0.0
    queued: float = 0.0


class ShelvedEnd(Ended):
    """An end whose result is large: it is not held in memory, but read whenever it is asked for.
    Its activation has no result."""

    __slots__ = ("read",)
    read: Callable[[], JSON]

    def __init__(self, ended: Ended, read: Callable[[], JSON]) -> None:
        for each in fields(Ended):
            if each.name != "result":
                object.__setattr__(self, each.name, getattr(ended, each.name))
        if ended.activation is not None and ended.activation.result is not None:
            object.__setattr__(self, "activation", replace(ended.activation, result=None))
        object.__setattr__(self, "read", read)

    @property
    def result(self) -> JSON:
        """What the action returned, read anew each time."""
        return self.read()


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrying(CallEvent):
    """The call will be tried again in `delay` seconds because of `error`."""

    kind: ClassVar[str] = "retrying"
    attempt: str
    delay: float
    error: str
    activation_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectsMissing(CallEvent):
    """The attempt failed because `keys` were gone."""

    kind: ClassVar[str] = "objects_missing"
    attempt: str
    keys: tuple[str, ...]
    activation_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryPlanned(CallEvent):
    """To let the call go on, `steps` run again: pairs of "run/call" and the keys it restores.

    `lost` are the objects found missing; no steps means that everything is there after all."""

    kind: ClassVar[str] = "recovery_planned"
    lost: tuple[str, ...]
    steps: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered(CallEvent):
    """The call's recovery ended after `seconds`; `reason` says why it failed, None that it did
    not.
    """

    kind: ClassVar[str] = "recovered"
    seconds: float
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Diverged(CallEvent):
    """The call wrote an object again and its bytes differ: its action is not deterministic.
    `before` and `after` are the evidence (sha256 or ETags)."""

    kind: ClassVar[str] = "diverged"
    action: str
    key: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFailed(CallEvent):
    """The call failed for good by something else than the end of an attempt: its recovery, or its
    params, which could not be put together."""

    kind: ClassVar[str] = "call_failed"
    error: str
    error_class: str
    error_facts: JSON = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAbandoned(CallEvent):
    """The call was given up or will never start; `reason` says why."""

    kind: ClassVar[str] = "call_abandoned"
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttled(Event):
    """OpenWhisk refused an invocation for now (429), or we hold it back for `seconds`."""

    kind: ClassVar[str] = "throttled"
    seconds: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests(Event):
    """What the run has cost in requests since it was begun or taken: invocations posted, GETs of an
    activation, lists of activations, HEADs of objects, and refusals (429) among the invocations.

    Several runs of one process share its poller and its prober: what they send is then counted for
    each of the runs."""

    kind: ClassVar[str] = "requests"
    invokes: int = 0
    polls: int = 0
    lists: int = 0
    heads: int = 0
    throttled: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalAway(Event):
    """The journal cannot be written because of `error`: nothing new of the run is invoked until it
    is back. `waiting` events wait for it, of all runs of the process."""

    kind: ClassVar[str] = "journal_away"
    is_kept: ClassVar[bool] = False
    error: str
    waiting: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalBack(Event):
    """The journal can be written again; `waiting` events of the process had to wait for it."""

    kind: ClassVar[str] = "journal_back"
    is_kept: ClassVar[bool] = False
    waiting: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInterrupted(Event):
    """The run was interrupted; `in_flight` are the attempts left to the cluster. `queued` says that
    it waits for whoever serves: who had it was serving, and was told to stop."""

    kind: ClassVar[str] = "run_interrupted"
    in_flight: tuple[str, ...] = ()
    queued: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded(Event):
    """The run ended: succeeded, failed or cancelled."""

    kind: ClassVar[str] = "run_ended"
    state: RunState


def state_of(
    events: Sequence[Event], state: RunState = RunState.RUNNING
) -> tuple[RunState, float | None]:
    """Where a run stands after these events, and since when if it stands still; `state` is where it
    stood before them."""
    ended = None
    for event in events:
        match event:
            case RunStarted(queued=True):
                state = RunState.QUEUED
            case RunStarted() | Taken():
                state, ended = RunState.RUNNING, None
            case RunInterrupted(queued=True):
                state, ended = RunState.QUEUED, None
            case RunInterrupted():
                state, ended = RunState.INTERRUPTED, event.at
            case RunEnded():
                state, ended = event.state, event.at
    return state, ended
