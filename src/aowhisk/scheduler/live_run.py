"""A run that decides as it goes: calls are made from code, one after the other or many at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import anyio

from aowhisk.dag import Dag, Ownership, difference
from aowhisk.errors import ActivationFailed, GraphError, Interrupted
from aowhisk.lineage import CallRecord, CallRef, Lineage
from aowhisk.models import JSON, Abandoned, Failed, Outcome, Succeeded
from aowhisk.recovery import Plan
from aowhisk.replay import History
from aowhisk.retry import RetryPolicy, Terms
from aowhisk.scheduler.engine import Engine
from aowhisk.scheduler.job import Job
from aowhisk.scheduler.mentions import named
from aowhisk.scheduler.queue import Limit
from aowhisk.scheduler.run import NodeOutcome
from aowhisk.telemetry import Tape, Telemetry

__all__ = ["LiveRun"]


class LiveRun:
    """The calls of `async with orchestrator.start(...) as run`; `id` is the run's."""

    def __init__(
        self,
        id: str,
        *,
        lineage: Lineage,
        action_limits: Mapping[str, int] | None = None,
        history: History | None = None,
        tape: Tape | None = None,
    ) -> None:
        self.id = id
        self._tape = Tape() if tape is None else tape
        self._history = history
        self._lineage = lineage
        self._actions = {name: Limit(size) for name, size in (action_limits or {}).items()}
        self._ordinals: Counter[str] = Counter()
        self._outcomes: dict[str, Outcome | None] = {}
        self._over = False
        self._waiting: dict[str, anyio.Event] = {}
        self._idle = anyio.Event()
        self.engine: Engine

    @property
    def telemetry(self) -> Telemetry:
        """Where its time, its requests and its money went, so far; of all, after the block."""
        return self._tape.telemetry()

    async def call(
        self,
        action: str,
        params: Mapping[str, JSON] | None = None,
        *,
        id: str | None = None,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 -- a frozen value
        timeout: float | None = None,
        reads: Sequence[str] = (),
        writes: Sequence[str] = (),
        ownership: Ownership = "last",
        idempotent: bool = True,
        protocol: bool = True,
    ) -> Succeeded:
        """Run an action and return its outcome; options are those of `Dag.call`.

        `id` is the action's last segment and an ordinal unless given. Raises the call's error:
        ActivationFailed, RecoveryFailed, OpenWhiskError; GraphError for params that cannot be sent.
        Cancelling stops waiting; the call goes on.
        """
        record = self._record(
            action,
            params,
            id=id,
            reads=tuple(reads),
            writes=tuple(writes),
            ownership=ownership,
            idempotent=idempotent,
            protocol=protocol,
            terms=Terms(retry, timeout),
        )
        return _raised(await self._submit(record, ()))

    async def map(
        self,
        action: str,
        params: Iterable[Mapping[str, JSON]],
        *,
        concurrency: int | None = None,
        id: str | None = None,
        tolerate: int = 0,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 -- a frozen value
        timeout: float | None = None,
        protocol: bool = True,
        idempotent: bool = True,
    ) -> list[Outcome]:
        """Run an action once for each of `params`, at most `concurrency` at a time; the outcomes
        are in their order. More than `tolerate` failures raise the first of them, once what was in
        flight has ended."""
        base = self._named(action, id)
        if concurrency is not None and concurrency < 1:
            raise GraphError(f"concurrency is {concurrency}; it must be 1 or more", node=base)
        limits = () if concurrency is None else (Limit(concurrency),)
        records = [
            self._record(
                action,
                each,
                id=f"{base}.{index}",
                reads=(),
                writes=(),
                ownership="last",
                idempotent=idempotent,
                protocol=protocol,
                terms=Terms(retry, timeout),
            )
            for index, each in enumerate(params)
        ]
        for record in records:
            self._recalled(record)  # before any is sent
        fan = _Fan(records, lambda record: self._submit(record, limits), tolerate)
        return await fan.run(width=concurrency or self.engine.concurrency)

    def _named(self, action: str, id: str | None) -> str:
        """The id of the next call of an action."""
        if id is not None:
            return id
        base = _segment(action)
        self._ordinals[base] += 1
        return f"{base}-{self._ordinals[base]}"

    async def restore(self, keys: Sequence[str]) -> Plan:
        """Make these objects exist by running their writers again; gives what was run. Raises
        RecoveryFailed."""
        return await self.engine.recoverer.recover(CallRef(self.id, "restore"), keys)

    def recall(self) -> None:
        """Show how the calls stood when the history ended."""
        if self._history is not None:
            self._outcomes.update(self._history.outcomes)

    def begin(self, engine: Engine) -> None:
        """Calls go through this engine."""
        self.engine = engine

    async def finish(self) -> None:
        """Nothing more is called; return when what was called has ended."""
        self._over = True
        while self._waiting:
            await self._idle.wait()

    def cut(self) -> None:
        """The run stopped: let nobody wait for what will not end."""
        self._over = True
        for ended in self._waiting.values():
            ended.set()
        self._waiting.clear()
        self._idle.set()

    def nodes(self, *, so_far: bool = False) -> dict[str, NodeOutcome]:
        """How the calls stand; `so_far` leaves out what has not ended and may still."""
        if so_far:
            return {id: out for id, out in self._outcomes.items() if out is not None}
        return {
            id: Abandoned(id, "", "the run stopped", attempts=1) if outcome is None else outcome
            for id, outcome in self._outcomes.items()
        }

    def limits_of(self, record: CallRecord) -> tuple[Limit, ...]:
        """What bounds a call of this action."""
        shared = self._actions.get(record.action)
        return () if shared is None else (shared,)

    def may_write(self, job: Job, key: str) -> bool:
        """Whether a call that is not over may still write the key."""
        stuck = {ref.call for ref in self.engine.stuck} | {job.ref.call}
        return any(
            outcome is None and call not in stuck for call, outcome in self._outcomes.items()
        )

    def _record(
        self,
        action: str,
        params: Mapping[str, JSON] | None,
        *,
        id: str | None,
        reads: tuple[str, ...],
        writes: tuple[str, ...],
        ownership: Ownership,
        idempotent: bool,
        protocol: bool,
        terms: Terms,
    ) -> CallRecord:
        """A checked record: the dag knows what params and keys may look like."""
        if self._over:
            raise Interrupted(f"run {self.id} is over; nothing can be called any more")
        name = self._named(action, id)
        spec = (
            Dag("call")
            .call(
                action,
                params,
                id=name.replace(".", "-"),
                reads=reads,
                writes=writes,
                ownership=ownership,
                retry=terms.retry,
                timeout=terms.timeout,
            )
            .spec
        )
        if name in self._outcomes:
            raise GraphError(
                "a call of this id was made in this run already; pass another id=", node=name
            )
        return CallRecord(
            ref=CallRef(self.id, name),
            action=spec.action,
            params=spec.params,
            idempotent=idempotent,
            protocol=protocol,
            ownership=ownership,
            declared_reads=reads,
            declared_writes=writes,
            terms=terms,
        )

    async def _submit(self, record: CallRecord, limits: tuple[Limit, ...]) -> Outcome:
        call = record.ref.call
        known = self._recalled(record)
        if known is not None:
            self._outcomes[call] = known
            return known
        ended = self._waiting[call] = anyio.Event()
        self._outcomes[call] = None

        def settle(job: Job, outcome: Outcome) -> None:
            self._outcomes[call] = outcome
            self._waiting.pop(call).set()
            self._idle.set()
            self._idle = anyio.Event()

        job = Job(
            record=record,
            flight=self.engine.start(record),
            ended=settle,
            limits=(*limits, *self.limits_of(record)),
            inputs=lambda: self._inputs(record),
        )
        if self._history is not None:
            job.take_up(self._history)
        self.engine.submit(job)
        await ended.wait()
        outcome = self._outcomes[call]
        if outcome is None:
            raise Interrupted(f"run {self.id} stopped before call {call!r} had ended")
        return outcome

    def _recalled(self, record: CallRecord) -> Outcome | None:
        """How the call ended in an earlier process, None where it did not. Raises GraphError where
        it was another call then."""
        history, call = self._history, record.ref.call
        if history is None or call not in history.params:
            return None
        if differs := difference(history.params[call], record.params):
            raise GraphError(
                f"the journal has this call with other params ({differs}); a call that is not the "
                "same needs another id=",
                node=call,
            )
        outcome = history.outcomes.get(call)
        return outcome if isinstance(outcome, Succeeded | Failed) else None

    def _inputs(self, record: CallRecord) -> list[str]:
        """The keys that the params name, out of those that calls of this run wrote."""
        written = [
            key
            for call in self._outcomes
            if call != record.ref.call
            for key in self._lineage.writes_of(CallRef(self.id, call))
        ]
        return named(record.params, written)


class _Fan:
    """Many calls, some at a time; after one failure too many no more are begun."""

    def __init__(
        self,
        records: Sequence[CallRecord],
        submit: Callable[[CallRecord], Awaitable[Outcome]],
        tolerate: int,
    ) -> None:
        self._records = records
        self._submit = submit
        self._tolerate = tolerate
        self._waiting = iter(range(len(records)))
        self._failures = 0
        self._stopped: list[Interrupted] = []
        self._outcomes: list[Outcome] = [
            Abandoned(record.ref.call, record.action, "the map was cut short") for record in records
        ]

    async def run(self, *, width: int) -> list[Outcome]:
        """The outcomes in their order; raises the first error where too many failed."""
        async with anyio.create_task_group() as group:
            for _ in range(min(len(self._records), width)):
                group.start_soon(self._lane)
        if self._stopped:
            raise self._stopped[0]
        if self._failures > self._tolerate:
            raise next(out.error for out in self._outcomes if isinstance(out, Failed))
        return self._outcomes

    async def _lane(self) -> None:
        try:
            for index in self._waiting:
                if self._failures > self._tolerate:
                    return
                outcome = self._outcomes[index] = await self._submit(self._records[index])
                self._failures += not isinstance(outcome, Succeeded)
        except Interrupted as error:
            self._stopped.append(error)


def _segment(action: str) -> str:
    return action.rpartition("/")[2]


def _raised(outcome: Outcome) -> Succeeded:
    if isinstance(outcome, Succeeded):
        return outcome
    if isinstance(outcome, Failed):
        raise outcome.error
    raise ActivationFailed(outcome.reason, action=outcome.action, call=outcome.call)
