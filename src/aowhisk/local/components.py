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
    if _count(store, store.actual(path), components, limit, frozenset()) > limit:
        raise Refusal(400, TOO_LONG)


def _count(
    store: Store, path: str, components: Sequence[str], limit: int, above: frozenset[str]
) -> int:
    """How many actions that are no sequences run for `components`, which are in the sequences
    `above`."""
    if len(components) > limit:
        raise Refusal(400, TOO_LONG)
    count = 0
    for component in components:
        try:
            actual = store.actual(component)
            if actual == path or actual in above:
                raise Refusal(400, CYCLIC)
            action = store.get(Action, actual)
        except Refusal as refusal:
            if refusal.status != 404:
                raise
            raise Refusal(400, COMPONENT_MISSING) from None
        if action.is_sequence:
            count += _count(store, path, action.components, limit, above | {actual})
        else:
            count += 1
    return count
