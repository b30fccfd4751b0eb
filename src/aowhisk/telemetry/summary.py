"""Many attempts in a few numbers."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

from aowhisk.events.model import Cause
from aowhisk.telemetry.attempt import AttemptTelemetry

__all__ = ["ActionTelemetry", "RecoveryShare", "Spread"]


@dataclass(frozen=True, slots=True)
class Spread:
    """Some durations in seconds: how many, the sum, the median, and `p95`, the one that 95 % of
    them do not exceed. All 0 for none."""

    count: int = 0
    total: float = 0.0
    median: float = 0.0
    p95: float = 0.0

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Of these durations, in any order."""
        found = sorted(values)
        if not found:
            return cls()
        rank = math.ceil(len(found) * 0.95)  # nearest rank: one of the values themselves
        return cls(len(found), math.fsum(found), median(found), found[rank - 1])


@dataclass(frozen=True, slots=True)
class ActionTelemetry:
    """The attempts of one action. `ran` is of those that have a record, `init` of the cold ones;
    bytes are sums."""

    action: str
    attempts: int
    failures: int
    ran: Spread
    init: Spread
    waited: Spread
    bytes_read: int
    bytes_written: int

    @classmethod
    def of(cls, attempts: Iterable[AttemptTelemetry]) -> tuple[ActionTelemetry, ...]:
        """One an action, in the order of their names."""
        by_action: dict[str, list[AttemptTelemetry]] = defaultdict(list)
        for each in attempts:
            by_action[each.action].append(each)
        return tuple(_action(name, found) for name, found in sorted(by_action.items()))


@dataclass(frozen=True, slots=True)
class RecoveryShare:
    """What it cost to bring lost objects back: attempts of writers (`repairs`) and of the consumers
    that missed the objects (`reruns`), their billed `seconds`, the bytes that they read and wrote,
    and `share`, their part of all billed seconds (0 to 1)."""

    repairs: int = 0
    reruns: int = 0
    seconds: float = 0.0
    bytes_read: int = 0
    bytes_written: int = 0
    share: float = 0.0
    objects: frozenset[str] = field(default=frozenset())
    """The keys that were written again."""

    @classmethod
    def of(cls, attempts: Sequence[AttemptTelemetry]) -> RecoveryShare:
        """Of a run's attempts."""
        repairs = [a for a in attempts if a.cause is Cause.RECOVERY]
        reruns = [a for a in attempts if a.cause is Cause.RERUN]
        both = [*repairs, *reruns]
        total = math.fsum(a.billed for a in attempts)
        seconds = math.fsum(a.billed for a in both)
        return cls(
            repairs=len(repairs),
            reruns=len(reruns),
            seconds=seconds,
            bytes_read=sum(a.bytes_read for a in both),
            bytes_written=sum(a.bytes_written for a in both),
            share=seconds / total if total > 0 else 0.0,
            objects=frozenset(w.key for a in repairs for w in a.writes),
        )


def _action(name: str, attempts: list[AttemptTelemetry]) -> ActionTelemetry:
    recorded = [a for a in attempts if a.activation is not None]
    return ActionTelemetry(
        action=name,
        attempts=len(attempts),
        failures=sum(a.error_class is not None for a in attempts),
        ran=Spread.of(a.ran for a in recorded),
        init=Spread.of(a.init for a in recorded if a.is_cold),
        waited=Spread.of(a.waited for a in recorded),
        bytes_read=sum(a.bytes_read for a in attempts),
        bytes_written=sum(a.bytes_written for a in attempts),
    )
