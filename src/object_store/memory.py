"""Objects in this process's memory: `memory://name`, one store per name."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone

from object_store.backend import CHUNK, Body, ObjectInfo, Reading
from object_store.errors import InvalidKey, NoSuchKey, StoreError
from object_store.keys import Key

__all__ = ["MemoryBackend"]


@dataclass
class _Space:
    """Objects, and for each of their folders how many are in it; change both under the lock."""

    objects: dict[Key, tuple[ObjectInfo, bytes]] = field(default_factory=dict)
    folders: Counter[Key] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, key: Key, info: ObjectInfo, data: bytes) -> None:
        if self.folders[key] > 0:
            raise InvalidKey(str(key), "it is a folder of other objects")
        for parent in key.parents:
            if parent in self.objects:
                raise InvalidKey(str(key), f"'{parent}' is an object, so it cannot be a folder")
        if key not in self.objects:
            self.folders.update(key.parents)
        self.objects[key] = (info, data)

    def remove(self, key: Key) -> None:
        if self.objects.pop(key, None) is not None:
            self.folders.subtract(key.parents)


_SPACES: dict[str, _Space] = {}
_SPACES_LOCK = threading.Lock()


class MemoryBackend:
    """The store of one name in this process, whatever loop or thread asks."""

    def __init__(self, name: str) -> None:
        """`name` is any text; backends of one name share their objects."""
        self.url = f"memory://{name}"
        with _SPACES_LOCK:
            self._space = _SPACES.setdefault(name, _Space())

    @asynccontextmanager
    async def get(self, key: Key, *, etag: str | None = None) -> AsyncIterator[Reading]:
        """Read an object."""
        info, data = self._find(key)
        if etag is not None and info.etag != etag:
            raise StoreError(f"object '{key}' was overwritten while it was read; read it again")
        yield Reading(info, _chunks(data))

    async def put(self, key: Key, body: Body, *, metadata: Mapping[str, str]) -> ObjectInfo:
        """Write an object."""
        data = body.read(body.size)
        info = ObjectInfo(
            key=str(key),
            size=len(data),
            etag=hashlib.md5(data, usedforsecurity=False).hexdigest(),
            modified=datetime.now(timezone.utc),
            metadata=dict(metadata),
        )
        with self._space.lock:
            self._space.add(key, info, data)
        return info

    async def head(self, key: Key) -> ObjectInfo:
        """What is known of an object."""
        return self._find(key)[0]

    async def delete(self, key: Key) -> None:
        """Remove an object."""
        with self._space.lock:
            self._space.remove(key)

    async def list(self, prefix: Key) -> AsyncIterator[ObjectInfo]:
        """The objects whose names start so."""
        with self._space.lock:
            found = [
                (key.name.encode(), info)
                for key, (info, _) in self._space.objects.items()
                if key.bucket == prefix.bucket and key.name.startswith(prefix.name)
            ]
        for _, info in sorted(found, key=lambda pair: pair[0]):
            yield replace(info, metadata={})

    async def presign(self, key: Key, *, seconds: int, method: str) -> str:
        """Not to be had."""
        raise StoreError(f"{self.url} has no URLs to hand out; presign needs an S3 store")

    async def close(self) -> None:
        """Nothing to let go of: the objects stay as long as the process."""

    def _find(self, key: Key) -> tuple[ObjectInfo, bytes]:
        with self._space.lock:
            try:
                return self._space.objects[key]
            except KeyError:
                raise NoSuchKey(str(key)) from None


async def _chunks(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), CHUNK):
        yield data[start : start + CHUNK]
