"""Owners of runs: leases are renewed in time, and what others have taken is noticed."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from aowhisk.errors import JournalError
from aowhisk.events import MemoryJournal, Recorder
from aowhisk.events.model import RunStarted, Taken
from aowhisk.events.sink import Lease
from aowhisk.orchestrator.owners import Owners


class Far(MemoryJournal):
    """A journal that answers only when `together` have asked for leases."""

    def __init__(self, together: int) -> None:
        super().__init__()
        self.together = together
        self.asking = 0
        self.answers = anyio.Event()
        self.fails = False
        self.beaten: list[str] = []

    async def lease(self, run: str) -> Lease | None:
        self.asking += 1
        if self.asking >= self.together:
            self.answers.set()
        await self.answers.wait()
        if self.fails:
            raise JournalError("it cannot be read")
        return await super().lease(run)

    async def beat(self, runs: object) -> None:
        assert isinstance(runs, list)
        self.beaten += runs
        await super().beat(runs)


async def beaten(journal: Far, runs: list[str], rounds: int = 1) -> list[str]:
    """Let the leases of these runs be renewed so often; gives those that were lost."""
    lost: list[str] = []
    slept = 0
    async with anyio.create_task_group() as group:

        async def sleep(_: float) -> None:
            nonlocal slept
            await anyio.lowlevel.checkpoint()
            slept += 1
            if slept > rounds:
                group.cancel_scope.cancel()
                await anyio.sleep_forever()

        owners = Owners(Recorder(journal), lease=1.0, sleep=sleep)
        with anyio.fail_after(5):
            await owners.beat(lambda: runs, lost.append)
    return lost


async def test_leases_of_many_runs_are_not_looked_at_one_after_the_other() -> None:
    runs = [f"r{n}" for n in range(100)]
    journal = Far(together=10)
    assert await beaten(journal, runs) == []
    assert journal.beaten == runs


async def test_a_run_that_another_has_taken_is_told_and_its_lease_left_alone() -> None:
    journal = Far(together=1)
    for run in ("mine", "theirs"):
        journal.put(RunStarted(run=run, name="n"))
    journal.put(Taken(run="theirs", owner="another"))
    assert await beaten(journal, ["mine", "theirs"]) == ["theirs"]
    assert journal.beaten == ["mine"]


async def test_a_journal_that_cannot_be_read_is_asked_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    journal = Far(together=1)
    journal.fails = True
    assert await beaten(journal, ["a", "b"], rounds=3) == []
    assert journal.beaten == []
    assert caplog.text.count("could not be renewed") == 3
