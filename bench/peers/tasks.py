"""What each peer is asked to do, and how long that took it; needs the standard library only.

A peer's program gives three functions; each is done once to warm up and once for the clock.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

CALLS, SLOTS, NAPS, LENGTH = 1000, 50, 200, 100
NAP = 0.1


def clock(work: Callable[[], object]) -> float:
    """Seconds of its second time."""
    work()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def tell(
    *,
    noops: Callable[[], object],
    naps: Callable[[], object],
    chain: Callable[[], object],
    version: str,
    before_naps: Callable[[], object] = lambda: None,
) -> None:
    """Do all, and print the numbers as JSON on the last line. `before_naps` is for what has to be
    there for so many at once, and is no part of the clock."""
    speed = CALLS / clock(noops)
    before_naps()
    found = {
        "calls/s": speed,
        "of ideal": NAPS / SLOTS * NAP / clock(naps),
        "ms a step": clock(chain) / LENGTH * 1000,
        "version": version,
    }
    sys.stdout.flush()
    print(json.dumps(found), flush=True)
