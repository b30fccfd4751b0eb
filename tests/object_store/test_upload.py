"""Uploads in parts: none of them is left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from object_store import ObjectStore, StoreError
from object_store.backend import Body
from object_store.keys import parse_key
from object_store.s3 import S3Backend
from object_store.s3.address import Address

MIB = 1024 * 1024


async def left(backend: S3Backend, bucket: str) -> list[Any]:
    """The uploads that S3 still keeps parts of."""
    client = await backend._connection.client()
    return list((await client.list_multipart_uploads(Bucket=bucket)).get("Uploads", []))


async def test_a_cancelled_upload_is_aborted_at_the_server(
    s3_server: Any, bucket: str, tmp_path: Path
) -> None:
    backend = S3Backend(Address.from_url(s3_server.url))
    store = ObjectStore(backend)
    await store.put(f"{bucket}/other", b"x")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(512 * MIB)

    async with anyio.create_task_group() as group:
        group.start_soon(store.upload, f"{bucket}/x", tmp_path / "large")
        with anyio.fail_after(10):
            while not await left(backend, bucket):
                await anyio.sleep(0.005)
        group.cancel_scope.cancel()

    assert await left(backend, bucket) == []
    assert not await store.exists(f"{bucket}/x")
    await backend.close()


async def test_an_upload_that_fails_is_aborted_at_the_server(
    s3_server: Any, bucket: str, tmp_path: Path
) -> None:
    backend = S3Backend(Address.from_url(s3_server.url))
    source = tmp_path / "source"
    source.write_bytes(b"x" * (20 * MIB))
    with Body(source) as body:
        with source.open("r+b") as file:
            file.truncate(10 * MIB)
        with pytest.raises(StoreError, match="became shorter"):
            await backend.put(parse_key(f"{bucket}/x"), body, metadata={})
    assert await left(backend, bucket) == []
    assert not await ObjectStore(backend).exists(f"{bucket}/x")
    await backend.close()
