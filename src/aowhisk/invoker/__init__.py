"""The invoker: one attempt of a call, from its intent to a known end.

`blocking=true` with a short wait, then the poller. An attempt whose fate is unknown is looked for
by its receipt and by the id that its result echoes, never adopted by time alone.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import anyio

from aowhisk.client import Client
from aowhisk.errors import (
    AowhiskError,
    Lost,
    OpenWhiskError,
    ServerFault,
    Throttled,
    TimedOut,
    Unreachable,
)
from aowhisk.events import Recorder
from aowhisk.events import model as events
from aowhisk.invoker.attempt import Attempt, AttemptEnd
from aowhisk.invoker.catalog import ActionFacts, Catalog
from aowhisk.invoker.commons import Commons
from aowhisk.invoker.gate import Gate, Pass
from aowhisk.invoker.habits import Habits
from aowhisk.invoker.last_words import with_last_words
from aowhisk.invoker.protocol import Protocol
from aowhisk.models import JSON, Accepted, Activation, from_ms
from aowhisk.poller import Poller
from aowhisk.retry import RetryPolicy
from object_store import StoreError

__all__ = [
    "Attempt",
    "AttemptEnd",
    "Catalog",
    "Commons",
    "Gate",
    "Invoker",
    "Patience",
    "Protocol",
    "intent",
]

_SKEW = 120.0  # seconds by which OpenWhisk's clock may be behind ours


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for what, in seconds.

    `blocking_wait`: for the answer of the POST itself. `allowance`: beyond twice the action's time
    limit (it holds for start and run each), for OpenWhisk's queue and for records that come late.
    `refusal`: how long to go on trying while OpenWhisk cannot be reached or takes nothing. `grace`:
    for the last words of a run that is interrupted. `lease`: a process that has not been heard of
    for so long is taken for dead, and its runs may be taken over.
    """

    blocking_wait: float = 5.0
    allowance: float = 60.0
    refusal: float = 60.0
    grace: float = 5.0
    lease: float = 15.0


@dataclass(slots=True)
class _Sending:
    """When the last POST was sent: epoch seconds, and seconds of the invoker's clock; `term` is the
    one in which it was known last that the run is ours."""

    term: int | None
    wall: float = 0.0
    clock: float = 0.0


class Invoker:
    """Sends attempts. Counts what it sends in `posts`.

    `born` is when this OpenWhisk began, in epoch seconds, where nothing from before can be running.
    """

    def __init__(
        self,
        client: Client,
        recorder: Recorder,
        protocol: Protocol,
        *,
        catalog: Catalog,
        poller: Poller,
        gate: Gate,
        patience: Patience = Patience(),
        born: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._client = client
        self._recorder = recorder
        self._protocol = protocol
        self._catalog = catalog
        self._poller = poller
        self._gate = gate
        self._patience = patience
        self._born = born
        self._clock = clock
        self._sleep = sleep
        self._habits = Habits()
        self.posts = 0

    async def attempt(self, attempt: Attempt) -> AttemptEnd:
        """Send it and return how it ended; what the action or OpenWhisk answered is in the end's
        `error`, never raised. Raises JournalError.

        Cancelling leaves the activation to the cluster.
        """
        begun = self._clock()
        try:
            facts = await self._catalog.facts(attempt.action)
            body = await self._protocol.outgoing(attempt)
        except (AowhiskError, StoreError) as error:
            queued = self._clock() - begun
            return AttemptEnd(error=_ours(attempt, error), sent=time.time(), queued=queued)
        leave = Pass(self._gate)
        await leave.take(lambda wait: self._held(attempt, wait))
        try:
            queued = self._clock() - begun
            sent = _Sending(self._recorder.tenure.term(attempt.run))
            await self._recorder.commit(intent(attempt))
            end = await self._send_and_wait(attempt, body, facts, leave, sent)
            return end.timed(sent=sent.wall, queued=queued)
        finally:
            leave.give_back()

    async def take_up(
        self, attempt: Attempt, activation_id: str | None, *, since: float
    ) -> AttemptEnd:
        """How an attempt ended that an earlier process intended at `since` (epoch seconds): its
        activation is polled, or, where that is not known, looked for until its deadline. Nothing is
        sent."""
        try:
            facts = await self._catalog.facts(attempt.action)
        except AowhiskError as error:
            return AttemptEnd(error=error, sent=since)
        patience = attempt.timeout
        if patience is None:
            patience = 2 * facts.timeout + self._patience.allowance
        if since < self._born:  # it ended with the OpenWhisk that ran it: one look is enough
            patience = 0.0
        deadline = self._clock() + max(0.0, since + patience - time.time())
        if activation_id is not None:
            end = await self._wait(attempt, activation_id, since, deadline, facts)
        else:
            end = await self._search(attempt, since, deadline, facts)
        return end.timed(sent=since)

    async def _send_and_wait(
        self, attempt: Attempt, body: bytes, facts: ActionFacts, leave: Pass, sent: _Sending
    ) -> AttemptEnd:
        patience = attempt.timeout
        if patience is None:
            patience = 2 * facts.timeout + self._patience.allowance
        try:
            wait = min(self._patience.blocking_wait, patience)
            reply = await self._post(attempt, body, wait, leave, sent)
            end = await self._learn(attempt, reply, facts, sent, sent.clock + patience)
        except OpenWhiskError as error:
            end = AttemptEnd(error=error)
        return await with_last_words(self._client, end)

    async def _learn(
        self,
        attempt: Attempt,
        reply: Activation | Accepted | None,
        facts: ActionFacts,
        sent: _Sending,
        deadline: float,
    ) -> AttemptEnd:
        """What becomes of an invocation that was answered so."""
        if isinstance(reply, Activation):
            return await self._protocol.incoming(attempt, reply)
        if reply is None:
            return await self._search(attempt, sent.wall, deadline, facts)
        self._recorder.record(
            events.Accepted(
                run=attempt.run,
                of=attempt.record.ref.run,
                call=attempt.call,
                attempt=attempt.id,
                activation_id=reply.activation_id,
            )
        )
        return await self._wait(attempt, reply.activation_id, sent.wall, deadline, facts)

    async def _post(
        self, attempt: Attempt, body: bytes, wait: float, leave: Pass, sent: _Sending
    ) -> Activation | Accepted | None:
        """OpenWhisk's answer, None where nobody knows whether it took the invocation; `sent` tells
        when it was asked last."""
        give_up = self._clock() + self._patience.refusal
        pause = 0.1
        while True:
            await self._assure(attempt, sent)
            self.posts += 1
            sent.wall, sent.clock = time.time(), self._clock()
            try:
                return await self._client.actions.invoke(
                    attempt.action, body, blocking=True, timeout=wait
                )
            except Throttled as error:
                if error.allowed == 0:
                    raise
                leave.refused(error)
                await leave.take(lambda wait: self._held(attempt, wait))
                give_up = self._clock() + self._patience.refusal
                continue
            except Unreachable as error:
                if error.sent:
                    return None
                if self._clock() >= give_up:
                    raise
            except ServerFault as error:
                if error.accepted is not False:
                    return None
                if self._clock() >= give_up:
                    raise
            await self._sleep(pause)
            pause = min(pause * 2, 5.0)

    async def _assure(self, attempt: Attempt, sent: _Sending) -> None:
        """Return once it is sure that the run is ours: since its intent was durable this process
        may have slept, or have waited for OpenWhisk or for the journal, for longer than a lease
        lasts. Another one may have taken the run then, and have given up looking for this attempt.
        Raises Fenced."""
        tenure, run = self._recorder.tenure, attempt.run
        while sent.term is None or tenure.term(run) != sent.term:
            sent.term = await tenure.restored(run)
            await self._recorder.commit(
                events.Renewed(
                    run=run, of=attempt.record.ref.run, call=attempt.call, attempt=attempt.id
                )
            )

    async def _wait(
        self,
        attempt: Attempt,
        activation_id: str,
        sent: float,
        deadline: float,
        facts: ActionFacts,
    ) -> AttemptEnd:
        """Poll for a record; a record that never comes may have left a receipt."""
        expected = self._habits.left(attempt.action, time.time() - sent)
        segment = 10.0 + expected
        while True:  # once at least: a process that takes it up may come late
            left = max(0.0, deadline - self._clock())
            record = await self._poller.wait(
                activation_id,
                deadline=max(0.5, min(segment, left)),
                expected=expected or None,
                sent=from_ms(sent * 1000),
                surely=segment >= left,
            )
            expected = 0.0
            if record is not None:
                self._habits.note(attempt.action, record)
                return await self._protocol.incoming(attempt, record)
            noted = await self._receipt(attempt, facts)
            if noted is not None:
                return replace(noted, activation=_stub(attempt, activation_id))
            if self._clock() >= deadline:
                return AttemptEnd(error=self._given_up(attempt, [activation_id]))
            segment = min(segment * 2, facts.timeout + 10.0)

    async def _search(
        self, attempt: Attempt, sent: float, deadline: float, facts: ActionFacts
    ) -> AttemptEnd:
        """Look for an attempt of which not even the activation id is known. Half of the pause
        between two looks is for others to join it."""
        pause, slack = 0.25, 0.0
        since = from_ms((sent - _SKEW) * 1000)
        candidates: tuple[str, ...] = ()
        while True:
            noted = await self._receipt(attempt, facts)
            if noted is not None:
                return noted
            look = await self._poller.find(
                attempt.action,
                wanted=attempt.id,
                mark=self._protocol.echoed,
                since=since,
                slack=slack,
            )
            if look.record is not None:
                return await self._protocol.incoming(attempt, look.record)
            candidates = look.newest or candidates
            left = deadline - self._clock()
            if left <= 0:
                return AttemptEnd(error=self._given_up(attempt, candidates))
            slack = pause / 2 if pause < left else 0.0
            await self._sleep(min(pause, left) - slack)
            pause = min(pause * 1.5, 10.0)

    async def _receipt(self, attempt: Attempt, facts: ActionFacts) -> AttemptEnd | None:
        """What the attempt left in the store. A receipt of a sequence or a composition says
        nothing: it may be that of a part, with others still to come."""
        return None if facts.composed else await self._protocol.receipt(attempt)

    def _given_up(self, attempt: Attempt, candidates: Sequence[str]) -> Lost | TimedOut:
        what = f"action {attempt.action!r} (call {attempt.call!r}, attempt {attempt.id})"
        if attempt.timeout is not None:
            return TimedOut(
                f"{what} gave no result within timeout={attempt.timeout:g} s; OpenWhisk cannot be "
                f"told to stop it ({', '.join(candidates) or 'activation unknown'})",
                action=attempt.action,
                call=attempt.call,
                attempts=attempt.try_,
            )
        listed = ", ".join(candidates)
        may_be = f"it may be one of the activations {listed}" if listed else "no activation is its"
        return Lost(
            f"what became of {what} cannot be known: it left no record and no receipt; {may_be}",
            candidates=candidates,
            action=attempt.action,
            call=attempt.call,
            attempts=attempt.try_,
        )

    def _held(self, attempt: Attempt, seconds: float) -> None:
        self._recorder.record(
            events.Throttled(
                run=attempt.run,
                seconds=seconds,
                text=f"the namespace's limits hold back action {attempt.action!r}",
            )
        )


def intent(attempt: Attempt) -> events.Intended:
    """The event that must be durable before the attempt is sent."""
    record = attempt.record
    return events.Intended(
        run=attempt.run,
        of=record.ref.run,
        call=attempt.call,
        attempt=attempt.id,
        action=attempt.action,
        params=record.params,
        try_=attempt.try_,
        cause=attempt.cause,
        restore=attempt.restore,
        idempotent=record.idempotent,
        protocol=record.protocol,
        ownership=record.ownership,
        reads=record.declared_reads,
        writes=record.declared_writes,
        retry=_policy(record.terms.retry),
        timeout=record.terms.timeout,
    )


@lru_cache(maxsize=256)
def _policy(policy: RetryPolicy) -> dict[str, JSON] | None:
    """What differs from the defaults: the same for every call of a node."""
    return policy.to_json() or None


def _stub(attempt: Attempt, activation_id: str) -> Activation:
    """What is known of an activation whose record never came."""
    return Activation(id=activation_id, name=attempt.action.rpartition("/")[2])


def _ours(attempt: Attempt, error: AowhiskError | StoreError) -> AowhiskError:
    if isinstance(error, AowhiskError):
        return error
    return Unreachable(
        f"the params of call {attempt.call!r} could not be put into the store: {error}",
        request=f"PUT params of {attempt.action}",
        sent=False,
    )
