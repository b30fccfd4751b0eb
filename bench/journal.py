"""What the SQLite journal costs: bytes on disk a no-op call, and CPU at a steady rate of events.

The events are those of a map of no-op calls: an intent and an end each. The rate is offered by one
event loop in ticks of 10 ms, as many events a tick as it takes; every tick waits for its commit.
CPU is that of the whole process (loop and writer thread), with and without the making of the
events.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from aowhisk.events.model import Ended, Event, Expanded, Intended, RunEnded, RunStarted, RunState
from aowhisk.events.sqlite import SqliteJournal
from aowhisk.models import Activation, Status, attempt_id, from_ms, run_id

TICK = 0.01


def call(run: str, n: int) -> Iterator[Event]:
    """The two events of one no-op call."""
    now, attempt, name = time.time(), attempt_id(), f"noop.{n}"
    yield Intended(
        run=run, of=run, call=name, attempt=attempt, action="noop", params={"n": n}, at=now
    )
    start = from_ms(round(now * 1000))
    activation = Activation(
        id=attempt_id() + "01234567",
        name="noop",
        status=Status.SUCCESS,
        start=start,
        end=start + timedelta(milliseconds=3),
        duration=0.003,
        annotations={
            "path": "guest/noop",
            "waitTime": 12,
            "limits": {"concurrency": 1, "logs": 10, "memory": 256, "timeout": 60000},
        },
    )
    yield Ended(
        run=run,
        of=run,
        call=name,
        attempt=attempt,
        action="noop",
        result={},
        activation=activation,
        reported=True,
        sent=now,
        queued=0.001,
        at=now + 0.02,
    )


def calls(count: int, a_run: int) -> Iterator[Event]:
    """The events of so many calls, in runs of `a_run`."""
    for first in range(0, count, a_run):
        run, size = run_id(), min(a_run, count - first)
        yield RunStarted(run=run, name="noops", concurrency=50)
        yield Expanded(run=run, node="noop", items=tuple(range(size)))
        for n in range(size):
            yield from call(run, n)
        yield RunEnded(run=run, state=RunState.SUCCEEDED)


async def size(folder: Path, count: int) -> float:
    """Bytes on disk a call, once the file is closed."""
    path = folder / "size.db"
    journal = SqliteJournal(path)
    await journal.open()
    for n, event in enumerate(calls(count, 1000)):
        journal.put(event)
        if n % 100 == 0:
            await journal.commit()
    await journal.close()
    return path.stat().st_size / count


async def steady(folder: Path, rate: int, seconds: float) -> tuple[float, float]:
    """Events a second that became durable, and the share of a core they took."""
    journal = SqliteJournal(folder / "steady.db")
    await journal.open()
    events = calls(10**9, 1000)
    started, cpu = time.perf_counter(), time.process_time()
    sent, behind = 0, 0.0
    while (now := time.perf_counter() - started) < seconds:
        due = int(now * rate) - sent
        for _ in range(due):
            journal.put(next(events))
        sent += due
        await journal.commit()
        behind = max(behind, time.perf_counter() - started - now)
        await asyncio.sleep(max(0.0, now + TICK - (time.perf_counter() - started)))
    took, used = time.perf_counter() - started, time.process_time() - cpu
    await journal.close()
    print(f"the longest tick, from put to durable: {behind * 1000:.0f} ms")
    return sent / took, used / took


def making(rate: int) -> float:
    """The share of a core that making so many events a second takes by itself."""
    events = calls(10**9, 1000)
    cpu = time.process_time()
    for _ in range(rate):
        next(events)
    return time.process_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=20_000, help="to measure the size with")
    parser.add_argument("--rate", type=int, default=10_000, help="events a second")
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bytes_a_call = asyncio.run(size(Path(folder), options.calls))
        print(f"size on disk: {bytes_a_call:.0f} bytes a no-op call ({options.calls} calls)")
        reached, share = asyncio.run(steady(Path(folder), options.rate, options.seconds))
    made = making(options.rate)
    print(f"offered {options.rate} events/s for {options.seconds:g} s: {reached:.0f}/s durable")
    print(f"CPU: {share:.0%} of a core, {share - made:.0%} without the making of the events")


if __name__ == "__main__":
    main()
