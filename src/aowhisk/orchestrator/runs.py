"""The runs that an orchestrator has: begun, joined, taken over, waited for."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import anyio
from anyio.abc import TaskGroup

from aowhisk.dag import Dag
from aowhisk.errors import AowhiskError, Conflict, Fenced, GraphError
from aowhisk.events import RunState
from aowhisk.events.model import RunStarted
from aowhisk.orchestrator.active import (
    Active,
    Once,
    check_same,
    check_same_dag,
    checked_id,
    positive,
)
from aowhisk.orchestrator.ground import Ground
from aowhisk.orchestrator.owners import ENDED, Owners
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

    @property
    def is_open(self) -> bool:
        """Whether runs can be launched."""
        return self._group is not None

    def open(self, group: TaskGroup) -> None:
        """Launch runs in this group from now on."""
        self._runs.clear()
        self._group = group
        self._owners = Owners(self._ground.recorder, lease=self._lease)
        group.start_soon(self._owners.beat, self._ours)

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

    def get(self, run: str) -> Active:
        """A run that is known here; KeyError for another."""
        return self._runs[run]

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
        check_same(active, dag)
        active.followers += 1
        try:
            await active.prepare()
            if not active.is_launched:
                self._launch(active, self._owners.begin)
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
            if history is not None and history.started.dag is not None:
                raise Conflict(f"run {key!r} exists already, of a dag; give this one another id")
            if history is not None and history.state in ENDED:
                raise Conflict(
                    f"run {key!r} has ended ({history.state.value}); give this one another id"
                )
        known = self._runs.get(key)
        if known is not None and not known.execution.done.is_set():
            raise Conflict(f"run {key!r} exists already; a run of code cannot be joined")
        active = Active(self._execution(key, name, None, labels, concurrency))
        self._launch(active, self._owners.begin)
        return active

    async def resume(self, run: str) -> Active:
        """Go on with a run that was interrupted, lost its process or failed. Raises UnknownRun,
        Conflict and Fenced."""
        self._ground.check_open()
        known = self._runs.get(run)
        if known is not None and not known.execution.done.is_set():
            raise Fenced(f"run {run} is still owned: this orchestrator is at work on it")
        await self._ground.ready()
        history = await self._owners.take(run)
        return await self._go_on(run, history)

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
        started = RunStarted(
            run=key,
            name=dag.name,
            labels=dict(labels or {}),
            dag=dag.to_json(),
            concurrency=concurrency or 0,
            queued=True,
        )
        try:
            await self._ground.recorder.commit(started)
        except Fenced:
            await self._check_journal(key, dag)
        return key

    async def adopt(self, most: int | None = None) -> list[Active]:
        """Take queued runs, and runs of dags whose owner died; at most so many."""
        self._ground.check_open()
        await self._ground.ready()
        journal = self._ground.recorder.journal
        found = await journal.runs([RunState.QUEUED, RunState.RUNNING])
        taken: list[Active] = []

        async def one(run: str) -> None:
            try:
                history = await self._owners.take(run)
                taken.append(await self._go_on(run, history))
            except (Fenced, Conflict):
                return  # somebody else has it

        async with anyio.create_task_group() as group:
            for info in found[:most]:
                if info.run not in self._runs:
                    group.start_soon(one, info.run)
        return taken

    def working(self) -> int:
        """How many runs are at work here."""
        return sum(not active.execution.done.is_set() for active in self._runs.values())

    async def _go_on(self, run: str, history: History) -> Active:
        if history.started.dag is None:
            await self._owners.release(run)
            raise Conflict(
                f"run {run} is a run of code; go on with "
                f"`async with orchestrator.start({history.started.name!r}, id={run!r})`"
            )
        if history.state is RunState.FAILED:
            history = history.without_failures()
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
        self._group.start_soon(self._drive, active.execution, acquire)

    async def _drive(self, execution: Execution, acquire: Acquire | None) -> None:
        await execution.execute(acquire)
        await self._let_go(execution)

    async def _let_go(self, execution: Execution) -> None:
        if execution.is_ours:
            await self._owners.release(execution.id)

    def _ours(self) -> Collection[str]:
        return [
            id
            for id, active in self._runs.items()
            if active.execution.is_ours and not active.execution.done.is_set()
        ]


def _check(dag: Dag) -> None:
    dag.check()
    if not dag.nodes:
        raise GraphError(f"dag {dag.name!r} has no nodes; declare some with dag.call or dag.map")
