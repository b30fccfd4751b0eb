"""Recovery and scheduling, in a world where every loss is decided by the test."""

from __future__ import annotations

from dataclasses import replace

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from world import Info, World, chain, keys

from aowhisk.dag import Dag, item
from aowhisk.errors import (
    ActionError,
    DeveloperError,
    Lost,
    MissingObject,
    RecoveryFailed,
    RunFailed,
    TimedOut,
)
from aowhisk.events import MemoryJournal
from aowhisk.events.model import Cause, Diverged, Ended, RecoveryPlanned
from aowhisk.invoker import Attempt, AttemptEnd
from aowhisk.lineage import CallRef
from aowhisk.models import Abandoned
from aowhisk.recovery import RecoveryPolicy
from aowhisk.retry import RetryPolicy
from aowhisk.scheduler import Execution, Prober
from object_store import StoreUnavailable
from object_store.wire import IORecord


def once(world: World, call: str, *lost: str) -> None:
    """When `call` has succeeded for the first time, these objects are gone."""

    def after(attempt: Attempt) -> None:
        if attempt.call == call and world.runs[call] == 1:
            world.lose(*lost)

    world.after = after


async def reason_of(world: World, dag: Dag, **options: object) -> str:
    with pytest.raises(RunFailed) as caught:
        await world.run(dag, **options)  # type: ignore[arg-type]
    errors = [e for e in caught.value.failures.values() if isinstance(e, RecoveryFailed)]
    assert errors, caught.value.failures
    return errors[0].reason


@pytest.mark.parametrize(
    ("lost", "again"),
    [
        (range(10), [f"c{i}" for i in range(10)]),
        ([7, 8, 9], ["c7", "c8", "c9"]),
        ([4], []),
    ],
)
async def test_a_chain_runs_again_what_it_lost_and_no_more(
    lost: list[int], again: list[str]
) -> None:
    world = World()
    dag = chain(10)
    dag.call("step", {"reads": ["b/o9"], "writes": ["b/end"]}, id="end", after=["c9"])
    once(world, "c9", *keys(lost))
    run = await world.run(dag, concurrency=1)
    extra = {call: n - 1 for call, n in world.runs.items() if n > 1 and call != "end"}
    assert extra == dict.fromkeys(again, 1)
    assert world.runs["end"] == (2 if again else 1)
    assert run["end"].result["writes"] == ["b/end"]


async def test_a_hundred_consumers_of_one_lost_object_run_its_writer_once() -> None:
    world = World()
    dag = Dag("fan")
    source = dag.call("step", {"writes": ["b/x"]}, id="source")
    dag.map(
        "step",
        {"reads": ["b/x"], "writes": [item]},
        over=[f"b/y{i}" for i in range(100)],
        id="use",
        after=[source],
    )
    once(world, "source", "b/x")
    await world.run(dag, concurrency=16)
    assert world.runs["source"] == 2


async def test_a_join_that_lost_ten_of_a_hundred_inputs_costs_ten_writers_and_one_more_join() -> (
    None
):
    world = World()
    dag = Dag("join")
    names = [f"b/p{i}" for i in range(100)]
    parts = dag.map("step", {"writes": [item]}, over=names, id="part")
    dag.call("step", {"reads": names, "of": parts["writes"]}, id="join")
    lost = names[5:95:9]

    def after(attempt: Attempt) -> None:
        if len(world.objects) == 100 and not world.runs["join"]:
            world.lose(*lost)

    world.after = after
    await world.run(dag, concurrency=8)
    assert world.runs["join"] == 2
    assert {c for c, n in world.runs.items() if n == 2} == {
        f"part.{names.index(k)}" for k in lost
    } | {"join"}
    assert max(world.runs.values()) == 2


async def test_a_writer_with_two_outputs_leaves_the_one_that_is_there_untouched() -> None:
    world = World()
    dag = Dag("two")
    both = dag.call("step", {"writes": ["b/x", "b/y"]}, id="both")
    dag.call("step", {"reads": ["b/x", "b/y"], "of": both["writes"]}, id="use")
    once(world, "both", "b/x")
    await world.run(dag)
    assert world.restores["both"] == [None, ("b/x",)]
    first, second = world.objects["b/y"].by, world.objects["b/x"].by
    assert first is not None
    assert second is not None
    assert first != second


async def test_objects_that_are_back_run_only_the_consumer_again() -> None:
    world = World()
    dag = Dag("back")
    make = dag.call("step", {"writes": ["b/x"]}, id="make")
    dag.call("step", {"reads": ["b/x"], "of": make["writes"]}, id="use")
    gone: list[Info] = []

    def after(attempt: Attempt) -> None:
        gone.append(world.objects.pop("b/x"))

    world.after = after
    head = world.head

    async def look(key: str) -> Info:  # someone puts it back before anyone looks
        if gone:
            world.objects["b/x"] = gone.pop()
        return await head(key)

    world.head = look  # type: ignore[method-assign]
    await world.run(dag)
    assert world.runs == {"make": 1, "use": 2}


async def test_a_consumer_that_overtook_its_writer_waits_for_it() -> None:
    world = World()
    dag = chain(5)
    dag.call("step", {"reads": ["b/o4"], "writes": ["b/late"]}, id="eager")
    run = await world.run(dag)
    assert run.state.value == "succeeded"
    assert world.runs["eager"] == 2
    assert all(world.runs[f"c{i}"] == 1 for i in range(5))


async def test_two_consumers_of_what_nobody_writes_fail_instead_of_waiting_for_each_other() -> None:
    world = World()
    dag = Dag("nobody")
    dag.call("step", {"reads": ["b/nowhere"]}, id="one")
    dag.call("step", {"reads": ["b/nowhere"]}, id="two")
    assert await reason_of(world, dag) == "no known writer"


async def test_an_object_overwritten_by_a_stranger_is_said_to_be() -> None:
    world = World()
    dag = Dag("stranger")
    make = dag.call("step", {"writes": ["b/x", "b/y"]}, id="make")
    dag.call("step", {"reads": ["b/x", "b/y"], "of": make["writes"]}, id="use")

    def after(attempt: Attempt) -> None:
        if attempt.call == "make":
            world.objects["b/x"] = Info("0" * 32, "other/run/1")
            world.lose("b/y")

    world.after = after
    assert await reason_of(world, dag) == "overwritten"


async def test_a_call_that_read_what_a_stranger_had_put_there_fails_and_says_so() -> None:
    world = World()
    dag = Dag("stranger")
    make = dag.call("step", {"writes": ["b/x"]}, id="make")
    dag.call("step", {"reads": ["b/x"], "of": make["writes"]}, id="use")

    def after(attempt: Attempt) -> None:
        if attempt.call == "make":
            world.objects["b/x"] = Info("0" * 32, None)

    world.after = after
    assert await reason_of(world, dag) == "overwritten"
    assert world.runs == {"make": 1, "use": 1}


async def test_a_store_that_cannot_be_looked_into_is_the_reason_after_some_tries() -> None:
    world = World()
    dag = Dag("blind")
    make = dag.call("step", {"writes": ["b/x"]}, id="make")
    dag.call("step", {"reads": ["b/x"], "of": make["writes"]}, id="use")
    once(world, "make", "b/x")
    pauses: list[float] = []

    async def away(key: str) -> Info:
        raise StoreUnavailable("nobody answers")

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    world.head = away  # type: ignore[method-assign]
    prober = Prober(world, sleep=pause)  # type: ignore[arg-type]
    parts = replace(world.parts(), prober=prober)
    assert await reason_of(world, dag, parts=parts) == "store unavailable"
    assert pauses == sorted(pauses)
    assert len(pauses) >= 4
    assert world.runs == {"make": 1, "use": 1}


async def test_an_object_that_keeps_vanishing_is_given_up_after_the_policy_says() -> None:
    world = World()
    dag = Dag("vanish")
    make = dag.call("step", {"writes": ["b/x"]}, id="make")
    dag.call("step", {"reads": ["b/x"], "of": make["writes"]}, id="use")
    world.after = lambda attempt: world.lose("b/x") if attempt.call == "make" else None
    assert await reason_of(world, dag) == "keeps vanishing"
    assert world.runs["make"] == 1 + RecoveryPolicy().same_object


@pytest.mark.parametrize("policy", [RecoveryPolicy(reruns=2), RecoveryPolicy(depth=2)])
async def test_a_recovery_over_its_budget_is_not_begun(policy: RecoveryPolicy) -> None:
    world = World()
    dag = chain(5)
    dag.call("step", {"reads": ["b/o4"]}, id="end", after=["c4"])
    once(world, "c4", *keys(range(5)))
    assert await reason_of(world, dag, policy=policy) == "budget"
    assert all(world.runs[f"c{i}"] == 1 for i in range(5))


async def test_a_writer_that_is_not_idempotent_is_never_run_again() -> None:
    world = World()
    dag = Dag("once")
    pay = dag.call("step", {"writes": ["b/x"]}, id="pay", idempotent=False)
    dag.call("step", {"reads": ["b/x"], "of": pay["writes"]}, id="use")
    once(world, "pay", "b/x")
    assert await reason_of(world, dag) == "not idempotent"
    assert world.runs["pay"] == 1


async def test_stores_that_differ_are_noticed_after_two_tries() -> None:
    world = World()
    dag = Dag("differ")
    make = dag.call("step", {"writes": ["b/x"]}, id="make")
    dag.call("step", {"reads": ["b/x"], "of": make["writes"]}, id="use")
    act = world._act

    def elsewhere(attempt: Attempt) -> object:
        if attempt.call != "use":
            return act(attempt)
        kept, world.objects = world.objects, {}
        try:
            return act(attempt)
        finally:
            world.objects = kept

    world._act = elsewhere  # type: ignore[assignment, method-assign]
    assert await reason_of(world, dag) == "stores differ"
    assert world.runs == {"make": 1, "use": 2}


async def test_a_writer_that_fails_when_it_runs_again_is_the_reason() -> None:
    world = World()
    dag = Dag("broken")
    no = RetryPolicy(retries=0)
    make = dag.call("step", {"writes": ["b/x"]}, id="make", retry=no)
    dag.call("step", {"reads": ["b/x"], "of": make["writes"]}, id="use")

    def after(attempt: Attempt) -> None:
        world.lose("b/x")
        world.broken["make"] = DeveloperError("it crashed", action="step", call="make")

    world.after = after
    assert await reason_of(world, dag) == "writer failed"


async def test_calls_that_wait_for_each_other_over_lost_objects_fail_with_cycle() -> None:
    world = World()
    dag = Dag("circle")
    one = dag.call("step", {"reads": [], "writes": ["b/a"]}, id="one")
    two = dag.call("step", {"reads": ["b/a"], "writes": ["b/b"], "x": one["writes"]}, id="two")
    dag.call("step", {"reads": ["b/b"], "x": two["writes"]}, id="end")
    act = world._act

    def twisted(attempt: Attempt) -> object:
        if attempt.call == "one" and world.runs["one"] > 1:  # now it needs what comes of it
            object.__setattr__(attempt.record, "params", {"reads": ["b/b"], "writes": ["b/a"]})
        return act(attempt)

    world._act = twisted  # type: ignore[assignment, method-assign]
    once(world, "two", "b/a", "b/b")
    assert await reason_of(world, dag) == "cycle"


async def test_several_writers_of_a_shared_key_are_replayed_in_order() -> None:
    world = World()
    dag = Dag("shared")
    before: list[str] = []
    for index in range(3):
        reads = ["b/log"] if index else []
        dag.call(
            "step",
            {"reads": reads, "writes": ["b/log"]},
            id=f"w{index}",
            after=before,
            ownership="shared",
        )
        before = [f"w{index}"]
    dag.call("step", {"reads": ["b/log"]}, id="end", after=before)
    once(world, "w2", "b/log")
    await world.run(dag)
    assert world.order[-5:] == ["end", "w0", "w1", "w2", "end"]


async def test_a_writer_of_an_earlier_run_is_found_in_the_journal_and_keeps_its_run_and_call() -> (
    None
):
    world = World()
    parts = world.parts()
    make = Dag("make")
    make.call("step", {"writes": ["b/x"]}, id="make")
    await world.run(make, parts=parts, id="r1")
    world.lose("b/x")
    use = Dag("use")
    use.call("step", {"reads": ["b/x"]}, id="use")
    await world.run(use, parts=parts, id="r2")
    assert world.runs == {"make": 2, "use": 2}
    by = world.objects["b/x"].by
    assert by is not None
    assert by.startswith("r1/make/")
    journal = parts.recorder.journal
    assert isinstance(journal, MemoryJournal)
    assert {e.run for e in journal.events["r2"]} == {"r2"}


async def test_a_writer_of_an_earlier_run_is_tried_as_its_call_was_to_be() -> None:
    world = World()
    parts = world.parts()
    make = Dag("make")
    policy = RetryPolicy(retries=4, first=0)
    make.call("step", {"writes": ["b/x"]}, id="make", retry=policy, timeout=7.0)
    await world.run(make, parts=parts, id="r1")
    world.lose("b/x")
    act, timeouts = world._act, []

    def stubborn(attempt: Attempt) -> object:
        if attempt.call == "make":
            timeouts.append(attempt.timeout)
            if len(timeouts) < 5:
                error = ActionError("not yet", action=attempt.action, call=attempt.call)
                return AttemptEnd(error=error, reported=True)
        return act(attempt)

    world._act = stubborn  # type: ignore[assignment, method-assign]
    use = Dag("use")
    use.call("step", {"reads": ["b/x"]}, id="use")
    await world.run(use, parts=parts, id="r2")
    assert timeouts == [7.0] * 5


async def test_two_runs_that_miss_one_object_of_an_earlier_run_run_its_writer_once() -> None:
    world = World()
    parts = world.parts()
    make = Dag("make")
    make.call("step", {"writes": ["b/x"]}, id="make")
    await world.run(make, parts=parts, id="r0")
    world.lose("b/x")

    async def use(id: str) -> None:
        dag = Dag("use")
        dag.call("step", {"reads": ["b/x"]}, id="use")
        execution = Execution(id, parts, name="use", dag=dag, concurrency=2)
        await execution.execute()
        execution.result()

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            for index in range(5):
                group.start_soon(use, f"r{index + 1}")
    assert world.runs["make"] == 2


async def test_without_a_store_recovery_goes_one_missing_object_at_a_time() -> None:
    world = World()
    dag = chain(4)
    dag.call("step", {"reads": ["b/o3"]}, id="end", after=["c3"])
    once(world, "c3", *keys(range(4)))
    await world.run(dag, probing=False, concurrency=1)
    assert all(world.runs[f"c{i}"] >= 2 for i in range(4))
    assert not world.heads


async def test_an_action_that_reports_nothing_has_its_declared_reads_probed() -> None:
    world = World(silent={"make", "use"})
    dag = Dag("silent")
    make = dag.call("step", {"writes": ["b/x"]}, id="make", writes=["b/x"], protocol=False)
    no = RetryPolicy(retries=0)
    dag.call(
        "step",
        {"reads": ["b/x"], "of": make["writes"]},
        id="use",
        reads=["b/x"],
        protocol=False,
        retry=no,
    )
    once(world, "make", "b/x")
    await world.run(dag)
    assert world.runs == {"make": 2, "use": 2}


async def test_a_writer_whose_bytes_differ_is_noticed() -> None:
    world = World(salt=lambda attempt: attempt.id)
    parts = world.parts()
    dag = Dag("random")
    make = dag.call("step", {"writes": ["b/x"]}, id="make")
    dag.call("step", {"reads": ["b/x"], "of": make["writes"]}, id="use")
    once(world, "make", "b/x")
    await world.run(dag, parts=parts)
    journal = parts.recorder.journal
    assert isinstance(journal, MemoryJournal)
    found = [e for e in journal.events["r1"] if isinstance(e, Diverged)]
    assert [(e.call, e.key) for e in found] == [("make", "b/x")]


async def test_a_call_that_fails_for_good_stops_its_node_and_what_needs_it_but_nothing_else() -> (
    None
):
    world = World()
    no = RetryPolicy(retries=0)
    world.broken["bad.1"] = DeveloperError("no", action="step", call="bad.1")
    dag = Dag("partly")
    bad = dag.map("step", {"n": item}, over=list(range(50)), id="bad", concurrency=1, retry=no)
    dag.call("step", {"of": bad["writes"]}, id="after")
    fine = dag.call("step", {}, id="fine")
    dag.call("step", {"of": fine["writes"]}, id="too")
    with pytest.raises(RunFailed) as caught:
        await world.run(dag)
    run = caught.value.run
    assert list(caught.value.failures) == ["bad.1"]
    assert set(world.runs) == {"bad.0", "bad.1", "fine", "too"}
    assert isinstance(run["after"], Abandoned)
    assert "after" in run.never_started
    assert "bad.7" in run.never_started


async def test_tolerated_failures_leave_none_in_their_places() -> None:
    world = World()
    no = RetryPolicy(retries=0)
    world.broken["m.1"] = DeveloperError("no", action="step", call="m.1")
    dag = Dag("tolerant")
    some = dag.map("step", {"n": item}, over=[1, 2, 3], id="m", tolerate=1, retry=no)
    dag.call("step", {"of": some["writes"], "result": {"of": some["writes"]}}, id="end")
    run = await world.run(dag)
    assert run["m"]["writes"] == [[], None, []]
    assert [f.call for f in run["m"].failed] == ["m.1"]
    assert run["end"].result["of"] == [[], None, []]


async def test_an_empty_map_is_an_empty_list() -> None:
    world = World()
    dag = Dag("empty")
    none = dag.map("step", {"n": item}, over=[], id="none")
    dag.call("step", {"result": {"got": none["writes"]}}, id="end")
    run = await world.run(dag)
    assert run["none"].results == []
    assert run["end"].result["got"] == []


async def test_no_more_calls_than_the_concurrency_are_out_at_once() -> None:
    world = World()
    dag = Dag("wide")
    dag.map("step", {"n": item}, over=list(range(200)), id="a")
    dag.map("step", {"n": item}, over=list(range(200)), id="b", concurrency=2)
    await world.run(dag, concurrency=7)
    assert world.most_at_once == 7
    assert world.runs.total() == 400


async def test_an_item_that_cannot_be_put_together_lets_no_more_calls_out_than_allowed() -> None:
    world = World()
    dag = Dag("reentered")
    bad = dag.map("step", {"n": item["missing"]}, over=[{}, {}], id="bad", tolerate=2)
    dag.map("step", {"n": item}, over=list(range(10)), id="use", after=[bad])
    await world.run(dag, concurrency=2)
    assert world.most_at_once == 2


async def test_a_map_over_what_is_no_list_fails_whatever_it_tolerates() -> None:
    world = World()
    dag = Dag("nolist")
    one = dag.call("step", {"result": {"n": 1}}, id="one")
    dag.map("step", {"n": item}, over=one["n"], id="m", tolerate=3)
    with pytest.raises(RunFailed, match="a map goes over a list"):
        await world.run(dag)


async def test_a_node_that_has_failed_makes_no_more_of_its_calls() -> None:
    world = World()
    parts = world.parts()
    no = RetryPolicy(retries=0)
    world.broken["bad.0"] = DeveloperError("no", action="step", call="bad.0")
    dag = Dag("shut")
    dag.map("step", {"n": item}, over=list(range(5)), id="bad", concurrency=1, retry=no)
    with pytest.raises(RunFailed) as caught:
        await world.run(dag, parts=parts)
    events = await parts.recorder.journal.read("r1")
    assert [e.kind for e in events] == ["run_started", "expanded", "intended", "ended", "run_ended"]
    assert caught.value.run.never_started == ["bad.1", "bad.2", "bad.3", "bad.4"]


async def test_a_writer_run_again_does_not_hope_for_those_that_wait_for_it() -> None:
    """Its first attempt needed nothing; the next misses what nobody has ever written here."""
    world = World()
    dag = Dag("hope")
    dag.call("step", {"writes": ["b/x"]}, id="make")
    dag.call("step", {}, id="tick")
    for name in ("one", "two"):  # no reference: for all we know they might write it
        dag.call("step", {"reads": ["b/x"]}, id=name, after=["tick"])
    act = world._act

    def forgetful(attempt: Attempt) -> AttemptEnd:
        if attempt.call == "make" and world.runs["make"] > 1:
            facts = {"action": "step", "call": "make"}
            return AttemptEnd(error=MissingObject("gone", keys=["b/input"], **facts))
        return act(attempt)

    world._act = forgetful  # type: ignore[method-assign]
    once(world, "make", "b/x")
    assert await reason_of(world, dag) == "no known writer"


async def test_a_call_does_not_hope_for_one_that_waits_for_what_it_once_wrote() -> None:
    """A failed attempt wrote b/k; who reads that waits for its writer to end."""
    world = World()
    dag = Dag("hope")
    dag.call("step", {}, id="fickle")
    dag.call("step", {}, id="tick")
    dag.call("step", {"reads": ["b/k"]}, id="use", after=["tick"])
    act = world._act

    def fickle(attempt: Attempt) -> AttemptEnd:
        if attempt.call != "fickle":
            return act(attempt)
        error = MissingObject("gone", keys=["b/input"], action="step", call="fickle")
        return AttemptEnd(error=error, writes=(IORecord("b/k", 1, "0" * 32),), reported=True)

    world._act = fickle  # type: ignore[method-assign]
    with pytest.raises(RunFailed) as caught:
        await world.run(dag)
    assert set(caught.value.failures) == {"fickle", "use"}


async def test_objects_that_others_wrote_again_meanwhile_do_not_make_stores_differ() -> None:
    world = World()
    dag = Dag("twice")
    make = dag.call("step", {"writes": ["b/x"]}, id="make")
    dag.call("step", {"reads": ["b/x"], "of": make["writes"]}, id="use")
    act = world._act

    def unlucky(attempt: Attempt) -> AttemptEnd:
        if attempt.call != "use" or world.runs["use"] > 3:
            return act(attempt)
        # gone when the action looks, written again by somebody of this run before we do
        execution.engine.recovery.lineage.record(
            execution.engine.recovery.lineage.call(CallRef("r1", "make")),  # type: ignore[arg-type]
            f"again-{world.runs['use']}",
            writes=(IORecord("b/x", 1, world.objects["b/x"].etag),),
        )
        error = MissingObject("gone", keys=["b/x"], action="step", call="use")
        return AttemptEnd(error=error, reported=True)

    world._act = unlucky  # type: ignore[method-assign]
    execution = Execution("r1", world.parts(), name="twice", dag=dag, concurrency=2)
    with anyio.fail_after(10):
        await execution.execute()
    execution.result()
    assert world.runs == {"make": 1, "use": 4}


async def test_a_call_that_must_not_run_twice_is_not_sent_again_when_we_stopped_waiting() -> None:
    world = World()
    quick = RetryPolicy(retries=5, first=0)
    for name in ("once", "twice"):
        world.broken[name] = TimedOut("no result in time", action="step", call=name)
    dag = Dag("timeout")
    dag.call("step", {}, id="once", timeout=1, idempotent=False, retry=quick)
    dag.call("step", {}, id="twice", timeout=1, retry=quick)
    with pytest.raises(RunFailed):
        await world.run(dag)
    assert world.runs == {"once": 1, "twice": 6}


async def test_a_lost_writer_that_is_sent_again_is_still_told_from_a_call_of_the_run() -> None:
    world = World()
    parts = world.parts()
    dag = Dag("lost")
    make = dag.call("step", {"writes": ["b/x"]}, id="make")
    dag.call("step", {"reads": ["b/x"], "of": make["writes"]}, id="use")
    act = world._act

    def lossy(attempt: Attempt) -> AttemptEnd:
        if attempt.call == "make" and world.runs["make"] == 2:
            return AttemptEnd(error=Lost("who knows", action="step", call="make"))
        return act(attempt)

    world._act = lossy  # type: ignore[method-assign]
    once(world, "make", "b/x")
    await world.run(dag, parts=parts)
    events = await parts.recorder.journal.read("r1")
    causes = [e.cause for e in events if isinstance(e, Ended) and e.call == "make"]
    assert causes == [Cause.FIRST, Cause.RECOVERY, Cause.RECOVERY]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_is_lost_whenever_a_run_ends_right_and_never_hangs(data: st.DataObject) -> None:
    """Random layered dags; after any call, any of the objects may vanish, a bounded number of
    times."""
    layers = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=4), label="layers")
    dag = Dag("random")
    written: list[tuple[str, str]] = []
    for depth, width in enumerate(layers):
        fresh = []
        for index in range(width):
            chosen = data.draw(
                st.lists(st.sampled_from(written), unique=True, max_size=3)
                if written
                else st.just([])
            )
            outputs = [f"b/o{depth}-{index}-{n}" for n in range(data.draw(st.integers(1, 2)))]
            dag.call(
                "step",
                {"reads": [key for _, key in chosen], "writes": outputs},
                id=f"n{depth}-{index}",
                after=sorted({node for node, _ in chosen}),
            )
            fresh += [(f"n{depth}-{index}", key) for key in outputs]
        written += fresh
    losses = data.draw(
        st.dictionaries(
            st.integers(1, 30), st.sets(st.sampled_from([k for _, k in written]), max_size=4)
        ),
        label="losses after the nth success",
    )
    world = World()
    successes = 0

    def after(attempt: Attempt) -> None:
        nonlocal successes
        successes += 1
        for key in losses.get(successes, ()):
            world.objects.pop(key, None)

    world.after = after
    concurrency = data.draw(st.sampled_from([1, 2, 5]), label="concurrency")
    policy = RecoveryPolicy(same_object=100)

    async def main() -> None:
        parts = world.parts(policy=policy)
        run = await world.run(dag, concurrency=concurrency, parts=parts)
        assert set(run.outcomes) == set(dag.nodes)
        journal = parts.recorder.journal
        assert isinstance(journal, MemoryJournal)
        planned = [e for e in journal.events["r1"] if isinstance(e, RecoveryPlanned)]
        lost = {key for event in planned for key in event.lost}
        again = {call for call, n in world.runs.items() if n > 1}
        assert not again or lost or planned

    anyio.run(main)
