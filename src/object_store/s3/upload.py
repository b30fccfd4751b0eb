"""An upload in parts, which is there as a whole or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from object_store.backend import Body
from object_store.tasks import finish, in_thread, together

__all__ = ["PART", "part_size", "upload_in_parts"]

MIB = 1024 * 1024
PART = 8 * MIB
"""Bytes above which an object is uploaded in parts, and of a part."""
PARTS = 10_000
"""Parts that S3 allows."""
IN_FLIGHT = 2 * PART
"""Bytes of parts that are in memory at once, but at least one part."""


def part_size(size: int) -> int:
    """Bytes of a part, of the object's size alone: equal bytes get an equal ETag."""
    return max(PART, -(-size // (PARTS * MIB)) * MIB)


async def upload_in_parts(
    client: Any, target: Mapping[str, str], body: Body, *, metadata: Mapping[str, str]
) -> str:
    """Upload `body` to `target` (Bucket, Key) and give the ETag.

    Failure and cancellation abort it, so that S3 keeps no parts.
    """
    created = await client.create_multipart_upload(**target, Metadata=dict(metadata))
    upload = {**target, "UploadId": created["UploadId"]}
    try:
        parts = await _Parts(client, upload, body).send()
        done = await client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    except BaseException:
        await finish(client.abort_multipart_upload(**upload))
        raise
    return str(done["ETag"])


class _Parts:
    """Lanes that take the next part each, in the body's order, and send it."""

    def __init__(self, client: Any, upload: Mapping[str, str], body: Body) -> None:
        self._client, self._upload, self._body = client, upload, body
        self._size = part_size(body.size)
        self._count = -(-body.size // self._size)
        self._taken = 0
        self._turn = asyncio.Lock()
        self._etags: dict[int, str] = {}

    async def send(self) -> list[dict[str, object]]:
        lanes = min(self._count, max(1, IN_FLIGHT // self._size))
        await together(self._lane() for _ in range(lanes))
        return [{"PartNumber": n, "ETag": etag} for n, etag in sorted(self._etags.items())]

    async def _lane(self) -> None:
        while True:
            async with self._turn:
                if self._taken == self._count:
                    return
                self._taken += 1
                number = self._taken
                data = await in_thread(lambda _: self._body.read(self._size))
            answer = await self._client.upload_part(**self._upload, PartNumber=number, Body=data)
            self._etags[number] = answer["ETag"]
