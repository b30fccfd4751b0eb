"""The recoverer: probes, asks the planner, runs the plan, for consumers whose objects are gone."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import anyio

from aowhisk.errors import AowhiskError, Interrupted, MissingObject, RecoveryFailed
from aowhisk.events import Journal, Recorder
from aowhisk.events import model as events
from aowhisk.lineage import CallRef, Lineage
from aowhisk.recovery import Need, Plan, RecoveryPolicy, Seen, Step, plan
from aowhisk.replay import record_of
from aowhisk.scheduler.flights import Flight, Flights
from aowhisk.scheduler.job import Job
from aowhisk.scheduler.prober import Prober

__all__ = ["Recoverer", "Recovery", "known_reads", "plan_for"]

_STALE_ROUNDS = 100
_STORES_DIFFER = 2  # times that an object is missing for the action and there for us


class _Mark(NamedTuple):
    """When an object was looked for, by two clocks."""

    lineage: int
    flights: int


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a recoverer needs of its surroundings."""

    lineage: Lineage
    flights: Flights
    recorder: Recorder
    prober: Prober | None
    policy: RecoveryPolicy

    @property
    def journal(self) -> Journal:
        """Where writers of earlier runs are looked up."""
        return self.recorder.journal


class Recoverer:
    """The recoveries of one run. `submit` sends a writer again; its flight lands when it ended."""

    def __init__(
        self,
        run: str,
        parts: Recovery,
        *,
        submit: Callable[[Step, Flight], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run = run
        self._lineage = parts.lineage
        self._flights = parts.flights
        self._recorder = parts.recorder
        self._journal = parts.journal
        self._prober = parts.prober
        self._policy = parts.policy
        self._submit = submit
        self._clock = clock
        self._losses: Counter[str] = Counter()
        self._spent = 0
        self._active = 0
        self._since = 0.0
        self._seconds = 0.0

    async def recover(
        self, waiter: CallRef, wanted: Iterable[str], missing: Sequence[str] = ()
    ) -> Plan:
        """Bring back what the call `waiter` needs; gives the plan that was run, an empty one if
        nothing had been lost.

        `wanted` is all that it is known to read, `missing` what it said was gone. Raises
        RecoveryFailed. It holds no slot, whatever it waits for.
        """
        keys = tuple(dict.fromkeys((*missing, *wanted)))
        first: Plan | None = None
        self._begin()
        try:
            while True:
                planned = await self.plan(keys, missing=missing, reader=waiter)
                self._tell(waiter, planned)
                first = first or planned
                if not planned.steps:
                    return first
                self._charge(planned)
                if not await self._execute(waiter, planned):
                    return first
        finally:
            self._pause()

    def charge_rerun(self, job: Job) -> None:
        """The consumer goes again: that, too, is paid from the budget of recovery."""
        self._spent += 1
        if self._spent > self._policy.reruns:
            raise RecoveryFailed(
                f"call {job.ref.call!r} would be re-run {self._policy.reruns} in all for recovery; "
                "raise RecoveryPolicy(reruns=) if so many losses are normal",
                key=next(iter(job.phantoms), ""),
                reason="budget",
            )

    def check_store(self, job: Job, missing: Sequence[str], error: AowhiskError) -> None:
        """The action missed objects that are there for us: once may be chance, twice is not, unless
        they were written after the attempt was sent."""
        for key in missing:
            if self._lineage.wrote_since(key, job.mark):
                continue
            job.phantoms[key] += 1
            if job.phantoms[key] >= _STORES_DIFFER:
                theirs = error.meta.get("store") if isinstance(error, MissingObject) else None
                ours = self._prober.url if self._prober else "no store"
                raise RecoveryFailed(
                    f"action {job.record.action!r} misses {key!r} in its store "
                    f"({theirs or 'not said'}), but it is there in ours ({ours}); give the action "
                    "the same OBJECT_STORE_URL",
                    key=key,
                    reason="stores differ",
                )

    async def plan(
        self,
        wanted: Sequence[str],
        *,
        missing: Sequence[str] = (),
        reader: CallRef | None = None,
    ) -> Plan:
        """What has to run again for `wanted` to be there (for `reader`); nothing is run. Raises
        RecoveryFailed."""
        seen: dict[str, Seen] = {}
        marks: dict[str, _Mark] = {}
        looked_up: set[str] = set()
        lookahead = 16
        if self._prober is None:
            seen = dict.fromkeys(missing, Seen(etag=None, by=None))
        for _ in range(_STALE_ROUNDS * 1000):
            answer = plan(
                self._lineage,
                wanted,
                seen,
                policy=self._policy,
                reader=reader,
                waiting=frozenset() if reader is None else self._flights.waiting_for(reader),
                in_flight=self._flights.refs,
                looked_up=looked_up,
                lookahead=lookahead,
                spent=self._spent,
                probing=self._prober is not None,
            )
            if isinstance(answer, Plan):
                stale = self._stale(answer, marks)
                if not stale:
                    return answer
                for key in stale:
                    seen.pop(key, None)
                    marks.pop(key, None)
            else:
                await self._find_out(answer, seen, marks, looked_up)
                lookahead *= 2
        raise AssertionError("the planner never came to an end")

    def _stale(self, planned: Plan, marks: dict[str, _Mark]) -> list[str]:
        """The lost keys that were written again since we looked: by this run, or, as far as writers
        in the plan go, by any."""
        found = [
            key
            for key in planned.lost
            if key in marks and self._lineage.wrote_since(key, marks[key].lineage)
        ]
        for step in planned.steps:
            found += [
                key
                for key in step.restore
                if key in marks and self._flights.repaired_since(step.call.ref, marks[key].flights)
            ]
        return found

    async def _find_out(
        self, need: Need, seen: dict[str, Seen], marks: dict[str, _Mark], looked_up: set[str]
    ) -> None:
        if need.probe and self._prober is not None:
            mark = _Mark(self._lineage.clock, self._flights.clock)
            seen.update(await self._prober.look(need.probe))
            marks.update(dict.fromkeys(need.probe, mark))
        for key in need.look_up:
            await self._look_up(key)
            looked_up.add(key)

    async def _look_up(self, key: str) -> None:
        """Learn who wrote the key in an earlier run, if anybody did."""
        for written in reversed(await self._journal.writers(key, other_than=self._run)):
            intended, ended = written.intended, written.ended
            self._lineage.record(
                record_of(intended),
                intended.attempt,
                reads=ended.reads if ended.reported else None,
                writes=ended.writes if ended.reported else None,
                succeeded=ended.error is None,
                earlier=True,
            )

    def _charge(self, planned: Plan) -> None:
        """Pay for a plan; raises RecoveryFailed where the policy does not allow it."""
        for step in planned.steps:
            if step.join:
                continue
            for key in step.restore:
                self._losses[key] += 1
                if self._losses[key] > self._policy.same_object:
                    raise RecoveryFailed(
                        f"{key!r} was lost again after {self._policy.same_object} recoveries; "
                        "something deletes it (a lifecycle rule? another run?)",
                        key=key,
                        reason="keeps vanishing",
                        plan=planned,
                    )
            self._spent += 1
        if self._elapsed() > self._policy.seconds:
            raise RecoveryFailed(
                f"this run has spent {self._elapsed():.0f} s on recovery, over "
                f"RecoveryPolicy(seconds={self._policy.seconds:g})",
                key=planned.wanted[0],
                reason="budget",
                plan=planned,
            )

    async def _execute(self, waiter: CallRef, planned: Plan) -> bool:
        """Run a plan to its end; gives whether it leaned on somebody else's flight, so that what is
        there has to be looked at again."""
        mark = self._lineage.clock
        table, own = self._board(planned)
        sent: set[CallRef] = set()
        cycles: list[RecoveryFailed] = []

        async def one(step: Step) -> None:
            flight = table[step.call.ref]
            try:
                if step.call.ref in own and await self._clear(step, table):
                    sent.add(step.call.ref)
                    self._submit(step, flight)
                await self._flights.wait(waiter, flight, key=_first(step))
            except RecoveryFailed as error:
                cycles.append(error)
            finally:  # once it is sent it lands when it ends, whoever has gone meanwhile
                if step.call.ref in own - sent and not flight.is_over:
                    self._flights.land(flight, broken=True)

        async with anyio.create_task_group() as group:
            for step in planned.steps:
                group.start_soon(one, step)
        if cycles:
            raise cycles[0]
        for step in planned.steps:
            self._check(step, table[step.call.ref], planned, mark if step.call.ref in own else None)
        joined = len(own) < len(table)
        if not joined and any(flight.broken for flight in table.values()):
            raise Interrupted(f"run {self._run} stopped before its recovery had ended")
        return joined

    def _board(self, planned: Plan) -> tuple[dict[CallRef, Flight], set[CallRef]]:
        """The flights of a plan, and those among them that are started here; all at once, for from
        here on others find them and join."""
        table: dict[CallRef, Flight] = {}
        own: set[CallRef] = set()
        for step in planned.steps:
            ref = step.call.ref
            flight = self._flights.get(ref)
            if flight is None:
                flight = self._flights.start(ref)
                own.add(ref)
            table[ref] = flight
        return table, own

    async def _clear(self, step: Step, table: dict[CallRef, Flight]) -> bool:
        """Wait for those before the writer; gives whether it may go, else its flight has landed."""
        flight = table[step.call.ref]
        try:
            for ref in step.after:
                before = table[ref]
                await self._flights.wait(step.call.ref, before, key=_first(step))
                if before.error is not None or before.broken:
                    self._flights.land(flight, before.error, broken=before.broken)
                    return False
        except RecoveryFailed as error:
            self._flights.land(flight, error)
            raise
        return True

    def _check(self, step: Step, flight: Flight, planned: Plan, mark: int | None) -> None:
        error, call = flight.error, step.call
        key = _first(step)
        if error is not None:
            reason = error.reason if isinstance(error, RecoveryFailed) else "writer failed"
            key = error.key if isinstance(error, RecoveryFailed) else key
            raise RecoveryFailed(
                f"{key!r} cannot be restored: call {call.ref.call!r} (action {call.action!r}) was "
                f"to write it again and failed: {error}",
                key=key,
                reason=reason,
                plan=planned,
            ) from error
        if mark is None or flight.broken:
            return
        reports = bool(self._lineage.has_read(call.ref))
        skipped = [k for k in step.restore if not self._lineage.wrote_since(k, mark)]
        if reports and skipped and call.protocol:
            raise RecoveryFailed(
                f"call {call.ref.call!r} (action {call.action!r}) ran again and did not write "
                f"{skipped[0]!r}; its keys must follow from its params and its run's id "
                "(store.key)",
                key=skipped[0],
                reason="writer failed",
                plan=planned,
            )

    def _tell(self, waiter: CallRef, planned: Plan) -> None:
        self._recorder.record(
            events.RecoveryPlanned(
                run=self._run,
                of=waiter.run,
                call=waiter.call,
                lost=planned.lost,
                steps=tuple((str(step.call.ref), step.restore) for step in planned.steps),
            )
        )

    def _begin(self) -> None:
        if self._active == 0:
            self._since = self._clock()
        self._active += 1

    def _pause(self) -> None:
        self._active -= 1
        if self._active == 0:
            self._seconds += self._clock() - self._since

    def _elapsed(self) -> float:
        """Seconds in which at least one recovery was under way."""
        return self._seconds + (self._clock() - self._since if self._active else 0.0)


async def plan_for(run: str, parts: Recovery, keys: Sequence[str]) -> Plan:
    """What has to run again for the keys to exist, from the journal alone. Raises
    RecoveryFailed."""
    recoverer = Recoverer(run, parts, submit=lambda step, flight: None)
    return await recoverer.plan(keys)


def known_reads(job: Job, lineage: Lineage) -> list[str]:
    """What the call is known to read: declared, read by its attempts, and until one of these
    succeeded, written by the calls that its params come from."""
    keys = dict.fromkeys(job.record.declared_reads)
    keys.update(dict.fromkeys(lineage.reads_of(job.ref)))
    if not lineage.has_read(job.ref):
        keys.update(dict.fromkeys(job.inputs()))
    return list(keys)


def _first(step: Step) -> str:
    return step.restore[0] if step.restore else step.call.ref.call
