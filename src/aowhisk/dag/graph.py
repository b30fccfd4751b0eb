"""The dag: nodes in the order of their declaration, and what depends on what."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from types import MappingProxyType
from typing import Any

from aowhisk.dag.difference import difference
from aowhisk.dag.node import Node, NodeSpec, Ownership, id_of
from aowhisk.dag.references import Deferred, Ref, Template, decode, freeze
from aowhisk.errors import GraphError
from aowhisk.models import JSON
from aowhisk.retry import RetryPolicy

__all__ = ["Dag"]

_VERSION = 1
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_FIELDS = frozenset(each.name for each in fields(NodeSpec) if each.init)


class Dag:
    """A dag under construction, and then as data: `to_json` and `from_json` are exact.

    Every mistake is a GraphError that names the node, as soon as it can be known.
    """

    def __init__(self, name: str) -> None:
        """`name`: 1 to 128 letters, digits, `_`, `-` and `.`."""
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise GraphError(
                f"{name!r} is not a dag's name: 1 to 128 letters, digits, '_', '-' and '.'"
            )
        self.name = name
        self._nodes: dict[str, NodeSpec] = {}
        self._origin = object()

    @property
    def nodes(self) -> Mapping[str, NodeSpec]:
        """The nodes by id, in the order of declaration."""
        return MappingProxyType(self._nodes)

    def call(
        self,
        action: str,
        params: Mapping[str, Template] | None = None,
        *,
        id: str | None = None,
        after: Sequence[Node | str] = (),
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008  a frozen value
        timeout: float | None = None,
        reads: Sequence[Template] = (),
        writes: Sequence[Template] = (),
        ownership: Ownership = "last",
        idempotent: bool = True,
        protocol: bool = True,
    ) -> Node:
        """A node of one call.

        `id` is the action's last segment unless given. `after` names nodes that must end first
        though nothing of them is used. `timeout` is seconds from POST until we stop waiting, None
        twice the action's limit plus allowance. `reads` and `writes` declare keys ("bucket/name",
        or references to one or a list of them) of an action that does not report them.
        `ownership="shared"` means that several calls write a key in turn. `idempotent=False` is
        never sent twice when it is unknown what became of it. `protocol=False` sends no `_aowhisk`.
        """
        return self._add(
            id=id,
            action=action,
            params=params,
            after=after,
            retry=retry,
            timeout=timeout,
            reads=reads,
            writes=writes,
            ownership=ownership,
            idempotent=idempotent,
            protocol=protocol,
        )

    def map(
        self,
        action: str,
        params: Mapping[str, Template] | None = None,
        *,
        over: Node | Ref | Sequence[Template],
        concurrency: int | None = None,
        tolerate: int = 0,
        id: str | None = None,
        after: Sequence[Node | str] = (),
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008  a frozen value
        timeout: float | None = None,
        reads: Sequence[Template] = (),
        writes: Sequence[Template] = (),
        ownership: Ownership = "last",
        idempotent: bool = True,
        protocol: bool = True,
    ) -> Node:
        """A node of one call for each element of `over`, a list or a reference to one; `item` in
        `params`, `reads` and `writes` is that element.

        At most `concurrency` of them run at once, None for no bound of its own. Up to `tolerate` of
        them may fail: they are None in the list that a reference to this node gives. The rest is as
        for `call`.
        """
        if over is None:
            raise GraphError(
                "over is None; it must be a reference or a list", node=id or id_of(action)
            )
        return self._add(
            id=id,
            action=action,
            params=params,
            over=over,
            concurrency=concurrency,
            tolerate=tolerate,
            after=after,
            retry=retry,
            timeout=timeout,
            reads=reads,
            writes=writes,
            ownership=ownership,
            idempotent=idempotent,
            protocol=protocol,
        )

    def _add(self, known: Mapping[str, bool] | None = None, **given: Any) -> Node:
        """Freeze what was given and keep it. `known` says of each node that may be referred to
        whether it is a map; None means the nodes so far."""
        implied = given["id"] is None
        given["id"] = id_of(given["action"]) if implied else given["id"]
        node = given["id"]
        if isinstance(node, str) and node in self._nodes:
            hint = "; pass id= to use the action a second time" if implied else ""
            raise GraphError(f"there is a node of this id already{hint}", node=node)
        bind = self._binder(node, known)
        params = {} if given["params"] is None else given["params"]
        given["params"] = freeze(params, node=node, where="params", bind=bind)
        for name in ("reads", "writes"):
            keys = _several(given.get(name, ()), name, node)
            given[name] = tuple(freeze(keys, node=node, where=name, bind=bind))
        if isinstance(over := given.get("over"), Deferred | list | tuple):
            frozen = freeze(over, node=node, where="over", bind=bind)
            given["over"] = tuple(frozen) if isinstance(frozen, list) else frozen
        given["after"] = tuple(
            dict.fromkeys(self._before(each, bind, node) for each in _after(given, node))
        )
        spec = NodeSpec(**given)
        self._nodes[spec.id] = spec
        return Node(spec, self._origin)

    def _binder(self, node: str, known: Mapping[str, bool] | None) -> Callable[[Ref], Ref]:
        def bind(ref: Ref) -> Ref:
            if ref.origin is not None and ref.origin is not self._origin:
                raise GraphError(f"{ref!r} refers to a node of another dag", node=node)
            if known is None and ref.node in self._nodes:
                is_map = self._nodes[ref.node].is_map
            elif known is not None and ref.node in known:
                is_map = known[ref.node]
            else:
                raise GraphError(
                    f"{ref!r} refers to {ref.node!r}, which is not a node of dag {self.name!r}"
                    + (" so far" if known is None else ""),
                    node=node,
                )
            return Ref(ref.node, ref.path, each=is_map, origin=self._origin)

        return bind

    def _before(self, each: object, bind: Callable[[Ref], Ref], node: str) -> str:
        if isinstance(each, str):
            return bind(Ref(each)).node
        if isinstance(each, Node):
            return bind(each.reference()).node
        raise GraphError(f"after has {each!r}; it takes nodes and their ids", node=node)

    def check(self) -> None:
        """Raise GraphError where a node refers to itself, in a circle, or to a later one."""
        place = {id: index for index, id in enumerate(self._nodes)}
        wrong = next(
            (
                (spec.id, other)
                for spec in self._nodes.values()
                for other in sorted(spec.depends)
                if place.get(other, len(place)) >= place[spec.id]
            ),
            None,
        )
        if wrong is None:
            return
        if cycle := self._cycle():
            raise GraphError(f"it waits for itself: {' <- '.join(cycle)}", node=cycle[0])
        node, other = wrong
        raise GraphError(f"it refers to {other!r}, which is declared after it", node=node)

    def _cycle(self) -> list[str]:
        """The ids of one cycle, first and last the same; empty where there is none."""
        open_ = {id: set(spec.depends) for id, spec in self._nodes.items()}
        waiting = self.consumers()
        free = [id for id, needed in open_.items() if not needed]
        while free:
            done = free.pop()
            del open_[done]
            for consumer in waiting[done]:
                open_[consumer].discard(done)
                if not open_[consumer]:
                    free.append(consumer)
        if not open_:
            return []
        path = [min(open_)]
        while path[-1] not in path[:-1]:  # whoever is left waits for another who is left
            path.append(min(open_[path[-1]]))
        return path[path.index(path[-1]) :]

    def consumers(self) -> dict[str, tuple[str, ...]]:
        """For each node the nodes that wait for it, in the order of declaration."""
        found: dict[str, list[str]] = {id: [] for id in self._nodes}
        for spec in self._nodes.values():
            for other in spec.depends:
                found[other].append(spec.id)
        return {id: tuple(waiting) for id, waiting in found.items()}

    def distances(self, length: Callable[[str], float] = lambda action: 1.0) -> dict[str, float]:
        """For each node the longest way from its end to that of the dag, 0 where nothing waits for
        it; a node is as long as `length` says of its action."""
        longest = dict.fromkeys(self._nodes, 0.0)
        for id in reversed(self._nodes):  # consumers are declared later, so theirs are known
            spec = self._nodes[id]
            way = longest[id] + length(spec.action)
            for other in spec.depends:
                longest[other] = max(longest[other], way)
        return longest

    def to_json(self) -> dict[str, JSON]:
        """The dag as a JSON value."""
        nodes = [spec.to_json() for spec in self._nodes.values()]
        return {"aowhisk": _VERSION, "name": self.name, "nodes": nodes}

    @classmethod
    def from_json(cls, value: JSON) -> Dag:
        """The dag that `to_json` wrote, or a person: as a value or as text. Raises GraphError."""
        data = _parsed(value)
        dag = cls(data["name"])
        entries = [_entry(each, index) for index, each in enumerate(data["nodes"])]
        known = {each["id"]: each.get("over") is not None for each in entries}
        for entry in entries:
            dag._add(known=known, **entry)
        dag.check()
        return dag

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Dag):
            return NotImplemented
        return not difference(self.to_json(), other.to_json())

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Dag {self.name!r}: {len(self._nodes)} nodes>"


def _several(value: object, name: str, node: str) -> list[Template]:
    if not isinstance(value, list | tuple):
        raise GraphError(f"{name} is {value!r}; it must be a list", node=node)
    return list(value)


def _after(given: Mapping[str, Any], node: str) -> list[object]:
    value = given.get("after", ())
    return [value] if isinstance(value, str | Node) else _several(value, "after", node)


def _parsed(value: JSON) -> Mapping[str, JSON]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise GraphError(f"the dag is not JSON: {error}") from error
    if not isinstance(value, dict) or value.get("aowhisk") != _VERSION:
        raise GraphError(f'this is no dag: it must be an object with "aowhisk": {_VERSION}')
    if unknown := sorted(set(value) - {"aowhisk", "name", "nodes"}):
        raise GraphError(f"a dag has no field {unknown[0]!r}; it has name and nodes")
    if not isinstance(value.get("nodes"), list):
        raise GraphError(f"nodes is {value.get('nodes')!r}; it must be a list")
    return {"name": None, **value}


def _entry(value: JSON, index: int) -> dict[str, Any]:
    """The arguments of one node, out of its JSON."""
    if not isinstance(value, dict) or "action" not in value:
        raise GraphError(f"nodes[{index}] must be an object with an action")
    entry: dict[str, Any] = {"params": None, **value}
    if entry.get("id") is None:
        entry["id"] = id_of(entry["action"])
    if not isinstance(entry["id"], str):
        raise GraphError(f"nodes[{index}] has the id {entry['id']!r}, which is no text")
    if unknown := sorted(set(entry) - _FIELDS):
        raise GraphError(f"a node has no field {unknown[0]!r}", node=entry["id"])
    for name in ("params", "over", "reads", "writes"):
        if name in entry:
            entry[name] = decode(entry[name], node=entry["id"])
    if "retry" in entry:
        entry["retry"] = RetryPolicy.from_json(entry["retry"])
    return entry
