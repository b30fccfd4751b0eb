"""Slots: how many attempts are out, and who goes next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import anyio
import anyio.lowlevel

from aowhisk.lineage import CallRecord, CallRef
from aowhisk.scheduler.flights import Flight
from aowhisk.scheduler.job import Job
from aowhisk.scheduler.slots import Follow, Slots


def job(name: str, priority: float = 0.0) -> Job:
    ref = CallRef("r", name)
    return Job(CallRecord(ref, "a"), Flight(ref), lambda job, outcome: None, priority)


class Bench:
    """Attempts take a turn of the loop; `follow` says what becomes of each."""

    def __init__(self, size: int, follow: Callable[[str], None]) -> None:
        self.order: list[str] = []
        self.tasks: set[asyncio.Task[object] | None] = set()
        self.out = self.most = 0
        self.slots = Slots(size, attempt=self._attempt, begin=lambda job: None)
        self._follow = follow

    async def _attempt(self, job: Job) -> Follow:
        self.order.append(job.ref.call)
        self.tasks.add(asyncio.current_task())
        self.out += 1
        self.most = max(self.most, self.out)
        await anyio.lowlevel.checkpoint()
        self.out -= 1
        return lambda: self._follow(job.ref.call)

    async def run(self, *jobs: Job) -> None:
        async with anyio.create_task_group() as group:
            for each in jobs:
                self.slots.push(each, ())
            self.slots.open(group)


async def test_a_chain_goes_through_one_slot_however_many_are_free() -> None:
    def follow(name: str) -> None:
        if int(name) < 50:
            bench.slots.push(job(str(int(name) + 1)), ())

    bench = Bench(16, follow)
    await bench.run(job("1"))
    assert bench.order == [str(n) for n in range(1, 51)]
    assert len(bench.tasks) == 1


async def test_what_an_end_makes_ready_fills_the_other_slots_too() -> None:
    def follow(name: str) -> None:
        if name == "first":
            for n in range(10):
                bench.slots.push(job(f"{n}"), ())

    bench = Bench(4, follow)
    await bench.run(job("first"))
    assert len(bench.order) == 11
    assert bench.most == 4


async def test_the_slot_of_an_end_takes_the_most_urgent_not_what_the_end_made_ready() -> None:
    def follow(name: str) -> None:
        if name == "first":
            bench.slots.push(job("new", 1.0), ())

    bench = Bench(1, follow)
    await bench.run(job("first", 9.0), job("old", 5.0))
    assert bench.order == ["first", "old", "new"]
