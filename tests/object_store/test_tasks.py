"""Clean-up and cancellation without anyio, beside anyio."""

from __future__ import annotations

import asyncio
import threading

import anyio
import pytest

from object_store.tasks import finish, in_thread, together


async def test_the_first_failure_ends_the_others_before_it_is_raised() -> None:
    ended = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("wait")

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("first")

    with pytest.raises(ValueError, match="first"):
        await together([wait(), fail(), wait()])
    assert ended == ["wait", "wait"]


async def test_results_come_in_the_order_of_the_work() -> None:
    async def give(value: int) -> int:
        for _ in range(3 - value):
            await asyncio.sleep(0)
        return value

    assert await together([give(0), give(1), give(2)]) == [0, 1, 2]


async def test_a_cancellation_ends_all_before_it_goes_on() -> None:
    ended = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await finish(asyncio.sleep(0.05))
            ended.append("wait")

    with anyio.move_on_after(0.01) as scope:
        await together([wait(), wait()])
    assert scope.cancelled_caught
    assert ended == ["wait", "wait"]


async def test_clean_up_finishes_although_the_scope_cancels_again_and_again() -> None:
    steps = []

    async def clean_up() -> None:
        for step in range(3):
            await asyncio.sleep(0.01)
            steps.append(step)

    with anyio.move_on_after(0.01) as scope:
        try:
            await anyio.sleep_forever()
        finally:
            await finish(clean_up())
    assert scope.cancelled_caught
    assert steps == [0, 1, 2]


async def test_clean_up_has_an_end() -> None:
    with anyio.fail_after(5):
        await finish(asyncio.sleep(60), seconds=0.02)


async def test_an_error_in_clean_up_is_dropped() -> None:
    async def fail() -> None:
        raise ValueError("in clean-up")

    await finish(fail())


async def test_a_cancelled_thread_is_told_and_awaited_and_its_result_discarded() -> None:
    discarded, begun = [], threading.Event()

    def work(stop: threading.Event) -> str:
        begun.set()
        assert stop.wait(5)
        return "opened"

    async with anyio.create_task_group() as group:
        group.start_soon(lambda: in_thread(work, discard=discarded.append))
        await asyncio.to_thread(begun.wait, 5)
        group.cancel_scope.cancel()
    assert discarded == ["opened"]


async def test_an_error_in_a_thread_is_raised_here() -> None:
    def work(stop: threading.Event) -> None:
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        await in_thread(work)
