"""What the collections give: actions, packages, triggers, rules, limits.

Every value keeps the server's JSON as `raw`, so that a field this version does not know is not
lost. Values that may hold secrets (parameters, code) are kept out of reprs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from aowhisk.client.code import Code
from aowhisk.models import JSON, from_ms

__all__ = [
    "Action",
    "ActionLimits",
    "Limits",
    "Package",
    "Rule",
    "RuleStatus",
    "Trigger",
    "annotations_to_json",
    "parameters_to_json",
]

_UNITS = {"": 1, "b": 1, "kb": 1024, "mb": 1024**2, "gb": 1024**3}


@dataclass(frozen=True, slots=True)
class ActionLimits:
    """Limits of one action; None is the platform's default (on update: as it was).

    `timeout` is seconds and holds for a cold start and for the run each; `concurrency` is calls
    at once in one container, which Python actions do not survive above 1.
    """

    timeout: float | None = None
    memory_mb: int | None = None
    logs_mb: int | None = None
    concurrency: int | None = None

    def to_json(self) -> dict[str, JSON]:
        """The `limits` of a PUT."""
        given = {
            "timeout": None if self.timeout is None else round(self.timeout * 1000),
            "memory": self.memory_mb,
            "logs": self.logs_mb,
            "concurrency": self.concurrency,
        }
        return {key: value for key, value in given.items() if value is not None}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ActionLimits:
        """Read the `limits` of an action."""
        return cls(
            timeout=_seconds(data.get("timeout")),
            memory_mb=data.get("memory"),
            logs_mb=data.get("logs"),
            concurrency=data.get("concurrency"),
        )


@dataclass(frozen=True, slots=True)
class Action:
    """An action. In lists it has no code and no parameters.

    Got by name, the action of a package has the package's parameters among its own: writing them
    back would copy them. `namespace` holds the package, too ("guest/pkg").
    """

    name: str
    namespace: str
    version: str
    kind: str
    limits: ActionLimits
    code: Code = field(repr=False)
    annotations: Mapping[str, JSON] = field(default_factory=dict)
    parameters: Mapping[str, JSON] = field(default_factory=dict, repr=False)
    init_parameters: Mapping[str, JSON] = field(default_factory=dict, repr=False)
    publish: bool = False
    updated: datetime | None = None
    raw: Mapping[str, JSON] = field(default_factory=dict, repr=False)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Action:
        """Read an answer, or one row of a list."""
        code = Code.from_json(data.get("exec") or {})
        common = _common(data)
        kind = code.kind or str(common["annotations"].get("exec", ""))
        return cls(
            **common,
            kind=kind,
            limits=ActionLimits.from_json(data.get("limits") or {}),
            code=code,
            parameters=_parameters(data, init=False),
            init_parameters=_parameters(data, init=True),
        )


@dataclass(frozen=True, slots=True)
class Package:
    """A package; `binding` is the "/namespace/package" it stands for, None for one of its own.

    `actions` are the names of its actions and feeds, empty in lists.
    """

    name: str
    namespace: str
    version: str
    annotations: Mapping[str, JSON] = field(default_factory=dict)
    parameters: Mapping[str, JSON] = field(default_factory=dict, repr=False)
    binding: str | None = None
    actions: tuple[str, ...] = ()
    publish: bool = False
    updated: datetime | None = None
    raw: Mapping[str, JSON] = field(default_factory=dict, repr=False)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Package:
        """Read an answer, or one row of a list."""
        bound = data.get("binding")  # false in lists, {} by name, where there is none
        return cls(
            **_common(data),
            parameters=_parameters(data),
            binding=f"/{bound['namespace']}/{bound['name']}" if bound else None,
            actions=tuple(
                str(row["name"]) for key in ("actions", "feeds") for row in data.get(key) or ()
            ),
        )


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger; `rules` are the "namespace/rule" names it sets off, empty in lists."""

    name: str
    namespace: str
    version: str
    annotations: Mapping[str, JSON] = field(default_factory=dict)
    parameters: Mapping[str, JSON] = field(default_factory=dict, repr=False)
    rules: tuple[str, ...] = ()
    publish: bool = False
    updated: datetime | None = None
    raw: Mapping[str, JSON] = field(default_factory=dict, repr=False)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Trigger:
        """Read an answer, or one row of a list."""
        return cls(
            **_common(data), parameters=_parameters(data), rules=tuple(data.get("rules") or ())
        )


class RuleStatus(Enum):
    """Whether a rule acts; the value is OpenWhisk's text."""

    ACTIVE = "active"
    INACTIVE = "inactive"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: `trigger` and `action` as "/namespace/[package/]name".

    `status` is None in lists, which do not say it: get the rule by name.
    """

    name: str
    namespace: str
    version: str
    trigger: str
    action: str
    status: RuleStatus | None = None
    annotations: Mapping[str, JSON] = field(default_factory=dict)
    publish: bool = False
    updated: datetime | None = None
    raw: Mapping[str, JSON] = field(default_factory=dict, repr=False)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Rule:
        """Read an answer, or one row of a list."""
        known = {status.value: status for status in RuleStatus}
        return cls(
            **_common(data),
            trigger=_reference(data.get("trigger")),
            action=_reference(data.get("action")),
            status=known.get(str(data.get("status"))),
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """A namespace's limits; None where the server does not say, as older ones do for most.

    Timeouts are seconds, memory and logs MB, sizes bytes. With several controllers each enforces
    other numbers than these.
    """

    invocations_per_minute: int | None = None
    concurrent_invocations: int | None = None
    fires_per_minute: int | None = None
    min_timeout: float | None = None
    max_timeout: float | None = None
    min_memory_mb: int | None = None
    max_memory_mb: int | None = None
    min_logs_mb: int | None = None
    max_logs_mb: int | None = None
    max_concurrency: int | None = None
    max_instances: int | None = None
    max_parameter_size: int | None = None
    max_payload_size: int | None = None
    allowed_kinds: tuple[str, ...] | None = None
    store_activations: bool | None = None
    raw: Mapping[str, JSON] = field(default_factory=dict, repr=False)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Limits:
        """Read the answer to `GET limits`."""
        kinds = data.get("allowedKinds")
        return cls(
            invocations_per_minute=data.get("invocationsPerMinute"),
            concurrent_invocations=data.get("concurrentInvocations"),
            fires_per_minute=data.get("firesPerMinute"),
            min_timeout=_seconds(data.get("minActionTimeout")),
            max_timeout=_seconds(data.get("maxActionTimeout")),
            min_memory_mb=data.get("minActionMemory"),
            max_memory_mb=data.get("maxActionMemory"),
            min_logs_mb=data.get("minActionLogs"),
            max_logs_mb=data.get("maxActionLogs"),
            max_concurrency=data.get("maxActionConcurrency"),
            max_instances=data.get("maxActionInstances"),
            max_parameter_size=_bytes(data.get("maxParameterSize")),
            max_payload_size=_bytes(data.get("maxPayloadSize")),
            allowed_kinds=None if kinds is None else tuple(kinds),
            store_activations=data.get("storeActivations"),
            raw=data,
        )


def parameters_to_json(
    plain: Mapping[str, JSON] | None, init: Mapping[str, JSON] | None = None
) -> list[dict[str, JSON]]:
    """The `parameters` of a PUT."""
    out: list[dict[str, JSON]] = [{"key": k, "value": v} for k, v in (plain or {}).items()]
    return out + [{"key": k, "value": v, "init": True} for k, v in (init or {}).items()]


def annotations_to_json(annotations: Mapping[str, JSON]) -> list[dict[str, JSON]]:
    """The `annotations` of a PUT."""
    return [{"key": key, "value": value} for key, value in annotations.items()]


def _common(data: Mapping[str, Any]) -> dict[str, Any]:
    updated = data.get("updated")
    return {
        "name": str(data.get("name", "")),
        "namespace": str(data.get("namespace", "")),
        "version": str(data.get("version", "")),
        "annotations": {a["key"]: a.get("value") for a in data.get("annotations") or ()},
        "publish": bool(data.get("publish", False)),
        "updated": None if updated is None else from_ms(updated),
        "raw": data,
    }


def _parameters(data: Mapping[str, Any], *, init: bool | None = None) -> dict[str, JSON]:
    rows: Sequence[Mapping[str, Any]] = data.get("parameters") or ()
    return {
        str(row["key"]): row.get("value")
        for row in rows
        if init is None or (row.get("init") is True) is init
    }


def _reference(value: object) -> str:
    if isinstance(value, Mapping):
        return f"/{value.get('path')}/{value.get('name')}"
    return "" if value is None else str(value)


def _seconds(value: float | None) -> float | None:
    return None if value is None else value / 1000


def _bytes(value: object) -> int | None:
    """Read 1048576, "1048576 B" or "1 MB"."""
    if isinstance(value, int):
        return value
    found = re.fullmatch(r"\s*(\d+)\s*([a-zA-Z]*)\s*", value) if isinstance(value, str) else None
    unit = _UNITS.get(found[2].lower()) if found else None
    return int(found[1]) * unit if found and unit else None
