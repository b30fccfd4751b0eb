"""The prober: what of a list of objects is there, asked once however many want to know."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

import anyio

from aowhisk.errors import RecoveryFailed
from aowhisk.recovery import Seen
from object_store import NoSuchKey, ObjectStore, StoreError
from object_store.errors import InvalidKey

__all__ = ["Prober"]

_TRIES = 5
_GONE = Seen(etag=None, by=None)


class Prober:
    """Sends HEAD requests, at most `at_once` of them together; `heads` counts them."""

    def __init__(
        self,
        store: ObjectStore,
        *,
        at_once: int = 100,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._store = store
        self._at_once = at_once
        self._room = anyio.Semaphore(at_once, fast_acquire=True)
        self._asking: dict[str, _Question] = {}
        self._sleep = sleep
        self._clock = 0
        self.heads = 0

    @property
    def url(self) -> str:
        """Where it looks, without credentials."""
        return self._store.url

    async def look(self, keys: Iterable[str]) -> dict[str, Seen]:
        """What HEAD says of each key. Raises RecoveryFailed (`store unavailable`)."""
        seen: dict[str, Seen] = {}
        failed: list[RecoveryFailed] = []
        wanted = dict.fromkeys(keys)
        left = iter(wanted)

        async def work() -> None:
            for key in left:
                try:
                    seen[key] = await self._ask(key)
                except RecoveryFailed as error:
                    failed.append(error)
                if failed:
                    return

        async with anyio.create_task_group() as group:
            for _ in range(min(len(wanted), self._at_once)):
                group.start_soon(work)
        if failed:
            raise failed[0]
        return seen

    async def _ask(self, key: str) -> Seen:
        self._clock += 1
        since = self._clock
        while (question := self._asking.get(key)) is not None:
            await question.wait()
            if question.answer is not None and question.holds(since):
                return question.answer
        question = self._asking[key] = _Question(self._clock)
        try:
            async with self._room:
                question.answer = await self._head(key)
            return question.answer
        finally:
            del self._asking[key]
            question.end()

    async def _head(self, key: str) -> Seen:
        for tries in range(1, _TRIES + 1):
            self.heads += 1
            try:
                info = await self._store.head(key)
            except (NoSuchKey, InvalidKey):
                return _GONE
            except StoreError as error:
                if tries == _TRIES:
                    raise RecoveryFailed(
                        f"cannot look for {key!r} in {self.url}: {error}",
                        key=key,
                        reason="store unavailable",
                    ) from error
                await self._sleep(0.1 * 2**tries)
            else:
                return Seen(etag=info.etag, by=info.by)
        raise AssertionError("unreachable")


class _Question:
    """A HEAD on its way; `answer` stays None if it failed, and who waited asks again."""

    __slots__ = ("_ended", "answer", "asked")

    def __init__(self, asked: int) -> None:
        self.asked = asked
        self.answer: Seen | None = None
        self._ended: anyio.Event | None = None  # made for those who wait: most have nobody

    async def wait(self) -> None:
        """Return when it has ended."""
        if self._ended is None:
            self._ended = anyio.Event()
        await self._ended.wait()

    def end(self) -> None:
        """Let those go on who wait."""
        if self._ended is not None:
            self._ended.set()

    def holds(self, since: int) -> bool:
        """Whether the answer is good for who came at `since`: an object that was gone before that
        may have been written again meanwhile."""
        return self.answer is not _GONE or self.asked >= since
