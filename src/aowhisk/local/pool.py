"""The pool of containers: which waits idle, which may start, which has to go."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass

import anyio
from anyio.abc import TaskGroup

from aowhisk.local.container import Container
from aowhisk.local.launch import Launch
from aowhisk.local.runtimes import Runtime

__all__ = ["Pool"]

WATCH = 0.1  # seconds between two looks at memory, while something runs
REST = 5.0  # ... and at idle containers, while nothing does
STEM_CELLS = 2


@dataclass(eq=False, slots=True)
class _Waiter:
    """An activation in the queue; `granted` gets a warm container, or (None) leave to start one,
    which may run `slots` at once."""

    key: Hashable
    slots: int
    granted: Callable[[Container | None], None]


class Pool:
    """At most `size` containers that hold actions, warm ones first; an idle one goes after `idle`
    seconds, or when another action needs its place, the longest idle first. Beside them some of
    `stem` wait that hold nothing yet."""

    def __init__(
        self,
        launch: Launch,
        *,
        size: int,
        idle: float,
        stem: Runtime | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._launch = launch
        self._size = size
        self._stem = stem
        self._stems: list[Container] = []
        self._idle_seconds = idle
        self._clock = clock
        self._count = 0
        self._number = 0
        self._by_key: Counter[Hashable] = Counter()
        self._idle: defaultdict[Hashable, list[Container]] = defaultdict(list)
        self._busy: set[Container] = set()
        self._waiting: deque[_Waiter] = deque()
        self._coming: Counter[Hashable] = Counter()  # places beside who starts a container, by key
        self._starting: set[Container] = set()
        self._leaving: set[Container] = set()
        self._work = anyio.Event()
        self._tasks: TaskGroup | None = None
        self.cold_starts = anyio.Semaphore(max(2, 2 * (os.cpu_count() or 1)))
        """Held while a container is started and initialised: many at once would only run each
        other out of time."""

    def open(self, tasks: TaskGroup) -> None:
        """Begin to watch; ends with `tasks`."""
        self._tasks = tasks
        for _ in range(STEM_CELLS):
            self._prewarm()
        tasks.start_soon(self._watch)

    async def close(self) -> None:
        """End every process."""
        self._tasks = None
        holding = (c for kin in self._idle.values() for c in kin)
        everyone = {*self._busy, *self._leaving, *self._stems, *holding}
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

    def _warm(self, key: Hashable) -> Container | None:
        """A warm container of `key`, where there is one that is free."""
        kin = self._idle.get(key)
        while kin:
            container = kin.pop()
            if not container.spoiled and container.is_alive:
                self._use(container)
                return container
            if not container.running:
                self._retire(container)
        return None

    def seek(
        self, key: Hashable, granted: Callable[[Container | None], None], *, slots: int = 1
    ) -> None:
        """`granted` gets a warm container of `key`; or None, which is leave to `start` one for
        `slots` activations at once. At once, or when it is its turn."""
        container = self._warm(key)
        if container is not None:
            granted(container)
            return
        self._waiting.append(_Waiter(key, slots, granted))
        if len(self._waiting) == 1 or self._coming:
            self._grant()

    async def lease(self, key: Hashable, *, slots: int = 1) -> Container | None:
        """The same, waited for."""
        found: asyncio.Future[Container | None] = asyncio.get_running_loop().create_future()

        def granted(container: Container | None) -> None:
            if found.cancelled():
                self._return(key, slots, container)
            else:
                found.set_result(container)

        self.seek(key, granted, slots=slots)
        try:
            return await found
        except asyncio.CancelledError:
            if not found.cancelled():  # it was granted in the same moment
                self._return(key, slots, found.result())
            raise

    def start(
        self, key: Hashable, runtime: Runtime, *, memory_limit: int, slots: int = 1
    ) -> Container:
        """The container that `lease` gave leave to start; it must be initialised, and is `ready`
        for others only then."""
        container = self._stem_cell(runtime) or self._new(runtime)
        container.hold(key, memory_limit=memory_limit, slots=slots)
        container.running = 1
        self._busy.add(container)
        self._starting.add(container)
        self._work.set()
        return container

    def ready(self, container: Container) -> None:
        """It is initialised: what else it may run at once, it may run now."""
        self._has_come(container)
        if container.running < container.slots and not container.spoiled:
            self._offer(container)

    def give_back(self, container: Container) -> None:
        """One of its activations has ended well."""
        if container.spoiled:
            self.discard(container)
            return
        was_full = container.running == container.slots
        container.running -= 1
        if not container.running:
            self._busy.discard(container)
            container.idle_since = self._clock()
        if was_full or self._waiting:
            if not was_full:
                self._idle[container.key].remove(container)
            self._offer(container)

    def discard(self, container: Container) -> None:
        """One of its activations has ended badly: it cannot be used again."""
        self._has_come(container)
        container.running -= 1
        kin = self._idle.get(container.key)
        if kin and container in kin:
            kin.remove(container)
        if container.running:
            container.kill()  # the others are told, and discard it too
            return
        self._busy.discard(container)
        self._retire(container)
        self._grant()

    def give_up(self, key: Hashable, *, slots: int = 1) -> None:
        """What `lease` gave leave to start could not be started."""
        self._drop(key)
        self._forget(key, slots)
        self._grant()

    def _has_come(self, container: Container) -> None:
        """It is initialised, or will never be."""
        if container in self._starting:
            self._starting.discard(container)
            self._forget(container.key, container.slots)

    def _forget(self, key: Hashable, slots: int) -> None:
        """The places beside who starts a container are not to come any more."""
        if slots > 1:
            self._coming[key] -= slots - 1
            if not self._coming[key]:
                del self._coming[key]

    def _offer(self, container: Container) -> None:
        """It has a free slot: whose turn is it?"""
        waiter = self._next_for(container)
        while waiter is not None and waiter.key == container.key:
            self._waiting.remove(waiter)
            container.running += 1
            self._busy.add(container)
            waiter.granted(container)
            if container.running == container.slots:
                return
            waiter = self._next_for(container)
        if waiter is not None:
            self._retire(container)
        else:
            self._idle[container.key].append(container)
        self._grant()

    def _stem_cell(self, runtime: Runtime) -> Container | None:
        if self._stem is None or runtime.command != self._stem.command:
            return None
        while self._stems:
            container = self._stems.pop()
            if not container.spoiled and container.is_alive:
                return container
            self._bury_soon(container)
        return None

    def _new(self, runtime: Runtime) -> Container:
        self._number += 1
        return Container(self._number, runtime, self._launch, gone=self._gone)

    def _gone(self, container: Container) -> None:
        """Its process has ended by itself; where an activation is running, that tells."""
        if self._tasks is None:
            return
        if container in self._stems:
            self._stems.remove(container)
            self._bury_soon(container)
        elif not container.running and container in self._idle.get(container.key, ()):
            self._idle[container.key].remove(container)
            self._retire(container)
            self._grant()

    def _prewarm(self) -> None:
        """One more stem cell, where one is missing."""
        if self._stem is not None and len(self._stems) < STEM_CELLS:
            self._stems.append(self._new(self._stem))

    def _next_for(self, container: Container) -> _Waiter | None:
        """Who gets a place in `container`, or, where nothing runs there, its own: the oldest, but
        its kin first while the others have their share."""
        if not self._waiting:
            return None
        key, oldest = container.key, self._waiting[0]
        if oldest.key == key:
            return oldest
        others, own = self._by_key[oldest.key], self._by_key[key]
        if not container.running and (others == 0 or others + 1 < own):
            return oldest
        return next((waiter for waiter in self._waiting if waiter.key == key), None)

    def _grant(self) -> None:
        """Leave to start a container for as many as there is room for."""
        while (waiter := self._next_to_start()) is not None:
            if self._count >= self._size and not self._evict():
                return
            self._waiting.remove(waiter)
            self._take(waiter.key)
            if waiter.slots > 1:
                self._coming[waiter.key] += waiter.slots - 1
            waiter.granted(None)

    def _next_to_start(self) -> _Waiter | None:
        """The oldest for whom there will be no place in a container that is being started."""
        if not self._waiting or not self._coming:
            return self._waiting[0] if self._waiting else None
        promised = self._coming.copy()
        for waiter in self._waiting:
            if promised[waiter.key] <= 0:
                return waiter
            promised[waiter.key] -= 1
        return None

    def _return(self, key: Hashable, slots: int, container: Container | None) -> None:
        """Who it was granted to has gone."""
        if container is not None:
            self.give_back(container)
        else:
            self.give_up(key, slots=slots)

    def _evict(self) -> bool:
        """Make room: the container that has been idle longest goes."""
        idle = [c for kin in self._idle.values() for c in kin if not c.running]
        if not idle:
            return False
        oldest = min(idle, key=lambda container: container.idle_since)
        self._idle[oldest.key].remove(oldest)
        self._retire(oldest)
        return True

    def _use(self, container: Container) -> None:
        container.running += 1
        if container.running < container.slots:
            self._idle[container.key].append(container)
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
        self._bury_soon(container)

    def _bury_soon(self, container: Container) -> None:
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
            for container in list(self._busy):
                container.check()
            self._expire()
            self._prewarm()

    def _expire(self) -> None:
        long_ago = self._clock() - self._idle_seconds
        for kin in list(self._idle.values()):
            for container in [c for c in kin if not c.running and c.idle_since < long_ago]:
                kin.remove(container)
                self._retire(container)
