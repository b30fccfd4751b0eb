"""Prefect: tasks of a flow, 50 threads, with the server that it starts by itself."""

from __future__ import annotations

import time

import prefect
from prefect.task_runners import ThreadPoolTaskRunner
from tasks import CALLS, LENGTH, NAP, NAPS, SLOTS, tell


@prefect.task
def noop(n: int) -> int:
    return n


@prefect.task
def nap(n: int) -> int:
    time.sleep(NAP)
    return n


@prefect.flow(task_runner=ThreadPoolTaskRunner(max_workers=SLOTS))
def noops() -> list[int]:
    return [each.result() for each in [noop.submit(n) for n in range(CALLS)]]


@prefect.flow(task_runner=ThreadPoolTaskRunner(max_workers=SLOTS))
def naps() -> list[int]:
    return [each.result() for each in [nap.submit(n) for n in range(NAPS)]]


@prefect.flow(task_runner=ThreadPoolTaskRunner(max_workers=SLOTS))
def chain() -> int:
    last = 0
    for _ in range(LENGTH):
        last = noop.submit(last).result()
    return last


if __name__ == "__main__":
    tell(noops=noops, naps=naps, chain=chain, version=prefect.__version__)
