"""What is wanted and what is there, in the same words: fields by their paths.

`code` stands for the digest of the code; the fields below `parameters.` and `init.` hold secrets.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from aowhisk.client import Client
from aowhisk.deploy.contents import digest
from aowhisk.deploy.project import Project
from aowhisk.manifest import (
    ActionSpec,
    BindingSpec,
    PackageSpec,
    RuleSpec,
    SequenceSpec,
    TriggerSpec,
)
from aowhisk.models import JSON

__all__ = ["MARK", "Fields", "Kind", "Mark", "Spec", "Wanted", "is_default", "wanted_by"]

MARK = "aowhisk-managed"
"""The annotation of everything that was deployed: by which project, and what."""
Spec: TypeAlias = PackageSpec | BindingSpec | ActionSpec | SequenceSpec | TriggerSpec | RuleSpec
Fields: TypeAlias = Mapping[str, JSON]


class Kind(Enum):
    """The kinds of entities, in the order in which they are made."""

    PACKAGE = "package"
    BINDING = "binding"
    ACTION = "action"
    SEQUENCE = "sequence"
    TRIGGER = "trigger"
    RULE = "rule"

    @property
    def collection(self) -> str:
        """Where it lies in the REST API."""
        return _COLLECTIONS[self]


_COLLECTIONS = {
    Kind.PACKAGE: "packages",
    Kind.BINDING: "packages",
    Kind.ACTION: "actions",
    Kind.SEQUENCE: "actions",
    Kind.TRIGGER: "triggers",
    Kind.RULE: "rules",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """The value of the annotation. `hash` is over what was declared, but for values of parameters;
    None where the deployment was cut short. `limits` are those that were declared; `feed` is what
    the feed was told, sealed."""

    project: str
    hash: str | None = None
    limits: tuple[str, ...] = ()
    feed: str | None = None

    def to_json(self) -> dict[str, JSON]:
        """As it is written."""
        found: dict[str, JSON] = {"project": self.project, "hash": self.hash}
        if self.limits:
            found["limits"] = list(self.limits)
        return found if self.feed is None else found | {"feed": self.feed}

    @classmethod
    def from_json(cls, value: JSON) -> Mark | None:
        """Read it; None for anything else."""
        if not isinstance(value, dict) or not isinstance(value.get("project"), str):
            return None
        limits = value.get("limits")
        return cls(
            value["project"],
            value.get("hash"),
            tuple(map(str, limits)) if isinstance(limits, list) else (),
            value.get("feed"),
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """One entity as the project declares it."""

    kind: Kind
    name: str
    spec: Spec = field(repr=False)
    fields: Fields = field(repr=False)
    mark: Mark
    init: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def is_bare(self) -> bool:
        """Whether it is a package of which nothing but its name is asked."""
        spec = self.spec
        return isinstance(spec, PackageSpec) and not (
            spec.parameters or spec.annotations or spec.publish
        )

    @property
    def references(self) -> tuple[tuple[str, str], ...]:
        """What it refers to: the collection, and "/namespace/[package/]name"."""
        match self.spec:
            case SequenceSpec() as sequence:
                return tuple(("actions", part) for part in sequence.components)
            case RuleSpec() as rule:
                return ("triggers", rule.trigger), ("actions", rule.action)
            case BindingSpec() as binding:
                return (("packages", binding.target),)
            case TriggerSpec(feed=str(feed)):
                return (("actions", feed),)
            case _:
                return ()


def wanted_by(project: Project, client: Client) -> Iterator[Wanted]:
    """Everything that the project declares, in the order in which it can be made."""
    manifest = project.manifest
    specs: list[tuple[Kind, str, Spec]] = [
        (Kind.PACKAGE, one.name, one) for one in manifest.packages if one.name
    ]
    specs += [(Kind.BINDING, name, one) for name, one in manifest.bindings.items()]
    specs += [(Kind.ACTION, name, one) for name, one in manifest.actions.items()]
    specs += [(Kind.SEQUENCE, name, one) for name, one in manifest.sequences.items()]
    specs += [(Kind.TRIGGER, name, one) for name, one in manifest.triggers.items()]
    specs += [(Kind.RULE, name, one) for name, one in manifest.rules.items()]
    for kind, name, spec in specs:
        init = project.init_of(name) if kind is Kind.ACTION else {}
        fields = _fields(spec, init)
        feed = limits = None
        if isinstance(spec, TriggerSpec) and spec.feed:
            feed = client.seal(json.dumps([spec.feed, dict(spec.parameters)], sort_keys=True))
        if isinstance(spec, ActionSpec):
            limits = tuple(sorted(spec.limits.to_json()))
        mark = Mark(project.name, _hash(fields), limits or (), feed)
        yield Wanted(kind, name, spec, fields, mark, init)


def _fields(spec: Spec, init: Mapping[str, str]) -> dict[str, JSON]:
    found: dict[str, JSON] = {
        f"annotations.{key}": one
        for key, one in spec.annotations.items()
        if not is_default(key, one)
    }
    match spec:
        case ActionSpec():
            found |= _action_fields(spec)
            found |= {f"init.{key}": value for key, value in init.items()}
        case SequenceSpec():
            found["components"] = list(spec.components)
        case BindingSpec():
            found["binding"] = spec.target
        case PackageSpec():
            found["publish"] = spec.publish
        case RuleSpec():
            found |= {"trigger": spec.trigger, "action": spec.action, "status": "active"}
        case TriggerSpec():
            if spec.feed:
                return found | {"annotations.feed": spec.feed}
    if not isinstance(spec, SequenceSpec | RuleSpec):
        found |= {f"parameters.{key}": value for key, value in spec.parameters.items()}
    return found


def is_default(annotation: str, value: JSON) -> bool:
    """Whether it says what OpenWhisk itself says of every new action."""
    return annotation == "provide-api-key" and value is False


def _action_fields(spec: ActionSpec) -> dict[str, JSON]:
    found: dict[str, JSON] = {"kind": spec.kind if spec.image is None else "blackbox"}
    if spec.image is not None:
        found["image"] = spec.image
    if spec.code:
        found["code"] = digest(spec.code, binary=spec.binary)
    if spec.main is not None:
        found["main"] = spec.main
    return found | {f"limits.{name}": value for name, value in spec.limits.to_json().items()}


def _hash(fields: Fields) -> str:
    """Over all that is declared; of parameters the names, for others may read what it is kept
    with."""
    shown = {
        path: None if path.startswith(("parameters.", "init.")) else value
        for path, value in fields.items()
    }
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()
