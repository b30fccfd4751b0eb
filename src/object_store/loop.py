"""The event loop that a process keeps between activations, with the stores it has used warm."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import os
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from object_store.backend import Backend
from object_store.store import open_backend

__all__ = ["WarmLoop", "warm_loop"]

T = TypeVar("T")

WARM = 8
"""Stores that are kept open while nobody uses them."""
GRACE = 10.0
"""Seconds that a cancelled activation has to clean up."""
LOOK = 0.5
"""Seconds after which a waiting thread looks up: the kernel may hand a signal to the loop's thread,
and Python's main thread, which alone can act on it, would sleep on."""


class WarmLoop:
    """An event loop in a thread of its own, and the backends that were opened on it."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._backends: OrderedDict[str, Backend] = OrderedDict()
        self._users: dict[str, int] = {}
        self._thread = threading.Thread(target=self._work, name="object_store", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run on the loop and wait. An interrupt (Ctrl-C) cancels it, and is raised after."""
        if threading.current_thread() is self._thread:
            work.close()
            self.refuse_itself()
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            while not concurrent.futures.wait([future], timeout=LOOK).done:
                pass
            return future.result()
        except BaseException:
            future.cancel()
            concurrent.futures.wait([future], timeout=GRACE)
            raise

    def refuse_itself(self) -> None:
        """Raise RuntimeError on the loop's own thread, which cannot wait for itself."""
        if threading.current_thread() is self._thread:
            raise RuntimeError(
                "an action was called inside another action's event loop; "
                "await action.__wrapped__(args, store) there instead"
            )

    @asynccontextmanager
    async def backend(self, url: str) -> AsyncIterator[Backend]:
        """The warm backend of a URL; stays open afterwards."""
        if url not in self._backends:
            self._backends[url] = open_backend(url)
        self._backends.move_to_end(url)
        self._users[url] = self._users.get(url, 0) + 1
        try:
            yield self._backends[url]
        finally:
            self._users[url] -= 1
            await self._close_idle(keep=WARM)

    def close(self) -> None:
        """Close the stores and end the thread; what still runs is cut off."""
        with suppress(Exception):
            closing = asyncio.run_coroutine_threadsafe(self._close_idle(keep=0), self._loop)
            closing.result(timeout=2)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=2)

    async def _close_idle(self, *, keep: int) -> None:
        idle = [url for url in self._backends if not self._users.get(url)]
        for url in idle[: max(0, len(self._backends) - keep)]:
            self._users.pop(url, None)
            await self._backends.pop(url).close()

    def _work(self) -> None:
        asyncio.set_event_loop(self._loop)
        stopped = False
        while not stopped:
            # a task that raises SystemExit stops the loop, which other activations need
            with suppress(SystemExit, KeyboardInterrupt):
                self._loop.run_forever()
                stopped = True


_warm: WarmLoop | None = None
_lock = threading.Lock()


def warm_loop() -> WarmLoop:
    """This process's loop; started when first asked for, and anew in a forked child."""
    global _warm
    with _lock:
        if _warm is None or _warm.pid != os.getpid():
            _warm = WarmLoop()
            atexit.register(_close, _warm)
        return _warm


def _close(loop: WarmLoop) -> None:
    if loop.pid == os.getpid():
        loop.close()
