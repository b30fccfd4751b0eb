"""The object store for code without async."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from object_store.backend import ObjectInfo
from object_store.loop import WarmLoop
from object_store.store import ObjectStore
from object_store.wire import IO, Context

__all__ = ["BlockingStore"]


class BlockingStore:
    """`ObjectStore` with plain methods: each waits for its end. Recorded just the same."""

    def __init__(self, store: ObjectStore, loop: WarmLoop) -> None:
        self._store = store
        self._loop = loop

    def __repr__(self) -> str:
        return f"BlockingStore({self.url!r})"

    @property
    def url(self) -> str:
        """The store's URL, without credentials."""
        return self._store.url

    @property
    def context(self) -> Context | None:
        """The call that this store works for; None for nobody in particular."""
        return self._store.context

    @property
    def io(self) -> IO:
        """What was read and written until now."""
        return self._store.io

    def key(self, name: str) -> str:
        """See `ObjectStore.key`."""
        return self._store.key(name)

    def get(self, key: str) -> bytes:
        """See `ObjectStore.get`."""
        return self._loop.run(self._store.get(key))

    def stream(self, key: str) -> Iterator[bytes]:
        """See `ObjectStore.stream`."""
        chunks = self._store.stream(key)
        try:
            while (chunk := self._loop.run(_next(chunks))) is not None:
                yield chunk
        finally:
            self._loop.run(_end(chunks))

    def download(self, key: str, path: str | Path | None = None) -> Path:
        """See `ObjectStore.download`."""
        return self._loop.run(self._store.download(key, path))

    def put(self, key: str, data: bytes | str) -> ObjectInfo:
        """See `ObjectStore.put`."""
        return self._loop.run(self._store.put(key, data))

    def upload(self, key: str, path: str | Path) -> ObjectInfo:
        """See `ObjectStore.upload`."""
        return self._loop.run(self._store.upload(key, path))

    def head(self, key: str) -> ObjectInfo:
        """See `ObjectStore.head`."""
        return self._loop.run(self._store.head(key))

    def exists(self, key: str) -> bool:
        """See `ObjectStore.exists`."""
        return self._loop.run(self._store.exists(key))

    def delete(self, key: str) -> None:
        """See `ObjectStore.delete`."""
        self._loop.run(self._store.delete(key))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """See `ObjectStore.list`."""
        return iter(self._loop.run(_all(self._store.list(prefix))))

    def presign(self, key: str, *, seconds: int = 3600, method: str = "GET") -> str:
        """See `ObjectStore.presign`."""
        return self._loop.run(self._store.presign(key, seconds=seconds, method=method))


async def _next(chunks: AsyncIterator[bytes]) -> bytes | None:
    async for chunk in chunks:
        return chunk
    return None


async def _end(chunks: AsyncIterator[bytes]) -> None:
    close = getattr(chunks, "aclose", None)
    if close is not None:
        await close()


async def _all(infos: AsyncIterator[ObjectInfo]) -> tuple[ObjectInfo, ...]:
    return tuple([info async for info in infos])
