"""The pool of containers: which waits idle, which may start, which has to go."""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup

from aowhisk.local.container import Container, Launch

__all__ = ["Pool"]

WATCH = 0.1  # seconds between two looks at memory, while something runs
REST = 5.0  # ... and at idle containers, while nothing does


@dataclass(eq=False, slots=True)
class _Waiter:
    """An activation in the queue; it gets a warm container, or (None) leave to start one."""

    key: Hashable
    ready: anyio.Event = field(default_factory=anyio.Event)
    container: Container | None = None
    granted: bool = False


class Pool:
    """At most `size` containers, warm ones first; an idle one goes after `idle` seconds, or when
    another action needs its place, the longest idle first."""

    def __init__(
        self, launch: Launch, *, size: int, idle: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._launch = launch
        self._size = size
        self._idle_seconds = idle
        self._clock = clock
        self._count = 0
        self._number = 0
        self._by_key: Counter[Hashable] = Counter()
        self._idle: defaultdict[Hashable, list[Container]] = defaultdict(list)
        self._busy: set[Container] = set()
        self._waiting: deque[_Waiter] = deque()
        self._leaving: set[Container] = set()
        self._work = anyio.Event()
        self._tasks: TaskGroup | None = None
        self.cold_starts = anyio.Semaphore(max(2, 2 * (os.cpu_count() or 1)))
        """Held while a container is started and initialised: many at once would only run each
        other out of time."""

    def open(self, tasks: TaskGroup) -> None:
        """Begin to watch; ends with `tasks`."""
        self._tasks = tasks
        tasks.start_soon(self._watch)

    async def close(self) -> None:
        """End every process."""
        everyone = {*self._busy, *self._leaving, *(c for kin in self._idle.values() for c in kin)}
        for container in everyone:
            container.kill()
        for container in everyone:
            await container.close()

    @property
    def pids(self) -> list[int]:
        """The processes there are."""
        return sorted(
            c.pid for c in {*self._busy, *(c for kin in self._idle.values() for c in kin)}
        )

    async def lease(self, key: Hashable) -> Container | None:
        """A warm container of `key`; or None, which is leave to `start` one. Waits for its turn."""
        if kin := self._idle.get(key):
            container = kin.pop()
            self._use(container)
            return container
        if not self._waiting and (self._count < self._size or self._evict()):
            self._take(key)
            return None
        waiter = _Waiter(key)
        self._waiting.append(waiter)
        try:
            await waiter.ready.wait()
        except anyio.get_cancelled_exc_class():
            self._withdraw(waiter)
            raise
        return waiter.container

    def start(self, key: Hashable, *, memory_limit: int) -> Container:
        """The container that `lease` gave leave to start."""
        self._number += 1
        container = Container(key, self._number, self._launch, memory_limit=memory_limit)
        self._use(container)
        return container

    def give_back(self, container: Container) -> None:
        """It is warm and free."""
        self._busy.discard(container)
        container.idle_since = self._clock()
        waiter = self._next_for(container.key)
        if waiter is None:
            self._idle[container.key].append(container)
            if self._waiting and self._evict():
                self._grant()
        elif waiter.key == container.key:
            self._waiting.remove(waiter)
            self._use(container)
            waiter.container, waiter.granted = container, True
            waiter.ready.set()
        else:
            self._retire(container)
            self._grant()

    def discard(self, container: Container) -> None:
        """It cannot be used again."""
        self._busy.discard(container)
        self._retire(container)
        self._grant()

    def give_up(self, key: Hashable) -> None:
        """What `lease` gave leave to start could not be started."""
        self._drop(key)
        self._grant()

    def _next_for(self, key: Hashable) -> _Waiter | None:
        """Who gets a place that `key` gives back: the oldest, but one's own kin first while the
        others have their share."""
        if not self._waiting:
            return None
        oldest = self._waiting[0]
        others, own = self._by_key[oldest.key], self._by_key[key]
        if oldest.key != key and (others == 0 or others + 1 < own):
            return oldest
        return next((waiter for waiter in self._waiting if waiter.key == key), None)

    def _grant(self) -> None:
        while self._waiting and (self._count < self._size or self._evict()):
            waiter = self._waiting.popleft()
            self._take(waiter.key)
            waiter.granted = True
            waiter.ready.set()

    def _withdraw(self, waiter: _Waiter) -> None:
        if not waiter.granted:
            self._waiting.remove(waiter)
        elif waiter.container is not None:
            self.give_back(waiter.container)
        else:
            self.give_up(waiter.key)

    def _evict(self) -> bool:
        """Make room: the container that has been idle longest goes."""
        idle = [kin[0] for kin in self._idle.values() if kin]
        if not idle:
            return False
        oldest = min(idle, key=lambda container: container.idle_since)
        self._idle[oldest.key].remove(oldest)
        self._retire(oldest)
        return True

    def _use(self, container: Container) -> None:
        self._busy.add(container)
        self._work.set()

    def _take(self, key: Hashable) -> None:
        self._count += 1
        self._by_key[key] += 1

    def _drop(self, key: Hashable) -> None:
        self._count -= 1
        self._by_key[key] -= 1
        if not self._by_key[key]:
            del self._by_key[key]
        if not self._idle.get(key):
            self._idle.pop(key, None)

    def _retire(self, container: Container) -> None:
        self._drop(container.key)
        container.kill()
        self._leaving.add(container)
        if self._tasks is not None:
            self._tasks.start_soon(self._bury, container)

    async def _bury(self, container: Container) -> None:
        with anyio.CancelScope(shield=True):
            await container.close()
        self._leaving.discard(container)

    async def _watch(self) -> None:
        while True:
            if self._busy:
                await anyio.sleep(WATCH)
            else:
                self._work = anyio.Event()
                with anyio.move_on_after(min(REST, max(WATCH, self._idle_seconds))):
                    await self._work.wait()
            for container in self._busy:
                container.check()
            self._expire()

    def _expire(self) -> None:
        long_ago = self._clock() - self._idle_seconds
        for kin in list(self._idle.values()):
            for container in [c for c in kin if c.idle_since < long_ago]:
                kin.remove(container)
                self._retire(container)
