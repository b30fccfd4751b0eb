"""The first difference between two JSON values, as a sentence."""

from __future__ import annotations

from aowhisk.models import JSON

__all__ = ["difference"]


def difference(a: JSON, b: JSON) -> str:
    """Where `b` first differs from `a`, for instance "nodes['encode'].params.resolution was '360p'
    and is '720p'"; "" where they are the same JSON. Numbers are the same when equal (1 and 1.0);
    true is no number."""
    stack: list[tuple[JSON, JSON, str]] = [(a, b, "")]
    while stack:
        left, right, path = stack.pop()
        if isinstance(left, dict) and isinstance(right, dict):
            for key in left:
                if key not in right:
                    return f"{_at(path, key)} was {_short(left[key])} and is not given"
            for key in right:
                if key not in left:
                    return f"{_at(path, key)} was not given and is {_short(right[key])}"
            pairs = [(left[key], right[key], _at(path, key)) for key in left]
        elif isinstance(left, list | tuple) and isinstance(right, list | tuple):
            pairs = [
                (one, two, f"{path}[{_label(one, two, index)}]")
                for index, (one, two) in enumerate(zip(left, right, strict=False))
            ]
            if len(left) != len(right):
                pairs.append((_Length(len(left)), _Length(len(right)), path))
        elif left == right and isinstance(left, bool) == isinstance(right, bool):
            continue
        else:
            return f"{path or 'the whole'} {_was(left)} and {_is(right)}"
        stack.extend(reversed(pairs))
    return ""


class _Length(int):
    """The number of elements, where two lists are the same as far as both go."""


def _was(value: JSON) -> str:
    return f"had {int(value)} elements" if isinstance(value, _Length) else f"was {_short(value)}"


def _is(value: JSON) -> str:
    return f"has {int(value)}" if isinstance(value, _Length) else f"is {_short(value)}"


def _at(path: str, key: str) -> str:
    if not key.isidentifier():
        return f"{path}[{key!r}]"
    return f"{path}.{key}" if path else key


def _label(one: JSON, two: JSON, index: int) -> str:
    """A node by its id, anything else by its position."""
    if isinstance(one, dict) and isinstance(two, dict) and one.get("id") == two.get("id"):
        return repr(one["id"]) if isinstance(one.get("id"), str) else str(index)
    return str(index)


def _short(value: JSON) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
