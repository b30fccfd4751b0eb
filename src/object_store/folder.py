"""Objects as files: `folder:///dir` keeps an object at `dir/bucket/name`, where a person can look.

Metadata lie in `dir/.aowhisk/<bucket>/<name>.json`, with the size, mtime and inode of the file that
they describe; where those differ (a person copied a file in) there are none, and the ETag is
computed. A new file gets its metadata first and is renamed into place last, both under one lock, so
that two processes which write one object leave the metadata of the one that came last.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from threading import Event
from typing import BinaryIO

from object_store.backend import CHUNK, Body, ObjectInfo, Reading
from object_store.errors import InvalidKey, NoSuchKey, StoreError, StoreUnavailable
from object_store.folder_files import Files, Metadata, Opened
from object_store.keys import Key
from object_store.tasks import in_thread

__all__ = ["FolderBackend"]

_PAGE = 256
"""Objects of a listing that are looked at in one go."""


class FolderBackend:
    """A folder as a store. Several processes may use it at once."""

    def __init__(self, root: Path) -> None:
        """`root` is made when the first object is written."""
        self._files = Files(root)
        self.url = root.as_uri().replace("file:", "folder:", 1)

    @asynccontextmanager
    async def get(self, key: Key, *, etag: str | None = None) -> AsyncIterator[Reading]:
        """Read an object: the version that was there at the start, whoever writes meanwhile."""
        info, file, first = await in_thread(
            lambda _: self._start(key), discard=lambda started: started[1].close()
        )
        try:
            if etag is not None and info.etag != etag:
                raise StoreError(f"object '{key}' was overwritten while it was read; read it again")
            yield Reading(info, _chunks(file, first))
        finally:
            file.close()

    async def put(self, key: Key, body: Body, *, metadata: Mapping[str, str]) -> ObjectInfo:
        """Write an object."""
        return await in_thread(lambda stop: self._write(key, body, dict(metadata), stop))

    async def head(self, key: Key) -> ObjectInfo:
        """What is known of an object."""
        return await in_thread(lambda _: self._look(key))

    async def delete(self, key: Key) -> None:
        """Remove an object, and folders that it leaves empty."""
        with _Translated(self.url, key):
            await in_thread(lambda _: self._files.remove(key))

    async def list(self, prefix: Key) -> AsyncIterator[ObjectInfo]:
        """The objects whose names start so."""
        keys = await asyncio.to_thread(self._files.keys, prefix)
        for start in range(0, len(keys), _PAGE):
            page = keys[start : start + _PAGE]
            for info in await asyncio.to_thread(self._look_at, page):
                yield replace(info, metadata={})

    async def presign(self, key: Key, *, seconds: int, method: str) -> str:
        """Not to be had."""
        raise StoreError(f"{self.url} has no URLs to hand out; presign needs an S3 store")

    async def close(self) -> None:
        """Nothing to let go of."""

    def _start(self, key: Key) -> tuple[ObjectInfo, BinaryIO, bytes]:
        with _Translated(self.url, key):
            opened = self._files.open(key)
            try:
                return _info(key, opened), opened.file, opened.file.read(CHUNK)
            except BaseException:
                opened.file.close()
                raise

    def _look(self, key: Key) -> ObjectInfo:
        with _Translated(self.url, key):
            opened = self._files.open(key)
            with opened.file:
                return _info(key, opened)

    def _look_at(self, keys: Sequence[Key]) -> tuple[ObjectInfo, ...]:
        found = []
        for key in keys:
            with suppress(NoSuchKey, InvalidKey):  # gone since, or a link that leads out
                found.append(self._look(key))
        return tuple(found)

    def _write(self, key: Key, body: Body, metadata: dict[str, str], stop: Event) -> ObjectInfo:
        with _Translated(self.url, key, writing=True):
            self._files.refuse_clash(key)
            with self._files.temporary() as file:
                etag = _copy(body, file, stop)
                if etag is None:
                    raise StoreError(f"the writing of '{key}' was cancelled")
                stat = os.fstat(file.fileno())
                kept = Metadata(etag, metadata)
                self._files.place(key, Path(file.name), Opened(file, stat, kept))
                return _info(key, Opened(file, stat, kept))


class _Translated:
    """Turns the operating system's errors into the store's."""

    def __init__(self, url: str, key: Key, *, writing: bool = False) -> None:
        self._url, self._key, self._writing = url, key, writing

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        # of a write it is the root that is not there: no object is missing
        absent = isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError)
        if absent and not self._writing:
            raise NoSuchKey(str(self._key)) from error
        if isinstance(error, OSError):
            raise StoreUnavailable(
                f"{self._url}: '{self._key}' cannot be read or written "
                f"({error.strerror or error}); check the folder's permissions and the space left"
            ) from error


def _info(key: Key, opened: Opened) -> ObjectInfo:
    return ObjectInfo(
        key=str(key),
        size=opened.stat.st_size,
        etag=opened.kept.etag if opened.kept is not None else _md5(opened.file),
        modified=datetime.fromtimestamp(opened.stat.st_mtime, timezone.utc),
        metadata=opened.kept.metadata if opened.kept is not None else {},
    )


def _copy(body: Body, file: BinaryIO, stop: Event) -> str | None:
    """Copy; gives the MD5, or None where it was stopped before the end."""
    md5 = hashlib.md5(usedforsecurity=False)
    while data := body.read(CHUNK):
        if stop.is_set():
            return None
        md5.update(data)
        file.write(data)
    file.flush()
    return None if stop.is_set() else md5.hexdigest()


def _md5(file: BinaryIO) -> str:
    md5 = hashlib.md5(usedforsecurity=False)
    while data := file.read(CHUNK):
        md5.update(data)
    file.seek(0)
    return md5.hexdigest()


async def _chunks(file: BinaryIO, first: bytes) -> AsyncIterator[bytes]:
    data = first
    while data:
        yield data
        data = await asyncio.to_thread(file.read, CHUNK) if len(data) == CHUNK else b""
