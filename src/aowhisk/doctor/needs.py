"""What the actions that are to run ask of OpenWhisk."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from aowhisk.manifest import Manifest

__all__ = ["OLDEST_PYTHON", "Needs"]

OLDEST_PYTHON = (3, 10)
"""The oldest Python that object_store runs on."""


@dataclass(frozen=True, slots=True)
class Needs:
    """The most that any action asks for: seconds, MB. The defaults are those of the examples.

    `who` names the actions in a sentence; `concurrent` and `per_minute` are calls that make a run
    of an example flow: below them it works, and waits for its turn.
    """

    timeout: float = 300.0
    memory_mb: int = 512
    who: str = "the examples"
    concurrent: int = 16
    per_minute: int = 120

    @classmethod
    def of(cls, manifests: Iterable[Manifest]) -> Self:
        """What the actions of these manifests ask for; one that does not say takes OpenWhisk's
        defaults, 60 s and 256 MB."""
        found = list(manifests)
        limits = [action.limits for each in found for action in each.actions.values()]
        return cls(
            timeout=max([(each.timeout_ms or 60_000) / 1000 for each in limits], default=60.0),
            memory_mb=max([each.memory_mb or 256 for each in limits], default=256),
            who=", ".join(str(each.path) for each in found),
        )
