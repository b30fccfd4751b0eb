"""Tenure: whether runs have been ours all the time, as far as our own clock can tell.

Another process may take a run once its lease has not been renewed for as long as a lease lasts. A
process that slept, was stopped, or could not reach the database finds out here that this may have
happened, before it sends anything, and without asking anybody as long as it cannot have.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

import anyio

__all__ = ["Tenure", "elapsed"]

# Linux's CLOCK_MONOTONIC stands still while the machine sleeps, that of macOS does not.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))
_SURE = 0.45  # of a lease: who finds a run that has none looks again after half of one


def elapsed() -> float:
    """Seconds, those in which the machine slept among them."""
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)


class Leases(Protocol):
    """Where leases are renewed: a journal."""

    async def beat(self, runs: Collection[str]) -> None:
        """Say of these runs that we are still at work on them."""


@dataclass(slots=True)
class _Term:
    number: int
    renewed: float


class Tenure:
    """Renews the leases of our runs, and counts terms: a new one begins when a lease was renewed so
    late that another process may have taken the run before. `lease` is seconds."""

    def __init__(
        self, leases: Leases, lease: float = math.inf, *, clock: Callable[[], float] = elapsed
    ) -> None:
        self._leases = leases
        self._sure = _SURE * lease
        self._clock = clock
        self._terms: dict[str, _Term] = {}
        self._renewing = anyio.Lock()

    def begin(self, run: str) -> None:
        """The run is about to be ours."""
        self._terms[run] = _Term(0, self._clock())

    def end(self, run: str) -> None:
        """The run is ours no more."""
        self._terms.pop(run, None)

    async def renew(self, runs: Collection[str]) -> None:
        """Say of these runs that we are at work on them. Raises JournalError."""
        began = self._clock()
        await self._leases.beat(runs)
        now = self._clock()
        for run in runs:
            known = self._terms.get(run)
            if known is not None:
                late = now - known.renewed > self._sure
                self._terms[run] = _Term(known.number + late, max(began, known.renewed))

    def term(self, run: str) -> int | None:
        """The term we are in; None where it may have ended without our knowing. Of a run that was
        not begun here nobody asks: 0."""
        known = self._terms.get(run)
        if known is None:
            return 0
        return None if self._clock() - known.renewed > self._sure else known.number

    async def restored(self, run: str) -> int | None:
        """The term we are in, the lease renewed if need be; None where that took too long. Whether
        the run is still ours the next event tells."""
        async with self._renewing:
            if self.term(run) is None:
                await self.renew([run])
        return self.term(run)
