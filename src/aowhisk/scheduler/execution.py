"""One run from its first event to its last."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import anyio

from aowhisk.dag import Dag
from aowhisk.errors import (
    AowhiskError,
    Cancelled,
    Fenced,
    Interrupted,
    JournalError,
    RunFailed,
)
from aowhisk.events import Recorder, RunState
from aowhisk.events import model as events
from aowhisk.invoker import Invoker
from aowhisk.lineage import Lineage
from aowhisk.models import JSON
from aowhisk.recovery import RecoveryPolicy
from aowhisk.replay import History
from aowhisk.scheduler.dag_run import DagRun
from aowhisk.scheduler.engine import Engine
from aowhisk.scheduler.flights import Flights
from aowhisk.scheduler.forecast import Forecast
from aowhisk.scheduler.live_run import LiveRun
from aowhisk.scheduler.prober import Prober
from aowhisk.scheduler.recoverer import Recovery
from aowhisk.scheduler.run import Run
from aowhisk.telemetry import Tape, Telemetry

__all__ = ["Acquire", "Execution", "Parts"]

Meter: TypeAlias = Callable[[], Mapping[str, int]]
Acquire: TypeAlias = Callable[[events.RunStarted], Awaitable[History | None]]
_log = logging.getLogger("aowhisk")
_OVER = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED})


@dataclass(frozen=True, slots=True)
class Parts:
    """What all runs of an orchestrator share. `grace` is seconds for the last words of a run that
    is interrupted; `meter` gives the requests sent so far, by the names of `Requests`' fields."""

    invoker: Invoker
    recorder: Recorder
    prober: Prober | None = None
    policy: RecoveryPolicy = field(default_factory=RecoveryPolicy)
    action_limits: Mapping[str, int] = field(default_factory=dict)
    grace: float = 5.0
    flights: Flights = field(default_factory=Flights)
    forecast: Forecast = field(default_factory=Forecast)
    meter: Meter | None = None

    def recovery(self, lineage: Lineage) -> Recovery:
        """What the recoveries of a run need."""
        return Recovery(
            lineage=lineage,
            flights=self.flights,
            recorder=self.recorder,
            prober=self.prober,
            policy=self.policy,
        )


class Execution:
    """Runs a dag, or the calls that code makes (`dag` None); `execute` does it, once."""

    def __init__(
        self,
        id: str,
        parts: Parts,
        *,
        name: str,
        dag: Dag | None = None,
        labels: Mapping[str, str] | None = None,
        concurrency: int = 1,
        history: History | None = None,
    ) -> None:
        """With a `history` it goes on where that ends; the journal knows the run already."""
        self.id = id
        self.name = name
        self.labels = dict(labels or {})
        self.dag_json: JSON = None if dag is None else dag.to_json()
        self.state = RunState.RUNNING
        self.crash: BaseException | None = None
        self.begun = anyio.Event()
        """It takes calls now (or will not any more)."""
        self.done = anyio.Event()
        self._parts = parts
        self._concurrency = concurrency
        self._history: History | None = None
        self._lineage = Lineage()
        self._tape = Tape()
        self._scope = anyio.CancelScope()
        self._wish: RunState | None = None
        self.is_ours = False
        """Whether this process owns the run: only then it may say anything of it."""
        self.is_served = False
        """Whether it was taken from the queue, and goes back there when it is interrupted."""
        self._has_ended = False
        self._started = self._ended = 0.0
        self._metered: Mapping[str, int] = {}
        self.calls: DagRun | LiveRun = self._calls(dag)
        self.engine = self._engine()
        if history is not None:
            self.recall(history)

    def _calls(self, dag: Dag | None) -> DagRun | LiveRun:
        limits = self._parts.action_limits
        if dag is None:
            return LiveRun(
                self.id,
                lineage=self._lineage,
                action_limits=limits,
                history=self._history,
                tape=self._tape,
            )
        return DagRun(
            self.id,
            dag,
            recorder=self._parts.recorder,
            lineage=self._lineage,
            action_limits=limits,
            concurrency=self._concurrency,
            forecast=self._parts.forecast,
            history=self._history,
            over=self._over,
        )

    def _engine(self) -> Engine:
        parts = self._parts
        return Engine(
            run=self.id,
            invoker=parts.invoker,
            recovery=parts.recovery(self._lineage),
            concurrency=self._concurrency,
            may_write=self.calls.may_write,
            forecast=parts.forecast,
            limits_of=self.calls.limits_of,
        )

    def _over(self) -> None:
        self.engine.stop()

    def recall(self, history: History) -> None:
        """Go on, when executed, where this history ends; of a run that has ended, be its end."""
        self._history = history
        self._lineage = history.lineage
        self._tape = history.tape
        self.dag_json = history.started.dag
        self.name = history.started.name
        self.labels = dict(history.started.labels)
        self._started = history.started.at
        dag = None if self.dag_json is None else Dag.from_json(self.dag_json)
        self.calls = self._calls(dag)
        self.engine = self._engine()
        if history.ended is not None and history.state in _OVER:
            self.calls.recall()
            self.state, self._ended = history.state, history.ended
            self.begun.set()
            self.done.set()

    def glance(self, history: History) -> None:
        """Show how the run stood at the end of this history; nothing is gone on with."""
        self.recall(history)
        if not self.done.is_set():
            self.calls.recall()
            self.state = history.state

    @property
    def started(self) -> events.RunStarted:
        """The run's first event."""
        return events.RunStarted(
            run=self.id,
            name=self.name,
            labels=self.labels,
            dag=self.dag_json,
            concurrency=self._concurrency,
        )

    async def execute(self, acquire: Acquire | None = None) -> None:
        """Run to the end; how it ended is in `state` and `crash`. Being cancelled interrupts it.

        `acquire` makes the run ours, however long that takes, and gives its history if it has one;
        by default its first event does, or the history that it was given.
        """
        self._started = self._started or time.time()
        self._parts.recorder.follow(self.id, self._tape)
        try:
            try:
                with self._scope:
                    await self._work(acquire or self._announce)
            except anyio.get_cancelled_exc_class():
                self._wish = self._wish or RunState.INTERRUPTED
                raise
            except BaseException as error:  # noqa: BLE001 -- handed to whoever awaits the run
                self.crash = _first(error)
                self._wish = RunState.INTERRUPTED
            finally:
                if not self.done.is_set():  # else it had ended before, elsewhere
                    await self._close()
        finally:
            self.engine.abandon()
            if isinstance(self.calls, LiveRun):
                self.calls.cut()
            self._ended = self._ended or time.time()
            self._parts.recorder.unfollow(self.id, self._tape)
            self.begun.set()
            self.done.set()

    async def _announce(self, started: events.RunStarted) -> History | None:
        if self._history is None:
            await self._parts.recorder.commit(started)
        return None

    async def _work(self, acquire: Acquire) -> None:
        history = await acquire(self.started)
        if history is not None:
            self.recall(history)
            self._parts.recorder.follow(self.id, self._tape)
        if self.done.is_set():
            return
        self.is_ours = True
        self._metered = self._meter()
        if self._wish is None:  # it may have been stopped before it began
            self.calls.begin(self.engine)
            self.begun.set()
            await self.engine.serve()
            await self._end()

    async def _end(self) -> None:
        """Say that the run ended by itself, and wait for the journal as long as that takes."""
        self.state = self._verdict()
        self._has_ended = True
        self._tell_requests()
        await self._parts.recorder.commit(events.RunEnded(run=self.id, state=self.state))

    def interrupt(self) -> None:
        """Stop sending; what is in flight is left to the cluster, the run can be resumed."""
        self._stop(RunState.INTERRUPTED)

    def cancel(self) -> None:
        """End the run; what is in flight is abandoned."""
        self._stop(RunState.CANCELLED)

    def fail(self) -> None:
        """The code that made the calls of this run gave up: it ends as failed."""
        self._stop(RunState.FAILED)

    def fence(self) -> None:
        """Another process has taken the run: stop sending, and say no more of it."""
        if not self.done.is_set():
            self.crash = self.crash or Fenced(f"run {self.id} was taken by another process")
            self._stop(RunState.INTERRUPTED)

    def refuse(self, error: BaseException) -> None:
        """It will never be executed, because of this."""
        if not isinstance(error, AowhiskError):
            error = Interrupted(f"run {self.id} ({self.name}) was given up before it began")
        self.crash = error
        self.state = RunState.INTERRUPTED
        self.begun.set()
        self.done.set()

    def _stop(self, wish: RunState) -> None:
        if self._wish is None and not self.done.is_set():
            self._wish = wish
            self._scope.cancel()

    async def _close(self) -> None:
        """Say the last word, within the grace time, unless it is the journal that failed."""
        if self._wish is not None and (self.crash is not None or not self._has_ended):
            self.state = self._wish
        if isinstance(self.crash, Fenced):
            await self._learn_fate()
            return
        if isinstance(self.crash, JournalError) or not self.is_ours:
            return
        try:
            with anyio.move_on_after(self._parts.grace, shield=True) as scope:
                await self._last_words()
        except (JournalError, Fenced) as error:
            self.crash = self.crash or error
            self.state = RunState.INTERRUPTED
            return
        if scope.cancelled_caught:
            _log.warning(
                "run %s: its end (%s) could not be journalled within %g s",
                self.id,
                self.state.value,
                self._parts.grace,
            )

    async def _learn_fate(self) -> None:
        """Who took the run from us may have cancelled it: then that is how it ended."""
        with anyio.move_on_after(self._parts.grace, shield=True), contextlib.suppress(JournalError):
            told = await self._parts.recorder.journal.read(self.id)
            if events.state_of(told)[0] is RunState.CANCELLED:
                self.state, self.crash = RunState.CANCELLED, None

    def _meter(self) -> Mapping[str, int]:
        return {} if self._parts.meter is None else self._parts.meter()

    def _tell_requests(self) -> None:
        spent = {name: n - self._metered.get(name, 0) for name, n in self._meter().items()}
        if spent:
            self._parts.recorder.record(events.Requests(run=self.id, **spent))

    async def _last_words(self) -> None:
        recorder, attempts = self._parts.recorder, tuple(self.engine.in_flight)
        if self._has_ended:  # it was said
            await recorder.journal.commit(self.id)
            return
        self._tell_requests()
        if self.state is RunState.INTERRUPTED:
            told = events.RunInterrupted(run=self.id, in_flight=attempts, queued=self.is_served)
            await recorder.commit(told)
            return
        for job in self.engine.open_jobs:
            recorder.record(
                events.CallAbandoned(
                    run=self.id,
                    of=job.ref.run,
                    call=job.ref.call,
                    reason=f"the run was {self.state.value}",
                )
            )
        await recorder.commit(events.RunEnded(run=self.id, state=self.state))

    def _verdict(self) -> RunState:
        if isinstance(self.calls, DagRun) and self.calls.has_failed:
            return RunState.FAILED
        return RunState.SUCCEEDED

    @property
    def telemetry(self) -> Telemetry:
        """Where the time of the run went, so far."""
        return self._tape.telemetry()

    def run(self) -> Run:
        """The run as it stands."""
        return Run(
            id=self.id,
            name=self.name,
            state=self.state,
            labels=self.labels,
            nodes=self.calls.nodes(so_far=not self.done.is_set()),
            started=self._started,
            ended=self._ended or time.time(),
            tape=self._tape,
        )

    def result(self) -> Run:
        """The run, if it succeeded. Raises RunFailed, Interrupted, Cancelled, JournalError."""
        if self.crash is not None:
            raise self.crash
        run = self.run()
        match self.state:
            case RunState.FAILED:
                failures = self.calls.fatal() if isinstance(self.calls, DagRun) else run.failures
                raise RunFailed(_sentence(run, failures), run=run, failures=failures)
            case RunState.INTERRUPTED:
                raise Interrupted(
                    f"run {self.id} ({self.name}) was interrupted; what was in flight was left to "
                    "OpenWhisk"
                )
            case RunState.CANCELLED:
                raise Cancelled(f"run {self.id} ({self.name}) was cancelled")
        return run


def _sentence(run: Run, failures: Mapping[str, AowhiskError]) -> str:
    shown = [f"{call}: {type(e).__name__}: {e}" for call, e in list(failures.items())[:3]]
    if len(failures) > 3:
        shown.append(f"... and {len(failures) - 3} more")
    idle = run.never_started
    never = f"; never started: {', '.join(idle[:5])}{' ...' if idle[5:] else ''}" if idle else ""
    return f"run {run.id} ({run.name}) failed: {'; '.join(shown)}{never}"


def _first(error: BaseException) -> BaseException:
    """The error itself, out of however many groups around it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
