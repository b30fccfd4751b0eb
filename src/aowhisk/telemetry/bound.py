"""How fast a run could have been, by the durations that were measured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aowhisk.dag import Dag
from aowhisk.errors import GraphError
from aowhisk.events.model import Cause
from aowhisk.models import JSON
from aowhisk.telemetry.attempt import AttemptTelemetry

__all__ = ["Bound"]


@dataclass(frozen=True, slots=True)
class Bound:
    """Two floors under the makespan of a run whose calls take as long as they took, each once.

    `critical_path` is the longest chain of nodes in seconds; a map counts as its longest call, or
    as its work divided by its concurrency where that is more. Without a dag it is the longest call.
    `work` is the sum over all calls; `slots` how many may run at once, None where that is not
    known.
    """

    critical_path: float = 0.0
    work: float = 0.0
    slots: int | None = None

    @property
    def seconds(self) -> float:
        """The higher of the two floors: critical path, and work divided by slots."""
        return max(self.critical_path, self.work / self.slots if self.slots else 0.0)

    @classmethod
    def of(cls, dag: JSON, attempts: Iterable[AttemptTelemetry], slots: int | None) -> Bound:
        """From the dag's JSON (None for a run without one) and the attempts of its own calls."""
        seconds = _by_call(attempts)
        work = sum(seconds.values())
        path = _critical_path(dag, seconds, slots)
        return cls(round(path, 6), round(work, 6), slots)


def _by_call(attempts: Iterable[AttemptTelemetry]) -> dict[str, float]:
    """What each call took: its first success, else its last attempt; recovery counts nothing."""
    found: dict[str, float] = {}
    succeeded: set[str] = set()
    for each in attempts:
        if each.cause is Cause.RECOVERY or each.call in succeeded:
            continue
        found[each.call] = each.billed
        if each.error_class is None:
            succeeded.add(each.call)
    return found


def _critical_path(dag: JSON, seconds: Mapping[str, float], slots: int | None) -> float:
    longest = max(seconds.values(), default=0.0)
    if dag is None:
        return longest
    try:
        nodes = Dag.from_json(dag).nodes
    except GraphError:  # not one of this version's
        return longest
    calls: dict[str, list[float]] = defaultdict(list)
    for call, took in seconds.items():
        calls[call.partition(".")[0]].append(took)
    ends: dict[str, float] = {}
    for id, spec in nodes.items():  # a node stands behind all that it depends on
        width = min((n for n in (spec.concurrency, slots) if n), default=None)
        took = max(calls[id], default=0.0)
        if spec.is_map and width:
            took = max(took, sum(calls[id]) / width)
        ends[id] = max((ends[other] for other in spec.depends), default=0.0) + took
    return max(ends.values(), default=0.0)
