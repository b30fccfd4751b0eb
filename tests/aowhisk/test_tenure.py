"""Tenure: our own clock says when a run may be another's."""

from __future__ import annotations

import time
from collections.abc import Collection

import anyio

from aowhisk.events.tenure import Tenure, elapsed


class Leases:
    """A journal whose every beat takes `takes` seconds of the clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.takes = 0.0
        self.beats: list[list[str]] = []

    async def beat(self, runs: Collection[str]) -> None:
        self.beats.append(list(runs))
        await anyio.lowlevel.checkpoint()
        self.now += self.takes


def tenure(leases: Leases) -> Tenure:
    """Of leases of 10 seconds: ours without a doubt for 4.5."""
    return Tenure(leases, 10.0, clock=lambda: leases.now)


async def test_as_long_as_leases_are_renewed_in_time_it_is_one_term() -> None:
    leases = Leases()
    ours = tenure(leases)
    ours.begin("r")
    for _ in range(5):
        leases.now += 4
        assert ours.term("r") == 0
        await ours.renew(["r"])
    assert ours.term("r") == 0


async def test_one_that_was_not_renewed_in_time_is_in_no_term() -> None:
    leases = Leases()
    ours = tenure(leases)
    ours.begin("r")
    leases.now += 5
    assert ours.term("r") is None


async def test_one_that_is_renewed_too_late_begins_another_term() -> None:
    """Whoever looks only after it was renewed must see that it had lapsed."""
    leases = Leases()
    ours = tenure(leases)
    ours.begin("r")
    leases.now += 5
    await ours.renew(["r"])
    assert ours.term("r") == 1
    leases.now += 5
    await ours.renew(["r"])
    assert ours.term("r") == 2


async def test_a_lease_is_as_old_as_the_request_that_renewed_it() -> None:
    leases = Leases()
    ours = tenure(leases)
    ours.begin("r")
    leases.takes = 4
    await ours.renew(["r"])
    assert ours.term("r") == 0
    leases.now += 1
    assert ours.term("r") is None
    leases.takes = 2
    await ours.renew(["r"])
    assert ours.term("r") == 1


async def test_however_many_ask_for_it_at_once_it_is_renewed_once() -> None:
    leases = Leases()
    ours = tenure(leases)
    ours.begin("r")
    leases.now += 5
    terms: list[int | None] = []

    async def ask() -> None:
        terms.append(await ours.restored("r"))

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(ask)
    assert (terms, leases.beats) == ([1] * 50, [["r"]])


async def test_a_renewal_that_took_too_long_is_none() -> None:
    leases = Leases()
    ours = tenure(leases)
    ours.begin("r")
    leases.takes = 5
    assert await ours.restored("r") == 0
    leases.now += 5
    assert await ours.restored("r") is None


async def test_what_is_not_ours_any_more_has_no_term_to_lapse() -> None:
    leases = Leases()
    ours = tenure(leases)
    ours.begin("r")
    ours.end("r")
    leases.now += 100
    await ours.renew(["r"])
    assert ours.term("r") == 0


def test_the_clock_counts_the_time_in_which_the_machine_sleeps() -> None:
    if hasattr(time, "CLOCK_BOOTTIME"):
        before = time.clock_gettime(time.CLOCK_BOOTTIME)
        assert before <= elapsed() <= time.clock_gettime(time.CLOCK_BOOTTIME)
    one = elapsed()
    assert 0 <= elapsed() - one < 1
