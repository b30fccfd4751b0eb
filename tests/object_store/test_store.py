"""The store as an action sees it: what is recorded, what is restored, which files it leaves."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from object_store import (
    InvalidKey,
    NoSuchKey,
    ObjectStore,
    StoreError,
    StoreUnavailable,
    open_store,
)
from object_store.backend import Body, Reading
from object_store.keys import Key, parse_key
from object_store.memory import MemoryBackend
from object_store.wire import Context

FIRST = Context(run="r1", call="split", attempt="a1")
AGAIN = Context(run="r1", call="split", attempt="a2", try_=2, restore=("b-1/r1/lost",))


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A store with files."""
    return f"folder://{tmp_path}/store"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "a plain name"),
        ("/srv/data", "a plain name"),
        ("folder://relative/path", "folder:///absolute/path"),
        ("folder:relative/path", "folder:///absolute/path"),
        ("folder", "a plain name"),
        ("ftp://user:secret@host", "begin with 'ftp:'; use"),
        ("s3:bucket", "begin with 's3:'; use"),
    ],
)
async def test_a_wrong_url_says_what_to_write(url: str, says: str) -> None:
    with pytest.raises(StoreError, match=says):
        async with open_store(url):
            pass


async def test_the_slashes_before_a_path_or_a_name_may_be_left_out(tmp_path: Path) -> None:
    async with open_store(f"folder:{tmp_path}/store") as one:
        await one.put("b-1/x", b"hello")
    async with open_store(f"folder://{tmp_path}/store") as other:
        assert await other.get("b-1/x") == b"hello"
    async with open_store("memory:same") as one, open_store("memory://same") as other:
        await one.put("b-1/x", b"hello")
        assert await other.get("b-1/x") == b"hello"


async def test_reads_and_writes_are_recorded_with_size_etag_digest_and_writer(url: str) -> None:
    async with open_store(url, context=FIRST) as store:
        written = await store.put("b-1/x", b"hello")
    async with open_store(url, context=Context("r1", "join", "a9")) as store:
        await store.get("b-1/x")
        [chunk async for chunk in store.stream("b-1/x")]
        await store.download("b-1/x")
        await store.put("b-1/y", "done")
        io = store.io
    assert (io.attempt, io.context) == ("a9", Context("r1", "join", "a9"))
    digest = hashlib.sha256(b"hello").hexdigest()
    for read in io.reads:
        assert (read.key, read.size, read.etag) == ("b-1/x", 5, written.etag)
        assert (read.sha256, read.by) == (digest, "r1/split/a1")
        assert read.at > 1_600_000_000_000
        assert read.ms >= 0
    assert len(io.reads) == 3
    (write,) = io.writes
    assert (write.key, write.size, write.by, write.kept) == ("b-1/y", 4, None, False)
    assert write.sha256 == hashlib.sha256(b"done").hexdigest()


async def test_looking_is_not_recorded(url: str) -> None:
    async with open_store(url, context=FIRST) as store:
        await store.exists("b-1/x")
        with pytest.raises(NoSuchKey):
            await store.get("b-1/x")
        [info async for info in store.list("b-1")]
        assert (store.io.reads, store.io.writes) == ((), ())


async def test_a_read_that_was_not_finished_is_recorded_without_a_digest(url: str) -> None:
    async with open_store(url) as store:
        await store.put("b-1/x", b"x" * 3_000_000)
        async for _ in store.stream("b-1/x"):
            break
        (read,) = store.io.reads
    assert (read.size, read.sha256) == (3_000_000, None)


async def test_keys_carry_the_run_and_stay_valid(url: str) -> None:
    async with open_store(url, context=FIRST) as store:
        assert store.key("b-1/a/b") == "b-1/r1/a/b"
        for wrong in ("b-1", "b-1/../a", "b-1/" + "a/" * 511 + "a"):
            with pytest.raises(InvalidKey):
                store.key(wrong)
    async with open_store(url) as store:
        assert store.key("b-1/a/b") == "b-1/a/b"


async def test_a_recovery_attempt_leaves_what_is_there_and_says_so(
    url: str, tmp_path: Path
) -> None:
    async with open_store(url, context=FIRST) as store:
        for name in ("lost", "kept"):
            await store.put(f"b-1/r1/{name}", b"first")
        await store.delete("b-1/r1/lost")
    async with open_store(url, context=AGAIN) as store:
        (tmp_path / "file").write_bytes(b"again")
        await store.put("b-1/r1/lost", b"again")
        standing = await store.upload("b-1/r1/kept", tmp_path / "file")
        await store.put("b-1/r1/gone too", b"again")
        lost, kept, gone = store.io.writes
        assert await store.get("b-1/r1/kept") == b"first"
    assert (kept.kept, kept.by, kept.etag) == (True, "r1/split/a1", standing.etag)
    assert kept.sha256 is None
    assert [(write.kept, write.by) for write in (lost, gone)] == [(False, None)] * 2


async def test_a_download_without_a_path_is_gone_with_the_store(url: str) -> None:
    async with open_store(url) as store:
        await store.put("b-1/a/film.mp4", b"x")
        first = await store.download("b-1/a/film.mp4")
        second = await store.download("b-1/a/film.mp4")
        assert first.name == second.name == "film.mp4"
        assert first != second
        assert first.read_bytes() == b"x"
    assert not first.parent.parent.exists()


class BrokenReading(MemoryBackend):
    """A store whose connection breaks after the first bytes of every object."""

    def get(self, key: Key, *, etag: str | None = None) -> BrokenOpening:
        return BrokenOpening(self, key)


class BrokenOpening:
    def __init__(self, backend: MemoryBackend, key: Key) -> None:
        self._opening = MemoryBackend.get(backend, key)

    async def __aenter__(self) -> Reading:
        reading = await self._opening.__aenter__()
        return Reading(reading.info, self._break(reading.chunks))

    async def __aexit__(self, *error: object) -> None:
        await self._opening.__aexit__(None, None, None)

    async def _break(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            yield chunk
            raise StoreUnavailable("the connection broke")


async def test_a_download_that_breaks_leaves_what_was_there(tmp_path: Path) -> None:
    backend = BrokenReading("broken")
    with Body(b"new") as body:
        await backend.put(parse_key("b-1/x"), body, metadata={})
    (tmp_path / "file").write_bytes(b"old")
    store = ObjectStore(backend)
    with pytest.raises(StoreUnavailable):
        await store.download("b-1/x", tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


@pytest.mark.parametrize("data", [5, None, ["x"], {"a": 1}])
async def test_only_bytes_and_text_can_be_put(url: str, data: object) -> None:
    async with open_store(url) as store:
        with pytest.raises(TypeError, match="bytes or text"):
            await store.put("b-1/x", data)  # type: ignore[arg-type]
        assert not await store.exists("b-1/x")


async def test_a_file_that_shrinks_while_it_goes_up_is_no_object(url: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x" * 100)
    with Body(source) as body:
        source.write_bytes(b"x" * 10)
        with pytest.raises(StoreError, match="became shorter"):
            body.read(body.size)


async def test_stores_of_one_name_in_memory_share_their_objects() -> None:
    async with open_store("memory://shared") as one, open_store("memory://shared") as other:
        await one.put("b-1/x", b"x")
        assert await other.get("b-1/x") == b"x"
    async with open_store("memory://another") as store:
        assert not await store.exists("b-1/x")
