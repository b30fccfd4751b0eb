"""Begins invocations: plain actions in containers, sequences and compositions here."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from aowhisk.local.accounting import Broken, Budget, Tally
from aowhisk.local.composition import Composition
from aowhisk.local.documents import record_of
from aowhisk.local.entities import Action
from aowhisk.local.entitlement import Entitlement
from aowhisk.local.faults import FaultPlan
from aowhisk.local.http import Refusal
from aowhisk.local.incidents import befall, spoil
from aowhisk.local.invocation import Invocation, Payload, User
from aowhisk.local.invoker import Invoker
from aowhisk.local.outcome import WHISK_ERROR, Response
from aowhisk.local.records import Record
from aowhisk.local.sequence import run_sequence
from aowhisk.local.store import Store
from aowhisk.local.target import Target

__all__ = ["Composer"]

_log = logging.getLogger(__name__)
REMOVED = "Action could not be found or may have been deleted."
MISMATCHED = "Action version is not compatible and cannot be invoked."
NOT_FETCHED = "Action could not be fetched."
ACK_DELAY = 60.0
"""Seconds that the controller waits for a component beyond the component's time limit."""


class Composer:
    """Makes invocations of what was found, and begins them. `init` are init parameters of every
    action, below its own; `longest` is how many actions a sequence may run."""

    def __init__(
        self,
        store: Store,
        invoker: Invoker,
        faults: FaultPlan,
        init: Mapping[str, str],
        longest: int,
    ) -> None:
        self.store = store
        self.entitlement = Entitlement(store)
        self._invoker = invoker
        self._faults = faults
        self._init = init
        self._longest = longest

    def invocation(
        self,
        target: Target,
        user: User,
        payload: Payload,
        transaction: str,
        cause: str | None = None,
    ) -> Invocation:
        """An invocation that is not begun; `cause` is the id of what it is a part of."""
        if not target.action.is_composed:
            return self._plain(target, user, payload, transaction, cause)
        return Invocation(
            user=user,
            action=target.action,
            arguments=payload,
            environ=self._init,
            transaction=transaction,
            binding=target.binding,
            stored=target.stored,
            cause=cause,
        )

    def begin(self, invocation: Invocation) -> None:
        """Begin it; `invocation.done` tells the end. Refused (503) once the server stops."""
        if invocation.action.is_composed:
            self._start(invocation, Budget(self._longest))
        else:
            self._invoker.submit(invocation)

    async def component(
        self, target: Target, payload: Payload, whole: Invocation, budget: Budget
    ) -> Invocation:
        """Run a part of `whole` to its end; without a record the wait was too long. Broken where
        it failed inside the controller."""
        if not target.action.is_composed:
            return await self.container(target, payload, whole)
        budget.deeper()
        part = self.invocation(target, whole.user, payload, whole.transaction, whole.id)
        self._start(part, budget)
        await part.ended.wait()
        if part.refusal is not None:
            raise Broken
        return part

    async def container(self, target: Target, payload: Payload, whole: Invocation) -> Invocation:
        """The same for what runs in a container: a plain action, or a conductor's own code."""
        part = self._plain(target, whole.user, payload, whole.transaction, whole.id)
        gone = self._refresh(part)
        if gone is not None:
            self._invoker.count(part)
            part.record = _fallback(part, gone)
            self._invoker.keep(part.record)
            return part
        self._invoker.submit(part)
        await part.done.wait_for(part.seconds + ACK_DELAY)
        return part

    def _start(self, invocation: Invocation, budget: Budget) -> None:
        self._invoker.start(invocation, partial(self._run, budget=budget))

    async def _run(self, invocation: Invocation, *, budget: Budget) -> None:
        try:
            kept = await self._compose(invocation, budget)
        except Exception as problem:  # noqa: BLE001  (whatever it is, the others go on)
            if not isinstance(problem, Broken):
                _log.exception("%s of %s broke", invocation.id, invocation.name)
            invocation.refusal = Refusal(500, WHISK_ERROR)
            kept = True
        if kept:
            invocation.done.set()
        elif invocation.cause is None:  # what it is a part of has heard of its end
            invocation.record = None

    async def _compose(self, whole: Invocation, budget: Budget) -> bool:
        """Run it to its record; whether anyone is to hear of that."""
        tally = Tally()
        response = await befall(self._faults, whole)
        if response is None:
            if whole.action.is_sequence:
                response = await run_sequence(self, whole, tally, budget)
            else:
                response = await Composition(self, whole, tally, budget).run()
        kept = await spoil(self._faults, whole, response)
        whole.record = tally.record(whole, response)
        if kept:
            self._invoker.keep(whole.record)
        return kept

    def _plain(
        self,
        target: Target,
        user: User,
        payload: Payload,
        transaction: str,
        cause: str | None,
    ) -> Invocation:
        arguments, environ = target.arguments(payload)
        return Invocation(
            user=user,
            action=target.action,
            arguments=arguments,
            environ={**self._init, **environ},
            transaction=transaction,
            binding=target.binding,
            cause=cause,
        )

    def _refresh(self, part: Invocation) -> Response | None:
        """The invoker runs what is stored when it is asked, under the version that was found; the
        response where there is nothing to run."""
        found = part.action
        try:
            stored = self.store.get(Action, found.path)
        except Refusal as refusal:
            if refusal.status == 404:
                return Response.application_error(REMOVED)
            return Response.whisk_error(MISMATCHED)
        if stored.is_sequence:
            return Response.whisk_error(NOT_FETCHED)
        part.action = replace(stored, version=found.version)
        return None


def _fallback(part: Invocation, response: Response) -> Record:
    """Of what the invoker could not run, of which it knows next to nothing."""
    part.binding = None
    now = int(time.time() * 1000)
    return record_of(part, response, {"kind": "unknown"}, start=now, end=now, duration=0)
