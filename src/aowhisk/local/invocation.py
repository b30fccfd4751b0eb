"""One accepted invocation, and who asked for it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from aowhisk.local.entities import Action, Parameters
from aowhisk.local.faults import FaultPlan
from aowhisk.local.http import Refusal
from aowhisk.local.latch import Latch
from aowhisk.local.records import Record
from aowhisk.local.throttle import Throttle
from aowhisk.models import JSON

__all__ = ["Invocation", "Payload", "User"]

Payload: TypeAlias = Mapping[str, JSON] | list[JSON]
"""What an invocation is called with; an array comes only from another action."""


@dataclass(frozen=True, slots=True)
class User:
    """Who asks: a namespace, its key ("uuid:secret") and what it has used of its limits."""

    namespace: str
    auth: str = field(repr=False)
    throttle: Throttle


@dataclass(eq=False, slots=True)
class Invocation:
    """One accepted invocation. `arguments` and `environ` are what the action gets, of a sequence
    or a composition the payload; `received` is in epoch seconds.

    `done` is set once `record` is there, which a fault may prevent, or `refusal`, where it broke
    and has none; `ended` when all is over. `stored` are the parameters below the payload, `cause`
    is the id of the sequence or composition that it is a part of. Of faults on purpose: its own
    `faults`, the seconds by which the clock is wrong (`skew`), and when (monotonic) its record can
    first be read.
    """

    user: User
    action: Action
    arguments: Payload
    environ: Mapping[str, str]
    transaction: str
    binding: str | None = None
    stored: Parameters = field(default_factory=dict)
    cause: str | None = None
    received: float = field(default_factory=time.time)
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    done: Latch = field(default_factory=Latch)
    ended: Latch = field(default_factory=Latch)
    record: Record | None = None
    refusal: Refusal | None = None
    faults: FaultPlan | None = None
    skew: float = 0.0
    readable: float = 0.0

    @property
    def name(self) -> str:
        """`[package/]action`."""
        return self.action.path.partition("/")[2]

    @property
    def params(self) -> Mapping[str, JSON]:
        """The arguments by name; a list has none."""
        return self.arguments if isinstance(self.arguments, Mapping) else {}

    @property
    def seconds(self) -> float:
        """The time limit, for the initialisation and for the run each."""
        return self.action.limits["timeout"] / 1000

    @property
    def key(self) -> tuple[str, str, int]:
        """Which containers can run it: those of the same namespace and the same writing of the
        action."""
        return self.user.namespace, self.action.path, self.action.serial
