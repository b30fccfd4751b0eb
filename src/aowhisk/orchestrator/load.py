"""What an orchestrator has out in its namespace at a moment."""

from __future__ import annotations

from dataclasses import dataclass

from aowhisk.invoker import Gate
from aowhisk.poller import Poller

__all__ = ["Load"]


@dataclass(frozen=True, slots=True)
class Load:
    """One look, over all runs of the orchestrator.

    `in_flight` are the invocations that were let go and have not ended; `polled` those of them
    whose end is looked for, because OpenWhisk did not answer with it; `held` those that the
    namespace's limits hold back. `lag` is how many seconds after their ends the last ones were
    noticed (the median of up to 200; the record's clock is set against ours), None where nothing
    was polled yet. `per_minute` and `at_once` are what is let go now, by what OpenWhisk says or has
    refused, None for no limit; `refused` counts the 429s.
    """

    in_flight: int = 0
    polled: int = 0
    held: int = 0
    lag: float | None = None
    per_minute: int | None = None
    at_once: int | None = None
    refused: int = 0

    @classmethod
    def of(cls, gate: Gate, poller: Poller) -> Load:
        """As it is now."""
        pacer = gate.pacer
        return cls(
            in_flight=pacer.in_flight,
            polled=poller.waiting,
            held=gate.waiting,
            lag=poller.lag,
            per_minute=_whole(pacer.per_minute),
            at_once=_whole(pacer.concurrent),
            refused=gate.throttled,
        )


def _whole(limit: float) -> int | None:
    return None if limit == float("inf") else int(limit)
