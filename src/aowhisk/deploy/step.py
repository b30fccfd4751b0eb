"""What has to change, decided before anything does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from aowhisk.deploy.entity import Kind, Wanted
from aowhisk.deploy.present import Present
from aowhisk.models import JSON

__all__ = ["Change", "Operation", "Plan", "Step"]

SECRET = ("parameters.", "init.")
_SHOWN_ANNOTATIONS = {
    "web-export",
    "final",
    "raw-http",
    "conductor",
    "description",
    "feed",
    "provide-api-key",
    "web-custom-options",
}
_SHORT = 12  # characters of a digest that a person compares


class Operation(Enum):
    """What a step does to an entity. RELEASE leaves a package to those who have put theirs into it;
    KEEP does nothing."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    RELEASE = "release"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Change:
    """One field that differs; None is "not there". Values of parameters, and of annotations that
    may hold a secret, are never in it: `is_secret` says that there are some."""

    field: str
    old: JSON = None
    new: JSON = None
    is_secret: bool = False

    def to_json(self) -> dict[str, JSON]:
        """For programs."""
        if self.is_secret:
            return {"field": self.field, "secret": True}
        return {"field": self.field, "old": self.old, "new": self.new}

    @classmethod
    def of(cls, path: str, old: JSON, new: JSON) -> Change:
        """The change of the field at `path`, without what must not be shown."""
        kind, _, name = path.partition(".")
        hidden = path.startswith(SECRET) or (
            kind == "annotations" and name not in _SHOWN_ANNOTATIONS
        )
        if hidden:
            return cls(path, is_secret=True)
        if path == "code":
            old, new = (None if one is None else str(one)[:_SHORT] for one in (old, new))
        return cls(path, old, new)


@dataclass(frozen=True, slots=True)
class Step:
    """What happens to one entity, and why; `wanted` and `present` are what `apply` works with."""

    kind: Kind
    name: str
    operation: Operation
    changes: tuple[Change, ...] = ()
    note: str | None = None
    wanted: Wanted | None = field(default=None, repr=False)
    present: Present | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{self.kind.value} {self.name!r}"

    @property
    def key(self) -> tuple[str, str]:
        """The collection and the name: one for each place in the namespace."""
        return self.kind.collection, self.name

    def needs(self, other: Step, namespace: str) -> bool:
        """Whether it cannot be done before `other` is: what is made needs its package and what it
        refers to; a package can go when it is empty."""
        if self.wanted is None:
            return self.key[0] == "packages" and other.name.startswith(f"{self.name}/")
        if other.key == ("packages", self.name.rpartition("/")[0]):
            return True
        for collection, path in self.wanted.references:
            owner, _, name = path[1:].partition("/")
            if owner in ("_", namespace) and other.key in (
                (collection, name),
                ("packages", name.rpartition("/")[0]),
            ):
                return True
        return False

    def to_json(self) -> dict[str, JSON]:
        """For programs."""
        return {
            "kind": self.kind.value,
            "name": self.name,
            "operation": self.operation.value,
            "changes": [change.to_json() for change in self.changes],
            "note": self.note,
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is looked at, in the order in which it is done."""

    project: str
    namespace: str
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()

    @property
    def work(self) -> tuple[Step, ...]:
        """The steps that do something."""
        return tuple(step for step in self.steps if step.operation is not Operation.KEEP)

    def count(self, operation: Operation) -> int:
        """How many steps do that."""
        return sum(step.operation is operation for step in self.steps)

    def to_json(self) -> dict[str, JSON]:
        """For programs."""
        return {
            "project": self.project,
            "namespace": self.namespace,
            "steps": [step.to_json() for step in self.steps],
            "notes": list(self.notes),
        }


def differences(
    wanted: Wanted,
    present: Present,
    *,
    package: Mapping[str, JSON],
    same: Mapping[str, JSON],
) -> tuple[Change, ...]:
    """The fields in which what is there differs from what is wanted.

    `package` are the fields of the action's package as it is there: its parameters show in the
    action's own. `same` are the wanted fields as the server writes them (kinds resolved, names with
    their namespace).
    """
    found: list[Change] = []
    for path in _paths(same, present):
        new, old = same.get(path), present.fields.get(path)
        if path in same and path in present.fields and old == new:
            continue
        name = path.partition(".")[2]
        if name in present.hidden and path.startswith(SECRET):
            continue  # encrypted: all that can be known is that it is there
        if path not in same and _is_inherited(path, old, present, package):
            continue
        found.append(Change.of(path, old, new))
    if not found and present.mark != wanted.mark:
        found.append(Change("mark", _short(present.mark), _short(wanted.mark)))
    return tuple(found)


def _paths(same: Mapping[str, JSON], present: Present) -> Iterable[str]:
    """The fields to compare: of limits only those that are wanted."""
    extra = [path for path in present.fields if not path.startswith("limits.")]
    return dict.fromkeys([*same, *extra])


def _is_inherited(path: str, old: JSON, present: Present, package: Mapping[str, JSON]) -> bool:
    """Whether a parameter that is not wanted comes from somewhere else."""
    if not path.startswith("parameters."):
        return False
    if present.kind is Kind.BINDING:  # it shows those of the package that it stands for
        return True
    return path in package and package[path] == old


def _short(mark: object) -> str | None:
    digest = getattr(mark, "hash", None)
    return None if digest is None else str(digest)[:_SHORT]


def ordered(deletes: Sequence[Step]) -> list[Step]:
    """Deletions, what refers to others first."""
    order = list(reversed(Kind))
    return sorted(deletes, key=lambda step: (order.index(step.kind), step.name))
