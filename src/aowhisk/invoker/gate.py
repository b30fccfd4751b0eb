"""The gate: invocations wait here, in order, until the namespace's limits let them out."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

import anyio

from aowhisk.errors import Throttled
from aowhisk.pacing import Pacer

__all__ = ["Gate", "Pass"]

_LONGEST_NAP = 5.0  # seconds; the wall clock may be set while we sleep
_WORTH_SAYING = 1.0  # seconds of waiting


class Pass:
    """The leave to have one invocation out. Given back once, however often `give_back` is
    called."""

    __slots__ = ("_gate", "_held", "_sent")

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._held = False
        self._sent = 0.0

    async def take(self, held: Callable[[float], None]) -> None:
        """Wait for it; `held` is told, once, of a pause of over 1 s, but not of waiting for others
        to end. Cancelling takes nothing."""
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


class _Waiter:
    """One that waits; `held` is None once it has been told."""

    __slots__ = ("called", "held")

    def __init__(self, held: Callable[[float], None]) -> None:
        self.held: Callable[[float], None] | None = held
        self.called = anyio.Event()

    def tell(self, seconds: float) -> None:
        if self.held is not None:
            self.held(seconds)
            self.held = None


class Gate:
    """Asks the pacer, and sleeps as long as it says. One per namespace, shared by all runs.

    Who comes first goes first: only the first in the queue asks, so that what ends wakes one and
    not all. `claim` gets more of a budget that is shared with other processes, for so many.
    """

    def __init__(self, pacer: Pacer, *, wall: Callable[[], float] = time.time) -> None:
        self.pacer = pacer
        self.wall = wall
        self.claim: Callable[[int], Awaitable[None]] | None = None
        self.throttled = 0
        self.per_minute: int | None = None
        self.concurrent: int | None = None
        self._queue: OrderedDict[_Waiter, None] = OrderedDict()
        self._stirred: anyio.Event | None = None
        self._closed_until = 0.0

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._queue)

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is out."""
        return not self._queue and not self.pacer.in_flight

    async def stir(self) -> None:
        """Return when somebody comes, or is there."""
        if not self.is_idle:
            return
        self._stirred = anyio.Event()
        try:
            await self._stirred.wait()
        finally:
            self._stirred = None

    async def wait(self, held: Callable[[float], None]) -> None:
        """Return when one invocation may be sent."""
        if self._stirred is not None:
            self._stirred.set()
        if not self._queue and self.pacer.ask(self.wall()) <= 0:
            return
        me = _Waiter(held)
        if (left := self._closed_until - self.wall()) > _WORTH_SAYING:
            me.tell(left)
        self._queue[me] = None
        try:
            if next(iter(self._queue)) is not me:
                await me.called.wait()
            await self._lead(me)
        finally:
            was_first = next(iter(self._queue)) is me
            del self._queue[me]
            if was_first:
                self._wake()

    async def _lead(self, me: _Waiter) -> None:
        """Be the first of the queue until the pacer lets it go."""
        while (wait := self.pacer.ask(self.wall())) > 0:
            me.called = anyio.Event()
            if self.pacer.lacks and self.claim is not None:
                await self.claim(len(self._queue))
                continue
            if _WORTH_SAYING < wait < math.inf:
                self._closed_until = self.wall() + wait
                for each in self._queue:
                    each.tell(wait)
            with anyio.move_on_after(min(wait, _LONGEST_NAP)):
                await me.called.wait()
        self._closed_until = 0.0

    def leave(self) -> None:
        """One that was let out has ended."""
        self.pacer.release(self.wall())
        self._wake()

    def refused(self, error: Throttled, *, sent: float) -> None:
        """OpenWhisk refused one that was let out at `sent`."""
        self.throttled += 1
        self.pacer.refused(
            self.wall(),
            per_minute=error.per_minute,
            count=error.count,
            allowed=error.allowed,
            sent=sent,
        )
        self._wake()

    def limits(self, *, per_minute: int | None, concurrent: int | None) -> None:
        """What `GET limits` says of the namespace; None where it does not."""
        self.per_minute, self.concurrent = per_minute, concurrent
        self.share(concurrent)

    def share(self, concurrent: int | None) -> None:
        """How many of the namespace's invocations in flight may be ours."""
        self.pacer.limits(self.per_minute, concurrent)
        self._wake()

    def _wake(self) -> None:
        if self._queue:
            next(iter(self._queue)).called.set()
