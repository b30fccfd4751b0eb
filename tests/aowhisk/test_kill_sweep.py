"""kill -9 of the orchestrator at random moments: the run goes on and ends right."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from cluster import HERE, Cluster

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
            assert out.startswith("done sp00sp01")
            return killed


@pytest.mark.parametrize("seed", range(2))
def test_a_run_that_is_killed_again_and_again_ends_right(cluster: Cluster, seed: int) -> None:
    rng = random.Random(seed)
    path = cluster.root / "journal.db"
    started = time.monotonic()
    killed = sum(sweep(cluster, f"sqlite://{path}", f"r{n}", rng, 5) for n in range(3))
    assert killed > 3, "hardly anything was killed"
    report(path, killed, time.monotonic() - started)


@pytest.mark.slow
def test_two_hundred_kills(cluster: Cluster) -> None:
    rng = random.Random(7)
    path = cluster.root / "journal.db"
    started = time.monotonic()
    killed, n = 0, 0
    while killed < 200:
        killed += sweep(cluster, f"sqlite://{path}", f"r{n}", rng, 5)
        n += 1
    report(path, killed, time.monotonic() - started)


def report(path: Path, killed: int, seconds: float) -> None:
    """Check the journal: nothing that had ended ran again; say how much was sent twice, and why."""
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT run, kind, call, body FROM events ORDER BY run, seq")
    ended: set[tuple[str, str]] = set()
    causes: Counter[str] = Counter()
    runs: set[str] = set()
    for run, kind, call, text in rows:
        body = json.loads(text)
        runs.add(run)
        if kind == "intended":
            causes[body.get("cause", "first")] += 1
            is_repair = body.get("cause") == "recovery"
            assert is_repair or (run, call) not in ended, f"{call} of {run} had ended and ran again"
        if kind == "ended" and body.get("final", True) and "error" not in body:
            ended.add((run, call))
    for run in runs:
        assert len({call for r, call in ended if r == run}) == 60
    states = dict(connection.execute("SELECT state, count(*) FROM runs GROUP BY state"))
    assert states == {"succeeded": len(runs)}
    connection.close()
    print(f"{killed} kills of {len(runs)} runs in {seconds:.0f} s; attempts: {dict(causes)}")
