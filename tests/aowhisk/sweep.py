"""The child of test_kill_sweep.py: runs, or resumes, one run, until somebody kills it.

python sweep.py URL AUTH JOURNAL STORE RUN
"""

from __future__ import annotations

import sys

import anyio

from aowhisk import Client, Dag, Orchestrator, Patience, RetryPolicy, RunFailed, item
from aowhisk.errors import Lost


def pipeline(run: str) -> Dag:
    """61 calls: a split, a map, one that fails at first, a join that has lost an input, and one
    that must not run twice."""
    dag = Dag("sweep")
    names = [f"p{n:02}" for n in range(56)]
    quick = RetryPolicy(retries=3, first=0.01)
    split = dag.call("link", {"writes": ["s"]}, id="split", retry=quick)
    flaky = dag.call("flaky", {"reads": split["keys"], "writes": ["f"]}, retry=quick)
    parts = dag.map(
        "link",
        {"reads": split["keys"], "writes": [item], "seconds": 0.15},
        over=names,
        id="part",
        retry=quick,
    )
    gone = dag.call("wreck", {"keys": [f"data/{run}/p07", split["key"]]}, id="gone", after=[parts])
    join = dag.call("link", {"reads": parts["key"], "of": flaky["key"]}, id="join", after=[gone])
    dag.call("link", {"seconds": 0.3}, id="once", idempotent=False, after=[join])
    return dag


async def main() -> None:
    url, auth, journal, store, run = sys.argv[1:]
    patience = Patience(allowance=1.0, lease=0.5, blocking_wait=1.0)
    async with Orchestrator(
        Client(url, auth), store=store, journal=journal, concurrency=8, patience=patience
    ) as orchestrator:
        try:
            done = await orchestrator.run(pipeline(run), id=run)
            print("done", done["join"].result["text"][:20], flush=True)
        except RunFailed as failed:
            if any(
                call != "once" or not isinstance(e, Lost) for call, e in failed.failures.items()
            ):
                raise
            print("lost", flush=True)


if __name__ == "__main__":
    anyio.run(main)
