"""How long a request's body is waited for."""

from __future__ import annotations

import asyncio
from types import TracebackType

__all__ = ["Patience"]

_LOOK = 1.0  # seconds between two looks at who is waiting


class Patience:
    """`with` it, a task waits for `seconds` and about one more, then TimeoutError. One timer for
    all: nearly everybody has what is waited for at once, and should not pay for one."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._since: dict[asyncio.Task[object] | None, float | None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        self._since[asyncio.current_task()] = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(min(_LOOK, self.seconds), self._look, loop)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        task = asyncio.current_task()
        was_late = self._since.pop(task) is None
        if not was_late or task is None or kind is not asyncio.CancelledError:
            return
        if task.uncancel() == 0:  # else somebody else wants its end, too
            raise TimeoutError from problem

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        late = loop.time() - self.seconds
        for task, since in self._since.items():
            if task is not None and since is not None and since <= late:
                self._since[task] = None
                task.cancel()
        again = min(_LOOK, self.seconds)
        self._timer = loop.call_later(again, self._look, loop) if self._since else None
