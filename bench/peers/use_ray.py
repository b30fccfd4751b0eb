"""Ray: remote functions, 50 of them at once."""

from __future__ import annotations

import os
import sys
import time

import ray
from tasks import CALLS, LENGTH, NAP, NAPS, SLOTS, tell

LONGEST_START = 120.0


@ray.remote(num_cpus=1)
def noop(n: int) -> int:
    return n


@ray.remote(num_cpus=1)
def nap(n: int) -> int:
    time.sleep(NAP)
    return n


@ray.remote(num_cpus=1)
def process(n: int) -> int:
    time.sleep(NAP)
    return os.getpid()


def warm() -> None:
    """Have a process for each slot: Ray starts them few at a time, as there are cores."""
    known: set[int] = set()
    until = time.monotonic() + LONGEST_START
    while len(known) < SLOTS and time.monotonic() < until:
        known.update(ray.get([process.remote(n) for n in range(2 * SLOTS)]))
    if len(known) < SLOTS:
        print(f"only {len(known)} processes for {SLOTS} slots", file=sys.stderr)


def naps() -> list[int]:
    return list(ray.get([nap.remote(n) for n in range(NAPS)]))


def chain() -> int:
    last = noop.remote(0)
    for _ in range(LENGTH - 1):
        last = noop.remote(last)
    return int(ray.get(last))


def main() -> None:
    ray.init(num_cpus=SLOTS, include_dashboard=False, log_to_driver=False)
    tell(
        noops=lambda: ray.get([noop.remote(n) for n in range(CALLS)]),
        naps=naps,
        before_naps=warm,
        chain=chain,
        version=ray.__version__,
    )
    ray.shutdown()


if __name__ == "__main__":
    main()
