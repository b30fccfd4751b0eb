"""Versions of entities (ENT/SemVer.scala)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from aowhisk.local.http import Refusal
from aowhisk.models import JSON

__all__ = ["bumped", "version_from"]

_NUMBER = re.compile(r"\+?[0-9]{1,20}|-0+")


def version_from(body: Mapping[str, JSON]) -> str | None:
    """The version that a PUT gives, None where it gives none. What is left out at its end is 0,
    and what follows the third number is not looked at."""
    value = body.get("version")
    if value is None:
        return None
    parts = value.rstrip(".").split(".")[:3] if isinstance(value, str) else []
    numbers = [int(part) for part in parts if _NUMBER.fullmatch(part)]
    if len(numbers) < len(parts) or not any(numbers) or max(numbers) >= 1 << 31:
        raise Refusal.malformed("semantic version malformed")
    return ".".join(map(str, [*numbers, 0, 0][:3]))


def bumped(version: str) -> str:
    """The version that follows."""
    start, _, patch = version.rpartition(".")
    return f"{start}.{int(patch) + 1}"
