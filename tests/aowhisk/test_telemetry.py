"""Where the time, the requests and the money of a run went."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aowhisk import Client, Dag, Interrupted, Orchestrator, RunFailed
from aowhisk.events import MemoryJournal
from aowhisk.events.model import (
    Cause,
    Ended,
    Event,
    Intended,
    Requests,
    Retrying,
    RunEnded,
    RunInterrupted,
    RunStarted,
    RunState,
    Taken,
    Throttled,
)
from aowhisk.local import LocalOpenWhisk
from aowhisk.local.limits import Limits
from aowhisk.models import Activation, from_ms
from aowhisk.telemetry import AttemptTelemetry, Meter, Spread, Tape, Telemetry
from object_store.wire import IORecord

T = 1_700_000_000.0  # when it all begins


def activation(
    start: float = T + 1.5,
    *,
    wait: int = 250,
    init: int | None = 100,
    duration: float | None = 1.0,
    memory: int | None = 512,
) -> Activation:
    notes: dict[str, Any] = {"waitTime": wait}
    if init is not None:
        notes["initTime"] = init
    if memory is not None:
        notes["limits"] = {"memory": memory, "timeout": 60000}
    return Activation(
        id="f" * 32, name="a", start=from_ms(start * 1000), duration=duration, annotations=notes
    )


def intended(call: str = "c", attempt: str = "t", **facts: Any) -> Intended:
    return Intended(
        **{"run": "r", "of": "r", "action": "a", "params": {}, "at": T + 1.0, **facts},
        call=call,
        attempt=attempt,
    )


def ended(call: str = "c", attempt: str = "t", **facts: Any) -> Ended:
    given = {"run": "r", "of": "r", "action": "a", "at": T + 3.0, "sent": T + 1.1, **facts}
    return Ended(**given, call=call, attempt=attempt)


def took(call: str, seconds: float, **facts: Any) -> list[Event]:
    """A call of one attempt whose activation took so long."""
    attempt = facts.pop("attempt", call)
    facts.setdefault("activation", activation(duration=seconds, init=None))
    return [intended(call, attempt), ended(call, attempt, **facts)]


def test_an_attempt_is_split_into_what_it_waited_for_and_what_it_did() -> None:
    found = AttemptTelemetry.of(ended(queued=0.5, activation=activation()), intended().at)
    assert found.parts == {
        "queued": 0.5,
        "held": 0.1,  # 1.0 intended, 1.1 sent
        "network": 0.15,  # at 1.25 OpenWhisk had it, by its own clock
        "waited": 0.25,
        "init": 0.1,
        "ran": 0.9,
        "lag": 0.5,  # ended at 2.5, known at 3.0
    }
    assert (found.wall, found.skew, found.is_cold, found.memory) == (2.5, 0.0, True, 512)
    assert found.gb_seconds == 0.5


@pytest.mark.parametrize(
    ("ahead", "network", "lag"), [(3600.0, 0.65, 0.0), (-3600.0, 0.0, 0.65), (0.2, 0.35, 0.3)]
)
def test_a_clock_that_differs_moves_time_between_network_and_lag_and_nothing_else(
    ahead: float, network: float, lag: float
) -> None:
    right = AttemptTelemetry.of(ended(activation=activation()), intended().at)
    wrong = AttemptTelemetry.of(ended(activation=activation(T + 1.5 + ahead)), intended().at)
    assert (wrong.network, wrong.lag) == (network, lag)
    assert wrong.skew == pytest.approx(ahead - network + right.network)
    assert sum(wrong.parts.values()) == pytest.approx(wrong.wall, abs=1e-9)


def test_without_a_record_all_after_the_post_is_lag() -> None:
    found = AttemptTelemetry.of(ended(error="gone", error_class="Lost"), intended().at)
    assert found.parts == {
        **dict.fromkeys(("queued", "network", "waited", "init", "ran"), 0.0),
        "held": 0.1,
        "lag": 1.9,
    }
    assert found.error_class == "Lost"
    assert found.gb_seconds is None


def test_a_record_without_a_duration_is_measured_from_its_start_to_its_end() -> None:
    record = replace(activation(duration=None, init=None), end=from_ms((T + 2.25) * 1000))
    assert AttemptTelemetry.of(ended(activation=record), intended().at).ran == 0.75


def test_objects_have_sizes_and_speeds_and_what_was_kept_was_not_written() -> None:
    read = IORecord("b/in", 1000, "e", ms=500)
    wrote = IORecord("b/out", 50, "e", ms=0)
    kept = IORecord("b/kept", 7, "e", kept=True)
    found = AttemptTelemetry.of(ended(reads=(read, read), writes=(wrote, kept)), intended().at)
    assert (found.bytes_read, found.bytes_written) == (2000, 50)
    assert found.reads[0].bytes_per_second == 2000
    assert found.writes[0].bytes_per_second == 0
    assert [each.key for each in found.writes] == ["b/out"]


seconds = st.floats(0, 1e5, allow_nan=False)
moments = st.floats(1e9, 2e9, allow_nan=False)
whole_ms = st.integers(0, 10**8)


@st.composite
def attempts(draw: st.DrawFn) -> tuple[Ended, Intended | None]:
    """Any attempt, of clocks that agree, differ, or were set."""
    begun = draw(moments)
    wild = draw(st.booleans())
    at = draw(moments) if wild else begun + draw(seconds)
    sent = draw(st.one_of(st.just(0.0), moments if wild else st.floats(begun, at)))
    record = None
    if draw(st.booleans()):
        record = Activation(
            id="f" * 32,
            name="a",
            start=draw(st.one_of(st.none(), moments.map(lambda t: from_ms(round(t * 1000))))),
            end=draw(st.one_of(st.none(), moments.map(lambda t: from_ms(round(t * 1000))))),
            duration=draw(st.one_of(st.none(), whole_ms.map(lambda ms: ms / 1000))),
            annotations={
                name: draw(whole_ms) for name in ("waitTime", "initTime") if draw(st.booleans())
            },
        )
    intent = draw(st.sampled_from([intended(at=begun), None]))
    return ended(at=at, sent=sent, queued=draw(seconds), activation=record), intent


@given(attempts())
def test_the_parts_of_an_attempt_add_up_to_its_wall_time(
    attempt: tuple[Ended, Intended | None],
) -> None:
    end, intent = attempt
    found = AttemptTelemetry.of(end, intent and intent.at)
    assert round(sum(found.parts.values()), 6) == found.wall
    if intent is not None:
        span = max(0.0, end.at - intent.at)
        assert found.wall == pytest.approx(end.queued + span, abs=2e-6)
    assert all(value >= 0 for name, value in found.parts.items() if name != "lag")
    if found.waited + found.billed <= found.wall - found.queued - found.held:
        assert found.lag >= 0


def chain(*, concurrency: int) -> list[Event]:
    dag = Dag("flow")
    split = dag.call("split", {})
    each = dag.map("encode", {}, over=[1, 2, 3, 4], concurrency=2, after=[split])
    dag.call("join", {}, after=[each])
    dag.call("aside", {})
    return [
        RunStarted(run="r", name="flow", dag=dag.to_json(), concurrency=concurrency, at=T),
        *took("split", 1.0),
        *(event for n in range(4) for event in took(f"encode.{n}", 2.0 + n)),
        *took("join", 0.5),
        *took("aside", 3.0),
        RunEnded(run="r", state=RunState.SUCCEEDED, at=T + 20.0),
    ]


def test_the_lower_bound_is_the_critical_path_or_the_work_over_the_slots() -> None:
    wide = Telemetry.of(chain(concurrency=16))
    assert wide.bound.critical_path == 1.0 + (2 + 3 + 4 + 5) / 2 + 0.5
    assert wide.bound.seconds == wide.bound.critical_path
    assert wide.efficiency == 8.5 / 20
    narrow = Telemetry.of(chain(concurrency=1))
    assert narrow.bound.work == narrow.bound.seconds == 18.5
    assert (narrow.makespan, narrow.calls) == (20.0, 7)


def test_what_had_to_be_done_twice_is_no_part_of_the_lower_bound() -> None:
    events = [
        RunStarted(run="r", name="n", concurrency=2, at=T),
        *took("c", 9.0, attempt="1", error="no", error_class="ActionError", final=False),
        *took("c", 2.0, attempt="2", cause=Cause.RETRY),
        *took("c", 8.0, attempt="3", cause=Cause.RECOVERY),
        RunEnded(run="r", state=RunState.SUCCEEDED, at=T + 30),
    ]
    assert Telemetry.of(events).bound.seconds == 2.0


def test_recovery_has_its_share_of_seconds_and_bytes() -> None:
    read, wrote = IORecord("b/in", 10, "e"), IORecord("b/x", 4, "e")
    events = [
        RunStarted(run="r", name="n", at=T),
        *took("w", 2.0, attempt="1", writes=(wrote,)),
        *took("c", 1.0, attempt="2", error="x", error_class="MissingObject", final=False),
        *took("w", 2.0, attempt="3", cause=Cause.RECOVERY, reads=(read,), writes=(wrote,)),
        *took("c", 3.0, attempt="4", cause=Cause.RERUN, reads=(wrote,)),
        *took("d", 2.0, attempt="5", cause=Cause.LOST),
    ]
    found = Telemetry.of(events)
    share = found.recovery
    assert (share.repairs, share.reruns, share.seconds, share.share) == (1, 1, 5.0, 0.5)
    assert (share.bytes_read, share.bytes_written, share.objects) == (14, 4, {"b/x"})
    assert (found.lost, found.retries, found.calls) == (1, 0, 3)


def test_each_action_has_its_count_median_and_95th_percentile() -> None:
    events = [
        event
        for n in range(1, 21)
        for event in took(f"c{n}", 0.0, activation=activation(duration=n, init=None))
    ]
    [found] = Telemetry.of(events).actions
    assert (found.attempts, found.ran.median, found.ran.p95) == (20, 10.5, 19.0)
    assert (found.init.count, found.waited.median) == (0, 0.25)
    assert Spread.of([]) == Spread()


def test_requests_of_all_processes_that_had_the_run_are_added_up() -> None:
    events = [
        RunStarted(run="r", name="n", at=T),
        Requests(run="r", invokes=3, polls=2, throttled=1),
        RunInterrupted(run="r", at=T + 1),
        Taken(run="r", owner="o", at=T + 101),
        Throttled(run="r", seconds=2.0, text="slow", at=T + 101),
        Requests(run="r", invokes=1, lists=4, heads=5),
        RunEnded(run="r", state=RunState.SUCCEEDED, at=T + 103),
    ]
    found = Telemetry.of(events)
    assert found.requests == Meter(invokes=4, polls=2, lists=4, heads=5, throttled=1)
    assert found.requests.total == 15
    assert (found.idle, found.makespan) == (100.0, 3.0)
    assert (found.holds, found.held_back) == (1, 2.0)


@pytest.mark.parametrize(
    "events",
    [
        [],
        [RunStarted(run="r", name="n", dag={"nodes": []}, concurrency=0)],
        [RunEnded(run="r", state=RunState.FAILED)],
        [intended()],
        [ended(activation=activation(duration=0, init=0, memory=None))],
    ],
    ids=["none", "begun", "only the end", "open", "took no time"],
)
def test_a_run_of_next_to_nothing_has_numbers_as_well(events: list[Event]) -> None:
    found = Telemetry.of(events)
    assert found.efficiency == found.recovery.share == found.gb_seconds == 0.0
    assert found.makespan == found.bound.seconds == 0.0
    assert found.requests is None
    assert found.open == sum(isinstance(event, Intended) for event in events)


def test_any_prefix_of_a_run_can_be_measured() -> None:
    events = chain(concurrency=3)
    walls = [Telemetry.of(events[:n]).makespan for n in range(len(events) + 1)]
    assert walls[-1] == 20.0


def nap(args: dict[str, Any]) -> dict[str, Any]:
    """The action of the next test."""
    import time

    time.sleep(args["seconds"])  # noqa: TID251 -- it runs in a process of its own
    return {}


async def test_a_real_run_is_measured_from_its_journal(tmp_path: Path) -> None:
    journal = MemoryJournal()
    dag = Dag("naps")
    dag.map("nap", {"seconds": 0.05}, over=[1, 2, 3])
    async with Orchestrator.local(
        actions={"nap": nap}, root=tmp_path, journal=journal, concurrency=1
    ) as orchestrator:
        run = await orchestrator.run(dag)
    found = run.telemetry
    assert found == Telemetry.of(journal.events[run.id])
    assert (found.calls, found.cold_starts, found.open, found.unpriced) == (3, 1, 0, 0)
    assert found.requests is not None
    assert found.requests.invokes == 3
    assert 0.15 <= found.bound.seconds <= found.makespan
    for attempt in found.attempts:
        check_wall(attempt)
        assert attempt.ran >= 0.05
        assert attempt.lag > -0.005
        assert attempt.skew == pytest.approx(0, abs=0.005)
        assert attempt.ended - attempt.wall == pytest.approx(found.started, abs=0.2)  # when ready
    assert [attempt.queued > 0.05 * n for n, attempt in enumerate(found.attempts)] == [True] * 3


def check_wall(attempt: AttemptTelemetry) -> None:
    assert round(sum(attempt.parts.values()), 6) == attempt.wall


async def test_what_the_namespace_s_limits_hold_back_waits_in_our_queue(tmp_path: Path) -> None:
    limits = Limits(concurrent_invocations=1)
    async with (
        LocalOpenWhisk(root=tmp_path, limits=limits) as server,
        Orchestrator(Client(app=server.app, auth=server.auth), concurrency=4) as orchestrator,
    ):
        await server.deploy_functions({"nap": nap})
        took: dict[str, float] = {}
        async with orchestrator.start("naps") as run:

            async def one(id: str) -> None:
                begun = monotonic()
                await run.call("nap", {"seconds": 0.2}, id=id)
                took[id] = monotonic() - begun

            async with anyio.create_task_group() as group:
                for n in range(4):
                    group.start_soon(one, f"c{n}")
        found = run.telemetry
    assert found.requests is not None
    assert found.requests.throttled == 0
    for n, attempt in enumerate(found.attempts):
        check_wall(attempt)
        assert attempt.wall == pytest.approx(took[attempt.call], abs=0.15)
        assert attempt.queued > 0.2 * n
        assert attempt.held < 0.2


async def test_every_kind_of_run_has_its_telemetry_at_hand(tmp_path: Path) -> None:
    journal = MemoryJournal()
    bad, two = Dag("bad"), Dag("two")
    bad.call("nap", {})
    two.call("nap", {"seconds": 0.01})
    two.call("nap", {"seconds": 30}, id="long")
    async with Orchestrator.local(
        actions={"nap": nap}, root=tmp_path / "1", journal=journal, concurrency=2
    ) as orchestrator:
        with pytest.raises(RunFailed) as failed:
            await orchestrator.run(bad, id="bad")
        assert failed.value.run.telemetry == await orchestrator.telemetry("bad")
        handle = await orchestrator.submit(two, id="two")
        with anyio.fail_after(20):
            while not handle.telemetry.attempts:
                await anyio.sleep(0.01)
        assert (handle.telemetry.calls, handle.telemetry.open) == (1, 1)
        assert handle.telemetry.requests is None
    with pytest.raises(Interrupted):
        await handle
    # another process goes on with it; what was in flight has died with the first OpenWhisk
    quick = {"nap": quick_nap}
    async with Orchestrator.local(
        actions=quick, root=tmp_path / "1", journal=journal
    ) as orchestrator:
        run = await orchestrator.resume("two")
        stored = await orchestrator.telemetry("two")
        again = await orchestrator.run(two, id="two")
    assert {each.call for each in run.telemetry.attempts} == {"nap", "long"}
    assert run.telemetry.idle == pytest.approx(stored.idle, abs=0.05)
    assert replace(run.telemetry, idle=stored.idle) == stored
    assert again.telemetry.attempts == stored.attempts
    for attempt in stored.attempts:
        check_wall(attempt)
        assert attempt.wall <= stored.makespan + stored.idle + 0.05


def quick_nap(args: dict[str, Any]) -> dict[str, Any]:
    """The action after an update."""
    return {}


@given(st.lists(st.integers(0, 6), max_size=30), st.randoms())
def test_what_is_taken_event_by_event_gives_the_same(kinds: list[int], random: Any) -> None:
    made = [
        lambda at: Taken(run="r", owner="o", at=at),
        lambda at: Throttled(run="r", seconds=1.0, text="", at=at),
        lambda at: Requests(run="r", invokes=1, at=at),
        lambda at: intended("c", f"t{at}", at=at),
        lambda at: ended("c", f"t{at - 1}", at=at),
        lambda at: Retrying(run="r", of="r", call="c", attempt="t", delay=1.0, error="no", at=at),
        lambda at: RunInterrupted(run="r", at=at),
    ]
    events = [made[kind](T + n) for n, kind in enumerate(kinds)]
    tape = Tape()
    for n, event in enumerate(events):
        tape.receive(event)
        if random.random() < 0.2:
            assert tape.telemetry() == Telemetry.of(events[: n + 1])
    assert tape.telemetry() == Telemetry.of(events)
