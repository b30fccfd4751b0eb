"""DBOS: steps of workflows, on SQLite; many at once by a queue of 50."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from dbos import DBOS
from tasks import CALLS, LENGTH, NAP, NAPS, SLOTS, tell

QUEUE = "bench"


@DBOS.step()
def step(n: int) -> int:
    return n


@DBOS.workflow()
def noop(n: int) -> int:
    return step(n)


@DBOS.workflow()
def nap(n: int) -> int:
    time.sleep(NAP)
    return n


@DBOS.workflow()
def chained() -> int:
    last = 0
    for _ in range(LENGTH):
        last = step(last)
    return last


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        where = f"sqlite:///{Path(folder) / 'dbos.db'}"
        DBOS(config={"name": "bench", "system_database_url": where, "log_level": "ERROR"})
        DBOS.launch()
        DBOS.register_queue(QUEUE, concurrency=SLOTS, polling_interval_sec=0.05)
        tell(
            noops=lambda: results(noop, CALLS),
            naps=lambda: results(nap, NAPS),
            chain=chained,
            version=version("dbos"),
        )
        DBOS.destroy()


def results(workflow: Callable[[int], int], count: int) -> list[int]:
    """Of so many, through the queue."""
    handles = [DBOS.enqueue_workflow(QUEUE, workflow, n) for n in range(count)]
    return [each.get_result() for each in handles]


if __name__ == "__main__":
    main()
