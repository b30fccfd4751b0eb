"""What a check found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from aowhisk.errors import ConfigError, OpenWhiskError
from aowhisk.models import JSON
from object_store import StoreError

__all__ = ["Finding", "State", "failed", "ok", "refused", "skipped", "warning"]


class State(Enum):
    """How a check ended. A warning is something that works and will hurt later."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found, in a sentence, and what to do about it; None where nothing needs to be done.

    `facts` are the numbers behind the sentence. None of it holds a key, a password or the options
    of a URL.
    """

    state: State
    found: str
    todo: str | None = None
    facts: Mapping[str, JSON] = field(default_factory=dict)

    def to_json(self) -> dict[str, JSON]:
        """For a report."""
        return {
            "state": self.state.value,
            "found": self.found,
            "todo": self.todo,
            "facts": dict(self.facts),
        }


def ok(found: str, **facts: JSON) -> Finding:
    """All is well."""
    return Finding(State.OK, found, None, facts)


def warning(found: str, todo: str, **facts: JSON) -> Finding:
    """It works, but."""
    return Finding(State.WARNING, found, todo, facts)


def failed(found: str, todo: str, **facts: JSON) -> Finding:
    """It does not work."""
    return Finding(State.FAILED, found, todo, facts)


def skipped(why: str) -> Finding:
    """It could not be looked at, or there is nothing to look at."""
    return Finding(State.SKIPPED, why)


def refused(error: ConfigError | OpenWhiskError | StoreError, *, todo: str = "") -> Finding:
    """An error of ours as a finding: its text says what happened and, after a semicolon, what to
    do; `todo` is for one that does not."""
    found, _, hint = str(error).partition("; ")
    return Finding(State.FAILED, found, hint or todo or None)
