"""Random runs: dags, maps and silent calls, objects lost and attempts failing at any time, several
runs on shared writers, stopped or not. Whatever happens, all is accounted for, nothing is left."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
import anyio.lowlevel
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from world import Info, World

from aowhisk.dag import Dag, item
from aowhisk.errors import AowhiskError, DeveloperError, PlatformError
from aowhisk.events import Event, RunState
from aowhisk.events.model import CallAbandoned, CallFailed, Cause, Ended
from aowhisk.invoker import Attempt, AttemptEnd
from aowhisk.models import Abandoned, Failed
from aowhisk.recovery import RecoveryPolicy
from aowhisk.retry import RetryPolicy
from aowhisk.scheduler import Execution, Parts

POLICY = RecoveryPolicy(same_object=1000, reruns=10_000)
OFTEN = RetryPolicy(retries=200, first=0)  # what is silent cannot say that it missed an object


def etag_of(key: str, inputs: list[str]) -> str:
    text = key + "".join(inputs)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


@dataclass
class Storm(World):
    """Loses `losses[n]` after the nth success, and lets the nth attempts in `faults` fail.

    It knows what each object must hold (`right`) and sees to it that nobody reads anything else.
    """

    losses: Mapping[int, frozenset[str]] = field(default_factory=dict)
    faults: frozenset[int] = frozenset()
    hopeless: frozenset[str] = frozenset()
    right: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    attempts: int = 0
    successes: int = 0

    def _act(self, attempt: Attempt) -> AttemptEnd:
        self.attempts += 1
        facts: dict[str, Any] = {"action": attempt.action, "call": attempt.call}
        if attempt.call in self.hopeless:
            return AttemptEnd(error=DeveloperError("hopeless", **facts))
        if self.attempts in self.faults:
            return AttemptEnd(error=PlatformError("for now", **facts))
        if attempt.record.protocol:
            end = super()._act(attempt)
        else:  # it is told nothing, and its objects do not say by whom they are
            end = super()._act(replace(attempt, restore=None))
            self.unsign(attempt)
        if end.error is None:
            self.check(attempt)
            self.successes += 1
            for key in self.losses.get(self.successes, ()):
                self.objects.pop(key, None)
        return end

    def unsign(self, attempt: Attempt) -> None:
        for key in attempt.record.params["writes"]:
            if key in self.objects:
                self.objects[key] = Info(self.objects[key].etag, None)

    def check(self, attempt: Attempt) -> None:
        for key in (*attempt.record.params["reads"], *attempt.record.params["writes"]):
            if self.objects[key].etag != self.right[key]:
                self.wrong.append(f"{attempt.call}: {key}")


@st.composite
def storms(draw: st.DrawFn) -> tuple[Storm, Dag, dict[str, Dag]]:
    """A world, a dag that makes what all share, and the dags of one to three runs."""
    world = Storm()
    shared = Dag("shared")
    for index in range(draw(st.integers(0, 2))):
        before = [f"s/o{index - 1}"] if index else []
        _add(world, shared, f"s{index}", before, [f"s/o{index}"], after=shared.nodes)
    common = [key for key in world.right if key.startswith("s/")]
    dags = {}
    for run in [f"r{n}" for n in range(1, 1 + draw(st.integers(1, 3)))]:
        dags[run] = draw(_dags(world, run, common))
    known = sorted(world.right)
    loss = st.frozensets(st.sampled_from(known), max_size=5) if known else st.just(frozenset[str]())
    world.losses = draw(st.dictionaries(st.integers(1, 40), loss, max_size=8))
    world.faults = draw(st.frozensets(st.integers(1, 40), max_size=4))
    return world, shared, dags


@st.composite
def _dags(draw: st.DrawFn, world: Storm, run: str, common: list[str]) -> Dag:
    dag = Dag("random")
    made: list[tuple[str, str]] = []
    for index in range(draw(st.integers(1, 6))):
        reads = draw(st.lists(st.sampled_from(made), unique=True, max_size=3)) if made else []
        mine = draw(st.lists(st.sampled_from(common), unique=True, max_size=2)) if common else []
        id = f"{run}-n{index}"
        after = {node for node, _ in reads}
        inputs = [key for _, key in reads] + mine
        kind = draw(st.sampled_from(["plain", "plain", "silent", "map"]))
        count = draw(st.integers(0 if kind == "map" else 1, 3))
        outputs = [f"{run}/{id}-{n}" for n in range(count)]
        if kind == "map":
            _add_map(world, dag, id, inputs, outputs, after, draw(st.integers(0, 1)))
        else:
            _add(world, dag, id, inputs, outputs, after=after, silent=kind == "silent")
        made += [(id, key) for key in outputs]
    return dag


def _add(
    world: Storm,
    dag: Dag,
    id: str,
    reads: list[str],
    writes: list[str],
    *,
    after: Any = (),
    silent: bool = False,
) -> None:
    world.right.update((key, etag_of(key, [world.right[k] for k in reads])) for key in writes)
    declared = {"reads": reads, "writes": writes, "protocol": False} if silent else {}
    if silent:
        world.silent.add(id)
    params = {"reads": reads, "writes": writes}
    dag.call("step", params, id=id, after=sorted(after), retry=OFTEN, **declared)


def _add_map(
    world: Storm,
    dag: Dag,
    id: str,
    reads: list[str],
    writes: list[str],
    after: set[str],
    tolerate: int,
) -> None:
    world.right.update((key, etag_of(key, [world.right[k] for k in reads])) for key in writes)
    dag.map(
        "step",
        {"reads": reads, "writes": [item]},
        over=writes,
        id=id,
        after=sorted(after),
        tolerate=tolerate,
        retry=OFTEN,
        concurrency=2,
    )


async def _prepare(world: Storm, shared: Dag) -> Parts:
    parts = world.parts(policy=POLICY)
    if shared.nodes:
        await world.run(shared, parts=parts, id="r0", policy=POLICY)
    world.most_at_once = 0
    return parts


def _check_left_nothing(world: Storm, parts: Parts) -> None:
    assert not parts.flights.refs
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert not world.wrong
    for key, info in world.objects.items():
        assert info.etag == world.right[key], key


def _check_accounts(execution: Execution, events: list[Event]) -> None:
    """Each call of a run that ended by itself ended once, and its events say how."""
    run = execution.run()
    assert None not in run.outcomes.values()
    ends: Counter[str] = Counter()
    for event in events:
        if isinstance(event, Ended) and event.final and event.cause is not Cause.RECOVERY:
            ends[event.call] += event.of == run.id
        elif isinstance(event, CallFailed) and event.of == run.id:
            ends[event.call] += 1
    for call, outcome in run.outcomes.items():
        if not isinstance(outcome, Abandoned):
            assert ends.pop(call) == 1, call
    # what is left failed while it ran again for others
    assert set(ends) <= set(run.outcomes)
    attempted = {e.call for e in events if e.kind == "intended"}
    abandoned = {e.call for e in events if isinstance(e, CallAbandoned)}
    for call, outcome in run.outcomes.items():
        if isinstance(outcome, Abandoned) and outcome.attempts:
            assert call in attempted & abandoned


SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@SETTINGS
@given(storms(), st.sampled_from([1, 2, 5]))
def test_runs_on_shared_writers_end_right_whatever_is_lost(
    storm: tuple[Storm, Dag, dict[str, Dag]], concurrency: int
) -> None:
    world, shared, dags = storm

    async def main() -> None:
        parts = await _prepare(world, shared)
        executions = _executions(parts, dags, concurrency)
        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                for execution in executions:
                    group.start_soon(execution.execute)
        for execution in executions:
            assert execution.result().state is RunState.SUCCEEDED
            _check_accounts(execution, list(await parts.recorder.journal.read(execution.id)))
        assert world.most_at_once <= concurrency * len(dags)
        _check_left_nothing(world, parts)

    anyio.run(main)


@SETTINGS
@given(storms(), st.sampled_from([1, 2, 5]), st.data())
def test_runs_in_which_calls_fail_for_good_end_and_account_for_every_call(
    storm: tuple[Storm, Dag, dict[str, Dag]], concurrency: int, data: st.DataObject
) -> None:
    world, shared, dags = storm
    calls = sorted(id for dag in dags.values() for id in dag.nodes)
    bad = data.draw(st.frozensets(st.sampled_from(calls), min_size=1, max_size=3), label="bad")
    items = data.draw(st.integers(0, 2), label="which item")
    world.hopeless = bad | {f"{id}.{items}" for id in bad}
    once = RetryPolicy(retries=1, first=0)
    hasty = {run: _with_retry(dag, once) for run, dag in dags.items()}

    async def main() -> None:
        parts = await _prepare(world, shared)
        executions = _executions(parts, hasty, concurrency)
        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                for execution in executions:
                    group.start_soon(execution.execute)
        for execution in executions:
            run = execution.run()
            failed = [o for o in run.outcomes.values() if isinstance(o, Failed)]
            assert run.state is RunState.SUCCEEDED or failed
            assert all(isinstance(o.error, AowhiskError) for o in failed)
            _check_accounts(execution, list(await parts.recorder.journal.read(run.id)))
        _check_left_nothing(world, parts)

    anyio.run(main)


@SETTINGS
@given(
    storms(),
    st.sampled_from([1, 2, 5]),
    st.lists(
        st.tuples(st.integers(0, 120), st.sampled_from(["cancel", "interrupt", "scope"])),
        min_size=1,
        max_size=2,
    ),
)
def test_runs_that_are_stopped_at_any_moment_leave_nothing_and_do_not_hold_the_others(
    storm: tuple[Storm, Dag, dict[str, Dag]], concurrency: int, stops: list[tuple[int, str]]
) -> None:
    world, shared, dags = storm

    async def main() -> None:
        parts = await _prepare(world, shared)
        executions = _executions(parts, dags, concurrency)
        scopes = [anyio.CancelScope() for _ in executions]

        async def execute(index: int) -> None:
            with scopes[index]:
                await executions[index].execute()

        async def stop(index: int, moment: int, how: str) -> None:
            for _ in range(moment):
                await anyio.lowlevel.checkpoint()
            if how == "scope":
                scopes[index].cancel()
            else:
                getattr(executions[index], how)()

        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                for index in range(len(executions)):
                    group.start_soon(execute, index)
                for index, (moment, how) in enumerate(stops[: len(executions)]):
                    group.start_soon(stop, index, moment, how)
        for index, execution in enumerate(executions):
            assert execution.done.is_set()
            assert execution.crash is None
            events = list(await parts.recorder.journal.read(execution.id))
            if execution.state is RunState.SUCCEEDED:
                _check_accounts(execution, events)
            else:
                assert index < len(stops)
                assert execution.state in (RunState.CANCELLED, RunState.INTERRUPTED)
            assert events[-1].kind in ("run_ended", "run_interrupted")
        _check_left_nothing(world, parts)

    anyio.run(main)


def _executions(parts: Parts, dags: Mapping[str, Dag], concurrency: int) -> list[Execution]:
    return [
        Execution(run, parts, name=dag.name, dag=dag, concurrency=concurrency)
        for run, dag in dags.items()
    ]


def _with_retry(dag: Dag, retry: RetryPolicy) -> Dag:
    body = dag.to_json()
    for node in body["nodes"]:
        node["retry"] = retry.to_json()
    return Dag.from_json(body)
