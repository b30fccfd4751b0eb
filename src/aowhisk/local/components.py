"""What sequences are made of: the names of their components, and which sequences there may be
(CTRL/Actions.scala)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aowhisk.local.entities import Action
from aowhisk.local.http import Refusal
from aowhisk.local.references import reference_from
from aowhisk.local.store import Store
from aowhisk.models import JSON

__all__ = ["COMPONENT_MISSING", "TOO_LONG", "check_sequence", "components_of"]

DEEPEST = 200
"""Sequences inside each other; OpenWhisk knows no such limit."""
TOO_LONG = "Too many actions in the sequence."
EMPTY = "No component specified for the sequence."
CYCLIC = "Sequence may not refer to itself."
COMPONENT_MISSING = "Sequence component does not exist."


def components_of(exec_: Mapping[str, JSON], namespace: str) -> list[str]:
    """The components of a PUT sequence as paths, `namespace/[package/]name`; `_` is
    `namespace`. Refused where they are malformed; none is looked up."""
    if "components" not in exec_:
        raise Refusal.malformed("'components' must be defined for sequence kind")
    components = exec_["components"]
    if not isinstance(components, list):
        raise Refusal.malformed("'components' must be an array")
    return [reference_from(one, namespace).path for one in components]


def check_sequence(store: Store, path: str, components: Sequence[str], limit: int) -> None:
    """Refuse (400) a sequence at `path` without components, with more than `limit` actions when
    those of its sequences are counted, of itself, or of what does not exist."""
    if not components:
        raise Refusal(400, EMPTY)
    if _Count(store, store.actual(path), limit).of(components, frozenset()) > limit:
        raise Refusal(400, TOO_LONG)


class _Count:
    """Counts the actions that are no sequences in what `path` is to be made of."""

    def __init__(self, store: Store, path: str, limit: int) -> None:
        self._store = store
        self._path = path
        self._limit = limit
        self._known: dict[str, int] = {}

    def of(self, components: Sequence[str], above: frozenset[str]) -> int:
        """How many run for `components`, which are in the sequences `above`."""
        if len(components) > self._limit or len(above) > DEEPEST:
            raise Refusal(400, TOO_LONG)
        return sum([self._of_one(one, above) for one in components])

    def _of_one(self, component: str, above: frozenset[str]) -> int:
        try:
            actual = self._store.actual(component)
            if actual == self._path or actual in above:
                raise Refusal(400, CYCLIC)
            action = self._store.get(Action, actual)
        except Refusal as refusal:
            if refusal.status != 404:
                raise
            raise Refusal(400, COMPONENT_MISSING) from None
        if not action.is_sequence:
            return 1
        if actual not in self._known:
            self._known[actual] = self.of(action.components, above | {actual})
        return self._known[actual]
