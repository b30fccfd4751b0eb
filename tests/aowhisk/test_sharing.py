"""Processes that share a journal: each run has one owner, and no call is sent twice for it."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack

import anyio
import pytest
from cluster import Child, Cluster

from aowhisk.events import Event, RunState, open_journal
from aowhisk.events.model import Cause, Ended, Intended
from aowhisk.events.sink import RunInfo

CALLS = 10  # of the children's dag: first, many.0 to many.7, last
RESULT = {"n": list(range(8))}


@pytest.fixture(params=["sqlite", "mongo"])
def journal(request: pytest.FixtureRequest, cluster: Cluster) -> str:
    """The URL of a journal that processes can share."""
    if request.param == "sqlite":
        return cluster.sqlite
    url: str = request.getfixturevalue("mongo_url")
    return url


def events_of(journal: str, run: str) -> Sequence[Event]:
    async def read() -> Sequence[Event]:
        opened = open_journal(journal)
        await opened.open()
        try:
            return await opened.read(run)
        finally:
            await opened.close()

    return anyio.run(read)


def runs_of(journal: str, *states: RunState) -> list[RunInfo]:
    async def read() -> list[RunInfo]:
        opened = open_journal(journal)
        await opened.open()
        try:
            return list(await opened.runs(states or tuple(RunState)))
        finally:
            await opened.close()

    return anyio.run(read)


def unfinished(journal: str) -> str:
    """The last events of the runs that have not ended."""
    lines = []
    for info in runs_of(journal, RunState.RUNNING, RunState.QUEUED, RunState.INTERRUPTED):
        lines.append(f"{info.run} {info.state.value}")
        lines += [f"    {event}"[:300] for event in events_of(journal, info.run)[-6:]]
    return "\n".join(lines)


def wait_for_sent(cluster: Cluster, run: str, count: int) -> None:
    """Return once so many calls of the run have arrived."""
    until = time.monotonic() + 20
    while len(cluster.sent(run)) < count:
        assert time.monotonic() < until, f"{run} sent only {len(cluster.sent(run))}"
        time.sleep(0.01)  # noqa: TID251 -- other processes


def check_sent(cluster: Cluster, journal: str, run: str, *, calls: int = CALLS) -> int:
    """No attempt arrived twice; a call that arrived twice had an attempt in doubt at a kill; none
    that had ended was sent again. Gives how often calls were sent again."""
    sent = cluster.sent(run)
    assert len({attempt for _, _, attempt in sent}) == len(sent), "an attempt was sent twice"
    assert len({call for _, call, _ in sent}) == calls
    causes: dict[str, Cause] = {}
    ended: set[str] = set()
    for event in events_of(journal, run):
        if isinstance(event, Intended):
            assert event.call not in ended, f"{event.call} of {run} had ended and ran again"
            causes[event.attempt] = event.cause
        if isinstance(event, Ended) and event.error is None:
            ended.add(event.call)
    assert {attempt for _, _, attempt in sent} <= causes.keys()
    again = Counter(cause for cause in causes.values() if cause is not Cause.FIRST)
    assert set(again) <= {Cause.LOST}, again
    assert len(sent) <= calls + again.total()
    return len(sent) - calls


def killed_runs(cluster: Cluster, journal: str, count: int) -> list[str]:
    """Runs that were in their middle when their process was killed."""
    runs = [f"r{n}" for n in range(count)]
    with Child(cluster, journal) as first:
        for run in runs:
            first.ask("run", id=run, concurrency=1)
        for run in runs:
            wait_for_sent(cluster, run, 1)
    return runs


def test_of_two_processes_that_resume_a_run_at_once_one_finishes_it(cluster: Cluster) -> None:
    runs = killed_runs(cluster, cluster.sqlite, 50)
    with Child(cluster, cluster.sqlite) as one, Child(cluster, cluster.sqlite) as two:
        one.wait()
        two.wait()
        for run in runs:
            asked = [(child, child.ask("resume", id=run)) for child in (one, two)]
            ends = [child.answer(name) for child, name in asked]
            [won, lost] = sorted(ends, key=lambda end: end["error"] or "")
            assert won["error"] is None, ends
            assert won["text"] == RESULT
            assert lost["error"] in ("Fenced", "Conflict"), ends
    for run in runs:
        check_sent(cluster, cluster.sqlite, run)


def test_a_process_that_wakes_up_after_its_run_was_taken_sends_nothing_more(
    cluster: Cluster,
) -> None:
    with Child(cluster, cluster.sqlite) as one, Child(cluster, cluster.sqlite) as two:
        asleep = one.ask("run", id="r", concurrency=2)
        wait_for_sent(cluster, "r", 3)
        two.wait()
        one.process.send_signal(signal.SIGSTOP)
        try:
            assert two.do("resume", id="r")["text"] == RESULT
        finally:
            one.process.send_signal(signal.SIGCONT)
        assert one.answer(asleep)["error"] == "Fenced"
        assert two.do("resume", id="r")["error"] == "Conflict"
    check_sent(cluster, cluster.sqlite, "r")


def test_fifty_callers_in_five_processes_have_one_run(cluster: Cluster, journal: str) -> None:
    with ExitStack() as stack:
        children = [stack.enter_context(Child(cluster, journal, lease=5.0)) for _ in range(5)]
        asked = [(child, child.ask("run", id="x")) for _ in range(10) for child in children]
        ends = [child.answer(name) for child, name in asked]
    assert [end["text"] for end in ends] == [RESULT] * 50
    assert len(cluster.sent()) == CALLS
    assert check_sent(cluster, journal, "x") == 0
    assert [(info.run, info.state) for info in runs_of(journal)] == [("x", RunState.SUCCEEDED)]


def test_queued_runs_end_right_while_those_who_serve_are_killed(
    cluster: Cluster, journal: str
) -> None:
    count = 30
    rng = random.Random(count)
    runs = [f"q{n}" for n in range(count)]
    serving: list[Child] = []
    kills = 0

    def serve() -> None:
        serving.append(Child(cluster, journal))
        serving[-1].ask("serve", at_once=4)

    try:
        serve()
        for run in runs:
            serving[0].do("enqueue", id=run, seconds=0.2)
        serve()
        serve()
        until = time.monotonic() + 120
        while len(runs_of(journal, RunState.SUCCEEDED)) < count:
            assert not runs_of(journal, RunState.FAILED), "a call failed"
            assert time.monotonic() < until, unfinished(journal)
            time.sleep(1)  # noqa: TID251 -- how long a process lives
            serving.pop(rng.randrange(len(serving))).kill()
            kills += 1
            serve()
            serving[-1].wait()  # on a busy machine, starting takes longer than living
    finally:
        for child in serving:
            child.kill()
    again = sum(check_sent(cluster, journal, run) for run in runs)
    print(f"{count} runs, {kills} kills, {again} calls sent again of {count * CALLS}")
    assert kills


def test_what_cannot_be_resumed_is_said(cluster: Cluster) -> None:
    with Child(cluster, cluster.sqlite) as one, Child(cluster, cluster.sqlite) as two:
        two.wait()
        assert one.do("resume", id="x")["error"] == "UnknownRun"
        one.do("run", id="good", seconds=0)
        ended = two.do("resume", id="good")
        assert ended["error"] == "Conflict"
        assert "run good has succeeded" in ended["text"]
        one.do("cancel", id="stopped")
        ended = two.do("resume", id="stopped")
        assert ended["error"] == "Conflict"
        assert "run stopped was cancelled" in ended["text"]
        going = one.ask("run", id="going", seconds=0.4, width=12)
        wait_for_sent(cluster, "going", 1)
        ended = two.do("resume", id="going")
        assert ended["error"] == "Fenced"
        assert "run going is still owned" in ended["text"]
        assert one.answer(going)["error"] is None


def test_a_failed_run_keeps_its_successes_and_tries_the_rest_again(cluster: Cluster) -> None:
    marker = cluster.root / "marker"
    with Child(cluster, cluster.sqlite) as one, Child(cluster, cluster.sqlite) as two:
        assert one.do("run", id="r", unless=str(marker))["error"] == "RunFailed"
        before = Counter(call for _, call, _ in cluster.sent("r"))
        assert before["first"] == 1
        assert before["last"] == 0
        assert two.do("resume", id="r")["error"] == "RunFailed"
        marker.touch()
        assert two.do("resume", id="r")["text"] == RESULT
    after = Counter(call for _, call, _ in cluster.sent("r"))
    assert after["first"] == after["last"] == 1
    assert set(after) == {"first", "last", *(f"many.{n}" for n in range(8))}


def test_a_resume_of_a_failed_run_that_is_killed_goes_on_as_such(cluster: Cluster) -> None:
    marker = cluster.root / "marker"
    with Child(cluster, cluster.sqlite) as one:
        assert one.do("run", id="r", unless=str(marker), concurrency=4)["error"] == "RunFailed"
    failed = len(cluster.sent("r"))
    assert failed > 2, "more than one call has failed"
    marker.touch()
    with Child(cluster, cluster.sqlite) as two:
        two.ask("resume", id="r")
        wait_for_sent(cluster, "r", failed + 1)
    with Child(cluster, cluster.sqlite) as three:
        assert three.do("resume", id="r")["text"] == RESULT
    assert Counter(call for _, call, _ in cluster.sent("r"))["first"] == 1


def test_a_run_of_code_goes_on_by_start(cluster: Cluster) -> None:
    with Child(cluster, cluster.sqlite) as one:
        one.ask("code", id="r", calls=list(range(500)))
        wait_for_sent(cluster, "r", 3)
    count = len(events_of(cluster.sqlite, "r"))
    with Child(cluster, cluster.sqlite) as two:
        said = two.do("resume", id="r")
        assert said["error"] == "Conflict"
        assert "orchestrator.start('code', id='r')" in said["text"]
        assert len(events_of(cluster.sqlite, "r")) == count, "it was left alone"
        other = two.do("code", id="r", calls=[7, 8])
        assert other["error"] == "GraphError"
        assert "n was 0 and is 7" in other["text"]
        assert two.do("code", id="r", calls=list(range(60)))["text"] == "ended"
    sent = Counter(call for _, call, _ in cluster.sent("r"))
    assert sent == Counter(f"c{n}" for n in range(60))


def test_a_dag_that_changed_is_refused_with_the_difference(cluster: Cluster) -> None:
    [run] = killed_runs(cluster, cluster.sqlite, 1)
    with Child(cluster, cluster.sqlite) as two:
        said = two.do("run", id=run, seconds=0.06)
        assert said["error"] == "Conflict"
        assert "seconds was 0.05 and is 0.06" in said["text"]
        assert two.do("run", id=run)["text"] == RESULT


@pytest.mark.parametrize("protocol", [True, False])
def test_calls_in_doubt_that_are_not_idempotent_are_never_sent_twice(
    cluster: Cluster, protocol: bool
) -> None:
    facts = {"idempotent": False, "seconds": 0.3, "protocol": protocol}
    for kill in range(3):
        with Child(cluster, cluster.sqlite) as child:
            before = len(cluster.sent())
            child.ask("resume" if kill else "run", id="r", **({} if kill else facts))
            until = time.monotonic() + 3
            while len(cluster.sent()) == before and time.monotonic() < until:
                time.sleep(0.01)  # noqa: TID251 -- another process
    with Child(cluster, cluster.sqlite) as child:
        end = child.do("resume", id="r")
        if not protocol:
            assert end["error"] in ("RunFailed", "Conflict"), end
            end = child.do("resume", id="r")
            assert end["error"] == "RunFailed"
            assert "Lost" in end["text"]
        else:
            assert end["text"] == RESULT or end["error"] == "RunFailed", end
    assert set(Counter(call for _, call, _ in cluster.sent()).values()) == {1}
