"""Work that others hold up: polling for slow activations, and going on after a kill."""

from __future__ import annotations

import os
import signal
import statistics
import tempfile
import time
from pathlib import Path

import anyio

from aowhisk import Client, Dag, Orchestrator, Patience, item
from aowhisk.events.model import Ended, Event, Intended
from aowhisk.models import to_ms
from bench.meter import Facts, metered
from bench.ours import AUTH, orchestrator
from bench.server import spent
from bench.work import ROOT, command

__all__ = ["begin", "poll", "resume"]


class _Lags:
    """How long after its end each activation was noticed."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def receive(self, event: Event) -> None:
        if isinstance(event, Ended) and event.activation is not None and event.activation.end:
            self.seconds.append(event.at - to_ms(event.activation.end) / 1000)


async def poll(url: str, *, count: int, shortest: int, longest: int) -> Facts:
    """So many activations at once, of which none answers its POST: of ten lengths between these
    two, in milliseconds."""
    dag, lags = Dag("slow"), _Lags()
    for n in range(10):
        action = f"wait-{shortest + (longest - shortest) * n // 9}"
        dag.map(action, {"n": item}, over=list(range(count // 10)), id=f"slow-{n}")
    facts: Facts = {}
    patience, before = Patience(blocking_wait=0.1), spent(url)
    async with orchestrator(url, concurrency=count, patience=patience) as ours:
        ours.recorder.add(lags)
        with metered(facts):
            await ours.run(dag)
    asked = spent(url)
    return {
        **facts,
        "lists": asked["lists"] - before["lists"],
        "gets": asked["gets"] - before["gets"],
        "lag": statistics.median(lags.seconds),
        "longest lag": max(lags.seconds),
    }


class _Killer:
    """Ends this process, as kill -9 does, after so many calls."""

    def __init__(self, after: int) -> None:
        self._left = after

    def receive(self, event: Event) -> None:
        self._left -= isinstance(event, Ended)
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


async def begin(url: str, *, journal: str, count: int, concurrency: int) -> Facts:
    """A map of so many calls, of which half end."""
    dag = Dag("half")
    dag.map("objects", {"n": item}, over=list(range(count)), id="half")
    async with Orchestrator(
        Client(url, AUTH), journal=journal, concurrency=concurrency, sinks=[_Killer(count // 2)]
    ) as ours:
        await ours.run(dag, id="half")
    return {}


class _First:
    """When the first attempt of this process was intended."""

    def __init__(self) -> None:
        self.at: float | None = None

    def receive(self, event: Event) -> None:
        if self.at is None and isinstance(event, Intended):
            self.at = time.perf_counter()


async def resume(url: str, *, count: int, concurrency: int) -> Facts:
    """Going on with a run whose process was killed when half of its calls had ended: `first` is
    seconds until the next call is sent, `again` the calls that were sent twice.

    A call that was about to be sent is waited for as long as it might be running, here 4 s.
    """
    facts: Facts = {}
    patience = Patience(allowance=2.0)
    with tempfile.TemporaryDirectory(prefix="aowhisk-bench-") as folder:
        journal = f"sqlite://{Path(folder) / 'journal.db'}"
        options = {"url": url, "journal": journal, "count": count, "concurrency": concurrency}
        work = command("bench.waiting:begin", options)
        ended = await anyio.run_process(work, cwd=ROOT, check=False)
        assert ended.returncode == -signal.SIGKILL, ended.returncode
        first = _First()
        async with Orchestrator(
            Client(url, AUTH),
            journal=journal,
            concurrency=concurrency,
            sinks=[first],
            patience=patience,
        ) as ours:
            began = time.perf_counter()
            with metered(facts):
                run = await ours.resume("half")
        assert len(run.outcomes) == count
    assert first.at is not None
    return {**facts, "first": first.at - began, "again": spent(url)["invokes"] - count}
