"""Full names of entities, as rules and sequences give them (ENT/FullyQualifiedEntityName.scala)."""

from __future__ import annotations

from aowhisk.local.entities import Reference
from aowhisk.local.http import Refusal
from aowhisk.local.names import is_name
from aowhisk.local.versions import version_from
from aowhisk.models import JSON

__all__ = ["path_of", "reference_from"]

_MALFORMED = "fully qualified name malformed"
_TOO_SHORT = (
    "The fully qualified name of the entity must contain at least the namespace and the name of "
    "the entity."
)


def reference_from(value: JSON, namespace: str) -> Reference:
    """A full name, given as a text or as an object; `namespace` is what `_` stands for."""
    if isinstance(value, str):
        segments = _segments(value)
        if len(segments) < 2:
            raise Refusal.malformed(f"requirement failed: {_TOO_SHORT}")
        return _resolved(segments[:-1], segments[-1], None, namespace)
    if not isinstance(value, dict):
        raise Refusal.malformed(_MALFORMED)
    path, name, binding = value.get("path"), value.get("name"), value.get("binding")
    if not isinstance(path, str) or not isinstance(name, str) or not is_name(name):
        raise Refusal.malformed(_MALFORMED)
    if binding is not None and not isinstance(binding, str):
        raise Refusal.malformed(_MALFORMED)
    try:
        version, segments = version_from(value), _segments(path)
        _segments("_" if binding is None else binding)
    except Refusal:
        raise Refusal.malformed(_MALFORMED) from None
    return _resolved(segments, name, version, namespace)


def path_of(name: JSON, namespace: str) -> str | None:
    """The path of the action that a conductor names: `[package/]action` of `namespace`, or a full
    name; None where it is no name."""
    if not isinstance(name, str):
        return None
    segments = [part for part in name.split("/") if part]
    in_full = name.startswith("/")
    if not all(map(is_name, segments)) or not (2 if in_full else 1) <= len(segments) <= 3:
        return None
    if not in_full and len(segments) < 3:
        segments = [namespace, *segments]
    return _resolved(segments[:-1], segments[-1], None, namespace).path


def _segments(path: str) -> list[str]:
    found = [part for part in path.split("/") if part]
    if not found:
        raise Refusal.malformed("requirement failed: path undefined")
    if not all(map(is_name, found)):
        parts = f"ArraySeq({', '.join(found)})"
        raise Refusal.malformed(f"requirement failed: path contains invalid parts {parts}")
    return found


def _resolved(path: list[str], name: str, version: str | None, namespace: str) -> Reference:
    root = namespace if path[0] == "_" else path[0]
    return Reference("/".join([root, *path[1:]]), name, version)
