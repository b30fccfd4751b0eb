"""References: values that are known only when the run is there, and the templates that hold them.

A template is JSON with `Ref` and `Item` inside. As plain JSON a `Ref` is `{"$ref": node, "path":
[...]}`, an `Item` is `{"$item": [...]}`, and a dict of the user's that has a key of these names is
wrapped: `{"$literal": {...}}`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeAlias

from aowhisk.errors import GraphError
from aowhisk.models import JSON

__all__ = ["Deferred", "Item", "Ref", "Template", "decode", "encode", "freeze", "item", "walk"]

Template: TypeAlias = Any
"""JSON with `Ref`, `Item` and nodes inside."""
Path: TypeAlias = tuple[str | int, ...]

_REF, _PATH, _ITEM, _LITERAL = "$ref", "path", "$item", "$literal"
_MARKS = frozenset({_REF, _ITEM, _LITERAL})
_DEEPEST = 100  # OpenWhisk refuses JSON of more than 1000 levels; each costs frames here too


class Deferred:
    """Something whose value is known only in the run; it can be passed on, not looked at."""

    __slots__ = ()
    __iter__: ClassVar[None] = None  # without these Python would take __getitem__ and never end
    __contains__: ClassVar[None] = None

    def reference(self) -> Ref | Item:
        """The reference that stands for it in a template."""
        raise NotImplementedError

    def __bool__(self) -> bool:
        raise GraphError(
            f"{self!r} is known only when the run is there, so nothing can be decided by it here; "
            "decide in the action, or call from code: orchestrator.start"
        )

    def __format__(self, spec: str) -> str:
        raise GraphError(
            f"{self!r} is known only when the run is there, so it cannot be part of a text here; "
            "pass it as a param of its own and put the text together in the action"
        )


@dataclass(frozen=True, slots=True, repr=False)
class Ref(Deferred):
    """A value out of a node's result. Of a map node it is the list over its calls, in the order of
    `over`."""

    node: str
    path: Path = ()
    each: bool = field(default=False, compare=False)
    """Whether `node` is a map, so that the path applies to each of its results."""
    origin: object = field(default=None, compare=False)
    """The dag it belongs to, None for any."""

    def __getitem__(self, key: str | int) -> Ref:
        return replace(self, path=(*self.path, _step(key, self)))

    def __repr__(self) -> str:
        return self.node + _brackets(self.path)

    def reference(self) -> Ref:
        """Itself."""
        return self


@dataclass(frozen=True, slots=True, repr=False)
class Item(Deferred):
    """The map's item, or a value out of it."""

    path: Path = ()

    def __getitem__(self, key: str | int) -> Item:
        return Item((*self.path, _step(key, self)))

    def __repr__(self) -> str:
        return "item" + _brackets(self.path)

    def reference(self) -> Item:
        """Itself."""
        return self


item = Item()
"""In the params of a map: the item that the call is for."""


def _step(key: object, of: object) -> str | int:
    if isinstance(key, bool) or not isinstance(key, str | int):
        raise GraphError(f"{of!r}[{key!r}]: a reference takes a field's name or a position")
    return key


def _brackets(path: Path) -> str:
    return "".join(f"[{step!r}]" for step in path)


def freeze(
    value: object,
    *,
    node: str,
    where: str,
    bind: Callable[[Ref], Ref] = lambda ref: ref,
) -> Template:
    """A copy of `value` that is a template, later changes to `value` do not show in it.

    `bind` is asked for every reference to a node. Raises GraphError with the node and the path of
    what is not JSON.
    """

    def copy(value: object, where: str, depth: int) -> Template:
        if value is None or value is True or value is False:
            return value
        if isinstance(value, Deferred):
            found = value.reference()
            return bind(found) if isinstance(found, Ref) else found
        if isinstance(value, str | int | float):
            return _scalar(value, node, where)
        if depth > _DEEPEST:
            raise GraphError(
                f"{where[:60]}... is nested deeper than {_DEEPEST} levels, or in itself", node=node
            )
        if isinstance(value, list | tuple):
            return [copy(each, f"{where}[{i}]", depth + 1) for i, each in enumerate(value)]
        if isinstance(value, dict):
            return {
                _key(key, node, where): copy(each, f"{where}[{key!r}]", depth + 1)
                for key, each in value.items()
            }
        raise GraphError(
            f"{where} is {_described(value)}, which is not JSON; "
            "use dict, list, str, int, float, bool, None, or a reference",
            node=node,
        )

    return copy(value, where, 0)


def _described(value: object) -> str:
    text = repr(value)
    return f"a {type(value).__name__} ({text if len(text) <= 60 else text[:57] + '...'})"


def _scalar(value: str | float, node: str, where: str) -> str | float:
    if isinstance(value, str):
        return _text(value, node, where)
    if isinstance(value, int):
        return int(value)
    if not math.isfinite(value):
        raise GraphError(f"{where} is {value!r}, which JSON cannot say", node=node)
    return float(value)


def _text(value: str, node: str, where: str) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise GraphError(f"{where} is not valid Unicode: {error.reason}", node=node) from error
    return str.__str__(value)


def _key(key: object, node: str, where: str) -> str:
    if not isinstance(key, str):
        raise GraphError(f"{where} has the key {key!r}; keys in JSON are texts", node=node)
    return _text(key, node, where)


def walk(template: Template) -> Iterator[Ref | Item]:
    """Every reference in a frozen template."""
    stack = [template]
    while stack:
        value = stack.pop()
        if isinstance(value, Ref | Item):
            yield value
        elif isinstance(value, list | tuple):
            stack.extend(value)
        elif isinstance(value, dict):
            stack.extend(value.values())


def encode(template: Template) -> JSON:
    """A frozen template as plain JSON; `decode` is its inverse."""
    if isinstance(template, Ref):
        return {_REF: template.node, _PATH: list(template.path)}
    if isinstance(template, Item):
        return {_ITEM: list(template.path)}
    if isinstance(template, list | tuple):
        return [encode(each) for each in template]
    if isinstance(template, dict):
        out = {key: encode(each) for key, each in template.items()}
        return out if _MARKS.isdisjoint(out) else {_LITERAL: out}
    return template


def decode(value: JSON, *, node: str | None = None, depth: int = 0) -> Template:
    """The template that `encode` wrote; raises GraphError where the marks make no sense."""
    if depth > 2 * _DEEPEST:  # a literal takes two levels
        raise GraphError(f"params are nested deeper than {_DEEPEST} levels", node=node)
    if isinstance(value, list):
        return [decode(each, node=node, depth=depth + 1) for each in value]
    if not isinstance(value, dict):
        return value
    if _MARKS.isdisjoint(value):
        return {key: decode(each, node=node, depth=depth + 1) for key, each in value.items()}
    if set(value) <= {_REF, _PATH} and isinstance(value.get(_REF), str):
        return Ref(value[_REF], _path(value.get(_PATH, []), node))
    if set(value) == {_ITEM}:
        return Item(_path(value[_ITEM], node))
    inner = value.get(_LITERAL)
    if set(value) == {_LITERAL} and isinstance(inner, dict):
        return {key: decode(each, node=node, depth=depth + 1) for key, each in inner.items()}
    raise GraphError(
        f"{_short(value)} is neither {{'$ref': node, 'path': [...]}} nor {{'$item': [...]}}; "
        "write {'$literal': {...}} around a dict that has such keys of its own",
        node=node,
    )


def _path(value: JSON, node: str | None) -> Path:
    steps = isinstance(value, list) and all(
        isinstance(step, str | int) and not isinstance(step, bool) for step in value
    )
    if not steps:
        raise GraphError(
            f"the path {_short(value)} is not a list of names and positions", node=node
        )
    return tuple(value)


def _short(value: Mapping[str, JSON] | JSON) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
