"""What is ready to be sent, most urgent first, under limits that several of them share."""

from __future__ import annotations

import heapq
from typing import Any, Generic, TypeVar

__all__ = ["Limit", "ReadyQueue"]

T = TypeVar("T")
_Entry = tuple[float, int, T, "tuple[Limit, ...]"]  # -priority, order, item, limits


class Limit:
    """How many of its items may be out at once; None means any number."""

    __slots__ = ("parked", "room", "size")

    def __init__(self, size: int | None) -> None:
        self.size = size
        self.room: float = float("inf") if size is None else size
        self.parked: list[_Entry[Any]] = []


class ReadyQueue(Generic[T]):
    """A heap of items. An item whose limit is used up is parked with that limit and costs nothing
    until there is room."""

    def __init__(self) -> None:
        self._heap: list[_Entry[T]] = []
        self._count = 0
        self._parked = 0

    def __len__(self) -> int:
        return len(self._heap) + self._parked

    def push(self, item: T, *, priority: float, limits: tuple[Limit, ...] = ()) -> None:
        """Add an item; of two with the same priority the earlier goes first."""
        self._count += 1
        heapq.heappush(self._heap, (-priority, self._count, item, limits))

    def pop(self) -> tuple[T, tuple[Limit, ...]] | None:
        """Take the most urgent item that its limits let out; give the limits back with `done`."""
        while self._heap:
            entry = heapq.heappop(self._heap)
            limits = entry[3]
            full = next((limit for limit in limits if limit.room <= 0), None)
            if full is None:
                for limit in limits:
                    limit.room -= 1
                return entry[2], limits
            heapq.heappush(full.parked, entry)
            self._parked += 1
            for limit in limits:  # it waits elsewhere now: another may have its place here
                if limit is not full:
                    self._unpark(limit)
        return None

    def done(self, limits: tuple[Limit, ...]) -> None:
        """An item that was taken has come back."""
        for limit in limits:
            limit.room += 1
            self._unpark(limit)

    def _unpark(self, limit: Limit) -> None:
        if limit.parked and limit.room > 0:
            heapq.heappush(self._heap, heapq.heappop(limit.parked))
            self._parked -= 1
