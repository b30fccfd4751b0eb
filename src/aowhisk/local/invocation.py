"""One accepted invocation, and who asked for it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

import anyio

from aowhisk.local.entities import Action
from aowhisk.local.http import to_json
from aowhisk.local.records import Record
from aowhisk.local.throttle import Throttle
from aowhisk.models import JSON

__all__ = ["Invocation", "User", "environment"]


@dataclass(frozen=True, slots=True)
class User:
    """Who asks: a namespace, its key ("uuid:secret") and what it has used of its limits."""

    namespace: str
    auth: str = field(repr=False)
    throttle: Throttle


@dataclass(eq=False, slots=True)
class Invocation:
    """One accepted invocation. `arguments` and `environ` are what the action gets; `received` is in
    epoch seconds.

    `done` is set once `record` is there, which a fault may prevent; `ended` when all is over.
    """

    user: User
    action: Action
    arguments: Mapping[str, JSON]
    environ: Mapping[str, str]
    transaction: str
    binding: str | None = None
    received: float = field(default_factory=time.time)
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    done: anyio.Event = field(default_factory=anyio.Event)
    ended: anyio.Event = field(default_factory=anyio.Event)
    record: Record | None = None

    @property
    def name(self) -> str:
        """`[package/]action`."""
        return self.action.path.partition("/")[2]

    @property
    def seconds(self) -> float:
        """The time limit, for the initialisation and for the run each."""
        return self.action.limits["timeout"] / 1000

    @property
    def key(self) -> tuple[str, str, int]:
        """Which containers can run it: those of the same namespace and the same writing of the
        action."""
        return self.user.namespace, self.action.path, self.action.serial


def environment(parameters: Mapping[str, JSON]) -> dict[str, str]:
    """Init parameters as an action finds them: what is no text is JSON."""
    return {k: v if isinstance(v, str) else to_json(v).decode() for k, v in parameters.items()}
