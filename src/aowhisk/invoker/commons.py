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
_ALONE, _CROWDED = 1.0, 0.25  # seconds between two looks while we have something in flight
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
        self._joined = False
        gate.claim = self.claim

    @property
    def others(self) -> int:
        """How many other processes use the namespace, as far as is known."""
        return self._shares.others

    async def claim(self, wanted: int) -> None:
        """Take some of the minute's budget for so many that wait. Raises JournalError."""
        self._joined = True
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
        self._joined = True
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
        if share is not None:
            gate.share(share)

    async def run(self) -> None:
        """Attend while there is something to do, until cancelled; then give up our part."""
        try:
            while True:
                if self._gate.is_idle:
                    await self._leave()
                    if self._gate.concurrent is not None:
                        self._gate.share(1)  # the first goes while we look what there is
                    await self._gate.stir()
                else:
                    await self._sleep(_CROWDED if self.others else _ALONE)
                try:
                    await self.attend()
                except JournalError:
                    _log.warning("the limits of the namespace cannot be shared", exc_info=True)
        finally:
            with anyio.move_on_after(_LAST, shield=True):
                await self._leave()

    async def _leave(self) -> None:
        if not self._joined:
            return
        self._joined = False
        try:
            await self._journal.amend(self._name, lambda known: (self._shares.leave(known), None))
        except JournalError:  # the others will notice
            _log.debug("could not take leave of the namespace's other users", exc_info=True)
