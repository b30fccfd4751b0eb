"""Faults on purpose, for demonstrations and tests: each hits the same activations in every run.

A fault is about the activations of `action` ("name" or "package/name", with * and ?), of one call
only with `call` ("encode.3", as the orchestrator names it); of these it hits `times`, beginning
with the `nth`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeVar

from aowhisk.models import JSON, Status
from object_store.wire import CONTEXT

__all__ = [
    "Delay",
    "DropReply",
    "Fail",
    "Fault",
    "FaultPlan",
    "Lose",
    "LoseRecord",
    "Throttle",
    "Unavailable",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What all faults have; see the module."""

    action: str = "*"
    nth: int = 1
    times: int = 1
    call: str | None = None

    def concerns(self, action: str, params: Mapping[str, JSON]) -> bool:
        """Whether it is about this activation."""
        if not fnmatchcase(action, self.action):
            return False
        context = params.get(CONTEXT)
        return self.call is None or (isinstance(context, dict) and context.get("call") == self.call)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lose(Fault):
    """After a success, objects that it wrote are deleted before anyone hears of it: those of its
    `_io.writes` whose "bucket/name" matches `keys`. `store` is the store's URL, by default that
    of the action's OBJECT_STORE_URL."""

    keys: str = "*"
    store: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fail(Fault):
    """It fails with `status` and `message` instead of running."""

    status: Status = Status.APPLICATION_ERROR
    message: JSON = "failed on purpose"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay(Fault):
    """It starts `seconds` late."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LoseRecord(Fault):
    """It runs, but its record is never stored, and who waits for it is told 202."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttle(Fault):
    """The request is refused with 429: the minute's budget, or (`per_minute=False`) too many in
    flight."""

    per_minute: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Unavailable(Fault):
    """The request is refused with 503: nothing was accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DropReply(Fault):
    """The activation is accepted, and the connection breaks in the middle of the answer."""


F = TypeVar("F", bound=Fault)


class FaultPlan:
    """Counts what happens and says which faults are due."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self._faults = list(faults)
        self._seen: Counter[int] = Counter()

    def __bool__(self) -> bool:
        return bool(self._faults)

    def add(self, fault: Fault) -> None:
        """From now on this one too; it counts from here."""
        self._faults.append(fault)

    def due(self, kind: type[F], action: str, params: Mapping[str, JSON]) -> F | None:
        """The fault of this kind that is due for this activation; call it once for each."""
        found: F | None = None
        for number, fault in enumerate(self._faults):
            if isinstance(fault, kind) and fault.concerns(action, params):
                self._seen[number] += 1
                if fault.nth <= self._seen[number] < fault.nth + fault.times:
                    found = found or fault
        return found
