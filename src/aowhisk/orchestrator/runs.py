"""The runs that an orchestrator has: begun, joined, taken over, waited for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial

import anyio
from anyio.abc import TaskGroup

from aowhisk.dag import Dag
from aowhisk.errors import AowhiskError, Conflict, Fenced, GraphError
from aowhisk.events.model import JournalAway, JournalBack, RunStarted
from aowhisk.orchestrator.active import (
    Active,
    Once,
    check_same,
    check_same_dag,
    checked_id,
    positive,
)
from aowhisk.orchestrator.ground import Ground
from aowhisk.orchestrator.others import Ending, Others
from aowhisk.orchestrator.owners import Owners, check_code, check_resumable
from aowhisk.orchestrator.serving import Serving
from aowhisk.replay import History
from aowhisk.scheduler import Execution
from aowhisk.scheduler.execution import Acquire

__all__ = ["Runs"]

_REMEMBERED = 1000  # ended runs that can still be joined and looked at


class Runs:
    """Open as long as its task group; `grace` is seconds for the last words of what is stopped."""

    def __init__(self, ground: Ground, *, grace: float, lease: float) -> None:
        self._ground = ground
        self._grace = grace
        self._lease = lease
        self._runs: dict[str, Active] = {}
        self._group: TaskGroup | None = None
        self._owners: Owners
        self._serving: Serving

    @property
    def is_open(self) -> bool:
        """Whether runs can be launched."""
        return self._group is not None

    def open(self, group: TaskGroup) -> None:
        """Launch runs in this group from now on."""
        self._runs.clear()
        self._group = group
        self._owners = Owners(self._ground.recorder, lease=self._lease)
        self._serving = Serving(
            self._ground, self._owners, at_work=self._working, go_on=self._go_on
        )
        self._ground.recorder.journal.watch(self._tell_journal)
        group.start_soon(self._owners.beat, self._ours, self._fence)
        if self._ground.commons is not None:
            group.start_soon(self._ground.commons.run)

    async def close(self) -> None:
        """Interrupt what runs, and wait as long as its last words may take."""
        group, self._group = self._group, None  # from here on nothing is launched
        launched = [active.execution for active in self._runs.values() if active.is_launched]
        for execution in launched:
            execution.interrupt()
        try:
            with anyio.CancelScope(shield=True), anyio.move_on_after(self._grace + 1):
                for execution in launched:
                    await execution.done.wait()
                    await self._let_go(execution)
        finally:
            if group is not None:
                group.cancel_scope.cancel()

    def get(self, run: str) -> Active | None:
        """A run that is known here."""
        return self._runs.get(run)

    async def ended(self, execution: Execution) -> None:
        """Return once it ended, for which it has the grace time."""
        with anyio.CancelScope(shield=True), anyio.move_on_after(self._grace + 1):
            await execution.done.wait()

    async def submit(
        self,
        dag: Dag,
        *,
        id: str | None,
        labels: Mapping[str, str] | None,
        concurrency: int | None,
    ) -> Active:
        """The run, begun or joined; the caller is one of its followers from now on."""
        _check(dag)
        positive("concurrency", concurrency)
        key = checked_id(id)
        self._ground.check_open()
        await self._ground.ready()
        if id is not None and key not in self._runs:
            await self._check_journal(key, dag)
        active = self._runs.get(key)
        if active is None:
            actions = [spec.action for spec in dag.nodes.values()]
            active = self._runs[key] = Active(
                self._execution(key, dag.name, dag, labels, concurrency),
                Once(lambda: self._ground.check_actions(actions)),
            )
        else:
            check_same(active, dag)
        active.followers += 1
        try:
            await active.prepare()
            if not active.is_launched:
                self._launch(active, partial(self._owners.begin, known=active.known.set))
        except BaseException as error:
            active.followers -= 1
            if active.is_given_up and self._runs.get(key) is active:
                del self._runs[key]
                active.execution.refuse(error)
            raise
        return active

    async def code(
        self,
        name: str,
        *,
        id: str | None,
        labels: Mapping[str, str] | None,
        concurrency: int | None,
    ) -> Active:
        """A run that decides as it goes, new or going on. Raises Conflict."""
        Dag(name)  # the same names are allowed
        positive("concurrency", concurrency)
        key = checked_id(id)
        self._ground.check_open()
        await self._ground.ready()
        if id is not None:
            history = await self._owners.look(key)
            if history is not None:
                check_code(key, history)
        if self._is_at_work(key):
            raise Conflict(f"run {key!r} exists already; a run of code cannot be joined")
        active = Active(self._execution(key, name, None, labels, concurrency))
        self._launch(active, self._owners.begin_alone)
        return active

    async def resume(self, run: str) -> Active:
        """Go on with a run that was interrupted, lost its process or failed. Raises UnknownRun,
        Conflict and Fenced."""
        self._ground.check_open()
        if self._is_at_work(run):
            raise Fenced(f"run {run} is still owned: this orchestrator is at work on it")
        await self._ground.ready()
        history = await self._owners.take(run, check_resumable)
        try:
            return self._go_on(run, history)
        except AowhiskError:
            await self._owners.release(run)
            raise

    async def enqueue(
        self,
        dag: Dag,
        *,
        id: str | None,
        labels: Mapping[str, str] | None,
        concurrency: int | None,
    ) -> str:
        """Leave a run for whoever serves; its id. Raises Conflict."""
        _check(dag)
        positive("concurrency", concurrency)
        key = checked_id(id)
        self._ground.check_open()
        if id is not None:
            await self._check_journal(key, dag)
        started = RunStarted(
            run=key,
            name=dag.name,
            labels=dict(labels or {}),
            dag=dag.to_json(),
            concurrency=concurrency or 0,
            queued=True,
        )
        if not await self._owners.queue(started):
            await self._check_journal(key, dag)
        return key

    @property
    def others(self) -> Others:
        """Runs that are known from the journal alone."""
        self._ground.check_open()
        return Others(self._ground, self._owners)

    def cancel(self, run: str) -> Ending:
        """Begin to end a run, whoever is at work on it."""
        if self._group is None:
            raise AowhiskError("the orchestrator is not open; open it with `async with`")
        ending = Ending(run, self.others, self._own)
        self._group.start_soon(ending.bring_about)
        return ending

    def _own(self, run: str) -> Execution | None:
        known = self._runs.get(run)
        return known.execution if known is not None and known.execution.is_ours else None

    async def adopt(self) -> list[Active]:
        """Take queued runs, and runs of dags whose owner died."""
        return await self._served().adopt()

    async def serve(self, *, at_once: int, every: float) -> None:
        """Adopt, again and again."""
        await self._served().serve(at_once=at_once, every=every)

    def _served(self) -> Serving:
        self._ground.check_open()
        return self._serving

    def _working(self) -> Collection[str]:
        return [run for run in self._runs if self._is_at_work(run)]

    def _is_at_work(self, run: str) -> bool:
        known = self._runs.get(run)
        return known is not None and not known.execution.done.is_set()

    def _go_on(self, run: str, history: History) -> Active:
        started = history.started
        execution = Execution(
            run,
            self._ground.parts,
            name=started.name,
            dag=Dag.from_json(started.dag),
            labels=started.labels,
            concurrency=self._ground.concurrency(started.concurrency or None),
            history=history,
        )
        active = Active(execution)
        active.is_detached = True
        self._launch(active, None)
        return active

    async def _check_journal(self, run: str, dag: Dag) -> None:
        """Raise Conflict where the journal has another run of this id."""
        history = await self._owners.look(run)
        if history is not None:
            check_same_dag(run, history.started.dag, dag)

    def _execution(
        self,
        id: str,
        name: str,
        dag: Dag | None,
        labels: Mapping[str, str] | None,
        concurrency: int | None,
    ) -> Execution:
        return Execution(
            id,
            self._ground.parts,
            name=name,
            dag=dag,
            labels=labels,
            concurrency=self._ground.concurrency(concurrency),
        )

    def _launch(self, active: Active, acquire: Acquire | None) -> None:
        if self._group is None:
            raise AowhiskError("the orchestrator is being closed; nothing new is run")
        active.is_launched = True
        self._runs[active.execution.id] = active
        ended = [id for id, a in self._runs.items() if a.execution.done.is_set()]
        for id in ended[: max(0, len(ended) - _REMEMBERED)]:
            del self._runs[id]
        self._group.start_soon(self._drive, active, acquire)

    async def _drive(self, active: Active, acquire: Acquire | None) -> None:
        try:
            await active.execution.execute(acquire)
        finally:
            active.known.set()
        await self._let_go(active.execution)

    async def _let_go(self, execution: Execution) -> None:
        if not execution.is_ours:
            return
        if isinstance(execution.crash, Fenced):
            self._owners.lose(execution.id)
        else:
            await self._owners.release(execution.id)

    def _tell_journal(self, why: str | None, waiting: int) -> None:
        """Let the sinks know for each run that the journal is away, or back."""
        for run in self._ours():
            away = None if why is None else JournalAway(run=run, error=why, waiting=waiting)
            self._ground.recorder.record(away or JournalBack(run=run, waiting=waiting))

    def _fence(self, run: str) -> None:
        known = self._runs.get(run)
        if known is not None:
            known.execution.fence()

    def _ours(self) -> Collection[str]:
        return [
            id
            for id, active in self._runs.items()
            if active.execution.is_ours and not active.execution.done.is_set()
        ]


def _check(dag: Dag) -> None:
    if not isinstance(dag, Dag):
        what = dag.__name__ if isinstance(dag, type) else type(dag).__name__
        raise GraphError(f"a run takes a Dag, not {what}; of JSON make one with Dag.from_json")
    dag.check()
    if not dag.nodes:
        raise GraphError(f"dag {dag.name!r} has no nodes; declare some with dag.call or dag.map")
