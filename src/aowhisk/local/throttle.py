"""How many invocations a namespace may begin in a minute of the clock, and have in flight."""

from __future__ import annotations

import time
from collections.abc import Callable

from aowhisk.local.http import Refusal
from aowhisk.local.limits import Limits

__all__ = ["Throttle"]


class Throttle:
    """Counts for one namespace (ENTL/RateThrottler.scala, ENTL/ActivationThrottler.scala).
    `limits` are the namespace's; `clock` gives epoch seconds."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.time) -> None:
        self.limits = limits
        self._clock = clock
        self._minute = 0
        self._begun = 0
        self.in_flight = 0

    def charge(self) -> None:
        """Count one invocation, also one that is refused (429): the minute's budget first, then
        what is in flight."""
        minute = int(self._clock() // 60)
        if minute != self._minute:
            self._minute, self._begun = minute, 0
        self._begun += 1
        limits = self.limits
        if self._begun > limits.invocations_per_minute:
            raise Refusal(
                429,
                "Too many requests in the last minute "
                f"(count: {self._begun}, allowed: {limits.invocations_per_minute}).",
            )
        if self.in_flight >= limits.concurrent_invocations:
            raise Refusal(
                429,
                "Too many concurrent requests in flight "
                f"(count: {self.in_flight}, allowed: {limits.concurrent_invocations}).",
            )
