"""What a manifest declares: packages, and the actions in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aowhisk.models import JSON

__all__ = ["DEFAULT_KIND", "ActionLimits", "ActionSpec", "PackageSpec"]

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
    inline code."""

    name: str
    code: str
    binary: bool = False
    kind: str = DEFAULT_KIND
    main: str | None = None
    parameters: Mapping[str, JSON] = field(default_factory=dict)
    limits: ActionLimits = ActionLimits()
    annotations: Mapping[str, JSON] = field(default_factory=dict)
    source: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """The body of `PUT actions/NAME`."""
        exec_: dict[str, Any] = {"kind": self.kind, "code": self.code}
        if self.main is not None:
            exec_["main"] = self.main
        return {
            "exec": exec_,
            "parameters": _pairs(self.parameters),
            "annotations": _pairs(self.annotations),
            "limits": self.limits.to_json(),
        }


@dataclass(frozen=True, slots=True)
class PackageSpec:
    """One package; `name` is "" for what lies in no package."""

    name: str
    actions: tuple[ActionSpec, ...] = ()
    parameters: Mapping[str, JSON] = field(default_factory=dict)
    annotations: Mapping[str, JSON] = field(default_factory=dict)
    publish: bool = False

    def to_json(self) -> dict[str, Any]:
        """The body of `PUT packages/NAME`."""
        return {
            "parameters": _pairs(self.parameters),
            "annotations": _pairs(self.annotations),
            "publish": self.publish,
        }


def _pairs(values: Mapping[str, JSON]) -> list[dict[str, JSON]]:
    return [{"key": key, "value": value} for key, value in values.items()]
