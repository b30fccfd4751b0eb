"""Dask: futures on a cluster of this machine, 50 threads."""

from __future__ import annotations

import time

import distributed
from tasks import CALLS, LENGTH, NAP, NAPS, SLOTS, tell


def noop(n: int) -> int:
    return n


def nap(n: int) -> int:
    time.sleep(NAP)
    return n


def main() -> None:
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=SLOTS // 2, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):

        def chain() -> int:
            last = client.submit(noop, 0, pure=False)
            for _ in range(LENGTH - 1):
                last = client.submit(noop, last, pure=False)
            return int(last.result())

        tell(
            noops=lambda: client.gather(client.map(noop, range(CALLS), pure=False)),
            naps=lambda: client.gather(client.map(nap, range(NAPS), pure=False)),
            chain=chain,
            version=distributed.__version__,
        )


if __name__ == "__main__":
    main()
