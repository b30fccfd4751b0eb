"""Actions, packages, triggers and rules as they are stored, and as they are shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from aowhisk.models import JSON

__all__ = [
    "BUILTIN",
    "SEQUENCE",
    "Action",
    "Binding",
    "Entity",
    "Link",
    "Package",
    "Parameter",
    "Parameters",
    "Reference",
    "Rule",
    "Trigger",
    "is_truthy",
    "merged",
    "pairs",
]

BUILTIN = "builtin"
"""The key in the exec of an action that the server itself runs: which one. Never shown."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A stored value; an `init` one goes into the environment, not into the arguments."""

    value: JSON
    init: bool = False


SEQUENCE = "sequence"
Parameters: TypeAlias = Mapping[str, Parameter]


def merged(*layers: Parameters) -> dict[str, Parameter]:
    """Later layers win, key by key."""
    result: dict[str, Parameter] = {}
    for layer in layers:
        result |= layer
    return result


def is_truthy(value: JSON) -> bool:
    """What annotations count as set (ENT/Parameter.scala): an empty list does, 0 and "" do not."""
    return isinstance(value, dict | list) or bool(value)


def pairs(values: Mapping[str, JSON]) -> list[JSON]:
    """Annotations as they are shown."""
    return [{"key": key, "value": value} for key, value in values.items()]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    """What every entity has. `namespace` includes the package; `updated` is in epoch ms;
    `serial` is unique for ever."""

    namespace: str
    name: str
    version: str = "0.0.1"
    publish: bool = False
    annotations: Mapping[str, JSON] = field(default_factory=dict)
    parameters: Parameters = field(default_factory=dict)
    updated: int = 0
    serial: int = 0

    @property
    def path(self) -> str:
        """`namespace/[package/]name`."""
        return f"{self.namespace}/{self.name}"

    def _common(self) -> dict[str, JSON]:
        return {
            "namespace": self.namespace,
            "name": self.name,
            "version": self.version,
            "publish": self.publish,
            "annotations": pairs(self.annotations),
            "updated": self.updated,
        }

    def _shown_parameters(self, parameters: Parameters) -> list[JSON]:
        return [
            {"key": key, "value": p.value, "init": True}
            if p.init
            else {"key": key, "value": p.value}
            for key, p in parameters.items()
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Action(_Stored):
    """An action. `exec` is kind, code, main, binary, ...; `limits` in ms and MB, by OpenWhisk's
    names."""

    exec: Mapping[str, JSON]
    limits: Mapping[str, int]

    @property
    def kind(self) -> str:
        """Such as `python:3.11`."""
        return str(self.exec["kind"])

    @property
    def is_sequence(self) -> bool:
        """Whether it names other actions to run one after the other."""
        return self.kind == SEQUENCE

    @property
    def components(self) -> list[str]:
        """The paths of a sequence's components."""
        return [str(name).removeprefix("/") for name in self.exec.get("components", ())]

    @property
    def is_conductor(self) -> bool:
        """Whether its answers say which action to run next; a sequence never is one."""
        found = self.annotations.get("conductor")
        return found is not None and is_truthy(found) and not self.is_sequence

    @property
    def is_composed(self) -> bool:
        """Whether invoking it invokes other actions."""
        return self.is_sequence or self.is_conductor

    def to_json(self, *, code: bool = True, inherited: Parameters | None = None) -> dict[str, JSON]:
        """The whole action; `inherited` are parameters that lie below its own."""
        hidden = (BUILTIN,) if code else (BUILTIN, "code")
        shown = {key: value for key, value in self.exec.items() if key not in hidden}
        return self._common() | {
            "exec": shown,
            "limits": dict(self.limits),
            "parameters": self._shown_parameters(merged(inherited or {}, self.parameters)),
        }

    def to_summary(self) -> dict[str, JSON]:
        """As lists show it."""
        return self._common() | {
            "exec": {"binary": bool(self.exec.get("binary"))},
            "limits": dict(self.limits),
        }


@dataclass(frozen=True, slots=True)
class Binding:
    """The package that another one is bound to."""

    namespace: str
    name: str

    @property
    def path(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"

    def to_json(self) -> dict[str, JSON]:
        """As it is shown."""
        return {"namespace": self.namespace, "name": self.name}


@dataclass(frozen=True, slots=True, kw_only=True)
class Package(_Stored):
    """A package, or with `binding` another name for one."""

    binding: Binding | None = None

    @property
    def is_public(self) -> bool:
        """Whether the lists that other namespaces get show it."""
        return self.publish and self.binding is None

    def to_json(self, *, parameters: Parameters | None = None) -> dict[str, JSON]:
        """The whole package; `parameters` in place of its own."""
        return self._common() | {
            "binding": self.binding.to_json() if self.binding else {},
            "parameters": self._shown_parameters(
                self.parameters if parameters is None else parameters
            ),
        }

    def to_summary(self) -> dict[str, JSON]:
        """As lists show it."""
        return self._common() | {"binding": self.binding.to_json() if self.binding else False}


@dataclass(frozen=True, slots=True)
class Reference:
    """The full name of an entity, as a rule holds it. `namespace` includes the package; `version`
    is kept where one was given."""

    namespace: str
    name: str
    version: str | None = None

    @property
    def root(self) -> str:
        """The namespace without the package."""
        return self.namespace.partition("/")[0]

    @property
    def path(self) -> str:
        """`namespace/[package/]name`."""
        return f"{self.namespace}/{self.name}"

    def to_json(self) -> dict[str, JSON]:
        """As it is shown."""
        shown: dict[str, JSON] = {"path": self.namespace, "name": self.name}
        return shown if self.version is None else shown | {"version": self.version}

    def __str__(self) -> str:
        return self.path if self.version is None else f"{self.path}@{self.version}"


@dataclass(frozen=True, slots=True)
class Link:
    """What a trigger knows of one of its rules."""

    action: Reference
    active: bool

    def to_json(self) -> dict[str, JSON]:
        """As it is shown."""
        return {"action": self.action.to_json(), "status": _status(self.active)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger(_Stored):
    """A trigger. `links` are its rules by their paths, None as long as it never had one."""

    links: Mapping[str, Link] | None = None

    def linked(self, rule: str, link: Link) -> Trigger:
        """The same with this rule."""
        return replace(self, links={**(self.links or {}), rule: link})

    def unlinked(self, rule: str) -> Trigger:
        """The same without this rule."""
        if self.links is None:
            return self
        return replace(
            self, links={path: link for path, link in self.links.items() if path != rule}
        )

    def to_json(self) -> dict[str, JSON]:
        """The whole trigger."""
        shown = self._common() | {
            "limits": {},
            "parameters": self._shown_parameters(self.parameters),
        }
        if self.links is None:
            return shown
        return shown | {"rules": {path: link.to_json() for path, link in self.links.items()}}

    def to_summary(self) -> dict[str, JSON]:
        """As lists show it."""
        return self._common()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(_Stored):
    """A rule; whether it is active stands in its trigger."""

    trigger: Reference
    action: Reference

    def to_json(self, *, active: bool) -> dict[str, JSON]:
        """The whole rule."""
        return self.to_summary() | {"status": _status(active)}

    def to_summary(self) -> dict[str, JSON]:
        """As lists show it."""
        return self._common() | {
            "trigger": self.trigger.to_json(),
            "action": self.action.to_json(),
        }


def _status(active: bool) -> str:
    return "active" if active else "inactive"


Entity: TypeAlias = Action | Package | Trigger | Rule
