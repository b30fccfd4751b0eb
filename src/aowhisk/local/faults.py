"""Faults on purpose, for demonstrations and tests: each hits the same activations in every run.

A fault is about the activations of `action` ("name" or "package/name", with * and ?), of one call
only with `call` ("encode.3", as the orchestrator names it); of these it hits `times`, beginning
with the `nth`, or each with a `probability`, drawn from the plan's seed.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeVar

from aowhisk.errors import ConfigError
from aowhisk.models import JSON, Status
from object_store.wire import CONTEXT

__all__ = [
    "ClockSkew",
    "Crash",
    "Delay",
    "DelayRecord",
    "DropReply",
    "Fail",
    "Fault",
    "FaultPlan",
    "GatewayTimeout",
    "Lose",
    "LoseRecord",
    "RequestFault",
    "SlowList",
    "Throttle",
    "Unavailable",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What all faults have; see the module. With `lasting`, one that has hit goes on for so many
    seconds, with everything that it is about. Raises ConfigError."""

    action: str = "*"
    nth: int = 1
    times: int = 1
    call: str | None = None
    probability: float | None = None
    lasting: float = 0.0

    def __post_init__(self) -> None:
        if self.nth < 1 or self.times < 0 or self.lasting < 0:
            raise ConfigError(f"{self!r}: nth is at least 1, times and lasting at least 0")
        if self.probability is not None and not 0 <= self.probability <= 1:
            raise ConfigError(f"{self!r}: a probability is between 0 and 1")
        if self.probability is not None and (self.nth, self.times) != (1, 1):
            raise ConfigError(f"{self!r}: it hits by nth and times or by probability, not by both")

    def concerns(self, action: str, params: Mapping[str, JSON]) -> bool:
        """Whether it is about this activation."""
        if not fnmatchcase(action, self.action):
            return False
        context = params.get(CONTEXT)
        return self.call is None or (isinstance(context, dict) and context.get("call") == self.call)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFault(Fault):
    """A fault of one request: the one that invokes `action`, or, with `requests`, any that matches
    this pattern of its method and its path below the namespace ("GET activations/*")."""

    requests: str | None = None

    def concerns(self, action: str, params: Mapping[str, JSON]) -> bool:
        """Whether it is about the request that invokes this."""
        # By name: super() does not work in a class that slots made anew.
        return self.requests is None and Fault.concerns(self, action, params)

    def concerns_request(self, line: str) -> bool:
        """Whether it is about the request `METHOD path`."""
        return self.requests is not None and fnmatchcase(line, self.requests)


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
class Crash(Fault):
    """Its container is killed `seconds` after the run began; an activation that has ended by then
    is spared."""

    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSkew(Fault):
    """The machine that runs it has a clock that is `seconds` ahead, or behind: the times in its
    record are wrong."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LoseRecord(Fault):
    """It runs, but its record is never stored, and who waits for it is told 202."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayRecord(Fault):
    """Its record can be read only `seconds` after it ended; who waits for it is told at once."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttle(RequestFault):
    """The request is refused with 429: the minute's budget, or (`per_minute=False`) too many in
    flight."""

    per_minute: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Unavailable(RequestFault):
    """The request is refused with 503: nothing was accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DropReply(RequestFault):
    """What was asked for is done, and the connection breaks in the middle of the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayTimeout(RequestFault):
    """What was asked for is done, but the answer is a gateway's page of HTML with status 504,
    `seconds` late."""

    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowList(RequestFault):
    """The answer comes `seconds` late, by default that of the list of activations."""

    seconds: float
    requests: str | None = "GET activations"


F = TypeVar("F", bound=Fault)
R = TypeVar("R", bound=RequestFault)


class FaultPlan:
    """Counts what happens and says which faults are due. Chance is drawn from `seed`, for each
    fault by itself. With `header`, a request from this machine may bring faults of its own.
    `clock` gives monotonic seconds."""

    def __init__(
        self,
        faults: Sequence[Fault] = (),
        *,
        seed: int = 0,
        header: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.header = header
        self._seed = seed
        self._clock = clock
        self._faults: list[Fault] = []
        self._random: list[random.Random] = []
        self._seen: Counter[int] = Counter()
        self._until: dict[int, float] = {}
        self._below: FaultPlan | None = None
        for fault in faults:
            self.add(fault)

    def __bool__(self) -> bool:
        return self.header or bool(self._faults) or bool(self._below)

    def add(self, fault: Fault) -> None:
        """From now on this one too; it counts from here."""
        self._random.append(random.Random(f"{self._seed}:{len(self._faults)}"))
        self._faults.append(fault)

    def beside(self, own: Sequence[Fault]) -> FaultPlan:
        """This plan for one request that has faults of its `own`, which come first."""
        found = FaultPlan(own, clock=self._clock)
        found._below = self
        return found

    def due(
        self,
        kind: type[F],
        action: str,
        params: Mapping[str, JSON],
        also: Callable[[F], bool] = lambda fault: True,
    ) -> F | None:
        """The fault of this kind that is due for this activation; call it once for each. An
        activation of which `also` is not true is none that the fault is about."""
        found = self._due(kind, lambda fault: fault.concerns(action, params) and also(fault))
        if self._below is not None:
            below = self._below.due(kind, action, params, also)
            found = found or below
        return found

    def about(self, kind: type[F], action: str, params: Mapping[str, JSON]) -> F | None:
        """A fault of this kind that may be due for this activation."""
        found = (f for f in self._faults if isinstance(f, kind) and f.concerns(action, params))
        below = None if self._below is None else self._below.about(kind, action, params)
        return next(found, below)

    def due_request(self, kind: type[R], line: str) -> R | None:
        """The fault of this kind that is due for the request `METHOD path`; call it once for
        each."""
        found = self._due(kind, lambda fault: fault.concerns_request(line))
        if self._below is not None:
            below = self._below.due_request(kind, line)
            found = found or below
        return found

    def _due(self, kind: type[F], concerns: Callable[[F], bool]) -> F | None:
        found: F | None = None
        for number, fault in enumerate(self._faults):
            if isinstance(fault, kind) and concerns(fault) and self._hits(number, fault):
                found = found or fault
        return found

    def _hits(self, number: int, fault: Fault) -> bool:
        now = self._clock()
        if now < self._until.get(number, 0.0):
            return True
        self._seen[number] += 1
        if fault.probability is not None:
            hits = self._random[number].random() < fault.probability
        else:
            hits = fault.nth <= self._seen[number] < fault.nth + fault.times
        if hits and fault.lasting:
            self._until[number] = now + fault.lasting
        return hits
