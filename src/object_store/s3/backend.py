"""Objects in S3."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime, timezone
from typing import Any, TypeVar
from urllib.parse import quote, unquote

from object_store.backend import BY, CHUNK, Body, ObjectInfo, Reading
from object_store.errors import NoSuchKey, StoreError, StoreUnavailable
from object_store.keys import Key
from object_store.s3.address import Address
from object_store.s3.client import Connection
from object_store.s3.faults import code_of, translated
from object_store.s3.upload import PART, upload_in_parts
from object_store.tasks import in_thread

__all__ = ["S3Backend"]

T = TypeVar("T")

_ASCII = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")
_SMALL = 64 * 1024
"""Bytes that are sent before S3 can answer."""
_TRIES = 3
"""How often a broken read goes on, and a write whose bucket was missing is tried."""


class S3Backend:
    """An S3 service as a store; belongs to the event loop that first uses it."""

    def __init__(self, address: Address) -> None:
        """Connects when first used."""
        self.url = address.url
        self._address = address
        self._connection = Connection(address)
        self._is_known = False  # whether S3 has accepted our credentials before
        self._buckets: set[str] = set()  # seen or made by us

    @asynccontextmanager
    async def get(self, key: Key, *, etag: str | None = None) -> AsyncIterator[Reading]:
        """Read an object; a connection that breaks is made again, for the same version."""
        async with AsyncExitStack() as stack:
            response = await self._get(key, stack, etag=etag)
            info = self._info(key, response)
            yield Reading(info, self._chunks(key, info, response["Body"], stack))

    async def put(self, key: Key, body: Body, *, metadata: Mapping[str, str]) -> ObjectInfo:
        """Write an object; in parts of a size that depends on the object's size alone."""
        client = await self._connection.client()
        target = self._target(key)
        if body.size > _SMALL:
            await self._find_bucket(key)
        if body.size > PART:
            etag = await self._writing(
                key, lambda: upload_in_parts(client, target, body, metadata=_sent(metadata))
            )
        else:
            data = await in_thread(lambda _: body.read(body.size))
            answer = await self._writing(
                key, lambda: client.put_object(**target, Body=data, Metadata=_sent(metadata))
            )
            etag = answer["ETag"]
        return ObjectInfo(
            key=str(key),
            size=body.size,
            etag=etag.strip('"'),
            modified=datetime.now(timezone.utc),
            metadata=dict(metadata),
        )

    async def head(self, key: Key) -> ObjectInfo:
        """What is known of an object."""
        client = await self._connection.client()
        try:
            with self._translated(key, "looking at"):
                response = await client.head_object(**self._target(key))
        except NoSuchKey:
            await self._ask_who_we_are(key)
            raise
        self._is_known = True
        return self._info(key, response)

    async def delete(self, key: Key) -> None:
        """Remove an object."""
        client = await self._connection.client()
        with suppress(NoSuchKey), self._translated(key, "deleting"):
            await client.delete_object(**self._target(key))

    async def list(self, prefix: Key) -> AsyncIterator[ObjectInfo]:
        """The objects whose names start so."""
        client = await self._connection.client()
        where: dict[str, str] = {"Bucket": self._bucket(prefix), "Prefix": prefix.name}
        while True:
            try:
                with self._translated(prefix, "listing"):
                    page = await client.list_objects_v2(**where)
            except NoSuchKey:
                return
            for entry in page.get("Contents", ()):
                yield ObjectInfo(
                    key=f"{prefix.bucket}/{entry['Key']}",
                    size=entry["Size"],
                    etag=entry["ETag"].strip('"'),
                    modified=entry["LastModified"],
                )
            if not page.get("IsTruncated"):
                return
            where["ContinuationToken"] = page["NextContinuationToken"]

    async def presign(self, key: Key, *, seconds: int, method: str) -> str:
        """A URL for GET, HEAD or PUT."""
        operations = {"GET": "get_object", "HEAD": "head_object", "PUT": "put_object"}
        if method not in operations:
            raise StoreError(f"method {method!r} cannot be presigned; use GET, HEAD or PUT")
        client = await self._connection.client()
        with self._translated(key, "presigning"):
            url = await client.generate_presigned_url(
                operations[method], Params=self._target(key), ExpiresIn=seconds, HttpMethod=method
            )
        return str(url)

    async def close(self) -> None:
        """Close the client."""
        await self._connection.close()

    async def _get(
        self, key: Key, stack: AsyncExitStack, *, etag: str | None = None, start: int = 0
    ) -> Any:
        wanted = self._target(key)
        if etag is not None:
            wanted["IfMatch"] = f'"{etag}"'
        if start:
            wanted["Range"] = f"bytes={start}-"
        client = await self._connection.client()
        with self._translated(key, "reading"):
            response = await client.get_object(**wanted)
        self._is_known = True
        await stack.enter_async_context(response["Body"])
        return response

    async def _chunks(
        self, key: Key, info: ObjectInfo, stream: Any, stack: AsyncExitStack
    ) -> AsyncIterator[bytes]:
        done, tries = 0, _TRIES
        while done < info.size:
            try:
                with self._translated(key, "reading"):
                    data = await stream.read(CHUNK)
                    if not data:
                        raise ConnectionError("the stream ended early")
            except StoreUnavailable:
                if tries == 0:
                    raise
                tries -= 1
                stream = (await self._get(key, stack, etag=info.etag, start=done))["Body"]
                continue
            done += len(data)
            yield data

    async def _writing(self, key: Key, send: Callable[[], Awaitable[T]]) -> T:
        """Send; make the bucket and send again where it is missing."""
        from botocore.exceptions import ClientError

        with self._translated(key, "writing"):
            for _ in range(_TRIES):
                try:
                    return await send()
                except ClientError as error:
                    if code_of(error) != "NoSuchBucket":
                        raise
                await self._make_bucket(key)
            return await send()

    async def _find_bucket(self, key: Key) -> None:
        """Make the bucket unless it is there, before a body is sent that it would take.

        S3 answers a write into a missing bucket without reading on, and closes: while a large body
        is being sent, that looks like a broken connection.
        """
        bucket = self._bucket(key)
        if bucket in self._buckets:
            return
        client = await self._connection.client()
        with self._translated(key, "writing"):
            try:
                await client.head_bucket(Bucket=bucket)
            except client.exceptions.ClientError as error:
                if code_of(error) in ("404", "NoSuchBucket"):
                    await self._make_bucket(key)
                elif code_of(error) not in ("403", "AccessDenied"):  # may write all the same
                    raise
        self._buckets.add(bucket)

    async def _make_bucket(self, key: Key) -> None:
        from botocore.exceptions import ClientError

        client = await self._connection.client()
        where = {}
        if self._address.region != "us-east-1":
            where = {"CreateBucketConfiguration": {"LocationConstraint": self._address.region}}
        try:
            await client.create_bucket(Bucket=self._bucket(key), **where)
        except ClientError as error:  # another writer was first
            if code_of(error) not in (
                "BucketAlreadyOwnedByYou",
                "BucketAlreadyExists",
                "OperationAborted",
            ):
                raise

    async def _ask_who_we_are(self, key: Key) -> None:
        """Raise what is behind a HEAD's 404, which has no text.

        An access key that does not exist is a 404 too at some services; taken for a lost object it
        would start a recovery. A GET tells; once is enough.
        """
        if not self._is_known:
            async with AsyncExitStack() as stack:
                try:
                    await self._get(key, stack)
                except NoSuchKey:
                    self._is_known = True
                    raise

    def _translated(self, key: Key, doing: str) -> AbstractContextManager[None]:
        return translated(self.url, key, doing)

    def _bucket(self, key: Key) -> str:
        return self._address.bucket_prefix + key.bucket

    def _target(self, key: Key) -> dict[str, str]:
        return {"Bucket": self._bucket(key), "Key": key.name}

    def _info(self, key: Key, response: Mapping[str, Any]) -> ObjectInfo:
        return ObjectInfo(
            key=str(key),
            size=response["ContentLength"],
            etag=response["ETag"].strip('"'),
            modified=response["LastModified"],
            metadata=_received(response.get("Metadata", {})),
        )


def _sent(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata as headers take them: what is not ASCII, and "%", percent-encoded."""
    return {name: quote(value, safe=_ASCII) for name, value in metadata.items()}


def _received(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata as they were meant; those of others are left as they are."""
    return {name: unquote(value) if name == BY else value for name, value in metadata.items()}
