"""Something that happens once, and those who wait for it."""

from __future__ import annotations

import asyncio

__all__ = ["Latch"]


class Latch:
    """An event that is set once; cheaper than one that can be cleared."""

    __slots__ = ("_is_set", "_waiting")

    def __init__(self) -> None:
        self._is_set = False
        self._waiting: list[asyncio.Future[bool]] = []

    def is_set(self) -> bool:
        """Whether it has happened."""
        return self._is_set

    def set(self) -> None:
        """It happens."""
        self._is_set = True
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(True)
        self._waiting.clear()

    async def wait(self) -> None:
        """Until it happens."""
        if not self._is_set:
            await self._next()

    async def wait_for(self, seconds: float) -> bool:
        """Until it happens, or `seconds` have gone by; whether it has."""
        if self._is_set:
            return True
        waiter = self._next()
        timer = waiter.get_loop().call_later(seconds, _give_up, waiter)
        try:
            return await waiter
        finally:
            timer.cancel()

    def _next(self) -> asyncio.Future[bool]:
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        return waiter


def _give_up(waiter: asyncio.Future[bool]) -> None:
    if not waiter.done():
        waiter.set_result(False)
