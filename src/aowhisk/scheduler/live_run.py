"""A run that decides as it goes: calls are made from code, one after the other or many at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import anyio

from aowhisk.dag import Dag, Ownership
from aowhisk.errors import ActivationFailed, GraphError, Interrupted
from aowhisk.lineage import CallRecord, CallRef, Lineage
from aowhisk.models import JSON, Abandoned, Failed, Outcome, Succeeded
from aowhisk.recovery import Plan
from aowhisk.retry import RetryPolicy
from aowhisk.scheduler.engine import Engine
from aowhisk.scheduler.job import Job, Terms
from aowhisk.scheduler.mentions import named
from aowhisk.scheduler.queue import Limit
from aowhisk.scheduler.run import NodeOutcome

__all__ = ["LiveRun"]


class LiveRun:
    """The calls of `async with orchestrator.start(...) as run`; `id` is the run's."""

    def __init__(
        self, id: str, *, lineage: Lineage, action_limits: Mapping[str, int] | None = None
    ) -> None:
        self.id = id
        self._lineage = lineage
        self._actions = {name: Limit(size) for name, size in (action_limits or {}).items()}
        self._ordinals: Counter[str] = Counter()
        self._outcomes: dict[str, Outcome | None] = {}
        self._over = False
        self._waiting: dict[str, anyio.Event] = {}
        self._idle = anyio.Event()
        self.engine: Engine

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
        items = list(params)
        base = id or _segment(action)
        if id is None:
            self._ordinals[base] += 1
            base = f"{base}-{self._ordinals[base]}"
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
            for index, each in enumerate(items)
        ]
        outcomes: list[Outcome] = [
            Abandoned(r.ref.call, action, "the map was cut short") for r in records
        ]
        failures = 0

        async def one(index: int) -> None:
            nonlocal failures
            if failures > tolerate:
                return
            outcomes[index] = await self._submit(records[index], limits)
            failures += not isinstance(outcomes[index], Succeeded)

        waiting = iter(range(len(records)))

        async def lane() -> None:
            for index in waiting:
                await one(index)

        width = min(len(records), concurrency or self.engine.concurrency)
        async with anyio.create_task_group() as group:
            for _ in range(width):
                group.start_soon(lane)
        if failures > tolerate:
            raise next(o.error for o in outcomes if isinstance(o, Failed))
        return outcomes

    async def restore(self, keys: Sequence[str]) -> Plan:
        """Make these objects exist by running their writers again; gives what was run. Raises
        RecoveryFailed."""
        return await self.engine.recoverer.recover(CallRef(self.id, "restore"), keys)

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

    def nodes(self) -> dict[str, NodeOutcome]:
        """How the calls stand."""
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
        name = id
        if name is None:
            base = _segment(action)
            self._ordinals[base] += 1
            name = f"{base}-{self._ordinals[base]}"
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
            extra=terms,
        )

    async def _submit(self, record: CallRecord, limits: tuple[Limit, ...]) -> Outcome:
        call = record.ref.call
        ended = self._waiting[call] = anyio.Event()
        self._outcomes[call] = None

        def settle(job: Job, outcome: Outcome) -> None:
            self._outcomes[call] = outcome
            self._waiting.pop(call).set()
            self._idle.set()
            self._idle = anyio.Event()

        terms = record.extra
        self.engine.submit(
            Job(
                record=record,
                terms=terms if isinstance(terms, Terms) else Terms(),
                flight=self.engine.start(record),
                ended=settle,
                limits=(*limits, *self.limits_of(record)),
                inputs=lambda: self._inputs(record),
            )
        )
        await ended.wait()
        outcome = self._outcomes[call]
        if outcome is None:
            raise Interrupted(f"run {self.id} stopped before call {call!r} had ended")
        return outcome

    def _inputs(self, record: CallRecord) -> list[str]:
        """The keys that the params name, out of those that calls of this run wrote."""
        written = [
            key
            for call in self._outcomes
            if call != record.ref.call
            for key in self._lineage.writes_of(CallRef(self.id, call))
        ]
        return named(record.params, written)


def _segment(action: str) -> str:
    return action.rpartition("/")[2]


def _raised(outcome: Outcome) -> Succeeded:
    if isinstance(outcome, Succeeded):
        return outcome
    if isinstance(outcome, Failed):
        raise outcome.error
    raise ActivationFailed(outcome.reason, action=outcome.action, call=outcome.call)
