"""What every backend does alike."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

import anyio
import pytest

from object_store import InvalidKey, NoSuchKey, ObjectStore, StoreError, open_store
from object_store.backend import Body
from object_store.keys import parse_key
from object_store.store import open_backend
from object_store.wire import Context

MIB = 1024 * 1024
CONTEXT = Context(run="r1", call="split", attempt="a1")
WRONG_KEYS = [
    "",
    "name",
    "bucket",
    "bucket/",
    "/bucket/name",
    "bucket//name",
    "bucket/name/",
    "bucket/a//b",
    "bucket/../name",
    "bucket/a/../b",
    "bucket/./a",
    "../name",
    "bucket/na\0me",
    "bucket/na\nme",
    "bucket/" + "a" * 256,
    "bucket/" + "é" * 128,
    "bucket/" + "a/" * 512 + "a",
    "bucket/\ud800",
    "ab/name",
    "Bucket/name",
    "bu_cket/name",
    "-bucket/name",
    "bu..cket/name",
    "192.168.0.1/name",
    ".aowhisk/name",
    "b" * 64 + "/name",
]


async def test_what_was_put_is_what_is_got(store: ObjectStore, bucket: str) -> None:
    written = await store.put(f"{bucket}/a/b.txt", b"hello")
    assert await store.get(f"{bucket}/a/b.txt") == b"hello"
    assert written.key == f"{bucket}/a/b.txt"
    assert written.size == 5


async def test_text_is_written_as_utf_8(store: ObjectStore, bucket: str) -> None:
    await store.put(f"{bucket}/t", "é")
    assert await store.get(f"{bucket}/t") == "é".encode()


async def test_the_etag_is_the_md5_of_the_bytes(store: ObjectStore, bucket: str) -> None:
    written = await store.put(f"{bucket}/x", b"hello")
    seen = await store.head(f"{bucket}/x")
    assert written.etag == seen.etag == hashlib.md5(b"hello").hexdigest()


async def test_head_says_size_metadata_and_an_aware_time(store_url: str, bucket: str) -> None:
    async with open_store(store_url, context=CONTEXT) as store:
        await store.put(f"{bucket}/x", b"hello")
    async with open_store(store_url) as store:
        info = await store.head(f"{bucket}/x")
    assert (info.size, info.by) == (5, "r1/split/a1")
    assert info.modified.utcoffset() is not None


async def test_an_empty_object_is_an_object(store: ObjectStore, bucket: str) -> None:
    await store.put(f"{bucket}/empty", b"")
    assert await store.get(f"{bucket}/empty") == b""
    assert (await store.head(f"{bucket}/empty")).size == 0


async def test_a_second_write_replaces_the_first(store: ObjectStore, bucket: str) -> None:
    await store.put(f"{bucket}/x", b"first")
    await store.put(f"{bucket}/x", b"second")
    assert await store.get(f"{bucket}/x") == b"second"


@pytest.mark.parametrize("name", ["a b", "a+b", "a%20b", "ü/ñ", "q?x#y&z", "a.json", "..a", "名"])
async def test_names_with_signs_are_names(store: ObjectStore, bucket: str, name: str) -> None:
    await store.put(f"{bucket}/{name}", b"x")
    assert await store.get(f"{bucket}/{name}") == b"x"
    assert [info.key async for info in store.list(bucket)] == [f"{bucket}/{name}"]


async def test_a_missing_key_is_no_such_key(store: ObjectStore, bucket: str) -> None:
    await store.put(f"{bucket}/there", b"x")
    for use in (store.get, store.head, store.download):
        with pytest.raises(NoSuchKey) as caught:
            await use(f"{bucket}/missing")
        assert caught.value.key == f"{bucket}/missing"
    assert not await store.exists(f"{bucket}/missing")


async def test_a_missing_bucket_is_no_such_key(store: ObjectStore, bucket: str) -> None:
    for use in (store.get, store.head):
        with pytest.raises(NoSuchKey):
            await use(f"{bucket}/missing")
    assert [info async for info in store.list(bucket)] == []


async def test_a_key_below_an_object_is_no_such_key(store: ObjectStore, bucket: str) -> None:
    await store.put(f"{bucket}/a", b"x")
    with pytest.raises(NoSuchKey):
        await store.get(f"{bucket}/a/b")
    await store.put(f"{bucket}/c/d", b"x")
    with pytest.raises(NoSuchKey):
        await store.get(f"{bucket}/c")


async def test_a_deleted_object_is_gone_and_deleting_again_is_fine(
    store: ObjectStore, bucket: str
) -> None:
    await store.put(f"{bucket}/x", b"x")
    await store.delete(f"{bucket}/x")
    await store.delete(f"{bucket}/x")
    await store.delete("no-such-bucket-here/x")
    assert not await store.exists(f"{bucket}/x")


async def test_a_deleted_folder_name_is_free_for_an_object(store: ObjectStore, bucket: str) -> None:
    await store.put(f"{bucket}/a/b", b"x")
    await store.delete(f"{bucket}/a/b")
    await store.put(f"{bucket}/a", b"y")
    assert await store.get(f"{bucket}/a") == b"y"


async def test_a_list_is_in_the_order_of_bytes(store: ObjectStore, bucket: str) -> None:
    names = ["a/b", "a-b", "a.b", "a/a/c", "ab", "é"]
    for name in names:
        await store.put(f"{bucket}/{name}", b"x")
    found = [info.key async for info in store.list(f"{bucket}/")]
    assert found == [f"{bucket}/{name}" for name in sorted(names, key=str.encode)]
    assert [i.key async for i in store.list(f"{bucket}/a/")] == [f"{bucket}/a/a/c", f"{bucket}/a/b"]
    assert [i.key async for i in store.list(f"{bucket}/a.")] == [f"{bucket}/a.b"]
    assert [i.key async for i in store.list(f"{bucket}/zz/y")] == []


async def test_a_list_of_many_pages_is_whole(store: ObjectStore, bucket: str) -> None:
    names = [f"{bucket}/n{number:04}" for number in range(1050)]
    gate = asyncio.Semaphore(32)

    async def write(name: str) -> None:
        async with gate:
            await store.put(name, b"")

    await asyncio.gather(*map(write, names))
    assert [info.key async for info in store.list(bucket)] == names


@pytest.mark.parametrize("key", WRONG_KEYS)
async def test_a_key_that_cannot_be_is_invalid_before_anything_is_touched(
    key: str, tmp_path: Path
) -> None:
    async with open_store(f"folder://{tmp_path}/root") as store:
        for use in (store.get, store.head, store.delete, store.download, store.exists):
            with pytest.raises(InvalidKey):
                await use(key)
        with pytest.raises(InvalidKey):
            await store.put(key, b"x")
        with pytest.raises(InvalidKey):
            await store.upload(key, tmp_path / "is not read")
    assert os.listdir(tmp_path) == []


async def test_a_name_that_is_a_folder_of_another_is_invalid(
    store: ObjectStore, bucket: str, request: pytest.FixtureRequest
) -> None:
    if store.url.startswith("s3") and request.getfixturevalue("s3_server").kind == "moto":
        pytest.skip("in moto, as on AWS, objects are no files")
    await store.put(f"{bucket}/a/b", b"x")
    with pytest.raises(InvalidKey):
        await store.put(f"{bucket}/a", b"y")
    with pytest.raises(InvalidKey):
        await store.put(f"{bucket}/a/b/c", b"y")
    assert [info.key async for info in store.list(bucket)] == [f"{bucket}/a/b"]


@pytest.mark.parametrize("size", [8 * MIB, 8 * MIB + 1, 20 * MIB + 7])
async def test_a_large_file_goes_up_and_comes_down(
    store: ObjectStore, bucket: str, tmp_path: Path, size: int
) -> None:
    source = tmp_path / "source"
    source.write_bytes(hashlib.shake_128(b"seed").digest(size))
    written = await store.upload(f"{bucket}/large.bin", source)
    copy = await store.download(f"{bucket}/large.bin", tmp_path / "copy")
    assert copy.read_bytes() == source.read_bytes()
    assert written.size == size
    assert (await store.head(f"{bucket}/large.bin")).etag == written.etag


async def test_equal_large_files_get_equal_etags(
    store: ObjectStore, bucket: str, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x" * (17 * MIB))
    first = await store.upload(f"{bucket}/one", source)
    second = await store.put(f"{bucket}/two", source.read_bytes())
    assert first.etag == second.etag


async def test_a_stream_gives_the_bytes_in_chunks(store: ObjectStore, bucket: str) -> None:
    data = b"0123456789" * 500_000
    await store.put(f"{bucket}/x", data)
    chunks = [chunk async for chunk in store.stream(f"{bucket}/x")]
    assert b"".join(chunks) == data
    assert len(chunks) > 1


async def test_a_read_of_one_version_refuses_another(store_url: str, bucket: str) -> None:
    backend, key = open_backend(store_url), parse_key(f"{bucket}/x")
    with Body(b"first") as body:
        first = await backend.put(key, body, metadata={})
    async with backend.get(key, etag=first.etag) as reading:
        assert b"".join([chunk async for chunk in reading.chunks]) == b"first"
    with Body(b"second") as body:
        await backend.put(key, body, metadata={})
    with pytest.raises(StoreError, match="overwritten"):
        async with backend.get(key, etag=first.etag):
            pass
    await backend.close()


async def test_a_reader_that_stops_early_leaves_the_store_usable(
    store: ObjectStore, bucket: str
) -> None:
    await store.put(f"{bucket}/x", b"x" * (5 * MIB))
    stream = store.stream(f"{bucket}/x")
    assert len(await stream.__anext__()) > 0
    await stream.aclose()  # type: ignore[attr-defined]
    assert len(await store.get(f"{bucket}/x")) == 5 * MIB


async def test_a_cancelled_upload_leaves_nothing_visible(
    store: ObjectStore, bucket: str, tmp_path: Path
) -> None:
    await store.put(f"{bucket}/other", b"x")
    source = tmp_path / "source"
    with source.open("wb") as file:
        file.truncate(256 * MIB)
    if store.url.startswith("memory"):
        pytest.skip("one step in memory: nothing to cancel")
    with anyio.move_on_after(0.1) as scope:
        await store.upload(f"{bucket}/x", source)
    assert scope.cancelled_caught
    assert [info.key async for info in store.list(bucket)] == [f"{bucket}/other"]


async def test_many_heads_at_once_all_answer(store: ObjectStore, bucket: str) -> None:
    await store.put(f"{bucket}/x", b"x")
    found = await asyncio.gather(*(store.exists(f"{bucket}/x") for _ in range(200)))
    assert all(found)


async def test_many_first_writers_of_a_bucket_all_succeed(store: ObjectStore, bucket: str) -> None:
    await asyncio.gather(*(store.put(f"{bucket}/n{n}", b"x") for n in range(20)))
    assert len([info async for info in store.list(bucket)]) == 20


async def test_a_presigned_url_needs_no_credentials_where_there_is_one(
    store: ObjectStore, bucket: str
) -> None:
    await store.put(f"{bucket}/x", b"hello")
    if not store.url.startswith("s3"):
        with pytest.raises(StoreError, match="S3"):
            await store.presign(f"{bucket}/x")
        return
    opener = build_opener(ProxyHandler({}))
    read = await store.presign(f"{bucket}/x", seconds=60)
    write = await store.presign(f"{bucket}/y", seconds=60, method="PUT")

    def use() -> bytes:
        request = Request(write, b"put", {"Content-Type": "text/plain"}, method="PUT")
        opener.open(request, timeout=10).close()
        with opener.open(read, timeout=10) as answer:
            return bytes(answer.read())

    assert await asyncio.to_thread(use) == b"hello"
    assert await store.get(f"{bucket}/y") == b"put"
