"""The writer: who shares a batch, and that nobody waits for others' batches."""

from __future__ import annotations

from dataclasses import dataclass

import anyio
import anyio.lowlevel

from aowhisk.events.model import Event, Throttled
from aowhisk.events.writer import Hold, Writer


@dataclass(frozen=True)
class Row:
    hold: Hold
    seq: int
    event: Event


class Disk:
    """Takes batches at once while it `can`."""

    def __init__(self, *, few: int = 8, most: int = 1000) -> None:
        self.can = True
        self.at_once: list[int] = []
        self.later: list[int] = []
        self.seqs: list[int] = []
        self.writer: Writer[Row] = Writer(
            "disk",
            lambda event, hold, seq, declared: Row(hold, seq, event),
            self._store,
            most=most,
            at_once=self._now,
            few=few,
        )

    def _now(self, batch: list[Row]) -> bool:
        if self.can:
            self.at_once.append(len(batch))
            self.seqs += [row.seq for row in batch]
        return self.can

    async def _store(self, batch: list[Row]) -> None:
        await anyio.lowlevel.checkpoint()
        self.later.append(len(batch))
        self.seqs += [row.seq for row in batch]

    async def step(self, events: int = 1) -> None:
        for n in range(events):
            self.writer.put(Throttled(run="r", seconds=n, text=""))
        await self.writer.commit("r")

    async def together(self, count: int) -> None:
        async with anyio.create_task_group() as group:
            for _ in range(count):
                group.start_soon(self.step)


async def test_who_commits_alone_waits_for_no_turn_of_the_loop() -> None:
    disk = Disk()
    for _ in range(3):
        await disk.step(2)
        await anyio.lowlevel.checkpoint()
    assert disk.at_once == [2, 2, 2]


async def test_those_who_commit_in_one_turn_share_a_batch_also_in_the_turns_after_it() -> None:
    disk = Disk()
    await disk.together(5)
    await disk.together(5)
    assert disk.at_once in ([1, 4, 5], [5, 5])
    assert disk.seqs == list(range(10))


async def test_many_are_not_written_at_once_and_the_first_go_on_before_the_last_are() -> None:
    disk = Disk(few=8, most=10)
    seen: list[int] = []

    async def one() -> None:
        await disk.step()
        seen.append(len(disk.seqs))

    await disk.together(2)
    async with anyio.create_task_group() as group:
        for _ in range(30):
            group.start_soon(one)
    assert min(seen) < 30
    assert max(disk.at_once) <= 8
    assert max(disk.later) <= 10
    assert disk.seqs == list(range(32))


async def test_what_cannot_be_written_at_once_is_written_in_order_all_the_same() -> None:
    disk = Disk()
    disk.can = False
    await disk.together(5)
    disk.can = True
    await disk.together(5)
    await disk.step(20)
    assert disk.seqs == list(range(30))
    assert disk.later


async def test_what_nobody_waits_for_is_written_all_the_same() -> None:
    disk = Disk()
    disk.writer.put(Throttled(run="r", seconds=1, text=""))
    for _ in range(6):
        await anyio.lowlevel.checkpoint()
    assert disk.seqs == [0]
    assert disk.writer.waiting == 0
