"""Resume: a run that lost its process goes on, wherever that was."""

from __future__ import annotations

from functools import cache

import anyio
import anyio.lowlevel
from hypothesis import given, settings
from hypothesis import strategies as st
from world import World

from aowhisk.dag import Dag, item
from aowhisk.events import Event, MemoryJournal, RunState
from aowhisk.events.model import Ended, Intended
from aowhisk.invoker import Attempt
from aowhisk.models import Succeeded
from aowhisk.recovery import RecoveryPolicy
from aowhisk.replay import replay
from aowhisk.scheduler import Execution, Parts, Run

POLICY = RecoveryPolicy(same_object=100)


def pipeline() -> Dag:
    """A split, a map over what it returns, a chain beside it, a join of both."""
    dag = Dag("pipeline")
    split = dag.call(
        "step", {"writes": ["b/s"], "result": {"names": [f"b/m{n}" for n in range(6)]}}, id="split"
    )
    parts = dag.map(
        "step", {"reads": ["b/s"], "writes": [item]}, over=split["names"], id="m", concurrency=3
    )
    one = dag.call("step", {"writes": ["b/x"]}, id="one")
    two = dag.call("step", {"reads": ["b/x"], "writes": ["b/y"], "of": one["writes"]}, id="two")
    dag.call(
        "step",
        {"reads": ["b/y", *(f"b/m{n}" for n in range(6))], "writes": ["b/end"]},
        id="join",
        after=[parts, two],
    )
    return dag


async def interrupted(world: World, parts: Parts, execution: Execution, steps: int) -> bool:
    """Execute for so many steps of the loop; whether it was still running then."""
    async with anyio.create_task_group() as group:
        group.start_soon(execution.execute)
        for _ in range(steps):
            await anyio.lowlevel.checkpoint()
        execution.interrupt()
        await execution.done.wait()
    return execution.state is RunState.INTERRUPTED


def events_of(parts: Parts) -> list[Event]:
    journal = parts.recorder.journal
    assert isinstance(journal, MemoryJournal)
    return journal.events["r1"]


def forget_tail(events: list[Event], few: int) -> None:
    """What came after the last intent may not have been durable: some of it is gone."""
    last = max((i for i, e in enumerate(events) if isinstance(e, Intended)), default=0)
    del events[max(last + 1, len(events) - few) :]


async def resumed(world: World, parts: Parts, dag: Dag, steps: int | None) -> Run | None:
    """Go on from the journal, to the end or for so many steps."""
    history = replay(events_of(parts))
    parts.flights.__init__()  # type: ignore[misc]  # the process before is gone
    execution = Execution("r1", parts, name=dag.name, dag=dag, concurrency=4, history=history)
    if steps is not None and await interrupted(world, parts, execution, steps):
        return None
    if steps is None:
        await execution.execute()
    return execution.result()


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 120), st.integers(0, 6)), min_size=1, max_size=4),
    st.dictionaries(
        st.integers(1, 25),
        st.sets(st.sampled_from(["b/s", "b/x", "b/y", "b/m0", "b/m3"]), max_size=3),
        max_size=4,
    ),
)
def test_whenever_it_is_killed_the_run_ends_right_and_nothing_that_ended_runs_again(
    kills: list[tuple[int, int]], losses: dict[int, set[str]]
) -> None:
    async def main() -> None:
        world = World()
        successes = 0

        def after(attempt: Attempt) -> None:
            nonlocal successes
            successes += 1
            for key in losses.get(successes, ()):
                world.objects.pop(key, None)

        world.after = after
        dag, parts = pipeline(), world.parts(policy=POLICY)
        with anyio.fail_after(20):
            async with anyio.create_task_group() as cluster:
                world.cluster = cluster
                first = Execution("r1", parts, name="p", dag=dag, concurrency=4)
                run: Run | None = None
                if not await interrupted(world, parts, first, kills[0][0]):
                    run = first.result()
                for steps, forgotten in [*kills[1:], (None, 0)]:
                    if run is not None:
                        break
                    events = events_of(parts)
                    forget_tail(events, forgotten)
                    if not events:  # it had not even begun
                        return
                    run = await resumed(world, parts, dag, steps)
        assert run is not None
        check(world, parts, run, etag)

    etag = undisturbed()
    anyio.run(main)


def check(world: World, parts: Parts, run: Run, etag: str) -> None:
    assert run.state is RunState.SUCCEEDED
    assert all(isinstance(out, Succeeded) for out in run.outcomes.values())
    assert len(run["m"].outcomes) == 6  # type: ignore[union-attr]
    assert run["m"]["writes"] == [[f"b/m{n}"] for n in range(6)]
    done: set[str] = set()
    for event in events_of(parts):
        if isinstance(event, Intended) and event.restore is None:
            assert event.call not in done, f"{event.call} had ended and ran again"
        if isinstance(event, Ended) and event.error is None:
            done.add(event.call)
    attempts = [e.attempt for e in events_of(parts) if isinstance(e, Ended)]
    assert len(attempts) == len(set(attempts))
    assert world.objects["b/end"].etag == etag


@cache
def undisturbed() -> str:
    """The ETag of the last object where nothing goes wrong."""
    world = World()
    anyio.run(world.run, pipeline())
    return world.objects["b/end"].etag
