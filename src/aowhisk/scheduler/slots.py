"""Slots: how many activations a run has out at once, and what goes next."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

from anyio.abc import TaskGroup

from aowhisk.scheduler.job import Job
from aowhisk.scheduler.queue import Limit, ReadyQueue

__all__ = ["Follow", "Slots", "Source"]

Follow: TypeAlias = Callable[[], None]
"""What is to be done about the end of an attempt; does not wait for anything."""


class Source(Protocol):
    """Gives one job after the other, each made only when there is a slot for it. All of them have
    been ready since `ready_at`."""

    ready_at: float

    @property
    def priority(self) -> float:
        """How urgent its next job is; larger goes first."""

    def take(self) -> Job | None:
        """The next job; None if that one needs no attempt."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to take."""


class Slots:
    """`size` of them, each held for one `attempt` at a time, and while that is followed up.
    `begin` is told of each job that a source gave. Nothing goes while there is no group."""

    def __init__(
        self,
        size: int,
        *,
        attempt: Callable[[Job], Awaitable[Follow]],
        begin: Callable[[Job], None],
    ) -> None:
        self._size = size
        self._attempt = attempt
        self._begin = begin
        self._queue: ReadyQueue[Job | Source] = ReadyQueue()
        self._busy = 0
        self._is_passing = False
        self._group: TaskGroup | None = None

    def open(self, group: TaskGroup) -> None:
        """Attempt in tasks of this group what is there and what comes."""
        self._group = group
        self.pump()

    def close(self) -> None:
        """Let nothing more go."""
        self._group = None

    def push(self, item: Job | Source, limits: tuple[Limit, ...]) -> None:
        """Let it go as soon as there is a slot and its limits allow."""
        self._queue.push(item, priority=item.priority, limits=limits)
        self.pump()

    def pump(self) -> None:
        """Fill the free slots."""
        if self._is_passing:  # the slot that is about to be free takes its pick first
            return
        while self._group is not None and self._busy < self._size:
            self._busy += 1  # taken before the job is: making that one may come back here
            taken = self._next()
            if taken is None:
                self._busy -= 1
                return
            self._group.start_soon(self._work, *taken)

    async def _work(self, job: Job, limits: tuple[Limit, ...]) -> None:
        """Hold one slot: attempt what is most urgent until nothing is ready."""
        taken: tuple[Job, tuple[Limit, ...]] | None = (job, limits)
        try:
            while taken is not None:
                job, limits = taken
                try:
                    self._follow_up(await self._attempt(job))
                finally:
                    self._queue.done(limits)
                taken = self._next()
                if taken is not None:
                    self.pump()
        finally:
            self._busy -= 1
        self.pump()

    def _follow_up(self, follow: Follow) -> None:
        """What becomes ready by that may go in the same slot: no other has to be opened for it."""
        self._is_passing = True
        try:
            follow()
        finally:
            self._is_passing = False

    def _next(self) -> tuple[Job, tuple[Limit, ...]] | None:
        """The most urgent job that may go."""
        while (popped := self._queue.pop()) is not None:
            item, limits = popped
            job = item if isinstance(item, Job) else self._draw(item, limits)
            if job is not None:
                return job, limits
            self._queue.done(limits)
        return None

    def _draw(self, source: Source, limits: tuple[Limit, ...]) -> Job | None:
        if source.is_empty:  # it was shut meanwhile
            return None
        job = source.take()
        if not source.is_empty:
            self._queue.push(source, priority=source.priority, limits=limits)
        if job is not None:
            job.ready_at = source.ready_at
            self._begin(job)
        return job
