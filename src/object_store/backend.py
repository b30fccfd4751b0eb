"""What every backend of the store can do: memory, folder, S3."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol

from object_store.errors import StoreError
from object_store.keys import Key

__all__ = ["BY", "CHUNK", "Backend", "Body", "ObjectInfo", "Reading"]

BY = "aowhisk-by"
"""Name of the metadata that says who wrote an object: "run/call/attempt"."""
CHUNK = 1024 * 1024
"""Bytes read at a time."""


@dataclass(frozen=True)
class ObjectInfo:
    """What is known of an object: `size` in bytes, `etag` without quotes, `modified` aware UTC.

    `metadata` is empty in listings: S3 does not list it.
    """

    key: str
    size: int
    etag: str
    modified: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def by(self) -> str | None:
        """Who wrote it, "run/call/attempt"; None where the metadata does not say."""
        return self.metadata.get(BY)


@dataclass(frozen=True)
class Reading:
    """An object that is being read: what it is, and its bytes, chunk after chunk."""

    info: ObjectInfo
    chunks: AsyncIterator[bytes]


class Body:
    """The bytes of an object to be written; knows their size before, their SHA-256 after.

    Made of bytes or of a file, which it opens and closes (`with Body(...) as body`). `read` blocks.
    """

    def __init__(self, source: bytes | Path) -> None:
        """Raises OSError where the file cannot be read."""
        self._source: BinaryIO = (
            io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
        )
        self.name = "data" if isinstance(source, bytes) else str(source)
        self.size = (
            len(source) if isinstance(source, bytes) else os.fstat(self._source.fileno()).st_size
        )
        self._left = self.size
        self._sha256 = hashlib.sha256()

    def __enter__(self) -> Body:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._source.close()

    def read(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end; raises StoreError if the file shrank."""
        wanted = min(size, self._left)
        data = self._source.read(wanted)
        if len(data) < wanted:
            raise StoreError(f"{self.name} became shorter while it was written to the store")
        self._left -= len(data)
        self._sha256.update(data)
        return data

    @property
    def sha256(self) -> str:
        """The SHA-256 of what was read so far, in hexadecimal."""
        return self._sha256.hexdigest()


class Backend(Protocol):
    """A place where objects are. Connects when first used; belongs to one event loop.

    Reads raise NoSuchKey, writes InvalidKey (a name that is also a folder of another, where objects
    are files), all of them StoreUnavailable. A write is visible as a whole or not at all, also when
    it is cancelled.
    """

    @property
    def url(self) -> str:
        """The store's URL without credentials."""

    def get(self, key: Key, *, etag: str | None = None) -> AbstractAsyncContextManager[Reading]:
        """Read an object; with `etag` only that version, StoreError if there is another."""

    async def put(self, key: Key, body: Body, *, metadata: Mapping[str, str]) -> ObjectInfo:
        """Write an object, over what was there; makes the bucket."""

    async def head(self, key: Key) -> ObjectInfo:
        """What is known of an object."""

    async def delete(self, key: Key) -> None:
        """Remove an object; no error if there is none."""

    def list(self, prefix: Key) -> AsyncIterator[ObjectInfo]:
        """The objects whose names start so, in the order of their names' bytes, live."""

    async def presign(self, key: Key, *, seconds: int, method: str) -> str:
        """A URL that allows `method` (GET, PUT) on this object without credentials for a while."""

    async def close(self) -> None:
        """Let go of connections; more use connects again."""
