"""kill -9 of the orchestrator at random moments: the run goes on and ends right."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence

import anyio
import pytest
from cluster import HERE, Cluster

from aowhisk.events import Event, RunState, open_journal
from aowhisk.events.model import Cause, Ended, Intended, state_of
from aowhisk.local import GUEST


def sweep(cluster: Cluster, journal: str, run: str, rng: random.Random, kills: int) -> int:
    """Start the child again and again; kill it up to so many times; how often it was killed."""
    command = [sys.executable, str(HERE / "sweep.py"), cluster.url, GUEST, journal, cluster.store]
    killed = 0
    while True:
        with subprocess.Popen([*command, run], stdout=subprocess.PIPE, text=True) as child:
            try:
                wait = rng.uniform(0.4, 2.2) if killed < kills else 60.0
                out, _ = child.communicate(timeout=wait)
            except subprocess.TimeoutExpired:
                assert killed < kills, "the run hangs"
                child.kill()
                killed += 1
                continue
            assert child.returncode == 0, out
            assert out.startswith("done sp00sp01") or out == "lost\n", out
            return killed


def kill_often(cluster: Cluster, journal: str, seed: int, kills: int) -> None:
    """Kill runs, one after the other, until so many kills were made; check what came of it."""
    rng = random.Random(seed)
    started = time.monotonic()
    killed = runs = 0
    while killed < kills:
        killed += sweep(cluster, journal, f"r{runs}", rng, min(5, kills - killed))
        runs += 1
    report(journal, runs, killed, time.monotonic() - started)


@pytest.mark.parametrize("kills", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_a_run_that_is_killed_again_and_again_ends_right(cluster: Cluster, kills: int) -> None:
    kill_often(cluster, cluster.sqlite, 7, kills)


@pytest.mark.parametrize("kills", [5, pytest.param(50, marks=pytest.mark.slow)])
def test_so_does_one_whose_journal_is_in_mongodb(
    cluster: Cluster, mongo_url: str, kills: int
) -> None:
    kill_often(cluster, mongo_url, 8, kills)


def report(journal: str, runs: int, killed: int, seconds: float) -> None:
    """Check the journal: nothing that had ended ran again; say how much was sent twice, and why."""
    causes: Counter[str] = Counter()
    lost = 0
    for n in range(runs):
        events = anyio.run(read, journal, f"r{n}")
        ended: set[str] = set()
        once = [e for e in events if isinstance(e, Intended) and e.call == "once"]
        assert len(once) == 1, (
            f"the call of r{n} that must not run twice was sent {len(once)} times"
        )
        last: dict[str, Ended | Intended] = {}
        for event in events:
            if isinstance(event, Intended):
                causes[event.cause.value] += 1
                is_repair = event.cause is Cause.RECOVERY
                assert is_repair or event.call not in ended, f"{event.call} of r{n} ran again"
                check_cause(event, last.get(event.call))
            if isinstance(event, Ended) and event.final and event.error is None:
                ended.add(event.call)
            if isinstance(event, Ended | Intended):
                last[event.call] = event
        ending = state_of(events)[0]
        lost += ending is RunState.FAILED
        assert ended >= {"split", "flaky", "join", *(f"part.{i}" for i in range(56))}, ended
        assert ("once" in ended) == (ending is RunState.SUCCEEDED)
    print(
        f"{killed} kills of {runs} runs in {seconds:.0f} s; attempts: {dict(causes)}; lost: {lost}"
    )


def check_cause(event: Intended, before: Ended | Intended | None) -> None:
    """A call is sent once, and again only when the attempt before is known to have ended, or could
    not be found by its deadline."""
    if before is None:
        assert event.cause is Cause.FIRST
        return
    assert isinstance(before, Ended), f"{event.call} was sent while it may have been running"
    assert event.cause is not Cause.FIRST
    if event.cause is not Cause.RECOVERY:  # of a writer that was run for others, and not found
        assert (event.cause is Cause.LOST) == (before.error_class == "Lost"), (event, before)


async def read(journal: str, run: str) -> Sequence[Event]:
    """The events of a run."""
    opened = open_journal(journal)
    await opened.open()
    try:
        return await opened.read(run)
    finally:
        await opened.close()
