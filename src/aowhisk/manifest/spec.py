"""What a manifest declares: packages, and what is in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aowhisk.models import JSON

__all__ = [
    "DEFAULT_KIND",
    "ActionLimits",
    "ActionSpec",
    "BindingSpec",
    "PackageSpec",
    "RuleSpec",
    "SequenceSpec",
    "TriggerSpec",
]

DEFAULT_KIND = "python:default"


@dataclass(frozen=True, slots=True)
class ActionLimits:
    """What one activation may use, in OpenWhisk's units; None leaves it to the server."""

    timeout_ms: int | None = None
    memory_mb: int | None = None
    logs_mb: int | None = None
    concurrency: int | None = None

    def to_json(self) -> dict[str, int]:
        """The `limits` of a PUT."""
        given = {
            "timeout": self.timeout_ms,
            "memory": self.memory_mb,
            "logs": self.logs_mb,
            "concurrency": self.concurrency,
        }
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """One action. `name` is "package/action", or "action" outside packages; `code` is source, or
    base64 of a zip where `binary`; `source` is the file or folder that it came from, None for
    inline code; `image` the container image it runs in, in place of the kind's; `requirements` are
    lines of a requirements.txt (None: that file beside the source, if there is one)."""

    name: str
    code: str
    binary: bool = False
    kind: str = DEFAULT_KIND
    main: str | None = None
    parameters: Mapping[str, JSON] = field(default_factory=dict, repr=False)
    limits: ActionLimits = ActionLimits()
    annotations: Mapping[str, JSON] = field(default_factory=dict)
    source: Path | None = None
    image: str | None = None
    requirements: tuple[str, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """The body of `PUT actions/NAME`."""
        exec_: dict[str, Any] = {"kind": self.kind}
        if self.image is not None:
            exec_ = {"kind": "blackbox", "image": self.image}
        if self.code or self.image is None:
            exec_["code"] = self.code
        if self.main is not None:
            exec_["main"] = self.main
        return {
            "exec": exec_,
            "parameters": _pairs(self.parameters),
            "annotations": _pairs(self.annotations),
            "limits": self.limits.to_json(),
        }


@dataclass(frozen=True, slots=True)
class SequenceSpec:
    """Actions one after the other; `components` as "/namespace/[package/]action"."""

    name: str
    components: tuple[str, ...]
    annotations: Mapping[str, JSON] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The body of `PUT actions/NAME`."""
        exec_ = {"kind": "sequence", "components": list(self.components)}
        return {"exec": exec_, "annotations": _pairs(self.annotations)}


@dataclass(frozen=True, slots=True)
class TriggerSpec:
    """One trigger; `parameters` go to the feed where it has one, "/namespace/[package/]action"."""

    name: str
    parameters: Mapping[str, JSON] = field(default_factory=dict, repr=False)
    annotations: Mapping[str, JSON] = field(default_factory=dict)
    feed: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The body of `PUT triggers/NAME`."""
        return {
            "parameters": [] if self.feed else _pairs(self.parameters),
            "annotations": _pairs(self.annotations),
        }


@dataclass(frozen=True, slots=True)
class RuleSpec:
    """One rule, which is active; `trigger` and `action` as "/namespace/[package/]name"."""

    name: str
    trigger: str
    action: str
    annotations: Mapping[str, JSON] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The body of `PUT rules/NAME`."""
        return {
            "trigger": self.trigger,
            "action": self.action,
            "annotations": _pairs(self.annotations),
        }


@dataclass(frozen=True, slots=True)
class BindingSpec:
    """Another name for the package `target`, "/namespace/package", with parameters of its own."""

    name: str
    target: str
    parameters: Mapping[str, JSON] = field(default_factory=dict, repr=False)
    annotations: Mapping[str, JSON] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The body of `PUT packages/NAME`."""
        _, namespace, name = self.target.split("/")
        return {
            "binding": {"namespace": namespace, "name": name},
            "parameters": _pairs(self.parameters),
            "annotations": _pairs(self.annotations),
        }


@dataclass(frozen=True, slots=True)
class PackageSpec:
    """One package; `name` is "" for what lies in no package. Triggers, rules and bindings are the
    namespace's, wherever they are declared."""

    name: str
    actions: tuple[ActionSpec, ...] = ()
    parameters: Mapping[str, JSON] = field(default_factory=dict, repr=False)
    annotations: Mapping[str, JSON] = field(default_factory=dict)
    publish: bool = False
    sequences: tuple[SequenceSpec, ...] = ()
    triggers: tuple[TriggerSpec, ...] = ()
    rules: tuple[RuleSpec, ...] = ()
    bindings: tuple[BindingSpec, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The body of `PUT packages/NAME`."""
        return {
            "parameters": _pairs(self.parameters),
            "annotations": _pairs(self.annotations),
            "publish": self.publish,
        }


def _pairs(values: Mapping[str, JSON]) -> list[dict[str, JSON]]:
    return [{"key": key, "value": value} for key, value in values.items()]
