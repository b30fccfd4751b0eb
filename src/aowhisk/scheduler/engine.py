"""The engine: the one task group in which a run's jobs are attempted, tried again and recovered."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import anyio
from anyio.abc import TaskGroup

from aowhisk.errors import (
    ActionError,
    AowhiskError,
    Lost,
    MissingObject,
    RecoveryFailed,
    TimedOut,
)
from aowhisk.events import model as events
from aowhisk.events.model import Cause
from aowhisk.invoker import Attempt, AttemptEnd, Invoker
from aowhisk.lineage import CallRecord, CallRef
from aowhisk.models import Abandoned, Failed, Outcome, Shelved, Succeeded, attempt_id
from aowhisk.recovery import Step, foreign_read
from aowhisk.replay import Pending, record_of
from aowhisk.retry import next_delay
from aowhisk.scheduler.flights import Flight
from aowhisk.scheduler.forecast import Forecast
from aowhisk.scheduler.job import Job
from aowhisk.scheduler.queue import Limit
from aowhisk.scheduler.recoverer import Recoverer, Recovery, known_reads
from aowhisk.scheduler.slots import Follow, Slots, Source

__all__ = ["Engine"]

_RESENDS = 3  # of attempts that were never found
_URGENT = float("inf")


@dataclass(eq=False)
class Engine:
    """`concurrency` activations at once. A slot covers one activation and nothing else.

    `may_write` says whether an unfinished call of the run, other than the job's and those that are
    `stuck`, may still write a key; `limits_of` gives the limits that hold for a call's node and
    action.
    """

    run: str
    invoker: Invoker
    recovery: Recovery
    concurrency: int
    may_write: Callable[[Job, str], bool]
    limits_of: Callable[[CallRecord], tuple[Limit, ...]]
    forecast: Forecast = field(default_factory=Forecast)
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    random: Callable[[], float] = random.random
    in_flight: dict[str, Job] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._recorder = self.recovery.recorder
        self._lineage = self.recovery.lineage
        self._slots = Slots(self.concurrency, attempt=self._attempt, begin=self._begin)
        self._open: set[Job] = set()
        self._hoping: set[CallRef] = set()
        self._moving: set[CallRef] | None = None
        self._is_over = False
        self._stopping = anyio.Event()
        self._progress: anyio.Event | None = None
        self._group: TaskGroup | None = None
        self.recoverer = Recoverer(self.run, self.recovery, submit=self._repair, clock=self.clock)

    async def serve(self) -> None:
        """Work until `stop` was called and everything taken has ended. Cancelling leaves what is in
        flight to the cluster. Raises JournalError (in an ExceptionGroup)."""
        flights = self.recovery.flights
        flights.watch(self._tell_progress)
        try:
            async with anyio.create_task_group() as group:
                self._group = group
                self._slots.open(group)
                await self._stopping.wait()
        finally:
            self._group = None
            self._slots.close()
            flights.unwatch(self._tell_progress)

    def abandon(self) -> None:
        """Let nobody wait for what has not ended, now or later; the run is over."""
        self._is_over = True
        for job in self._open:
            self.recovery.flights.land(job.flight, broken=True)

    @property
    def open_jobs(self) -> list[Job]:
        """What was begun and has not ended."""
        return list(self._open)

    @property
    def stuck(self) -> frozenset[CallRef]:
        """The calls of the run that hope for others to write what they read, and those that wait
        for them: none of these can end before another does."""
        flights = self.recovery.flights
        waiting = (flights.waiting_for(ref) for ref in self._hoping)
        return frozenset(ref for ref in self._hoping.union(*waiting) if ref.run == self.run)

    def moves(self, job: Job) -> bool:
        """Whether any call that was begun, but the job's own, can still end."""
        if self._moving is None:  # found once, however many jobs ask
            begun = {each.ref for each in self._open if not each.is_repair}
            self._moving = begun - self.stuck
        return len(self._moving) > (job.ref in self._moving)

    def stop(self) -> None:
        """Nothing more will be submitted."""
        self._stopping.set()

    def start(self, record: CallRecord) -> Flight:
        """The flight of a new call."""
        return self.recovery.flights.start(record.ref)

    def submit(self, job: Job) -> None:
        """Attempt the job as soon as there is a slot."""
        if self._is_over:
            self.recovery.flights.land(job.flight, broken=True)
            return
        job.ready_at = self.clock()
        self._begin(job)
        self._slots.push(job, job.limits)

    def draw_from(self, source: Source, limits: tuple[Limit, ...] = ()) -> None:
        """Take jobs from a source, one a free slot."""
        if not source.is_empty:
            source.ready_at = self.clock()
            self._slots.push(source, limits)

    def _begin(self, job: Job) -> None:
        self._open.add(job)
        self._moving = None

    async def _attempt(self, job: Job) -> Follow:
        if job.gate is not None and job.gate.why is not None:
            return partial(self._abandon, job, job.gate.why)
        now = self.clock()
        job.first_sent = now if job.first_sent is None else job.first_sent
        pending, job.pending = job.pending, None
        job.tries += pending is None
        job.mark = self._lineage.clock
        attempt = Attempt(
            run=self.run,
            record=job.record,
            id=attempt_id() if pending is None else pending.intended.attempt,
            try_=job.tries,
            cause=job.cause,
            restore=job.restore,
            timeout=job.terms.timeout,
            queued=now - job.ready_at if pending is None else 0.0,
        )
        self.in_flight[attempt.id] = job
        if pending is None:
            end = await self.invoker.attempt(attempt)
            if end.error is None:
                self.forecast.note(attempt.action, self.clock() - now)
        else:
            end = await self.invoker.take_up(attempt, pending.activation_id, since=pending.at)
        del self.in_flight[attempt.id]
        return partial(self._settle, job, attempt, end)

    def _settle(self, job: Job, attempt: Attempt, end: AttemptEnd) -> None:
        """Decide what follows from the end of an attempt; everything here happens at once."""
        if end.error is None and end.reported:
            foreign = foreign_read(self._lineage, job.ref, end.reads, run=self.run)
            end = end if foreign is None else replace(end, result=None, error=foreign)
        diverged = self._lineage.record(
            job.record,
            attempt.id,
            reads=end.reads if end.reported else None,
            writes=end.writes if end.reported else None,
            succeeded=end.error is None,
        )
        follow = self._follow(job, attempt, end)
        ended = self._recorder.keep(_ended(attempt, end, final=follow is None))
        for found in diverged:
            self._recorder.record(
                events.Diverged(
                    run=self.run,
                    of=found.call.run,
                    call=found.call.call,
                    action=job.record.action,
                    key=found.key,
                    before=found.before.sha256 or str(found.before.etag),
                    after=found.after.sha256 or str(found.after.etag),
                )
            )
        if follow is not None:
            follow()
        elif end.error is None:
            self._end(job, _success(job, end, ended))
        else:
            self._fail(job, end, end.error)

    def _follow(self, job: Job, attempt: Attempt, end: AttemptEnd) -> Callable[[], None] | None:
        """What to do about an attempt that is not the call's end, None where it is."""
        error = end.error
        if error is None:
            return None
        if isinstance(error, MissingObject):
            return lambda: self._seek(job, attempt, end, error.keys)
        if isinstance(error, ActionError) and not end.reported and job.record.declared_reads:
            return lambda: self._seek(job, attempt, end, ())
        if isinstance(error, Lost) and job.record.idempotent and job.resent < _RESENDS:
            job.resent += 1
            return lambda: self._again(job, Cause.LOST)
        delay = self._delay(job, error)
        return None if delay is None else lambda: self._retry(job, attempt, end, delay)

    def _delay(self, job: Job, error: AowhiskError) -> float | None:
        if isinstance(error, TimedOut) and error.activation is None and not job.record.idempotent:
            return None  # we have stopped waiting, the attempt may still be running
        elapsed = self.clock() - (job.first_sent or 0.0)
        return next_delay(
            job.terms.retry,
            error,
            tries=job.failures + 1,
            elapsed=elapsed,
            random=self.random,
        )

    def _retry(self, job: Job, attempt: Attempt, end: AttemptEnd, delay: float) -> None:
        job.failures += 1
        self._recorder.record(
            events.Retrying(
                run=self.run,
                of=job.ref.run,
                call=job.ref.call,
                attempt=attempt.id,
                delay=delay,
                error=str(end.error),
                activation_id=end.activation.id if end.activation else None,
            )
        )
        self._spawn(self._later, job, delay)

    async def _later(self, job: Job, delay: float) -> None:
        await self.sleep(delay)
        self._again(job, Cause.RETRY)

    def _again(self, job: Job, cause: Cause) -> None:
        job.cause = Cause.RECOVERY if job.is_repair else cause
        self.submit(job)

    def _seek(self, job: Job, attempt: Attempt, end: AttemptEnd, missing: tuple[str, ...]) -> None:
        """The attempt failed because objects were gone (or, with none named, perhaps so)."""
        self._recorder.record(
            events.ObjectsMissing(
                run=self.run,
                of=job.ref.run,
                call=job.ref.call,
                attempt=attempt.id,
                keys=missing or job.record.declared_reads,
                activation_id=end.activation.id if end.activation else None,
            )
        )
        self._spawn(self._recover, job, attempt, end, missing)

    async def _recover(
        self, job: Job, attempt: Attempt, end: AttemptEnd, missing: tuple[str, ...]
    ) -> None:
        error = end.error
        assert error is not None
        started = self.clock()
        try:
            await self._let_writers_come(job, missing)
            wanted = known_reads(job, self._lineage)
            lost = await self.recoverer.recover(job.ref, wanted, missing)
            if not lost and not missing:
                self._tell_recovered(job, started, None)
                self._plain_failure(job, attempt, end, error)
                return
            if not lost:
                self.recoverer.check_store(job, missing, error)
            self.recoverer.charge_rerun(job)
        except RecoveryFailed as failure:
            failure.__cause__ = failure.__cause__ or error
            self._tell_recovered(job, started, failure.reason)
            self._fail_late(job, end, failure)
        else:
            self._tell_recovered(job, started, None)
            self._again(job, Cause.RERUN)

    def _tell_recovered(self, job: Job, started: float, reason: str | None) -> None:
        self._recorder.record(
            events.Recovered(
                run=self.run,
                of=job.ref.run,
                call=job.ref.call,
                seconds=self.clock() - started,
                reason=reason,
            )
        )

    def _plain_failure(
        self, job: Job, attempt: Attempt, end: AttemptEnd, error: AowhiskError
    ) -> None:
        """Nothing it is known to read was gone: an error like any other."""
        delay = self._delay(job, error)
        if delay is None:
            self._fail_late(job, end, error)
        else:
            self._retry(job, attempt, end, delay)

    async def _let_writers_come(self, job: Job, missing: tuple[str, ...]) -> None:
        """A key that this run has not written yet may be about to be written: without a reference
        or after=, the consumer has overtaken its writer."""
        self._hoping.add(job.ref)
        self._tell_progress()
        try:
            for key in missing:
                while not self._written_here(key) and self.may_write(job, key):
                    if self._progress is None:
                        self._progress = anyio.Event()
                    await self._progress.wait()
        finally:
            self._hoping.discard(job.ref)
            self._moving = None

    def _written_here(self, key: str) -> bool:
        version = self._lineage.latest(key)
        return version is not None and version.writer.run == self.run

    def _repair(self, step: Step, flight: Flight) -> None:
        """Run a writer again for the recoverer."""
        self.submit(self._repair_job(step.call, step.restore, flight))

    def take_up_repair(self, pending: Pending) -> None:
        """A writer was being run again when the process before ended: see it to its end."""
        record = record_of(pending.intended)
        job = self._repair_job(record, pending.intended.restore or (), self.start(record))
        job.pending = pending
        self.submit(job)

    def _repair_job(self, record: CallRecord, restore: tuple[str, ...], flight: Flight) -> Job:
        return Job(
            record=record,
            flight=flight,
            ended=lambda job, outcome: None,
            priority=_URGENT,
            limits=self.limits_of(record),
            restore=restore,
            cause=Cause.RECOVERY,
        )

    def _fail(self, job: Job, end: AttemptEnd, error: AowhiskError) -> None:
        self._end(
            job,
            Failed(
                call=job.ref.call,
                action=job.record.action,
                error=error,
                activation=end.activation,
                attempts=job.tries,
            ),
        )

    def _fail_late(self, job: Job, end: AttemptEnd, error: AowhiskError) -> None:
        """Fail after the end of the last attempt was told."""
        self._recorder.record(
            events.CallFailed(
                run=self.run,
                of=job.ref.run,
                call=job.ref.call,
                error=str(error),
                error_class=type(error).__name__,
                error_facts=error.facts() or None,
            )
        )
        self._fail(job, end, error)

    def _abandon(self, job: Job, why: str) -> None:
        self._recorder.record(
            events.CallAbandoned(run=self.run, of=job.ref.run, call=job.ref.call, reason=why)
        )
        self._end(job, Abandoned(job.ref.call, job.record.action, why, attempts=job.tries))

    def _end(self, job: Job, outcome: Outcome) -> None:
        self._open.discard(job)
        error = outcome.error if isinstance(outcome, Failed) else None
        broken = isinstance(outcome, Abandoned)
        if job.is_repair and error is None:
            self.recovery.flights.note_repair(job.ref)
        self.recovery.flights.land(job.flight, error, broken=broken)
        job.ended(job, outcome)
        self._tell_progress()
        self._slots.pump()

    def _tell_progress(self) -> None:
        self._moving = None
        if self._progress is not None:
            self._progress.set()
            self._progress = None

    def _spawn(self, function: Callable[..., Coroutine[Any, Any, None]], *args: object) -> None:
        if self._group is not None:
            self._group.start_soon(function, *args)


def _success(job: Job, end: AttemptEnd, ended: events.Event) -> Succeeded:
    """The outcome; without the result, where the event does not hold it either."""
    call, action = job.ref.call, job.record.action
    if isinstance(ended, events.ShelvedEnd):
        return Shelved(call, action, ended.read, ended.activation, job.tries)
    return Succeeded(call, action, end.result, end.activation, job.tries)


def _ended(attempt: Attempt, end: AttemptEnd, *, final: bool) -> events.Ended:
    error = end.error
    return events.Ended(
        run=attempt.run,
        of=attempt.record.ref.run,
        call=attempt.call,
        attempt=attempt.id,
        action=attempt.action,
        cause=attempt.cause,
        result=end.result,
        error=None if error is None else str(error),
        error_class=None if error is None else type(error).__name__,
        error_facts=None if error is None else error.facts() or None,
        activation=end.activation,
        reads=end.reads,
        writes=end.writes,
        reported=end.reported,
        final=final,
        sent=end.sent,
        queued=attempt.queued + end.queued,
    )
