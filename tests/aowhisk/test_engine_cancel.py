"""Runs that are cancelled, interrupted, or lose their journal, at any moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import anyio
import anyio.lowlevel
import pytest
from world import Info, World, chain

from aowhisk.dag import Dag, item
from aowhisk.errors import Cancelled, Interrupted, JournalError
from aowhisk.events import Event, MemoryJournal, Recorder, RunState
from aowhisk.invoker import Attempt, AttemptEnd
from aowhisk.scheduler import Execution, LiveRun, Parts


class Failing(MemoryJournal):
    """Fails every commit once `when` holds for what it was given last."""

    def __init__(self, when: Callable[[Event], bool]) -> None:
        super().__init__()
        self._when = when
        self._failed = False

    def put(self, event: Event) -> None:
        super().put(event)
        self._failed = self._failed or self._when(event)

    async def commit(self, run: str | None = None) -> None:
        await anyio.lowlevel.checkpoint()
        if self._failed:
            raise JournalError("the disk is full")


def with_journal(world: World, journal: MemoryJournal) -> Parts:
    return world.parts(recorder=Recorder(journal))


def of(parts: Parts, dag: Dag | None, id: str = "r1", concurrency: int = 2) -> Execution:
    name = "code" if dag is None else dag.name
    return Execution(id, parts, name=name, dag=dag, concurrency=concurrency)


def wide(count: int = 20) -> Dag:
    dag = Dag("wide")
    dag.map("step", {"writes": [item]}, over=[f"b/{n}" for n in range(count)], id="m")
    return dag


async def test_a_run_that_is_cancelled_before_it_begins_sends_nothing() -> None:
    world = World()
    execution = of(world.parts(), wide())
    execution.cancel()
    await execution.execute()
    with pytest.raises(Cancelled):
        execution.result()
    assert not world.runs


@pytest.mark.parametrize("kind", ["intended", "ended", "run_ended"])
async def test_a_journal_that_fails_stops_the_run_with_its_own_error(kind: str) -> None:
    world = World()
    parts = with_journal(world, Failing(lambda event: event.kind == kind))
    execution = of(parts, wide())
    with anyio.fail_after(5):
        await execution.execute()
    with pytest.raises(JournalError, match="disk is full"):
        execution.result()
    assert execution.state is RunState.INTERRUPTED
    assert not parts.flights.refs


async def test_a_journal_that_fails_with_the_last_words_does_not_replace_the_cancellation() -> None:
    world = World()
    parts = with_journal(world, Failing(lambda event: event.kind == "run_interrupted"))
    execution = of(parts, wide(1000))
    async with anyio.create_task_group() as group:
        group.start_soon(execution.execute)
        await until(lambda: world.runs.total() > 5)
        group.cancel_scope.cancel()
    with pytest.raises(JournalError):
        execution.result()


async def test_a_fault_of_ours_is_raised_as_it_is_and_journalled_as_an_interruption() -> None:
    world = World()
    parts = world.parts()

    def broken(attempt: Attempt) -> str:
        raise LookupError("a fault in our own code")

    world.salt = broken
    execution = of(parts, wide())
    await execution.execute()
    with pytest.raises(LookupError, match="our own code"):
        execution.result()
    events = await parts.recorder.journal.read("r1")
    assert events[-1].kind == "run_interrupted"


@pytest.mark.parametrize("moment", range(1, 40, 2))
async def test_a_native_cancellation_at_any_moment_interrupts_and_leaves_nothing(
    moment: int,
) -> None:
    world = World()
    parts = world.parts()
    dag = chain(3)
    dag.call("step", {"reads": ["b/o2"]}, id="end", after=["c2"])
    world.after = lambda attempt: (
        world.objects.clear() if attempt.call == "c2" and world.runs["c2"] == 1 else None
    )
    execution = of(parts, dag)
    task = asyncio.get_running_loop().create_task(execution.execute())
    for _ in range(moment):
        await asyncio.sleep(0)
    task.cancel()
    with anyio.fail_after(5), pytest.raises(asyncio.CancelledError):
        await task
    assert execution.done.is_set()
    assert execution.state is RunState.INTERRUPTED
    assert not parts.flights.refs
    events = await parts.recorder.journal.read("r1")
    assert events[-1].kind == "run_interrupted"
    assert events[-1].in_flight == tuple(execution.engine.in_flight)  # type: ignore[attr-defined]


@pytest.mark.parametrize("moment", range(1, 24))
async def test_a_run_that_joined_a_writer_of_a_cancelled_run_runs_it_itself(moment: int) -> None:
    world = World()
    parts = world.parts()
    make = Dag("make")
    make.call("step", {"writes": ["b/x"]}, id="make")
    await world.run(make, parts=parts, id="r0")
    world.lose("b/x")
    dag = Dag("use")
    dag.call("step", {"reads": ["b/x"]}, id="use")
    first, second = of(parts, dag, "r1"), of(parts, dag, "r2")
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(first.execute)
            group.start_soon(second.execute)
            for _ in range(moment):
                await anyio.lowlevel.checkpoint()
            first.interrupt()
    assert second.result().state is RunState.SUCCEEDED
    assert not parts.flights.refs
    assert "b/x" in world.objects


async def test_what_code_wants_restored_when_its_run_is_over_is_not_waited_for() -> None:
    world = World()
    parts = world.parts()
    make = Dag("make")
    make.call("step", {"writes": ["b/x"]}, id="make")
    await world.run(make, parts=parts, id="r0")
    world.lose("b/x")
    execution = of(parts, None)
    live = execution.calls
    assert isinstance(live, LiveRun)
    head = world.head

    async def slow(key: str) -> Info:
        execution.cancel()
        await execution.done.wait()
        return await head(key)

    world.head = slow  # type: ignore[method-assign]
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(execution.execute)
            await execution.begun.wait()
            with pytest.raises(Interrupted):
                await live.restore(["b/x"])
    assert not parts.flights.refs
    assert world.runs["make"] == 1


async def test_a_writer_that_nobody_waits_for_any_more_is_joined_and_not_sent_again() -> None:
    world = World()
    parts = world.parts()
    make = Dag("make")
    make.call("step", {"writes": ["b/x"]}, id="make")
    await world.run(make, parts=parts, id="r0")
    world.lose("b/x")
    send, slow, begun = world.attempt, anyio.Event(), []

    async def slowly(attempt: Attempt) -> AttemptEnd:
        begun.append(attempt)
        await slow.wait()
        return await send(attempt)

    world.attempt = slowly  # type: ignore[method-assign]
    execution = of(parts, None)
    live = execution.calls
    assert isinstance(live, LiveRun)
    async with anyio.create_task_group() as group:
        group.start_soon(execution.execute)
        await execution.begun.wait()
        with anyio.CancelScope() as impatient:

            async def leave() -> None:
                await until(lambda: bool(begun))
                impatient.cancel()

            group.start_soon(leave)
            await live.restore(["b/x"])
        assert impatient.cancelled_caught

        async def end() -> None:
            heads = world.heads["b/x"]
            await until(lambda: world.heads["b/x"] > heads)
            for _ in range(20):
                await anyio.lowlevel.checkpoint()
            slow.set()

        group.start_soon(end)
        await live.restore(["b/x"])
        execution.engine.stop()
    assert len(begun) == 1
    assert not parts.flights.refs


async def until(holds: Callable[[], bool]) -> None:
    with anyio.fail_after(5):
        while not holds():
            await anyio.lowlevel.checkpoint()
