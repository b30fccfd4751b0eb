"""What a namespace may do in a minute of the clock: invocations and fires; and have in flight."""

from __future__ import annotations

import time
from collections.abc import Callable

from aowhisk.local.http import Refusal
from aowhisk.local.limits import Limits

__all__ = ["Throttle"]


class _Minute:
    """Counts in a minute of the clock. `clock` gives epoch seconds."""

    def __init__(self, allowed: int, clock: Callable[[], float]) -> None:
        self._allowed = allowed
        self._clock = clock
        self._minute = 0
        self._count = 0

    def charge(self) -> None:
        """Count one, also one that is refused (429)."""
        minute = int(self._clock() // 60)
        if minute != self._minute:
            self._minute, self._count = minute, 0
        self._count += 1
        if self._count > self._allowed:
            raise Refusal(
                429,
                "Too many requests in the last minute "
                f"(count: {self._count}, allowed: {self._allowed}).",
            )


class Throttle:
    """Counts for one namespace (ENTL/RateThrottler.scala, ENTL/ActivationThrottler.scala).
    `limits` are the namespace's; `clock` gives epoch seconds."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.time) -> None:
        self.limits = limits
        self._invocations = _Minute(limits.invocations_per_minute, clock)
        self._fires = _Minute(limits.fires_per_minute, clock)
        self.in_flight = 0

    def charge(self) -> None:
        """Count one invocation, also one that is refused (429): the minute's budget first, then
        what is in flight."""
        self._invocations.charge()
        if self.in_flight >= self.limits.concurrent_invocations:
            raise Refusal(
                429,
                "Too many concurrent requests in flight "
                f"(count: {self.in_flight}, allowed: {self.limits.concurrent_invocations}).",
            )

    def charge_fire(self) -> None:
        """Count one fire of a trigger, also one that is refused (429)."""
        self._fires.charge()
