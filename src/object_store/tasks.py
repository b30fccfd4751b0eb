"""Work in several tasks or threads that leaves nothing behind, also when it is cancelled.

What anyio's task groups and shielded scopes do, in asyncio alone, for Python 3.10.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from threading import Event
from typing import Any, TypeVar

__all__ = ["finish", "in_thread", "together"]

T = TypeVar("T")

GRACE = 10.0
"""Seconds that clean-up may take after a cancellation."""


async def together(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run these at once; the first that fails ends the others. All have ended at the return."""
    tasks = [asyncio.create_task(one) for one in work]  # noqa: TID251  they end in this function
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            await _settle(task, GRACE)


async def finish(work: Coroutine[Any, Any, object], *, seconds: float = GRACE) -> None:
    """Await `work` to its end although this task is being cancelled, for at most `seconds`.

    Also where the cancellation is delivered again and again, as anyio's scopes do. Errors of `work`
    are dropped: it is done on behalf of another error, which matters more.
    """
    task = asyncio.create_task(work)  # noqa: TID251  a task of the cancelled scope could not finish
    await _settle(task, seconds)
    if not task.done():
        task.cancel()
    elif not task.cancelled():
        task.exception()


async def in_thread(
    work: Callable[[Event], T], *, discard: Callable[[T], object] | None = None
) -> T:
    """Run blocking `work` in a thread. On cancellation its event is set, and its end awaited.

    `discard` is given the result that nobody waits for any more.
    """
    stop = Event()
    future = asyncio.get_running_loop().run_in_executor(None, work, stop)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        stop.set()
        await _settle(future, GRACE)
        if future.done() and future.exception() is None and discard is not None:
            discard(future.result())
        raise


async def _settle(future: asyncio.Future[Any], seconds: float) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not future.done() and (left := end - loop.time()) > 0:
        with suppress(asyncio.CancelledError):  # our caller raises the one that it is handling
            await asyncio.wait([future], timeout=left)
