"""What is ready to be sent, most urgent first, under limits that several of them share."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from typing import Any, Generic, TypeVar

__all__ = ["Limit", "ReadyQueue"]

T = TypeVar("T")
_Entry = tuple[float, int, T, "tuple[Limit, ...]"]  # -priority, order, item, limits


_TURN = 8  # every so many items, the one that has waited longest goes, however urgent others are
_AT_ONCE = float("inf")


class Limit:
    """How many of its items may be out at once; None means any number."""

    __slots__ = ("parked", "room", "size")

    def __init__(self, size: int | None) -> None:
        self.size = size
        self.room: float = float("inf") if size is None else size
        self.parked: list[_Entry[Any]] = []


class ReadyQueue(Generic[T]):
    """A heap of items. An item whose limit is used up is parked with that limit and costs nothing
    until there is room. So that nothing starves, now and then the oldest goes first, but never
    before one whose priority is infinite."""

    def __init__(self) -> None:
        self._heap: list[_Entry[T]] = []
        self._waiting: OrderedDict[int, _Entry[T]] = OrderedDict()
        """What is in the heap, oldest first; an entry of the heap that is not here was taken."""
        self._count = 0
        self._parked = 0
        self._turn = 0

    def __len__(self) -> int:
        return len(self._waiting) + self._parked

    def push(self, item: T, *, priority: float, limits: tuple[Limit, ...] = ()) -> None:
        """Add an item; of two with the same priority the earlier goes first."""
        self._count += 1
        self._enter((-priority, self._count, item, limits))

    def pop(self) -> tuple[T, tuple[Limit, ...]] | None:
        """Take the most urgent item that its limits let out; give the limits back with `done`."""
        while self._waiting:
            entry = self._first()
            limits = entry[3]
            full = next((limit for limit in limits if limit.room <= 0), None)
            if full is None:
                for limit in limits:
                    limit.room -= 1
                self._turn += 1
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

    def _enter(self, entry: _Entry[T]) -> None:
        self._waiting[entry[1]] = entry
        heapq.heappush(self._heap, entry)

    def _first(self) -> _Entry[T]:
        """Take the entry whose turn it is."""
        while self._heap[0][1] not in self._waiting:
            heapq.heappop(self._heap)
        if self._turn % _TURN == _TURN - 1 and self._heap[0][0] > -_AT_ONCE:
            return self._waiting.popitem(last=False)[1]
        entry = heapq.heappop(self._heap)
        del self._waiting[entry[1]]
        return entry

    def _unpark(self, limit: Limit) -> None:
        if limit.parked and limit.room > 0:
            self._enter(heapq.heappop(limit.parked))
            self._parked -= 1
