"""Ray: remote functions, 50 of them at once."""

from __future__ import annotations

import time

import ray
from tasks import CALLS, LENGTH, NAP, NAPS, SLOTS, tell


@ray.remote(num_cpus=1)
def noop(n: int) -> int:
    return n


@ray.remote(num_cpus=1)
def nap(n: int) -> int:
    time.sleep(NAP)
    return n


def chain() -> int:
    last = noop.remote(0)
    for _ in range(LENGTH - 1):
        last = noop.remote(last)
    return int(ray.get(last))


def main() -> None:
    ray.init(num_cpus=SLOTS, include_dashboard=False, log_to_driver=False)
    tell(
        noops=lambda: ray.get([noop.remote(n) for n in range(CALLS)]),
        naps=lambda: ray.get([nap.remote(n) for n in range(NAPS)]),
        chain=chain,
        version=ray.__version__,
    )
    ray.shutdown()


if __name__ == "__main__":
    main()
