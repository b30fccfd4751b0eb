"""Objects that exist in name only, and the action that reads and writes them (protocol 1)."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Objects", "Work"]

_SIZE = 1000


@dataclass(frozen=True, slots=True)
class Work:
    """What an attempt of the action `objects` does: it reads, takes `ms`, writes."""

    ms: int
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    by: str
    attempt: str
    restore: tuple[str, ...] | None

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Work:
        """As the params say."""
        context = params["_aowhisk"]
        restore = context.get("restore")
        return cls(
            ms=params.get("ms", 0),
            reads=tuple(params.get("reads", ())),
            writes=tuple(params.get("writes", ())),
            by=f"{context['run']}/{context['call']}/{context['attempt']}",
            attempt=context["attempt"],
            restore=None if restore is None else tuple(restore),
        )


@dataclass
class Objects:
    """Which exist, and who wrote them. The ETag follows from the key: every writing is alike."""

    writers: dict[str, str] = field(default_factory=dict)

    def seen(self, key: str) -> str | None:
        """What HEAD says of it, as JSON; None if it is not there."""
        by = self.writers.get(key)
        return None if by is None else json.dumps(_record(key, by))

    def missing(self, work: Work) -> str | None:
        """The result of an attempt that misses an object, None if all are there."""
        gone = next((key for key in work.reads if key not in self.writers), None)
        if gone is None:
            return None
        error = {
            "code": "NoSuchKey",
            "message": f"no object {gone!r}",
            "meta": {"key": gone},
            "io": {"v": 1, "attempt": work.attempt, "reads": [], "writes": []},
        }
        return json.dumps({"error": error})

    def write(self, work: Work) -> str:
        """The result of an attempt that found all it reads, and has written."""
        reads = [_record(key, self.writers.get(key, "")) for key in work.reads]
        for key in work.writes:
            if work.restore is None or key in work.restore or key not in self.writers:
                self.writers[key] = work.by
        writes = [_record(key, None) for key in work.writes]
        io = {"v": 1, "attempt": work.attempt, "reads": reads, "writes": writes}
        return json.dumps({"_io": io})


def _record(key: str, by: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "key": key,
        "size": _SIZE,
        "etag": hashlib.md5(key.encode(), usedforsecurity=False).hexdigest(),
        "at": round(time.time() * 1000),
        "ms": 0,
    }
    return found if by is None else {**found, "by": by}
