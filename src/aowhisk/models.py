"""The values everyone speaks of: ids, activations, outcomes.

Milliseconds become seconds here and nowhere else.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache
from sys import intern
from typing import Any, TypeAlias

from aowhisk.errors import AowhiskError

__all__ = [
    "JSON",
    "Abandoned",
    "Accepted",
    "Activation",
    "Failed",
    "Outcome",
    "Shelved",
    "Status",
    "Succeeded",
    "attempt_id",
    "from_ms",
    "is_deeper",
    "run_id",
    "to_ms",
]

JSON: TypeAlias = Any
"""A value that `json.dumps` takes: dict with text keys, list, str, int, float, bool, None."""

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32


def run_id() -> str:
    """A new run id: 20 characters that sort by time, safe in keys, paths and URLs."""
    stamp = (int(time.time() * 1000) << 50) | secrets.randbits(50)
    return "".join(_ALPHABET[(stamp >> shift) & 31] for shift in range(95, -1, -5))


def attempt_id() -> str:
    """A new attempt id, unique for ever: 24 hexadecimal digits."""
    return secrets.token_hex(12)


def is_deeper(value: JSON, levels: int) -> bool:
    """Whether a value is nested deeper than so many levels: what reads and writes JSON follows
    about 1000 (SQLite, OpenWhisk, Python), some of it by recursion."""
    level = [value]
    for _ in range(levels):
        level = [
            child
            for each in level
            if isinstance(each, dict | list)
            for child in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return False
    return True


def from_ms(value: float) -> datetime:
    """An aware UTC time from epoch milliseconds."""
    return datetime.fromtimestamp(value / 1000, tz=UTC)


def to_ms(value: datetime) -> int:
    """Epoch milliseconds of an aware time."""
    return round(value.timestamp() * 1000)


class Status(Enum):
    """`response.status` of an activation; the value is OpenWhisk's text."""

    SUCCESS = "success"
    APPLICATION_ERROR = "application error"
    DEVELOPER_ERROR = "action developer error"
    WHISK_ERROR = "whisk internal error"


_BY_TEXT = {status.value: status for status in Status}
_BY_CODE = tuple(Status)  # list summaries give 0..3 instead of the text


@dataclass(frozen=True, slots=True)
class Accepted:
    """OpenWhisk took the invocation and has not finished it; poll for `activation_id`."""

    activation_id: str


@dataclass(frozen=True, slots=True)
class Activation:
    """OpenWhisk's record of one attempt.

    `duration`, `wait_time` and `init_time` are seconds; `init_time` is there only after a cold
    start. `status` is None for trigger activations; `result` is None in list summaries. `cause` is
    the id of the sequence or composition that it is a part of.
    `annotations` maps names to values.
    """

    id: str
    name: str
    namespace: str = "_"
    version: str = "0.0.1"
    status: Status | None = None
    result: JSON = None
    start: datetime | None = None
    end: datetime | None = None
    duration: float | None = None
    logs: tuple[str, ...] = ()
    cause: str | None = None
    annotations: Mapping[str, JSON] = field(default_factory=dict)

    @property
    def succeeded(self) -> bool:
        """Whether the action succeeded."""
        return self.status is Status.SUCCESS

    @property
    def path(self) -> str:
        """`namespace/[package/]action`, "" where the record does not say."""
        return str(self.annotations.get("path", ""))

    @property
    def is_composed(self) -> bool:
        """Whether it is the record of a sequence or a composition: its `logs` are then the ids of
        its parts."""
        return self.annotations.get("kind") == "sequence"

    @property
    def wait_time(self) -> float | None:
        """Seconds in OpenWhisk's queue."""
        return _seconds(self.annotations.get("waitTime"))

    @property
    def init_time(self) -> float | None:
        """Seconds of the cold start; None means a warm start."""
        return _seconds(self.annotations.get("initTime"))

    @property
    def timed_out(self) -> bool:
        """Whether the time limit ended it."""
        return self.annotations.get("timeout") is True

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Activation:
        """Read a full record or a list summary."""
        response = data.get("response") or {}
        return cls(
            id=str(data["activationId"]),
            name=intern(str(data.get("name", ""))),
            namespace=intern(str(data.get("namespace", "_"))),
            version=intern(str(data.get("version", "0.0.1"))),
            status=_status(response.get("status"), data.get("statusCode")),
            result=response.get("result"),
            start=None if data.get("start") is None else from_ms(data["start"]),
            end=None if not data.get("end") else from_ms(data["end"]),
            duration=_seconds(data.get("duration")),
            logs=tuple(data.get("logs") or ()),
            cause=data.get("cause"),
            annotations=_annotations(data.get("annotations") or ()),
        )


def _annotations(given: Iterable[Mapping[str, Any]]) -> Mapping[str, JSON]:
    """Names and values. Those of most activations are the same, and are kept once."""
    found = [(each["key"], each.get("value")) for each in given]
    try:
        return _shared(
            tuple(
                [
                    (name, tuple(value.items()) if type(value) is dict else value, type(value))
                    for name, value in found
                ]
            )
        )
    except TypeError:  # a list, or something deeper
        return dict(found)


@lru_cache(maxsize=1024)
def _shared(found: tuple[tuple[str, JSON, type], ...]) -> dict[str, JSON]:
    return {intern(name): dict(value) if kind is dict else value for name, value, kind in found}


def _status(text: object, code: object) -> Status | None:
    if isinstance(text, str):
        return _BY_TEXT.get(text)
    if isinstance(code, int) and 0 <= code < len(_BY_CODE):
        return _BY_CODE[code]
    return None


def _seconds(value: object) -> float | None:
    return value / 1000 if isinstance(value, int | float) else None


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The call succeeded.

    `result` is what the action returned (a dict, or an array), without protocol keys.
    """

    call: str
    action: str
    result: JSON
    activation: Activation | None = None
    attempts: int = 1

    def __getitem__(self, name: str) -> JSON:
        return self.result[name]


class Shelved(Succeeded):
    """A success whose result is large: it is not held in memory, but read whenever it is asked
    for."""

    __slots__ = ("_read",)
    _read: Callable[[], JSON]

    def __init__(
        self,
        call: str,
        action: str,
        read: Callable[[], JSON],
        activation: Activation | None = None,
        attempts: int = 1,
    ) -> None:
        facts = {"call": call, "action": action, "activation": activation, "attempts": attempts}
        for name, value in {**facts, "_read": read}.items():
            object.__setattr__(self, name, value)

    @property
    def result(self) -> JSON:
        """What the action returned, read anew each time."""
        return self._read()


@dataclass(frozen=True, slots=True)
class Failed:
    """The call failed for good: `error` says why."""

    call: str
    action: str
    error: AowhiskError
    activation: Activation | None = None
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Abandoned:
    """The call was given up, or never started; `reason` says why."""

    call: str
    action: str
    reason: str
    attempts: int = 0


Outcome: TypeAlias = Succeeded | Failed | Abandoned
