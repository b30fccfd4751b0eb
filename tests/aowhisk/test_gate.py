"""The gate: order, wake-ups, cancellation, claims."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from aowhisk.errors import JournalError
from aowhisk.invoker import Gate
from aowhisk.invoker.gate import Pass
from aowhisk.pacing import Pacer


class Counting(Pacer):
    """A pacer that counts how often it is asked."""

    asked = 0

    def ask(self, now: float) -> float:
        self.asked += 1
        return super().ask(now)


def gate(concurrent: int | None = None, per_minute: int | None = None) -> tuple[Gate, Counting]:
    pacer = Counting(random=lambda: 0.5)
    made = Gate(pacer)
    made.limits(per_minute=per_minute, concurrent=concurrent)
    return made, pacer


def ignore(seconds: float) -> None:
    """Nobody is told."""


async def idle(gate: Gate, waiting: int) -> None:
    """Return once so many wait."""
    while gate.waiting != waiting:
        await anyio.lowlevel.checkpoint()
    await anyio.wait_all_tasks_blocked()


async def test_who_comes_first_goes_first_and_each_end_wakes_one() -> None:
    narrow, pacer = gate(concurrent=1)
    order: list[int] = []

    async def one(n: int) -> None:
        leave = Pass(narrow)
        await leave.take(ignore)
        order.append(n)
        await anyio.lowlevel.checkpoint()
        leave.give_back()

    async with anyio.create_task_group() as group:
        for n in range(200):
            group.start_soon(one, n)
    assert order == list(range(200))
    assert pacer.asked < 5 * 200
    assert pacer.in_flight == 0


async def test_one_that_is_cancelled_holds_nobody_up() -> None:
    narrow, _ = gate(concurrent=1)
    first = Pass(narrow)
    await first.take(ignore)
    went: list[str] = []

    async def wait(name: str, scope: anyio.CancelScope) -> None:
        with scope:
            await Pass(narrow).take(ignore)
            went.append(name)

    scopes = {name: anyio.CancelScope() for name in "abcd"}
    async with anyio.create_task_group() as group:
        for n, (name, scope) in enumerate(scopes.items()):
            group.start_soon(wait, name, scope)
            await idle(narrow, n + 1)
        scopes["a"].cancel()
        scopes["c"].cancel()
        await idle(narrow, 2)
        first.give_back()
        await idle(narrow, 1)
        assert went == ["b"]
        scopes["d"].cancel()
    assert narrow.waiting == 0


async def test_a_long_wait_is_told_once_to_everyone() -> None:
    shut, _ = gate(per_minute=1)
    await Pass(shut).take(ignore)
    told: dict[int, list[float]] = {n: [] for n in range(3)}
    async with anyio.create_task_group() as group:
        for n in range(3):
            group.start_soon(Pass(shut).take, told[n].append)
        await idle(shut, 3)
        group.cancel_scope.cancel()
    assert [len(each) for each in told.values()] == [1, 1, 1]


async def test_waiting_for_others_to_end_is_told_to_nobody() -> None:
    narrow, _ = gate(concurrent=1)
    first, told = Pass(narrow), list[float]()
    await first.take(ignore)
    with anyio.move_on_after(0.01):
        await Pass(narrow).take(told.append)
    assert told == []


async def test_more_room_lets_more_out_at_once() -> None:
    narrow, pacer = gate(concurrent=1)
    await Pass(narrow).take(ignore)
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(Pass(narrow).take, ignore)
        await idle(narrow, 3)
        narrow.share(4)
    assert pacer.in_flight == 4


async def test_a_claim_is_made_for_all_that_wait_by_one_of_them() -> None:
    pacer = Pacer(shared=True, random=lambda: 0.5)
    shared = Gate(pacer)
    shared.limits(per_minute=1000, concurrent=None)
    claims: list[int] = []

    async def claim(waiting: int) -> None:
        claims.append(waiting)
        await anyio.wait_all_tasks_blocked()
        minute, _, _, _ = pacer.due(shared.wall(), waiting)
        pacer.granted(shared.wall(), minute, 4, 4 * len(claims))

    shared.claim = claim
    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(Pass(shared).take, ignore)
    assert claims == [1, 4]
    assert pacer.in_flight == 8


async def test_a_claim_that_fails_is_the_failure_of_the_one_that_made_it() -> None:
    pacer = Pacer(shared=True, random=lambda: 0.5)
    shared = Gate(pacer)
    shared.limits(per_minute=1000, concurrent=None)
    answers = [JournalError("gone"), None]

    async def claim(waiting: int) -> None:
        if (error := answers.pop(0)) is not None:
            raise error
        minute, _, _, _ = pacer.due(shared.wall(), waiting)
        pacer.granted(shared.wall(), minute, 1, 1)

    shared.claim = claim
    with pytest.raises(JournalError):
        await Pass(shared).take(ignore)
    assert shared.waiting == 0
    await Pass(shared).take(ignore)
    assert pacer.in_flight == 1


async def test_who_watches_an_idle_gate_learns_of_the_first_that_comes() -> None:
    free, _ = gate()
    async with anyio.create_task_group() as group:
        group.start_soon(free.stir)
        await anyio.wait_all_tasks_blocked()
        await Pass(free).take(ignore)
    await free.stir()  # somebody is there
    assert not free.is_idle
