"""Which keys a call's params name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from aowhisk.models import JSON

__all__ = ["named"]


def named(params: JSON, keys: Sequence[str]) -> list[str]:
    """Those of the keys that a text in `params` names, with or without the bucket or folders."""
    texts: set[str] = set()
    stack = [params]
    while stack:
        value = stack.pop()
        if isinstance(value, str):
            texts.add(value)
        elif isinstance(value, dict):
            stack.extend(value.values())
        elif isinstance(value, list | tuple):
            stack.extend(value)
    return [key for key in keys if any(ending in texts for ending in _endings(key))]


def _endings(key: str) -> Iterable[str]:
    parts = key.split("/")
    return ("/".join(parts[start:]) for start in range(len(parts)))
