"""The commons: what a namespace allows, divided among the processes that share a journal."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable

import anyio

from aowhisk.errors import JournalError
from aowhisk.events import Journal
from aowhisk.events.sink import is_gone
from aowhisk.invoker.gate import Gate
from aowhisk.pacing import Shares

__all__ = ["Commons"]

_log = logging.getLogger("aowhisk")
_BUSY = 1.0  # seconds between two looks while we have something in flight
_LAST = 1.0  # seconds for taking leave


class Commons:
    """Our part in a namespace's limits: `attend` says again and again what we have and wish for,
    and `claim` takes from the minute's budget. `name` is the namespace's, the same in every process
    that uses it. `patience` is the seconds of silence after which another is taken for gone."""

    def __init__(
        self,
        gate: Gate,
        journal: Journal,
        name: str,
        *,
        patience: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._gate = gate
        self._journal = journal
        self._name = f"pacing {name}"
        self._shares = Shares(journal.owner, patience, is_gone)
        self._patience = patience
        self._clock = clock
        self._sleep = sleep
        gate.claim = self.claim

    @property
    def others(self) -> int:
        """How many other processes use the namespace, as far as is known."""
        return self._shares.others

    async def claim(self, wanted: int) -> None:
        """Take some of the minute's budget for so many that wait. Raises JournalError."""
        pacer = self._gate.pacer
        minute, budget, lacking, left = pacer.due(self._gate.wall(), wanted)
        claim = await self._journal.amend(
            self._name,
            lambda known: self._shares.claim(
                known,
                now=self._clock(),
                minute=minute,
                budget=budget,
                wanted=lacking,
                left=left,
            ),
        )
        pacer.granted(self._gate.wall(), claim.minute, claim.granted, claim.used)

    async def attend(self) -> None:
        """Look once who else is there, and take our share of what may be in flight."""
        gate = self._gate
        if gate.per_minute is None and gate.concurrent is None:
            return
        share = await self._journal.amend(
            self._name,
            lambda known: self._shares.attend(
                known,
                now=self._clock(),
                wish=gate.pacer.in_flight + gate.waiting,
                in_flight=gate.pacer.in_flight,
                room=gate.concurrent,
            ),
        )
        gate.share(share)

    async def run(self) -> None:
        """Attend until cancelled; then give up our part."""
        try:
            while True:
                busy = self._gate.pacer.in_flight or self._gate.waiting
                await self._sleep(_BUSY if busy else self._patience / 4)
                try:
                    await self.attend()
                except JournalError:
                    _log.warning("the limits of the namespace cannot be shared", exc_info=True)
        finally:
            with anyio.move_on_after(_LAST, shield=True):
                await self._leave()

    async def _leave(self) -> None:
        try:
            await self._journal.amend(self._name, lambda known: (self._shares.leave(known), None))
        except JournalError:  # the others will notice
            _log.debug("could not take leave of the namespace's other users", exc_info=True)
