"""What a stretch of work took: seconds, CPU of this process, memory."""

from __future__ import annotations

import contextlib
import gc
import re
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["Facts", "gc_threshold", "held", "metered", "peak"]

Facts = dict[str, Any]
"""Numbers that a piece of work tells of itself, by name."""

_STATUS = Path("/proc/self/status")
_TUNED = 50_000


def peak() -> float:
    """MB of this process at its largest.

    Not `ru_maxrss` where it can be helped: Linux hands that down from the process that started
    this one.
    """
    if _STATUS.exists() and (found := re.search(r"VmHWM:\s+(\d+)", _STATUS.read_text())):
        return int(found[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def held() -> float:
    """MB of this process now, after what nobody holds was thrown away."""
    gc.collect()
    if _STATUS.exists() and (found := re.search(r"VmRSS:\s+(\d+)", _STATUS.read_text())):
        return int(found[1]) * 1024 / 1e6
    return peak()


@contextlib.contextmanager
def metered(facts: Facts) -> Iterator[None]:
    """Add to the facts what the block took: `seconds`, `cpu` (seconds, all threads), `grown` (MB of
    the peak beyond what it was)."""
    before, cpu, began = peak(), time.process_time(), time.perf_counter()
    yield
    facts["seconds"] = time.perf_counter() - began
    facts["cpu"] = time.process_time() - cpu
    facts["grown"] = peak() - before


def gc_threshold(tuned: bool) -> None:
    """Python's own setting, or collections that are rarer, as a large process would have them."""
    if tuned:
        gc.set_threshold(_TUNED, 20, 100)
