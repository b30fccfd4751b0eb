"""What /proc says of a container's processes; nothing where there is none (macOS)."""

from __future__ import annotations

import heapq
import os
import re
import signal
from collections.abc import Iterator
from contextlib import suppress

__all__ = ["end_all", "usage"]

_PAGE = os.sysconf("SC_PAGE_SIZE")
_PSS = re.compile(rb"^Pss:\s+(\d+) kB", re.MULTILINE)
_ROUNDS = 50
_LARGEST = 64


def usage(pid: int, *, most: int, memory_limit: int) -> tuple[int, int]:
    """Bytes of resident memory of a process and what it started, and how many processes that is;
    not counted far beyond `most`. What forks share counts once, where the sum of all is over the
    limit: then only the largest are looked at, which takes a while for each."""
    resident: dict[int, int] = {}
    pids = [pid]
    while pids and len(resident) <= most:
        one = pids.pop()
        try:
            with open(f"/proc/{one}/statm", "rb") as file:
                resident[one] = int(file.read().split()[1]) * _PAGE
            for thread in os.listdir(f"/proc/{one}/task"):
                with open(f"/proc/{one}/task/{thread}/children", "rb") as file:
                    pids += map(int, file.read().split())
        except (OSError, IndexError):
            continue
    memory = sum(resident.values())
    if memory > memory_limit and 1 < len(resident) <= most:
        memory = sum(
            map(_proportional, heapq.nlargest(_LARGEST, resident, key=resident.__getitem__))
        )
    return memory, len(resident)


def _proportional(pid: int) -> int:
    """A process's part of the memory that it has with others, and all that it has alone."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            found = _PSS.search(file.read())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def end_all(mark: str) -> None:
    """Kill every process that has `mark` (NAME=value) in its environment, wherever it has gone;
    again, as long as there are new ones."""
    for _ in range(_ROUNDS):
        found = list(_marked(mark.encode()))
        if not found:
            return
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _marked(mark: bytes) -> Iterator[int]:
    wanted = b"\0" + mark + b"\0"
    try:
        names = [name for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return
    for name in names:
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                if wanted in b"\0" + file.read() + b"\0":
                    yield int(name)
        except OSError:
            continue
