"""Nodes: what a user declares; one node may become many calls."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Literal, TypeAlias, get_args

from aowhisk.dag.references import Deferred, Item, Ref, Template, encode, walk
from aowhisk.errors import GraphError
from aowhisk.models import JSON
from aowhisk.retry import RetryPolicy

__all__ = ["Node", "NodeSpec", "Ownership", "id_of"]

Ownership: TypeAlias = Literal["last", "shared"]

# Names as OpenWhisk takes them: common/scala/.../core/entity/EntityPath.scala
_SEGMENT = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_@.& -]{0,254}[A-Za-z0-9_@.&-])?")
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_RESERVED = ("_aowhisk", "_io")


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One node as data. `params` is a dict, `reads` and `writes` are templates of keys or lists of
    keys, `over` is None unless the node is a map. Made by `Dag.call` and `Dag.map`, which freeze
    what they are given."""

    id: str
    action: str
    params: Template = field(default_factory=dict)
    over: Ref | tuple[Template, ...] | None = None
    concurrency: int | None = None
    tolerate: int = 0
    after: tuple[str, ...] = ()
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    timeout: float | None = None
    reads: tuple[Template, ...] = ()
    writes: tuple[Template, ...] = ()
    ownership: Ownership = "last"
    idempotent: bool = True
    protocol: bool = True
    depends: frozenset[str] = field(init=False, compare=False, repr=False)
    """Ids of the nodes that must end before this one starts."""

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not _ID.fullmatch(self.id):
            raise GraphError(f"{self.id!r} is not a node id: 1 to 128 letters, digits, '_' and '-'")
        check_action(self.action, self.id)
        self._check_params()
        self._check_map()
        self._check_choices()
        self._check_keys()
        refs = list(walk([self.params, self.over, self.reads, self.writes]))
        depends = {ref.node for ref in refs if isinstance(ref, Ref)} | set(self.after)
        object.__setattr__(self, "depends", frozenset(depends))

    @property
    def is_map(self) -> bool:
        """Whether it becomes one call per item."""
        return self.over is not None

    def _check_params(self) -> None:
        if not isinstance(self.params, dict):
            raise GraphError(
                f"params is {self.params!r}; it must be a dict, a reference goes under a name",
                node=self.id,
            )
        for name in _RESERVED:
            if name in self.params:
                raise GraphError(
                    f"the param {name!r} is reserved for aowhisk; rename it", node=self.id
                )

    def _check_map(self) -> None:
        if self.over is not None and not isinstance(self.over, Ref | tuple):
            raise GraphError(
                f"over is {self.over!r}; it must be a reference or a list", node=self.id
            )
        outside: list[Template] = [self.over]
        if not self.is_map:
            outside += [self.params, self.reads, self.writes]
        for found in walk(outside):
            if isinstance(found, Item):
                raise GraphError(
                    f"{found!r} stands outside a map; only params, reads and writes of dag.map "
                    "have an item",
                    node=self.id,
                )
        if self.concurrency is not None:
            _whole("concurrency", self.concurrency, least=1, node=self.id)
        _whole("tolerate", self.tolerate, least=0, node=self.id)
        if not self.is_map and (self.concurrency is not None or self.tolerate):
            raise GraphError("concurrency and tolerate are for maps", node=self.id)

    def _check_choices(self) -> None:
        if self.timeout is not None and not _is_positive(self.timeout):
            raise GraphError(
                f"timeout is {self.timeout!r}; it must be seconds above 0", node=self.id
            )
        if not isinstance(self.retry, RetryPolicy):
            raise GraphError(f"retry is {self.retry!r}; it must be a RetryPolicy", node=self.id)
        if self.ownership not in get_args(Ownership):
            raise GraphError(
                f"ownership is {self.ownership!r}; it must be 'last' or 'shared'", node=self.id
            )
        for name in ("idempotent", "protocol"):
            if not isinstance(getattr(self, name), bool):
                raise GraphError(
                    f"{name} is {getattr(self, name)!r}; it must be True or False", node=self.id
                )

    def _check_keys(self) -> None:
        for name, templates in (("reads", self.reads), ("writes", self.writes)):
            stack = list(templates)
            while stack:
                value = stack.pop()
                if isinstance(value, list):
                    stack.extend(value)
                elif isinstance(value, str):
                    bucket, _, rest = value.partition("/")
                    if not bucket or not rest:
                        raise GraphError(
                            f"{name} has {value!r}, but a key is bucket/name", node=self.id
                        )
                elif not isinstance(value, Ref | Item):
                    raise GraphError(
                        f"{name} has {value!r}; it takes keys (bucket/name) and references to them",
                        node=self.id,
                    )

    def to_json(self) -> dict[str, JSON]:
        """The id, the action, the params, and what differs from the defaults."""
        out: dict[str, JSON] = {
            "id": self.id,
            "action": self.action,
            "params": encode(self.params),
        }
        for name, default in _defaults():
            value = getattr(self, name)
            if value is not default and value != default:
                out[name] = value.to_json() if isinstance(value, RetryPolicy) else encode(value)
        return out


@cache
def _defaults() -> tuple[tuple[str, object], ...]:
    """What a node has that says no more than its id, its action and its params."""
    usual = NodeSpec(id="id", action="action")
    said = ("id", "action", "params")
    return tuple(
        (each.name, getattr(usual, each.name))
        for each in fields(usual)
        if each.init and each.name not in said
    )


def id_of(action: str) -> str:
    """The id that a node of this action has by itself: the last segment of the action's name.
    Raises GraphError where that would be no id."""
    check_action(action, None)
    last = action.rpartition("/")[2]
    if not _ID.fullmatch(last):
        raise GraphError(
            f"the action's name {action!r} cannot be a node id (letters, digits, _, -); pass id="
        )
    return last


def check_action(action: object, node: str | None) -> None:
    """Raise GraphError unless it is an action's name."""
    right = isinstance(action, str)
    if isinstance(action, str):
        qualified = action.startswith("/")
        segments = action[1:].split("/") if qualified else action.split("/")
        right = len(segments) in ((2, 3) if qualified else (1, 2)) and all(
            map(_SEGMENT.fullmatch, segments)
        )
    if not right:
        raise GraphError(
            f"{action!r} is not the name of an action; write 'name', 'package/name' or "
            "'/namespace/package/name'",
            node=node,
        )


def _whole(name: str, value: object, *, least: int, node: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise GraphError(
            f"{name} is {value!r}; it must be a whole number, {least} or more", node=node
        )


def _is_positive(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and value > 0  # type: ignore[arg-type, operator]


class Node(Deferred):
    """What `Dag.call` and `Dag.map` return. `node["field"]` refers to a field of its result, the
    node itself to the whole."""

    __slots__ = ("_origin", "spec")

    def __init__(self, spec: NodeSpec, origin: object = None) -> None:
        self.spec = spec
        self._origin = origin

    @property
    def id(self) -> str:
        """Its id in the dag."""
        return self.spec.id

    def reference(self) -> Ref:
        """A reference to the whole result."""
        return Ref(self.id, (), each=self.spec.is_map, origin=self._origin)

    def __getitem__(self, key: str | int) -> Ref:
        return self.reference()[key]

    def __repr__(self) -> str:
        return f"Node({self.id!r})"
