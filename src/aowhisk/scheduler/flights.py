"""Flights: what is under way, so that others can wait for it instead of starting it again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, KeysView

import anyio

from aowhisk.errors import AowhiskError, RecoveryFailed
from aowhisk.lineage import CallRef

__all__ = ["Flight", "Flights"]


class Flight:
    """A call under way. `error` is None after a success; `broken` says that whoever ran it stopped
    before it ended, so that nothing is known."""

    __slots__ = ("_ended", "broken", "error", "is_over", "ref")

    def __init__(self, ref: CallRef) -> None:
        self.ref = ref
        self.error: AowhiskError | None = None
        self.broken = False
        self.is_over = False
        """Whether it ended, one way or the other."""
        self._ended: anyio.Event | None = None  # made for those who wait: most have nobody

    def land(self, error: AowhiskError | None = None, *, broken: bool = False) -> None:
        """Let everyone go on who waits; only the first landing counts."""
        if not self.is_over:
            self.is_over = True
            self.error = error
            self.broken = broken
            if self._ended is not None:
                self._ended.set()

    async def wait(self) -> None:
        """Return once it is over."""
        if self.is_over:
            return
        if self._ended is None:
            self._ended = anyio.Event()
        await self._ended.wait()


class Flights:
    """The flights of all runs of an orchestrator, and who waits for whom."""

    def __init__(self) -> None:
        self._open: dict[CallRef, Flight] = {}
        self._waits: dict[CallRef, dict[CallRef, int]] = {}
        self._repairs: dict[CallRef, int] = {}
        self._watchers: list[Callable[[], None]] = []
        self.clock = 0
        """Grows with every repair that lands."""

    def watch(self, tell: Callable[[], None]) -> None:
        """Call `tell` whenever a call begins to wait for another."""
        self._watchers.append(tell)

    def unwatch(self, tell: Callable[[], None]) -> None:
        """Call it no more; one that does not watch is no error."""
        if tell in self._watchers:
            self._watchers.remove(tell)

    def note_repair(self, ref: CallRef) -> None:
        """The call was run again and has written its objects, in whatever run."""
        self.clock += 1
        self._repairs[ref] = self.clock

    def repaired_since(self, ref: CallRef, mark: int) -> bool:
        """Whether the call was run again after `clock` stood at `mark`."""
        return self._repairs.get(ref, 0) > mark

    @property
    def refs(self) -> KeysView[CallRef]:
        """The calls under way, a live view."""
        return self._open.keys()

    def get(self, ref: CallRef) -> Flight | None:
        """The flight of a call, None if it is not under way."""
        return self._open.get(ref)

    def start(self, ref: CallRef) -> Flight:
        """A new flight; the call must not be under way."""
        if ref in self._open:
            raise RuntimeError(f"{ref} is under way already")
        flight = self._open[ref] = Flight(ref)
        return flight

    def land(
        self, flight: Flight, error: AowhiskError | None = None, *, broken: bool = False
    ) -> None:
        """End a flight."""
        if self._open.get(flight.ref) is flight:
            del self._open[flight.ref]
        flight.land(error, broken=broken)

    async def wait(self, waiter: CallRef, flight: Flight, *, key: str) -> None:
        """Wait, on behalf of `waiter` who wants `key`, until `flight` is over.

        Raises RecoveryFailed (`cycle`) where the flight waits, over however many others, for the
        waiter: neither would ever end.
        """
        if flight.is_over:
            return
        if self._reaches(flight.ref, waiter):
            raise RecoveryFailed(
                f"{key!r} cannot be restored: call {waiter.call!r} of run {waiter.run} would wait "
                f"for {flight.ref.call!r}, which waits for it; say with after= what comes first",
                key=key,
                reason="cycle",
            )
        waits = self._waits.setdefault(waiter, {})
        waits[flight.ref] = waits.get(flight.ref, 0) + 1
        for tell in self._watchers:
            tell()
        try:
            await flight.wait()
        finally:
            waits[flight.ref] -= 1
            if not waits[flight.ref]:
                del waits[flight.ref]
            if not waits:
                self._waits.pop(waiter, None)

    def waiting_for(self, target: CallRef) -> frozenset[CallRef]:
        """The calls that wait, over however many others, for this one."""
        waiters: dict[CallRef, list[CallRef]] = {}
        for waiter, waits in self._waits.items():
            for ref in waits:
                waiters.setdefault(ref, []).append(waiter)
        found: set[CallRef] = set()
        stack = [target]
        while stack:
            fresh = [ref for ref in waiters.get(stack.pop(), ()) if ref not in found]
            found.update(fresh)
            stack.extend(fresh)
        return frozenset(found)

    def _reaches(self, start: CallRef, target: CallRef) -> bool:
        seen: set[CallRef] = set()
        stack: list[CallRef] = [start]
        while stack:
            ref = stack.pop()
            if ref == target:
                return True
            if ref not in seen:
                seen.add(ref)
                stack.extend(_keys(self._waits.get(ref)))
        return False


def _keys(waits: dict[CallRef, int] | None) -> Iterable[CallRef]:
    return () if waits is None else tuple(waits)
