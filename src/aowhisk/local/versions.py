"""Versions of entities (ENT/SemVer.scala)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from aowhisk.local.http import Refusal
from aowhisk.models import JSON

__all__ = ["bumped", "version_from"]

_VERSION = re.compile(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:\..*)?", re.ASCII | re.DOTALL)


def version_from(body: Mapping[str, JSON]) -> str | None:
    """The version that a PUT gives, None where it gives none. What is left out at its end is 0
    (ENT/SemVer.scala)."""
    value = body.get("version")
    if value is None:
        return None
    parts = _VERSION.fullmatch(value) if isinstance(value, str) else None
    numbers = [int(part or 0) for part in parts.groups()] if parts else [0]
    if not any(numbers):
        raise Refusal.malformed("semantic version malformed")
    return ".".join(map(str, numbers))


def bumped(version: str) -> str:
    """The version that follows."""
    start, _, patch = version.rpartition(".")
    return f"{start}.{int(patch) + 1}"
