"""Whole runs: the local OpenWhisk, its worker processes, a folder store.

Activations are counted at the server.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
import whole_actions as actions

from aowhisk import (
    ActionError,
    Cancelled,
    Client,
    ConfigError,
    Dag,
    GraphError,
    Interrupted,
    Orchestrator,
    Patience,
    RecoveryFailed,
    RetryPolicy,
    RunFailed,
    RunState,
    item,
)
from aowhisk.errors import NotFound, Unauthorized, UnknownRun, Unreachable
from aowhisk.events.model import Intended
from aowhisk.local import Delay, DropReply, Fail, LoseRecord, Throttle, Unavailable

Opener = Callable[..., AbstractAsyncContextManager[Orchestrator]]
ALL = {
    name: getattr(actions, name)
    for name in ("link", "wreck", "names", "count", "nap", "fail", "plain")
}


@pytest.fixture
def opened(tmp_path: Path) -> Opener:
    """Opens an orchestrator with the named actions."""

    @asynccontextmanager
    async def open_(*names: str, **options: Any) -> AsyncIterator[Orchestrator]:
        wanted = {name: ALL[name.partition("_")[0]] for name in names}
        async with Orchestrator.local(actions=wanted, root=tmp_path, **options) as orchestrator:
            yield orchestrator

    return open_


def chain(length: int, lost: list[int]) -> Dag:
    """link.0 ... link.n, then these objects vanish, then `end` reads the last."""
    dag = Dag("chain")
    links = [dag.call("link", {"writes": ["o0"]}, id="c0")]
    for n in range(1, length):
        params = {"reads": [links[-1]["key"]], "writes": [f"o{n}"]}
        links.append(dag.call("link", params, id=f"c{n}"))
    gone = dag.call("wreck", {"keys": [links[n]["key"] for n in lost]}, after=[links[-1]])
    dag.call("link_end", {"reads": [links[-1]["key"]]}, after=[gone])
    return dag


@pytest.mark.parametrize(
    ("lost", "again"), [(list(range(10)), 10), ([7, 8, 9], 3), ([4], 0)], ids=["all", "3", "middle"]
)
async def test_a_chain_of_ten_runs_again_exactly_what_was_lost(
    opened: Opener, lost: list[int], again: int
) -> None:
    async with opened("link", "link_end", "wreck", concurrency=1) as orchestrator:
        run = await orchestrator.run(chain(10, lost))
        assert run["link_end"].result["text"] == "".join(f"o{n}" for n in range(10))
        assert orchestrator.server.count("link") == 10 + again
        assert orchestrator.server.count("link_end") == 1 + bool(again)


async def test_a_hundred_consumers_of_one_lost_object_run_its_writer_once(opened: Opener) -> None:
    dag = Dag("fan")
    source = dag.call("link_source", {"writes": ["x"]})
    gone = dag.call("wreck", {"keys": source["keys"]})
    params = {"reads": source["keys"], "writes": [item]}
    dag.map("link", params, over=[f"y{n}" for n in range(100)], after=[gone])
    async with opened("link_source", "link", "wreck", concurrency=16) as orchestrator:
        run = await orchestrator.run(dag)
        assert {out.result["text"] for out in run["link"]} == {"x"}
        assert orchestrator.server.count("link_source") == 2


async def test_a_join_that_lost_ten_of_a_hundred_costs_ten_writers_and_one_more_join(
    opened: Opener,
) -> None:
    dag = Dag("join")
    parts = dag.map("link", {"writes": [item]}, over=[f"p{n:02}" for n in range(100)])
    run_id = "the-join"
    lost = [f"data/{run_id}/p{n:02}" for n in range(3, 100, 10)]
    gone = dag.call("wreck", {"keys": lost}, after=[parts])
    dag.call("link_join", {"reads": parts["key"]}, after=[gone])
    async with opened("link", "link_join", "wreck", concurrency=8) as orchestrator:
        run = await orchestrator.run(dag, id=run_id)
        assert run["link_join"].result["text"].startswith("p00p01p02p03")
        assert orchestrator.server.count("link") == 110
        assert orchestrator.server.count("link_join") == 2


async def test_two_runs_of_one_dag_that_both_lose_objects_never_mix(opened: Opener) -> None:
    def twice_read(salt: str) -> Dag:
        dag = Dag("film")
        split = dag.call("link_split", {"writes": ["a", "b"], "salt": salt})
        left = dag.call("link", {"reads": [split["keys"][0]], "writes": ["l"]}, id="left")
        right = dag.call("link", {"reads": [split["keys"][1]], "writes": ["r"]}, id="right")
        gone = dag.call("wreck", {"keys": [split["keys"][1], left["key"]]}, after=[left, right])
        reads = [left["key"], right["key"], split["keys"][1]]
        dag.call("link_join", {"reads": reads}, after=[gone])
        return dag

    names = ("link_split", "link", "link_join", "wreck")
    async with opened(*names) as orchestrator:
        results: dict[str, str] = {}

        async def run(salt: str) -> None:
            done = await orchestrator.run(twice_read(salt))
            results[salt] = done["link_join"].result["text"]

        async with anyio.create_task_group() as group:
            group.start_soon(run, "-first-")
            group.start_soon(run, "-second-")
        for salt in ("-first-", "-second-"):
            assert results[salt] == f"a{salt}l" + f"b{salt}r" + f"b{salt}"
        assert orchestrator.server.count("link_split") == 4
        assert orchestrator.server.count("link_join") == 4


async def test_an_object_overwritten_by_a_stranger_is_overwritten_and_not_a_wrong_film(
    opened: Opener,
) -> None:
    dag = Dag("stranger")
    make = dag.call("link", {"writes": ["x", "y"]})
    hold = dag.call("nap", {"seconds": 0.0, "n": make["key"]})
    dag.call("link_use", {"reads": make["keys"]}, after=[hold])
    async with opened("link", "link_use", "nap") as orchestrator:
        store = orchestrator.store
        assert store is not None
        handle = await orchestrator.submit(dag, id="r")
        async for event in handle.events():
            if event.kind == "ended" and getattr(event, "call", "") == "link":
                await store.put("data/r/x", b"something else")
                await store.delete("data/r/y")
        with pytest.raises(RunFailed) as caught:
            await handle
        error = caught.value.failures["link_use"]
        assert isinstance(error, RecoveryFailed)
        assert (error.key, error.reason) == ("data/r/x", "overwritten")
        assert await store.get("data/r/x") == b"something else"


async def test_an_object_that_a_stranger_put_in_the_place_of_ours_is_not_taken_for_ours(
    opened: Opener,
) -> None:
    dag = Dag("stranger")
    make = dag.call("link", {"writes": ["x"]})
    hold = dag.call("nap", {"seconds": 0.3, "n": make["key"]})
    dag.call("link_use", {"reads": make["keys"]}, after=[hold])
    async with opened("link", "link_use", "nap") as orchestrator:
        assert orchestrator.store is not None
        handle = await orchestrator.submit(dag, id="r")
        async for event in handle.events():
            if event.kind == "ended" and getattr(event, "call", "") == "link":
                await orchestrator.store.put("data/r/x", b"something else")
        with pytest.raises(RunFailed, match="somebody unknown") as caught:
            await handle
        error = caught.value.failures["link_use"]
        assert isinstance(error, RecoveryFailed)
        assert error.reason == "overwritten"


async def test_a_writer_with_two_outputs_leaves_the_other_untouched(opened: Opener) -> None:
    dag = Dag("two")
    make = dag.call("link", {"writes": ["x", "y"]})
    gone = dag.call("wreck", {"keys": [make["keys"][0]]})
    dag.call("link_use", {"reads": make["keys"]}, after=[gone])
    async with opened("link", "link_use", "wreck") as orchestrator:
        await orchestrator.run(dag, id="r")
        store = orchestrator.store
        assert store is not None
        first, second = await store.head("data/r/y"), await store.head("data/r/x")
        events = await orchestrator.recorder.journal.read("r")
        attempts = [e.attempt for e in events if isinstance(e, Intended) and e.call == "link"]
        assert [first.by, second.by] == [f"r/link/{a}" for a in attempts]


async def test_ten_thousand_names_go_from_a_large_result_to_large_params_by_reference(
    opened: Opener,
) -> None:
    dag = Dag("large")
    many = dag.call("names", {"count": 10_000, "width": 150})
    dag.call("count", {"names": many["names"]})
    async with opened("names", "count") as orchestrator:
        run = await orchestrator.run(dag)
        assert run["count"].result == {"count": 10_000, "last": f"{9999:0150d}"}
        sent = orchestrator.server.activations("names")[0].result
        assert len(str(sent)) < 1000


@pytest.mark.parametrize(
    "fault",
    [
        LoseRecord(action="nap"),
        DropReply(action="nap"),
        Unavailable(action="nap", times=2),
        Throttle(action="nap", per_minute=False),
        Delay(action="nap", seconds=0.5),
    ],
    ids=lambda fault: type(fault).__name__,
)
async def test_a_call_survives_what_happens_to_its_request_and_runs_once(
    opened: Opener, fault: Any
) -> None:
    dag = Dag("faults")
    dag.call("nap", {"seconds": 1.2, "n": 7})  # long enough to leave a receipt
    patience = Patience(blocking_wait=0.3, allowance=10.0)
    async with opened("nap", faults=[fault], patience=patience) as orchestrator:
        with anyio.fail_after(30):
            run = await orchestrator.run(dag)
        assert run["nap"].result == {"n": 7}
        assert orchestrator.server.count("nap") == 1


async def test_a_failure_is_tried_again_as_often_as_the_policy_says(opened: Opener) -> None:
    dag = Dag("again")
    quick = RetryPolicy(retries=2, first=0.01)
    dag.call("nap", {"seconds": 0, "n": 1}, retry=quick)
    async with opened("nap", faults=[Fail(action="nap", times=2)]) as orchestrator:
        run = await orchestrator.run(dag)
        assert (run["nap"].result, run["nap"].attempts) == ({"n": 1}, 3)


async def test_a_call_that_fails_for_good_carries_the_run_with_what_was_produced(
    opened: Opener,
) -> None:
    dag = Dag("failing")
    good = dag.call("nap", {"seconds": 0, "n": 1})
    dag.call("fail", {}, retry=RetryPolicy(retries=0))
    dag.call("plain", {"n": good["missing"]}, id="wrong")
    async with opened("nap", "fail", "plain") as orchestrator:
        with pytest.raises(RunFailed) as caught:
            await orchestrator.run(dag)
        run, failures = caught.value.run, caught.value.failures
        assert run["nap"].result == {"n": 1}
        assert isinstance(failures["fail"], ActionError)
        assert "as asked" in str(failures["fail"])
        assert isinstance(failures["wrong"], GraphError)
        assert "missing" in str(failures["wrong"])
        assert orchestrator.server.count("plain") == 0


async def test_a_map_over_something_that_is_no_list_says_so(opened: Opener) -> None:
    dag = Dag("nolist")
    one = dag.call("nap", {"seconds": 0, "n": 1})
    dag.map("plain", {"n": item}, over=one["n"])
    async with opened("nap", "plain") as orchestrator:
        with pytest.raises(RunFailed, match="a map goes over a list") as caught:
            await orchestrator.run(dag)
        assert caught.value.run["nap"].result == {"n": 1}


async def test_an_unknown_action_is_said_before_anything_is_invoked(opened: Opener) -> None:
    dag = Dag("unknown")
    dag.call("plain", {})
    dag.call("nosuch", {})
    async with opened("plain") as orchestrator:
        with pytest.raises(NotFound, match="nosuch"):
            await orchestrator.run(dag)
        assert orchestrator.server.count() == 0


async def test_an_action_that_knows_nothing_of_us_gives_back_its_params_alone(
    opened: Opener,
) -> None:
    dag = Dag("plain")
    dag.call("plain", {"n": 1})
    async with opened("plain") as orchestrator:
        run = await orchestrator.run(dag)
        assert run["plain"].result == {"n": 1}


async def test_a_wrong_key_is_said_before_anything_is_invoked(opened: Opener) -> None:
    async with opened("plain") as local:
        client = Client(app=local.server.app, auth="nobody:wrong")
        dag = Dag("x")
        dag.call("plain", {})
        async with Orchestrator(client) as orchestrator:
            with pytest.raises(Unauthorized):
                await orchestrator.run(dag)
        assert local.server.count() == 0


async def test_an_unreachable_host_is_said() -> None:
    dag = Dag("x")
    dag.call("plain", {})
    async with Orchestrator(Client("http://127.0.0.1:9", "a:b")) as orchestrator:
        with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9"):
            await orchestrator.run(dag)


async def test_code_that_decides_as_it_goes_shares_engine_and_recovery(opened: Opener) -> None:
    async with opened("link_source", "link", "wreck", "fail") as orchestrator:
        async with orchestrator.start("code", concurrency=4) as run:
            first = await run.call("link_source", {"writes": ["x"]})
            await run.call("wreck", {"keys": first["keys"]})
            many = await run.map(
                "link", [{"reads": first["keys"], "writes": [f"y{n}"]} for n in range(5)]
            )
            assert [out["text"] for out in many] == ["x"] * 5
            with pytest.raises(ActionError, match="as asked"):
                await run.call("fail", {}, retry=RetryPolicy(retries=0))
            with pytest.raises(GraphError, match="pass another id"):
                await run.call("link", {}, id="link_source-1")
        assert orchestrator.server.count("link_source") == 2


async def test_a_plan_is_shown_without_running_it_and_ensure_runs_it(opened: Opener) -> None:
    async with opened("link") as orchestrator:
        await orchestrator.run(_pair(), id="r")
        assert orchestrator.store is not None
        assert not await orchestrator.plan_recovery("data/r/b")
        await orchestrator.store.delete("data/r/a")
        await orchestrator.store.delete("data/r/b")
        plan = await orchestrator.plan_recovery("data/r/b")
        assert [step.call.ref.call for step in plan.steps] == ["a", "b"]
        assert orchestrator.server.count("link") == 2
        await orchestrator.ensure("data/r/b")
        assert orchestrator.server.count("link") == 4
        assert await orchestrator.store.get("data/r/b") == b"ab"
        with pytest.raises(RecoveryFailed, match="no call is known"):
            await orchestrator.plan_recovery("data/r/never")


def _pair() -> Dag:
    dag = Dag("pair")
    a = dag.call("link", {"writes": ["a"]}, id="a")
    dag.call("link", {"reads": a["keys"], "writes": ["b"]}, id="b")
    return dag


async def test_cancelling_a_run_interrupts_it_and_leaves_nothing_behind(opened: Opener) -> None:
    dag = Dag("long")
    dag.map("nap", {"seconds": 30, "n": item}, over=list(range(20)))
    async with opened("nap", concurrency=4) as orchestrator:
        with anyio.move_on_after(2):
            await orchestrator.run(dag, id="r")
        assert orchestrator.handle("r").state is RunState.INTERRUPTED
        events = await orchestrator.recorder.journal.read("r")
        assert events[-1].kind == "run_interrupted"
        begun = orchestrator.server.count("nap")
        assert 0 < begun <= 4
        with pytest.raises(Interrupted):
            await orchestrator.handle("r")


async def test_cancelling_a_handle_ends_the_run_and_abandons_its_calls(opened: Opener) -> None:
    dag = Dag("long")
    dag.call("nap", {"seconds": 30})
    dag.call("plain", {"n": 1})
    async with opened("nap", "plain") as orchestrator:
        handle = await orchestrator.submit(dag, id="r")
        async for event in handle.events():
            if event.kind == "ended":
                handle.cancel()
        with pytest.raises(Cancelled):
            await handle
        run = handle.run
        assert run.state is RunState.CANCELLED
        assert run["plain"].result == {"n": 1}
        kinds = [e.kind async for e in handle.events()]
        assert kinds[-2:] == ["call_abandoned", "run_ended"]


async def test_one_of_two_that_await_a_run_may_leave_without_stopping_it(opened: Opener) -> None:
    dag = Dag("shared")
    dag.call("nap", {"seconds": 1.0, "n": 1})
    async with opened("nap") as orchestrator:
        results: list[Any] = []

        async def stay() -> None:
            results.append((await orchestrator.run(dag, id="r"))["nap"].result)

        async with anyio.create_task_group() as group:
            group.start_soon(stay)
            with anyio.move_on_after(0.3):
                await orchestrator.run(dag, id="r")
        assert results == [{"n": 1}]
        assert orchestrator.server.count("nap") == 1


async def test_local_needs_something_to_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs a manifest"):
        Orchestrator.local(root=tmp_path)


async def test_a_run_says_what_it_has_cost_in_requests_and_time(opened: Opener) -> None:
    dag = Dag("meter")
    dag.map("nap", {"seconds": 0, "n": item}, over=[1, 2, 3])
    async with opened("nap") as orchestrator:
        await orchestrator.run(dag, id="r")
        events = await orchestrator.recorder.journal.read("r")
        assert [event.kind for event in events[-2:]] == ["requests", "run_ended"]
        telemetry = await orchestrator.telemetry("r")
        assert telemetry.requests is not None
        assert telemetry.requests.invokes == 3
        assert len(telemetry.attempts) == 3
        with pytest.raises(UnknownRun):
            await orchestrator.telemetry("never")


async def test_what_ran_in_an_openwhisk_of_our_own_is_sent_again_at_once_by_the_next_one(
    opened: Opener,
) -> None:
    dag = Dag("long")
    dag.call("nap", {"seconds": 2, "n": 1})
    dag.call("plain", {"n": 2})
    async with opened("nap", "plain") as orchestrator:
        handle = await orchestrator.submit(dag, id="r")
        async for event in handle.events():
            if event.kind == "ended":
                break
    with pytest.raises(Interrupted):
        await handle
    async with opened("nap", "plain") as orchestrator:
        with anyio.fail_after(20):
            run = await orchestrator.resume("r")
        assert run["nap"].result == {"n": 1}
        assert run["plain"].result == {"n": 2}
        assert orchestrator.server.counts == {"nap": 1}


async def test_an_action_that_does_not_start_says_why_in_the_error(opened: Opener) -> None:
    dag = Dag("broken")
    dag.call("broken", {}, retry=RetryPolicy(retries=0))
    async with opened("plain") as orchestrator:
        await orchestrator.client.actions.put("broken", "import nosuchmodule\n")
        with pytest.raises(RunFailed, match="No module named 'nosuchmodule'"):
            await orchestrator.run(dag)


async def test_a_run_that_goes_on_shows_what_has_ended_and_no_more(opened: Opener) -> None:
    dag = Dag("going")
    dag.call("nap", {"seconds": 1.0, "n": 1})
    dag.call("plain", {"n": 2})
    async with opened("nap", "plain") as orchestrator:
        handle = await orchestrator.submit(dag, id="r")
        async for event in handle.events():
            if event.kind == "ended":
                break
        assert list(handle.run.outcomes) == ["plain"]
        run = await handle
        assert list(run.outcomes) == ["nap", "plain"]
        with pytest.raises(KeyError, match="there are: nap, plain"):
            run["nix"]


async def test_what_is_no_dag_no_client_or_no_store_is_said_at_once(
    opened: Opener, tmp_path: Path
) -> None:
    async with opened("plain") as orchestrator:
        with pytest.raises(GraphError, match="takes a Dag, not str"):
            await orchestrator.run("x")  # type: ignore[arg-type]
        with pytest.raises(GraphError, match="takes a Dag, not Dag"):
            await orchestrator.run(Dag)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="must be a Client"):
        Orchestrator("http://localhost")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="memory of its own"):
        Orchestrator.local(actions={"plain": ALL["plain"]}, root=tmp_path, store="memory://x")
