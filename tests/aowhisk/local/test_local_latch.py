"""Something that happens once."""

import anyio

from aowhisk.local.latch import Latch


async def test_everyone_who_waits_goes_on_when_it_happens() -> None:
    latch = Latch()
    found: list[bool] = []

    async def wait() -> None:
        await latch.wait()
        found.append(latch.is_set())

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        latch.set()

    assert found == [True] * 3


async def test_what_has_happened_is_not_waited_for() -> None:
    latch = Latch()
    latch.set()
    latch.set()

    with anyio.fail_after(1):
        await latch.wait()
        assert await latch.wait_for(60) is True


async def test_after_its_time_a_wait_ends_without_it() -> None:
    latch = Latch()

    assert await latch.wait_for(0.01) is False
    latch.set()
    assert await latch.wait_for(0.01) is True


async def test_one_who_was_cancelled_does_not_keep_the_others_from_going_on() -> None:
    latch = Latch()
    found: list[bool] = []

    async def wait() -> None:
        found.append(await latch.wait_for(60))

    async with anyio.create_task_group() as tasks:
        with anyio.move_on_after(0.01):
            await latch.wait()
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        latch.set()

    assert found == [True]
