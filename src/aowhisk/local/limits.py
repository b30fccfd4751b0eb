"""The numbers of one OpenWhisk: what an action may ask for, what a namespace may do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from aowhisk.errors import ConfigError
from aowhisk.local.http import Refusal
from aowhisk.models import JSON

__all__ = [
    "LARGEST_CODE",
    "LARGEST_PARAMETERS",
    "LARGEST_PAYLOAD",
    "ActionRanges",
    "Limits",
    "Range",
]

LARGEST_PAYLOAD = 1024 * 1024
LARGEST_PARAMETERS = 1024 * 1024
LARGEST_CODE = 48 * 1024 * 1024
PRACTICALLY_NONE = 1_000_000
_COUNTS = {
    "invocationsPerMinute": "invocations_per_minute",
    "concurrentInvocations": "concurrent_invocations",
    "firesPerMinute": "fires_per_minute",
}
_RANGES = {
    f"{end}Action{name.capitalize()}": (name, bound)
    for name in ("timeout", "memory", "logs", "concurrency")
    for end, bound in (("min", "low"), ("max", "high"))
}


@dataclass(frozen=True, slots=True)
class Range:
    """What a limit may be, and what it is by default. `name` and `unit` as the error text has
    them."""

    name: str
    unit: str
    low: int
    default: int
    high: int

    def bounded(self, bound: str, value: int) -> Range:
        """With `value` as its `low` or `high`, and a default that is inside; raises ConfigError
        where nothing is left."""
        low, high = (value, self.high) if bound == "low" else (self.low, value)
        if low > high:
            raise ConfigError(f"no {self.name} is at least {low}{self.unit} and at most {high}")
        return replace(self, low=low, high=high, default=min(max(low, self.default), high))

    def check(self, value: int) -> None:
        """Refuse a value outside."""
        told = f"{self.name} {value}{self.unit}"
        if value < self.low:
            raise Refusal(
                400, f"requirement failed: {told} below allowed threshold of {self.low}{self.unit}"
            )
        if value > self.high:
            raise Refusal(
                400,
                f"requirement failed: {told} exceeds allowed threshold of {self.high}{self.unit}",
            )


@dataclass(frozen=True, slots=True)
class ActionRanges:
    """What actions may ask for: OpenWhisk's defaults."""

    timeout: Range = Range("duration", " milliseconds", 100, 60_000, 300_000)
    memory: Range = Range("memory size", " MB", 128, 256, 512)
    logs: Range = Range("log size", " MB", 0, 10, 10)
    concurrency: Range = Range("concurrency", "", 1, 1, 1)

    @property
    def defaults(self) -> dict[str, int]:
        """What an action gets that does not ask."""
        return {one.name: getattr(self, one.name).default for one in fields(self)}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a namespace may do, by default practically anything; `blocking_wait` is in seconds,
    `sequence_length` counts the actions that a sequence or a composition may run.
    Without `store_activations` no records are kept; actions can be of `allowed_kinds` only. These
    two are shown only where they were set."""

    invocations_per_minute: int = PRACTICALLY_NONE
    concurrent_invocations: int = PRACTICALLY_NONE
    fires_per_minute: int = PRACTICALLY_NONE
    blocking_wait: float = 60.0
    actions: ActionRanges = ActionRanges()
    store_activations: bool | None = None
    allowed_kinds: tuple[str, ...] | None = None
    sequence_length: int = 50

    def overlaid(self, settings: Mapping[str, JSON]) -> Limits:
        """These with `settings`, which are a namespace's own, by OpenWhisk's names, over them;
        raises ConfigError."""
        found = self
        for name, value in settings.items():
            changed = found._changed(name, value)
            found = replace(found, **changed)
        return found

    def _changed(self, name: str, value: JSON) -> dict[str, Any]:
        is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        if name in _COUNTS and is_count:
            return {_COUNTS[name]: value}
        if name in _RANGES and is_count:
            limit, bound = _RANGES[name]
            narrowed = getattr(self.actions, limit).bounded(bound, value)
            return {"actions": replace(self.actions, **{limit: narrowed})}
        if name == "storeActivations" and isinstance(value, bool):
            return {"store_activations": value}
        if name == "allowedKinds":
            kinds = value.split(",") if isinstance(value, str) else value
            if isinstance(kinds, list) and all(isinstance(kind, str) for kind in kinds):
                return {"allowed_kinds": tuple(kinds)}
        known = [*_COUNTS, *_RANGES, "storeActivations", "allowedKinds"]
        if name not in known:
            raise ConfigError(
                f"there is no limit {name!r} of a namespace; there are {', '.join(known)}"
            )
        raise ConfigError(f"the limit {name} cannot be {value!r}")

    def check_action(self, asked: Mapping[str, int]) -> None:
        """Refuse (400) limits of an action, by OpenWhisk's names, that it may not have."""
        for name, value in asked.items():
            if name != "instances":
                getattr(self.actions, name).check(value)
            elif value > self.concurrent_invocations:
                raise Refusal(
                    400,
                    "max action instance concurrency must not exceed your namespace concurrency "
                    f"of {self.concurrent_invocations}.",
                )

    def check_kind(self, kind: str) -> None:
        """Refuse an action of a kind that the namespace may not have."""
        if self.allowed_kinds is not None and kind not in self.allowed_kinds:
            text = "The supplied authentication is not authorized to access actions of kind"
            raise Refusal(403, f"{text} '{kind}'.")

    def to_json(self) -> dict[str, JSON]:
        """The answer to GET limits."""
        ranges = self.actions
        found: dict[str, JSON] = {
            "invocationsPerMinute": self.invocations_per_minute,
            "concurrentInvocations": self.concurrent_invocations,
            "firesPerMinute": self.fires_per_minute,
            "maxActionConcurrency": ranges.concurrency.high,
            "minActionConcurrency": ranges.concurrency.low,
            "maxActionInstances": self.concurrent_invocations,
            "maxActionLogs": ranges.logs.high,
            "minActionLogs": ranges.logs.low,
            "maxActionMemory": ranges.memory.high,
            "minActionMemory": ranges.memory.low,
            "maxActionTimeout": ranges.timeout.high,
            "minActionTimeout": ranges.timeout.low,
            "maxParameterSize": f"{LARGEST_PARAMETERS} B",
        }
        if self.store_activations is not None:
            found["storeActivations"] = self.store_activations
        if self.allowed_kinds is not None:
            found["allowedKinds"] = list(self.allowed_kinds)
        return found

    def to_public_json(self) -> dict[str, JSON]:
        """The `limits` of GET /."""
        found: dict[str, JSON] = {
            "actions_per_minute": self.invocations_per_minute,
            "triggers_per_minute": self.fires_per_minute,
            "concurrent_actions": self.concurrent_invocations,
            "sequence_length": self.sequence_length,
        }
        for name, limit, unit in (
            ("duration", self.actions.timeout, 1),
            ("memory", self.actions.memory, 1024 * 1024),
            ("logs", self.actions.logs, 1024 * 1024),
        ):
            found |= {
                f"min_action_{name}": limit.low * unit,
                f"max_action_{name}": limit.high * unit,
                f"default_min_action_{name}": limit.low * unit,
                f"default_max_action_{name}": limit.high * unit,
            }
        return found
