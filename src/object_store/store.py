"""The object store as an action or an orchestrator sees it."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from object_store.backend import BY, Backend, Body, ObjectInfo
from object_store.errors import NoSuchKey, StoreError
from object_store.keys import Key, parse_key, parse_prefix
from object_store.tasks import in_thread
from object_store.wire import IO, Context, IORecord

__all__ = ["ObjectStore", "open_backend", "open_store"]

_BLOCK = 4 * 1024 * 1024
"""Bytes that are written to a file at a time."""


def open_backend(url: str) -> Backend:
    """The backend that a URL names; it connects when first used. Raises StoreError."""
    scheme, colon, rest = url.partition(":")
    if scheme == "memory" and colon:
        from object_store.memory import MemoryBackend

        return MemoryBackend(rest.removeprefix("//"))
    if scheme == "folder" and colon:
        from object_store.folder import FolderBackend

        parts = urlsplit(url)
        if parts.netloc or not parts.path.startswith("/"):
            raise StoreError(f"{url!r} names no folder; write folder:///absolute/path")
        return FolderBackend(Path(unquote(parts.path)))
    if scheme in ("s3", "s3+http") and rest.startswith("//"):
        from object_store.s3 import S3Backend
        from object_store.s3.address import Address

        return S3Backend(Address.from_url(url))
    raise StoreError(
        f"a store's URL cannot begin with {scheme + ':' if colon else 'a plain name'!r}; "
        "use folder:///absolute/path, memory://name or s3://[ACCESS:SECRET@][host[:port]]"
    )


@asynccontextmanager
async def open_store(url: str, *, context: Context | None = None) -> AsyncIterator[ObjectStore]:
    """Open the store at `url`, for the call `context` (None: for nobody in particular).

    Connects when first used. Raises StoreError where the URL is wrong.
    """
    backend = open_backend(url)
    store = ObjectStore(backend, context=context)
    try:
        yield store
    finally:
        await store.close()
        await backend.close()


@dataclass
class _Timer:
    """When something began, for the record of it."""

    at: int = field(default_factory=lambda: round(time.time() * 1000))
    started: float = field(default_factory=time.monotonic)

    def record(
        self, info: ObjectInfo, *, sha256: str | None, by: str | None, kept: bool = False
    ) -> IORecord:
        return IORecord(
            key=info.key,
            size=info.size,
            etag=info.etag,
            sha256=sha256,
            by=by,
            at=self.at,
            ms=round((time.monotonic() - self.started) * 1000),
            kept=kept,
        )


class ObjectStore:
    """Objects by key, "bucket/name". What is read and written is recorded in `io`.

    Every method raises InvalidKey before anything is touched, and StoreUnavailable. Bound to a
    context, writes carry who wrote them. In a recovery attempt (`context.restore` is there) a write
    of a key that is not to be restored leaves the object as it stands if it is there, and its
    record says `kept`: lineage then knows that the earlier version is still the one.
    """

    def __init__(
        self, backend: Backend, *, context: Context | None = None, earlier: IO | None = None
    ) -> None:
        """Most use `open_store`; `backend` stays open when this store is closed.

        `earlier` is what the same attempt read and wrote before, in another process.
        """
        self._backend = backend
        self._context = context
        self._reads: list[IORecord] = []
        self._writes: list[IORecord] = []
        self._folder: Path | None = None
        if earlier is not None:
            self.note(earlier)

    def __repr__(self) -> str:
        return f"ObjectStore({self.url!r})"

    @property
    def url(self) -> str:
        """The store's URL, without credentials."""
        return self._backend.url

    @property
    def context(self) -> Context | None:
        """The call that this store works for; None for nobody in particular."""
        return self._context

    @property
    def io(self) -> IO:
        """What was read and written until now."""
        attempt = self._context.attempt if self._context is not None else ""
        return IO(attempt, tuple(self._reads), tuple(self._writes), context=self._context)

    def note(self, earlier: IO) -> None:
        """Add what the same attempt read and wrote elsewhere to `io`."""
        self._reads += earlier.reads
        self._writes += earlier.writes

    def key(self, name: str) -> str:
        """ "bucket/name" as this run's own: "bucket/<run id>/name"; without a context as it is."""
        key = parse_key(name)
        if self._context is None:
            return name
        return str(parse_key(f"{key.bucket}/{self._context.run}/{key.name}"))

    async def get(self, key: str) -> bytes:
        """The bytes of an object, all in memory; raises NoSuchKey."""
        return b"".join([chunk async for chunk in self.stream(key)])

    async def stream(self, key: str) -> AsyncIterator[bytes]:
        """The bytes of an object, chunk after chunk; raises NoSuchKey."""
        timer, sha256 = _Timer(), hashlib.sha256()
        async with self._backend.get(parse_key(key)) as reading:
            info, place = reading.info, len(self._reads)
            self._reads.append(timer.record(info, sha256=None, by=info.by))
            async for chunk in reading.chunks:
                sha256.update(chunk)
                yield chunk
            self._reads[place] = timer.record(info, sha256=sha256.hexdigest(), by=info.by)

    async def download(self, key: str, path: str | Path | None = None) -> Path:
        """Copy an object into a file and give its path; raises NoSuchKey.

        `path` None means a temporary file with the name's last part, removed when the activation
        (or `open_store`) ends. The file is there as a whole or not at all.
        """
        source = parse_key(key)
        target = Path(path) if path is not None else self._temporary(source)
        part = target.with_name(f".{secrets.token_hex(12)}.part")
        timer = _Timer()
        async with self._backend.get(source) as reading:
            try:
                sha256 = await _save(reading.chunks, part)
                await asyncio.to_thread(part.replace, target)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
            self._reads.append(timer.record(reading.info, sha256=sha256, by=reading.info.by))
        return target

    async def put(self, key: str, data: bytes | str) -> ObjectInfo:
        """Write an object; text as UTF-8."""
        if not isinstance(data, bytes | str):
            raise TypeError(f"put takes bytes or text, not {type(data).__name__}")
        return await self._write(key, data.encode() if isinstance(data, str) else data)

    async def upload(self, key: str, path: str | Path) -> ObjectInfo:
        """Write a file as an object; it is never in memory as a whole."""
        return await self._write(key, Path(path))

    async def head(self, key: str) -> ObjectInfo:
        """What is known of an object; raises NoSuchKey. Not recorded."""
        return await self._backend.head(parse_key(key))

    async def exists(self, key: str) -> bool:
        """Whether the object is there. Not recorded."""
        try:
            await self.head(key)
        except NoSuchKey:
            return False
        return True

    async def delete(self, key: str) -> None:
        """Remove an object; no error if there is none. Not recorded.

        What this store itself wrote is then no output any more: its record goes, too, so that no
        recovery brings it back. What a recovery attempt has left as it stands stays.
        """
        target = parse_key(key)
        if any(record.kept and record.key == str(target) for record in self._writes):
            return
        await self._backend.delete(target)
        self._writes = [record for record in self._writes if record.key != str(target)]

    def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """The objects of "bucket", or of "bucket/start of names", in order. Not recorded."""
        return self._backend.list(parse_prefix(prefix))

    async def presign(self, key: str, *, seconds: int = 3600, method: str = "GET") -> str:
        """A URL that allows GET, HEAD or PUT of this object without credentials for `seconds`.

        Only S3 has them; StoreError elsewhere.
        """
        return await self._backend.presign(parse_key(key), seconds=seconds, method=method)

    async def close(self) -> None:
        """Remove the temporary files of this store."""
        if self._folder is not None:
            folder, self._folder = self._folder, None
            await in_thread(lambda _: shutil.rmtree(folder, ignore_errors=True))

    async def _write(self, key: str, source: bytes | Path) -> ObjectInfo:
        target, timer = parse_key(key), _Timer()
        standing = await self._standing(target)
        if standing is not None:
            self._writes.append(timer.record(standing, sha256=None, by=standing.by, kept=True))
            return standing
        metadata = {BY: self._context.by} if self._context is not None else {}
        with Body(source) as body:
            info = await self._backend.put(target, body, metadata=metadata)
            self._writes.append(timer.record(info, sha256=body.sha256, by=None))
        return info

    async def _standing(self, key: Key) -> ObjectInfo | None:
        """The object that a recovery attempt must leave as it is; None: write it."""
        if self._context is None or self._context.restore is None:
            return None
        if str(key) in self._context.restore or self._has_written(key):
            return None
        try:
            return await self._backend.head(key)
        except NoSuchKey:
            return None

    def _has_written(self, key: Key) -> bool:
        return any(record.key == str(key) and not record.kept for record in self._writes)

    def _temporary(self, key: Key) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="object-store-"))
        return Path(tempfile.mkdtemp(dir=self._folder)) / key.name.rpartition("/")[2]


async def _save(chunks: AsyncIterator[bytes], path: Path) -> str:
    """Write the chunks to a file in large blocks, off the loop; gives their SHA-256."""
    sha256 = hashlib.sha256()

    def write(blocks: list[bytes]) -> None:
        for block in blocks:
            sha256.update(block)
            file.write(block)

    with path.open("wb") as file:
        held: list[bytes] = []
        async for chunk in chunks:
            held.append(chunk)
            if sum(map(len, held)) >= _BLOCK:
                await asyncio.to_thread(write, held)
                held = []
        await asyncio.to_thread(write, held)
    return sha256.hexdigest()
