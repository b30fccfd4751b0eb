"""The gate: invocations wait here until the namespace's limits let them out."""

from __future__ import annotations

import time
from collections.abc import Callable

import anyio

from aowhisk.errors import Throttled
from aowhisk.pacing import Pacer

__all__ = ["Gate", "Pass"]

_LONGEST_NAP = 5.0  # seconds; the wall clock may be set while we sleep


class Pass:
    """The leave to have one invocation out. Given back once, however often `give_back` is
    called."""

    __slots__ = ("_gate", "_held", "_sent")

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._held = False
        self._sent = 0.0

    async def take(self, held: Callable[[float], None]) -> None:
        """Wait for it; `held` is told, once, of a wait of over 1 s. Cancelling takes nothing."""
        await self._gate.wait(held)
        self._held = True
        self._sent = self._gate.wall()

    def refused(self, error: Throttled) -> None:
        """OpenWhisk refused the invocation: the pass is gone."""
        if self._held:
            self._held = False
            self._gate.refused(error, sent=self._sent)

    def give_back(self) -> None:
        """The invocation has ended, or was never accepted."""
        if self._held:
            self._held = False
            self._gate.leave()


class Gate:
    """Asks the pacer, and sleeps as long as it says. One per namespace, shared by all runs."""

    def __init__(self, pacer: Pacer, *, wall: Callable[[], float] = time.time) -> None:
        self._pacer = pacer
        self.wall = wall
        self._freed = anyio.Event()
        self.throttled = 0

    async def wait(self, held: Callable[[float], None]) -> None:
        """Return when one invocation may be sent."""
        told = False
        while (wait := self._pacer.ask(self.wall())) > 0:
            if wait > 1 and not told:
                told = True
                held(wait)
            freed = self._freed
            with anyio.move_on_after(min(wait, _LONGEST_NAP)):
                await freed.wait()

    def leave(self) -> None:
        """One that was let out has ended."""
        self._pacer.release(self.wall())
        self._wake()

    def refused(self, error: Throttled, *, sent: float) -> None:
        """OpenWhisk refused one that was let out at `sent`."""
        self.throttled += 1
        self._pacer.refused(
            self.wall(),
            per_minute=error.per_minute,
            count=error.count,
            allowed=error.allowed,
            sent=sent,
        )
        self._wake()

    def limits(self, *, per_minute: int | None, concurrent: int | None) -> None:
        """What `GET limits` says of the namespace; None where it does not."""
        self._pacer.limits(per_minute, concurrent)

    def _wake(self) -> None:
        if self._freed.statistics().tasks_waiting:
            self._freed.set()
            self._freed = anyio.Event()
