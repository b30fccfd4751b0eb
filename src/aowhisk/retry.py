"""Whether to try a call again, and after how long."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import Enum

from aowhisk.errors import (
    ActionError,
    DeveloperError,
    GraphError,
    Lost,
    MissingObject,
    OpenWhiskError,
    OutOfMemory,
    PlatformError,
    ResultTooLarge,
    ServerFault,
    Throttled,
    TimedOut,
    Unreachable,
)
from aowhisk.models import JSON

__all__ = ["ErrorClass", "RetryPolicy", "Terms", "classify", "next_delay"]


class ErrorClass(Enum):
    """Why a try failed, as coarse as a policy needs it."""

    PLATFORM = "platform"
    """OpenWhisk failed, or could not be reached."""
    THROTTLED = "throttled"
    """OpenWhisk refused it for its limits, perhaps only after it had taken it."""
    APPLICATION = "application"
    """The action returned an error."""
    DEVELOPER = "developer"
    """The action crashed, could not be loaded, or returned no object."""
    TIMEOUT = "timeout"
    MEMORY = "memory"
    RESULT = "result"
    """The result was too large."""
    MISSING = "missing"
    """An object was gone: for recovery, never for a retry."""
    LOST = "lost"
    REQUEST = "request"
    """OpenWhisk refused the request itself: unknown action, wrong key, ..."""
    OTHER = "other"


_HOPELESS = frozenset(
    {ErrorClass.MISSING, ErrorClass.LOST, ErrorClass.REQUEST, ErrorClass.OTHER},
)

_CLASSES: tuple[tuple[type[BaseException], ErrorClass], ...] = (
    (MissingObject, ErrorClass.MISSING),
    (ActionError, ErrorClass.APPLICATION),
    (DeveloperError, ErrorClass.DEVELOPER),
    (PlatformError, ErrorClass.PLATFORM),
    (TimedOut, ErrorClass.TIMEOUT),
    (OutOfMemory, ErrorClass.MEMORY),
    (ResultTooLarge, ErrorClass.RESULT),
    (Lost, ErrorClass.LOST),
    (Throttled, ErrorClass.THROTTLED),
    (Unreachable, ErrorClass.PLATFORM),
    (ServerFault, ErrorClass.PLATFORM),
    (OpenWhiskError, ErrorClass.REQUEST),
)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, and how soon, a failed call is tried again.

    `retries` are tries after the first. The wait before try n is random between 0 and `first *
    factor ** (n - 2)` seconds, at most `longest`. `elapsed` is how many seconds after the first
    POST a try may still start, None for ever. `on` are the classes that are tried again, None all
    of which the error says that another try can help; a missing object is never a matter of retries
    but of recovery, and an error whose `meta` says `retry: false` ends the call whatever `on` says.
    """

    retries: int = 2
    first: float = 0.5
    factor: float = 2.0
    longest: float = 30.0
    elapsed: float | None = None
    on: frozenset[ErrorClass] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.retries, bool) or not isinstance(self.retries, int) or self.retries < 0:
            raise GraphError(f"retries is {self.retries!r}; it must be a whole number, 0 or more")
        _at_least(0, "first", self.first)
        _at_least(1, "factor", self.factor)
        _at_least(0, "longest", self.longest)
        if self.elapsed is not None:
            _at_least(0, "elapsed", self.elapsed)
        if self.on is not None:
            object.__setattr__(self, "on", _classes(self.on))

    def to_json(self) -> dict[str, JSON]:
        """What differs from the defaults."""
        out: dict[str, JSON] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if value != each.default:
                out[each.name] = value
        if self.on is not None:
            out["on"] = sorted(kind.value for kind in self.on)
        return out

    @classmethod
    def from_json(cls, value: JSON) -> RetryPolicy:
        """Read what `to_json` wrote; raises GraphError."""
        if not isinstance(value, Mapping):
            raise GraphError(f"retry is {value!r}; it must be an object")
        known = {each.name for each in fields(cls)}
        if unknown := sorted(set(value) - known):
            raise GraphError(
                f"retry has no field {unknown[0]!r}; its fields are {', '.join(sorted(known))}"
            )
        given = dict(value)
        if given.get("on") is not None:
            given["on"] = _classes(given["on"])
        return cls(**given)


@dataclass(frozen=True, slots=True)
class Terms:
    """How a call is to be tried: its policy, and seconds from a POST until we stop waiting (None:
    what the action's limits imply)."""

    retry: RetryPolicy = field(default_factory=RetryPolicy)
    timeout: float | None = None


def _at_least(least: float, name: str, value: object) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (number and math.isfinite(value) and value >= least):  # type: ignore[arg-type, operator]
        raise GraphError(f"retry's {name} is {value!r}; it must be a number, {least} or more")


def _classes(value: object) -> frozenset[ErrorClass]:
    if isinstance(value, str) or not isinstance(value, frozenset | set | list | tuple):
        raise GraphError(f"retry's on is {value!r}; it must be a set of ErrorClass")
    hopeful = [each for each in ErrorClass if each not in _HOPELESS]
    for each in value:
        if each not in hopeful and each not in [one.value for one in hopeful]:
            names = ", ".join(one.value for one in hopeful)
            raise GraphError(f"retry's on holds {each!r}; what can be tried again is: {names}")
    return frozenset(ErrorClass(each) for each in value)


def classify(error: BaseException) -> ErrorClass:
    """The class of an error that ended a try."""
    if isinstance(error, PlatformError) and error.throttled:
        return ErrorClass.THROTTLED
    for kind, result in _CLASSES:
        if isinstance(error, kind):
            return result
    return ErrorClass.OTHER


def next_delay(
    policy: RetryPolicy,
    error: BaseException,
    *,
    tries: int,
    elapsed: float,
    random: Callable[[], float],
) -> float | None:
    """Seconds to wait before the next try, None to give up.

    `tries` were made so far, the first of them `elapsed` seconds ago; `random` returns a number in
    [0, 1). Exponential with full jitter (M. Brooker, "Exponential Backoff And Jitter", AWS
    Architecture Blog, 2015).
    """
    if tries > policy.retries or not _can_help(policy, error):
        return None
    if policy.elapsed is not None and elapsed >= policy.elapsed:
        return None
    try:
        ceiling = min(policy.longest, policy.first * policy.factor ** (tries - 1))
    except OverflowError:
        ceiling = policy.longest
    delay = random() * ceiling
    return delay if policy.elapsed is None else min(delay, policy.elapsed - elapsed)


def _can_help(policy: RetryPolicy, error: BaseException) -> bool:
    kind = classify(error)
    if kind in _HOPELESS:
        return False
    if isinstance(error, ActionError) and error.meta.get("retry") is False:
        return False
    if policy.on is None:
        return bool(getattr(error, "can_retry", False))
    return kind in policy.on
