"""The same through an orchestrator, with a journal."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from aowhisk import Client, Dag, Orchestrator, Patience, RecoveryPolicy, item
from bench.meter import Facts, gc_threshold, held, metered
from object_store import ObjectStore

__all__ = ["calls", "chain", "orchestrator"]

AUTH = "bench:x"


@contextlib.asynccontextmanager
async def orchestrator(
    url: str,
    *,
    journal: str = "sqlite",
    concurrency: int,
    store: ObjectStore | None = None,
    patience: Patience = Patience(),  # noqa: B008 -- a frozen value
    recovery: RecoveryPolicy = RecoveryPolicy(),  # noqa: B008 -- a frozen value
) -> AsyncIterator[Orchestrator]:
    """One against the server at `url`; the journal is a fresh SQLite file, or a URL."""
    with tempfile.TemporaryDirectory(prefix="aowhisk-bench-") as folder:
        where = f"sqlite://{Path(folder) / 'journal.db'}" if journal == "sqlite" else journal
        async with Orchestrator(
            Client(url, AUTH),
            journal=where,
            concurrency=concurrency,
            store=store,
            patience=patience,
            recovery=recovery,
        ) as made:
            yield made


def noops(action: str, count: int) -> Dag:
    """A map of so many calls."""
    dag = Dag("noops")
    dag.map(action, {"n": item}, over=list(range(count)), id="noop")
    return dag


async def calls(
    url: str,
    *,
    action: str,
    count: int,
    concurrency: int,
    journal: str = "sqlite",
    tuned: bool = False,
) -> Facts:
    """A map of so many calls, `concurrency` at a time."""
    gc_threshold(tuned)
    facts: Facts = {}
    async with orchestrator(url, journal=journal, concurrency=concurrency) as ours:
        await ours.run(noops(action, concurrency))
        dag = noops(action, count)
        with metered(facts):
            run = await ours.run(dag)
        facts["held"] = held()
        assert len(run.outcomes) == count
    return facts


async def chain(
    url: str, *, action: str, length: int, times: int, journal: str = "sqlite"
) -> Facts:
    """Chains of calls, each of which waits for the one before it."""
    dag = Dag("chain")
    last = None
    for n in range(length):
        after = () if last is None else (last,)
        last = dag.call(action, {"n": n}, id=f"noop-{n}", after=after)
    facts: Facts = {}
    async with orchestrator(url, journal=journal, concurrency=16) as ours:
        await ours.run(dag)
        with metered(facts):
            for _ in range(times):
                await ours.run(dag)
    return facts
