"""What a sequence or a composition adds up to while it runs, and how much of it there may be."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from aowhisk.local.documents import record_of
from aowhisk.local.entities import SEQUENCE
from aowhisk.local.invocation import Invocation
from aowhisk.local.outcome import Response
from aowhisk.local.records import Record
from aowhisk.models import JSON

__all__ = ["Broken", "Budget", "Tally"]


MOST_NESTED = 1000


class Broken(Exception):
    """A sequence or composition failed inside the controller, and leaves no record."""


@dataclass(slots=True)
class Budget:
    """How many may still run: nested sequences share what they count in `atomic` (actions that
    are no sequences), nested compositions what they count in the other two."""

    longest: int
    atomic: int = 0
    components: int = 0
    conductors: int = 0
    depth: int = 0

    def fresh(self) -> Budget:
        """One of which nothing is used up."""
        return Budget(self.longest, depth=self.depth)

    def deeper(self) -> None:
        """Begin one more sequence or composition inside another. One that leads back to itself
        without running an action would go on for ever: Broken ends it."""
        self.depth += 1
        if self.depth > MOST_NESTED:
            raise Broken


@dataclass(slots=True)
class Tally:
    """What the activations add up to that one sequence or composition began: `memory` in MB is
    the largest limit, `duration` in ms their sum, `logs` their ids."""

    memory: int | None = None
    duration: int = 0
    logs: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.time)
    ended: int = 0
    """When the last one ended, in epoch ms; the whole must not seem to have ended before it."""

    def add(self, record: Record) -> None:
        """Count one that ended."""
        self.logs.append(record.id)
        self.duration += record.document["duration"]
        self.ended = max(self.ended, record.document["end"])
        for annotation in record.document["annotations"]:
            if annotation["key"] == "limits":
                self.memory = max(self.memory or 0, annotation["value"]["memory"])

    def record(self, whole: Invocation, response: Response) -> Record:
        """The record of the sequence or composition, which ends now with `response`."""
        action = whole.action
        annotations: dict[str, JSON] = {
            "kind": SEQUENCE,
            "topmost": whole.cause is None,
            "waitTime": max(0, round((self.began - whole.received) * 1000)),
        }
        if action.is_conductor:
            annotations["conductor"] = True
        if self.memory is not None:  # where nothing ran, there are no limits
            annotations["limits"] = {
                "timeout": action.limits["timeout"],
                "memory": self.memory,
                "logs": action.limits["logs"],
                "concurrency": 1,
            }
        return record_of(
            whole,
            response,
            annotations,
            start=int(self.began * 1000),
            end=max(int(time.time() * 1000), self.ended),
            duration=self.duration,
            logs=self.logs,
        )
