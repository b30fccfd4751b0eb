"""Resolution: templates become params when the results they refer to are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from aowhisk.dag.node import NodeSpec
from aowhisk.dag.references import Item, Path, Ref, Template
from aowhisk.errors import GraphError
from aowhisk.models import JSON

__all__ = ["ABSENT", "expand", "resolve", "resolve_keys"]


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()
"""No item: the call is not one of a map."""


def resolve(
    template: Template,
    *,
    values: Mapping[str, JSON],
    item: JSON | _Absent = ABSENT,
    node: str,
) -> JSON:
    """The template with every reference replaced.

    `values` maps node ids to results, those of map nodes to the list of their calls' results with
    None for tolerated failures; `item` is the map's item; `node` is for whom, and stands in errors.
    The answer may share parts with `values`. Raises GraphError saying which reference and what the
    result has instead.
    """
    if isinstance(template, Ref):
        return _referred(template, values, node)
    if isinstance(template, Item):
        if isinstance(item, _Absent):
            raise GraphError(f"{template!r} stands outside a map", node=node)
        return _dig(item, template.path, template, "the item", node)
    if isinstance(template, list | tuple):
        return [resolve(each, values=values, item=item, node=node) for each in template]
    if isinstance(template, dict):
        return {
            key: resolve(each, values=values, item=item, node=node)
            for key, each in template.items()
        }
    return template


def _referred(ref: Ref, values: Mapping[str, JSON], node: str) -> JSON:
    if ref.node not in values:
        raise GraphError(f"{ref!r} is needed, but {ref.node!r} has no result yet", node=node)
    value = values[ref.node]
    if not ref.each:
        return _dig(value, ref.path, ref, f"the result of {ref.node!r}", node)
    if not isinstance(value, list | tuple):
        raise GraphError(
            f"{ref!r}: the results of the map {ref.node!r} are {_described(value)}, not a list",
            node=node,
        )
    return [
        None
        if each is None
        else _dig(each, ref.path, ref, f"the result of '{ref.node}.{index}'", node)
        for index, each in enumerate(value)
    ]


def _dig(value: JSON, path: Path, what: Ref | Item, of: str, node: str) -> JSON:
    for depth, step in enumerate(path):
        place = of + "".join(f"[{each!r}]" for each in path[:depth])
        if isinstance(step, str) and isinstance(value, dict):
            if step not in value:
                raise GraphError(
                    f"{what!r} is needed, but {place} has no field {step!r}; "
                    f"it has {_names(value)}",
                    node=node,
                )
            value = value[step]
        elif isinstance(step, int) and isinstance(value, list | tuple):
            if not -len(value) <= step < len(value):
                raise GraphError(
                    f"{what!r} is needed, but {place} has {len(value)} elements", node=node
                )
            value = value[step]
        else:
            wanted = "an object" if isinstance(step, str) else "a list"
            raise GraphError(
                f"{what!r} is needed, but {place} is {_described(value)}, not {wanted}", node=node
            )
    return value


def _names(value: Mapping[str, JSON]) -> str:
    if not value:
        return "none"
    names = sorted(map(repr, value))
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _described(value: JSON) -> str:
    match value:
        case None:
            return "null"
        case dict():
            return f"an object with {_names(value)}" if value else "an empty object"
        case list() | tuple():
            return f"a list of {len(value)}"
        case _:
            text = repr(value)
            kind = _KINDS.get(type(value), type(value).__name__)
            return f"the {kind} {text if len(text) <= 60 else text[:57] + '...'}"


_KINDS = {str: "text", int: "number", float: "number", bool: "truth value"}


def expand(spec: NodeSpec, values: Mapping[str, JSON]) -> Sequence[JSON]:
    """The items of a map node; raises GraphError where `over` turns out to be no list."""
    found = resolve(spec.over, values=values, node=spec.id)
    if not isinstance(found, list | tuple):
        raise GraphError(
            f"over={spec.over!r} is {_described(found)}; a map goes over a list", node=spec.id
        )
    return found


def resolve_keys(
    templates: Sequence[Template],
    *,
    values: Mapping[str, JSON],
    item: JSON | _Absent = ABSENT,
    node: str,
) -> tuple[str, ...]:
    """The keys that `reads` or `writes` declare, lists flattened and each once; None (a tolerated
    failure) is left out."""
    found: dict[str, None] = {}
    stack = [resolve(each, values=values, item=item, node=node) for each in reversed(templates)]
    while stack:
        value = stack.pop()
        if isinstance(value, list | tuple):
            stack.extend(reversed(value))
        elif isinstance(value, str) and all(value.partition("/")[::2]):
            found[value] = None
        elif value is not None:
            raise GraphError(
                f"reads and writes name {_described(value)}, but a key is bucket/name", node=node
            )
    return tuple(found)
