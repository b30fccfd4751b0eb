"""What a journal answers: values. Times are aware and in UTC, durations seconds, sizes bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from aowhisk.events.model import RunState

__all__ = [
    "CallState",
    "CallSummary",
    "FailureClass",
    "FailureExample",
    "ObjectUse",
    "RunSummary",
    "Sample",
]


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run in a list. `ended` is None while it is queued or running; an interrupted one can go
    on."""

    run: str
    name: str
    state: RunState
    started: datetime
    ended: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def seconds(self) -> float | None:
        """From its start to its end, None where it has not ended."""
        return None if self.ended is None else (self.ended - self.started).total_seconds()


class CallState(Enum):
    """Where a call stands."""

    OPEN = "open"  # sent, waiting for another try, or for its objects
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True)
class CallSummary:
    """A call of a run. `run` is the call's own: another one for a writer of an earlier run that
    was run again. `started` is when its first attempt was intended, None where it never was;
    `ended` when its outcome was known. `activation` is the id of the last one known, `error_class`
    and `error` tell of a failure, `error` also why it was abandoned."""

    run: str
    call: str
    action: str
    state: CallState
    attempts: int = 0
    started: datetime | None = None
    ended: datetime | None = None
    activation: str | None = None
    error_class: str | None = None
    error: str | None = None

    @property
    def seconds(self) -> float | None:
        """From its first attempt to its outcome, None where one of them is missing."""
        if self.started is None or self.ended is None:
            return None
        return (self.ended - self.started).total_seconds()


@dataclass(frozen=True, slots=True)
class ObjectUse:
    """An attempt that wrote or read the object `key`, as told `at` the attempt's end.

    `run`, `call` and `attempt` name it; `recorded` is the run whose events tell of it, another than
    `run` where that one ran an earlier run's call again. `size` and `etag` are None where a write
    was declared and not reported. `by` of a read is the writer that it saw, "run/call/attempt".
    """

    key: str
    at: datetime
    run: str
    call: str
    attempt: str
    action: str
    recorded: str
    size: int | None = None
    etag: str | None = None
    by: str | None = None


@dataclass(frozen=True, slots=True)
class FailureExample:
    """One failure: `run` is the one it was recorded in, `error` its message."""

    run: str
    call: str
    at: datetime
    error: str


@dataclass(frozen=True, slots=True)
class FailureClass:
    """The failures of one class of error. `attempts` counts the attempts that ended so, whether
    they were tried again or not; `calls` the calls that ended so for good. `last` is the time of
    the newest; `examples` are the newest ones, newest first."""

    error_class: str
    attempts: int
    calls: int
    last: datetime
    examples: tuple[FailureExample, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """A successful activation: it read `bytes_read` and ran for `seconds`, after a cold start of
    `init` seconds (None: it was warm)."""

    bytes_read: int
    seconds: float
    init: float | None
    at: datetime
    run: str
