"""Resume: a run that lost its process goes on, wherever that was."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from world import World

from aowhisk import Conflict, Orchestrator, Patience, RetryPolicy, RunFailed
from aowhisk.dag import Dag, item
from aowhisk.errors import Fenced
from aowhisk.events import Event, MemoryJournal, RunState, open_journal
from aowhisk.events.model import Ended, Expanded, Intended, RunEnded, RunStarted, Throttled
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


async def test_a_resumed_run_that_had_failed_tries_again_what_failed(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    dag = Dag("d")
    dag.call("until", {"marker": str(marker)}, id="one", retry=RetryPolicy(retries=0))
    async with local(tmp_path) as orchestrator:
        with pytest.raises(RunFailed):
            await orchestrator.run(dag, id="r")
        marker.touch()
        assert (await orchestrator.resume("r")).state is RunState.SUCCEEDED


async def test_code_that_was_interrupted_goes_on_in_the_same_process(tmp_path: Path) -> None:
    async with local(tmp_path) as orchestrator:
        with anyio.CancelScope() as scope:
            async with orchestrator.start("code", id="r") as live:
                await live.call("touch", {"file": str(tmp_path / "a")})
                scope.cancel()
                await anyio.sleep(1)
        (tmp_path / "a").unlink()
        async with orchestrator.start("code", id="r") as live:
            await live.call("touch", {"file": str(tmp_path / "a")})
        assert not (tmp_path / "a").exists(), "it had ended and ran again"


async def test_a_run_that_is_queued_twice_is_queued_once(tmp_path: Path) -> None:
    dag = Dag("d")
    dag.call("touch", {"file": str(tmp_path / "a")})
    async with local(tmp_path) as orchestrator:
        await orchestrator.enqueue(dag, id="q")
        await orchestrator.enqueue(dag, id="q")
        assert len(await orchestrator.recorder.journal.read("q")) == 1
        [handle] = await orchestrator.adopt()
        await orchestrator.enqueue(dag, id="q")
        assert (await handle).state is RunState.SUCCEEDED
        events = await orchestrator.recorder.journal.read("q")
        assert [event.kind for event in events].count("run_started") == 1


async def test_a_run_that_was_queued_here_can_be_run_here(tmp_path: Path) -> None:
    dag = Dag("d")
    dag.call("touch", {"file": str(tmp_path / "a")})
    async with local(tmp_path) as orchestrator:
        await orchestrator.enqueue(dag, id="q")
        assert (await orchestrator.run(dag, id="q")).state is RunState.SUCCEEDED
        events = await orchestrator.recorder.journal.read("q")
        assert [event.kind for event in events].count("run_started") == 1


async def test_of_two_that_resume_in_one_process_one_does(tmp_path: Path) -> None:
    dag = Dag("d")
    dag.call("touch", {"file": str(tmp_path / "a")})
    async with local(tmp_path) as orchestrator:
        await orchestrator.enqueue(dag, id="q")
        ends: list[str] = []

        async def one() -> None:
            try:
                ends.append((await orchestrator.resume("q")).state.value)
            except (Fenced, Conflict) as error:
                ends.append(type(error).__name__)

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(one)
        assert sorted(ends)[-1] == "succeeded"
        assert ends.count("succeeded") == 1
        events = await orchestrator.recorder.journal.read("q")
        assert [event.kind for event in events].count("intended") == 1


async def test_a_run_that_is_cancelled_as_it_begins_stays_cancelled(tmp_path: Path) -> None:
    dag = Dag("d")
    dag.call("touch", {"file": str(tmp_path / "a")})
    async with local(tmp_path) as orchestrator:
        handle = await orchestrator.submit(dag, id="r")
        await handle.cancel()
        with pytest.raises(Conflict, match="was cancelled"):
            await orchestrator.resume("r")


async def test_a_run_of_code_is_left_alone_by_who_serves(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/journal.db"
    journal = open_journal(url)
    await journal.open()
    journal.put(RunStarted(run="r", name="code"))
    await journal.close()
    async with local(tmp_path, journal=url) as orchestrator:
        assert await orchestrator.adopt() == []
        assert len(await orchestrator.recorder.journal.read("r")) == 1


class Seen:
    """The kinds of the events that a sink was shown."""

    def __init__(self) -> None:
        self.kinds: list[str] = []

    def receive(self, event: Event) -> None:
        self.kinds.append(event.kind)


async def test_who_comes_back_to_a_run_that_is_over_is_not_shown_that_it_starts(
    tmp_path: Path,
) -> None:
    url = f"sqlite://{tmp_path}/journal.db"
    dag = Dag("d")
    dag.call("touch", {"file": str(tmp_path / "a")})
    shown = []
    for _ in range(2):
        seen = Seen()
        async with local(tmp_path, journal=url) as orchestrator:
            orchestrator.recorder.add(seen)
            await orchestrator.run(dag, id="r")
            await orchestrator.enqueue(dag, id="r")
        shown.append(seen.kinds)
    assert shown[0].count("run_started") == 1
    assert shown[1] == []


async def test_serving_looks_beyond_the_runs_that_others_are_at_work_on(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/journal.db"
    dag = Dag("d")
    dag.call("touch", {"file": str(tmp_path / "a")})
    other = open_journal(url)
    await other.open()
    for n in range(3):
        other.put(RunStarted(run=f"busy{n}", name="d", dag=dag.to_json()))
    async with local(tmp_path, journal=url) as orchestrator, anyio.create_task_group() as group:

        async def beat() -> None:
            while True:
                await other.beat([f"busy{n}" for n in range(3)])
                await anyio.sleep(0.05)

        group.start_soon(beat)
        await orchestrator.enqueue(dag, id="q")
        with anyio.move_on_after(20):
            group.start_soon(partial(orchestrator.serve, at_once=2, every=0.05))
            while not await orchestrator.recorder.journal.runs([RunState.SUCCEEDED]):
                await anyio.sleep(0.05)
        found = await orchestrator.recorder.journal.runs([RunState.SUCCEEDED])
        assert [info.run for info in found] == ["q"]
        group.cancel_scope.cancel()
    await other.close()


async def test_a_handle_shows_the_events_of_the_processes_before(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/journal.db"
    dag = Dag("d")
    dag.map("touch", {"file": str(tmp_path / "a"), "n": item}, over=[1, 2, 3])
    other = open_journal(url)
    await other.open()
    other.put(RunStarted(run="r", name="d", dag=dag.to_json()))
    other.put(Expanded(run="r", node="touch", items=(1, 2, 3)))
    await other.close()
    async with local(tmp_path, journal=url) as orchestrator:
        [handle] = await orchestrator.adopt()
        seen = [event.kind async for event in handle.events()]
        assert seen == [e.kind for e in await orchestrator.recorder.journal.read("r")]
    assert seen[:3] == ["run_started", "expanded", "taken"]
    assert seen[-1] == "run_ended"


async def test_a_handle_of_a_run_that_is_joined_shows_all_its_events(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/journal.db"
    dag = Dag("d")
    dag.call("touch", {"file": str(tmp_path / "a")})
    other = open_journal(url)
    await other.open()
    other.put(RunStarted(run="r", name="d", dag=dag.to_json()))
    await other.beat(["r"])
    async with local(tmp_path, journal=url) as orchestrator:
        handle = await orchestrator.submit(dag, id="r")
        seen: list[str] = []

        async def follow() -> None:
            seen.extend([event.kind async for event in handle.events()])

        async with anyio.create_task_group() as group:
            group.start_soon(follow)
            await anyio.sleep(0.05)
            other.put(Throttled(run="r", seconds=1, text="of the other"))
            other.put(RunEnded(run="r", state=RunState.SUCCEEDED))
            await other.commit()
        assert seen == ["run_started", "throttled", "run_ended"]
    await other.close()


@asynccontextmanager
async def local(root: Path, **options: Any) -> AsyncIterator[Orchestrator]:
    """An orchestrator with an OpenWhisk of its own."""
    actions = {"touch": touch, "until": until}
    patience = Patience(lease=0.5, grace=1.0)
    async with Orchestrator.local(
        actions=actions, root=root, patience=patience, **options
    ) as orchestrator:
        yield orchestrator


def touch(args: dict[str, Any]) -> dict[str, Any]:
    """Leave a trace."""
    Path(args["file"]).touch()
    return {}


def until(args: dict[str, Any]) -> dict[str, Any]:
    """Fail until a file is there."""
    if not Path(args["marker"]).exists():
        return {"error": {"code": "NotYet", "message": "not yet", "meta": {}}}
    return {}
