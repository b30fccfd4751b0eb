"""What only S3 does; against a real server process on loopback."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import ProxyHandler, build_opener

import anyio
import pytest

from object_store import NoSuchKey, ObjectStore, StoreError, StoreUnavailable, open_store
from object_store.s3 import S3Backend
from object_store.s3.address import Address
from object_store.s3.upload import PART, part_size
from object_store.wire import Context

MIB = 1024 * 1024


@contextmanager
def grumbling_allowed() -> Iterator[None]:
    """aiohttp leaves the error of a request's body in a task that nobody asks."""
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not isinstance(context.get("exception"), OSError):
            (before or type(loop).default_exception_handler)(loop, context)

    loop.set_exception_handler(handle)
    try:
        yield
    finally:
        gc.collect()
        loop.set_exception_handler(before)


def needs_signatures(server: Any) -> None:
    if server.kind == "moto":
        pytest.skip("moto's server checks no signature")


@pytest.mark.parametrize(
    ("url", "endpoint", "region"),
    [
        ("s3://", None, "us-east-1"),
        ("s3://?region=eu-west-1", None, "eu-west-1"),
        ("s3://host", "https://host", "us-east-1"),
        ("s3://host:9000?tls=0", "http://host:9000", "us-east-1"),
        ("s3+http://host:9000/", "http://host:9000", "us-east-1"),
        ("s3://[::1]:9000?tls=0&region=r", "http://[::1]:9000", "r"),
    ],
)
def test_a_url_says_where(url: str, endpoint: str | None, region: str) -> None:
    address = Address.from_url(url, {})
    assert (address.endpoint, address.region) == (endpoint, region)


def test_the_environment_says_what_the_url_does_not() -> None:
    environ = {"AWS_ENDPOINT_URL_S3": "http://u:hidden@host:1/", "AWS_DEFAULT_REGION": "eu"}
    address = Address.from_url("s3://", environ)
    assert (address.endpoint, address.region, address.url) == (
        "http://host:1",
        "eu",
        "s3+http://host:1",
    )
    assert Address.from_url("s3://other?region=r", environ).url == "s3://other"


def test_credentials_are_percent_decoded_and_never_shown() -> None:
    address = Address.from_url("s3://a%2Fc:s%3Ac%40r%2Bt@host?bucket_prefix=p-", {})
    assert address.credentials == ("a/c", "s:c@r+t")
    assert address.url == "s3://host?bucket_prefix=p-"
    assert "s:c@r+t" not in repr(address)


@pytest.mark.parametrize(
    "url",
    [
        "s3://a:hidden@host/bucket",
        "s3://a:hidden@host?tsl=0",
        "s3://a:hidden@host?tls=no",
        "s3://a:hidden@host:port",
        "s3://:hidden@host",
        "s3://hidden@host",
        "s3://a:hid/den@host",
        "s3://a:hidden@host#x",
    ],
)
def test_a_wrong_url_is_explained_and_not_repeated(url: str) -> None:
    with pytest.raises(StoreError, match="percent-encoded") as caught:
        Address.from_url(url, {})
    assert "hid" not in str(caught.value)


def test_equal_sizes_give_equal_parts_within_the_limits() -> None:
    for size in (PART + 1, 10_000 * PART, 10_000 * PART + 1, 5 * 1024**4):
        part = part_size(size)
        assert -(-size // part) <= 10_000
        assert part >= PART
    assert part_size(1) == part_size(10_000 * PART) == PART


async def test_a_missing_bucket_and_a_missing_key_are_the_same(s3_server: Any, bucket: str) -> None:
    async with open_store(s3_server.url) as store:
        for use in (store.head, store.get, store.download):
            with pytest.raises(NoSuchKey):
                await use(f"{bucket}/x")
        await store.delete(f"{bucket}/x")
        await store.put(f"{bucket}/y", b"")
        for use in (store.head, store.get, store.download):
            with pytest.raises(NoSuchKey) as caught:
                await use(f"{bucket}/x")
            assert caught.value.key == f"{bucket}/x"


async def test_a_head_is_the_first_thing_that_a_new_connection_does(
    s3_server: Any, bucket: str
) -> None:
    async with open_store(s3_server.url) as store:
        await store.put(f"{bucket}/x", b"x")
    async with open_store(s3_server.url) as store:
        assert not await store.exists(f"{bucket}/missing")
        assert await store.exists(f"{bucket}/x")


async def test_a_wrong_secret_is_no_missing_object(s3_server: Any, bucket: str) -> None:
    needs_signatures(s3_server)
    async with open_store(s3_server.url) as store:
        await store.put(f"{bucket}/x", b"x")
    for who in ("test:wrong-secret", "nobody:wrong-secret"):
        url = f"s3+http://{who}@127.0.0.1:{s3_server.port}"
        async with open_store(url) as store:
            uses = [store.get, store.head, store.exists, store.delete]
            for use in uses:
                with pytest.raises(StoreUnavailable, match=r"access key, its secret") as caught:
                    await use(f"{bucket}/x")
                assert "wrong-secret" not in str(caught.value)
            for size in (1, 100_000, 9 * MIB):
                with pytest.raises(StoreUnavailable, match="access key, its secret"):
                    await store.put(f"{bucket}/new", b"x" * size)
            with pytest.raises(StoreUnavailable, match="access key, its secret"):
                _ = [info async for info in store.list(bucket)]


async def test_no_credentials_at_all_say_what_to_set(
    s3_server: Any, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    async with open_store(f"s3+http://127.0.0.1:{s3_server.port}") as store:
        with pytest.raises(StoreUnavailable, match="AWS_ACCESS_KEY_ID"):
            await store.get(f"{bucket}/x")


async def test_credentials_and_endpoint_come_from_the_environment(
    s3_server: Any, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{s3_server.port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret)
    async with open_store("s3://") as store:
        await store.put(f"{bucket}/x", b"x")
        assert await store.get(f"{bucket}/x") == b"x"


async def test_a_bucket_prefix_is_in_s3_and_in_no_key(s3_server: Any, bucket: str) -> None:
    async with open_store(s3_server.url + "?bucket_prefix=mine-") as store:
        await store.put(f"{bucket}/x", b"x")
        assert [info.key async for info in store.list(bucket)] == [f"{bucket}/x"]
    async with open_store(s3_server.url) as store:
        assert await store.get(f"mine-{bucket}/x") == b"x"


async def test_ten_stores_race_to_make_a_bucket(s3_server: Any, bucket: str) -> None:
    async def write(n: int, size: int) -> None:
        async with open_store(s3_server.url) as store:
            await store.put(f"{bucket}/n{n}", b"x" * size)

    await asyncio.gather(*(write(n, n * 50_000) for n in range(10)))
    async with open_store(s3_server.url) as store:
        assert len([info async for info in store.list(bucket)]) == 10


async def test_etags_are_plain_hexadecimal(s3_server: Any, bucket: str) -> None:
    async with open_store(s3_server.url) as store:
        put = await store.put(f"{bucket}/x", b"hello")
        head = await store.head(f"{bucket}/x")
        (listed,) = [info async for info in store.list(bucket)]
        await store.get(f"{bucket}/x")
        etags = {put.etag, head.etag, listed.etag}
        etags |= {record.etag for record in store.io.reads + store.io.writes}
        assert etags == {hashlib.md5(b"hello").hexdigest()}
        parts = await store.put(f"{bucket}/parts", b"x" * (9 * MIB))
        assert parts.etag == (await store.head(f"{bucket}/parts")).etag
        assert parts.etag.endswith("-2")


@pytest.mark.parametrize("size", [5, 9 * MIB])
async def test_a_call_id_beyond_ascii_is_who_wrote(s3_server: Any, bucket: str, size: int) -> None:
    context = Context(run="lauf-é", call="zerlegen ✂", attempt="a%1")
    async with open_store(s3_server.url, context=context) as store:
        await store.put(f"{bucket}/x", b"x" * size)
        assert (await store.head(f"{bucket}/x")).by == context.by
        await store.get(f"{bucket}/x")
        assert store.io.reads[0].by == context.by


async def test_a_presigned_url_is_for_one_method_and_ends(s3_server: Any, bucket: str) -> None:
    needs_signatures(s3_server)
    key = f"{bucket}/a b/ü+%20.txt"
    opener = build_opener(ProxyHandler({}))
    async with open_store(s3_server.url) as store:
        await store.put(key, b"hello")
        read = await store.presign(key, seconds=60)
        assert quote(s3_server.secret, safe="") not in read
        assert s3_server.secret not in read
        short = await store.presign(key, seconds=1)
        with pytest.raises(StoreError, match="use GET, HEAD or PUT"):
            await store.presign(key, method="DELETE")

    def status(url: str, data: bytes | None = None) -> int:
        try:
            with opener.open(url, data=data, timeout=10) as answer:
                return int(answer.status)
        except HTTPError as error:
            with error:
                return error.code

    assert await asyncio.to_thread(status, read) == 200
    assert await asyncio.to_thread(status, read, b"posted") >= 400
    answers = []
    for _ in range(30):  # it ends by the server's clock
        answers.append(await asyncio.to_thread(status, short))
        await anyio.sleep(0.1)
    assert answers[-1] == 403


async def test_a_server_that_is_gone_is_unavailable_and_comes_back(
    own_s3_server: Any, bucket: str
) -> None:
    async with AsyncExitStack() as stack:
        stack.enter_context(grumbling_allowed())
        store = await stack.enter_async_context(open_store(own_s3_server.url))
        await store.put(f"{bucket}/x", b"x" * (30 * MIB))
        stream = store.stream(f"{bucket}/x")
        assert await stream.__anext__()
        own_s3_server.kill()
        with pytest.raises(StoreUnavailable, match="that the server runs"):
            _ = [chunk async for chunk in stream]
        with pytest.raises(StoreUnavailable):
            await store.head(f"{bucket}/x")
        if own_s3_server.kind == "moto":
            return  # its objects were in memory
        own_s3_server.start(same_port=True)
        assert len(await store.get(f"{bucket}/x")) == 30 * MIB


async def test_a_server_that_dies_in_an_upload_leaves_no_object(
    own_s3_server: Any, bucket: str
) -> None:
    async with AsyncExitStack() as stack:
        stack.enter_context(grumbling_allowed())
        store = await stack.enter_async_context(open_store(own_s3_server.url))
        await store.put(f"{bucket}/other", b"x")

        async def upload() -> None:
            with pytest.raises(StoreUnavailable):
                await store.put(f"{bucket}/x", b"x" * (200 * MIB))

        async with anyio.create_task_group() as group:
            group.start_soon(upload)
            await anyio.sleep(0.2)
            own_s3_server.kill()
        if own_s3_server.kind == "moto":
            return
        own_s3_server.start(same_port=True)
        assert [info.key async for info in store.list(bucket)] == [f"{bucket}/other"]


async def test_a_store_closed_is_connected_again_when_used(s3_server: Any, bucket: str) -> None:
    backend = S3Backend(Address.from_url(s3_server.url))
    store = ObjectStore(backend)
    await store.put(f"{bucket}/x", b"x")
    await backend.close()
    assert await store.get(f"{bucket}/x") == b"x"
    await backend.close()
