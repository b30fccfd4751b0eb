"""The folder store: where files lie, who may touch them, and what a crash or a race leaves."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import anyio
import pytest

from object_store import InvalidKey, NoSuchKey, StoreUnavailable, open_store
from object_store.backend import Body
from object_store.folder import FolderBackend
from object_store.folder_files import Files, Metadata, Opened
from object_store.keys import parse_key
from object_store.wire import Context

CONTEXT = Context(run="r1", call="split", attempt="a1")
SRC = Path(__file__).parents[2] / "src"
MIB = 1024 * 1024


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the store is; not there yet."""
    return tmp_path / "store"


def start(code: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Another process with the store."""
    environment = {**os.environ, "PYTHONPATH": str(SRC)}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)


async def test_an_object_is_a_file_where_a_person_looks(root: Path) -> None:
    async with open_store(f"folder://{root}", context=CONTEXT) as store:
        await store.put("films/a/b.txt", b"hello")
    assert (root / "films/a/b.txt").read_bytes() == b"hello"
    assert (root / ".aowhisk/films/a/b.txt.json").is_file()


async def test_the_store_is_made_by_the_first_write(root: Path) -> None:
    async with open_store(f"folder://{root}") as store:
        assert not await store.exists("films/a")
        assert [info async for info in store.list("films")] == []
        await store.delete("films/a")
    assert not root.exists()


async def test_a_path_with_signs_is_a_store(tmp_path: Path) -> None:
    backend = FolderBackend(tmp_path / "a b%20é")
    async with open_store(backend.url) as store:
        await store.put("films/a", b"x")
    assert (tmp_path / "a b%20é/films/a").read_bytes() == b"x"


async def test_a_file_that_a_person_copied_in_is_an_object_of_nobody(root: Path) -> None:
    (root / "films").mkdir(parents=True)
    (root / "films/a").write_bytes(b"by hand")
    async with open_store(f"folder://{root}") as store:
        info = await store.head("films/a")
        assert await store.get("films/a") == b"by hand"
    assert (info.etag, info.by) == (hashlib.md5(b"by hand").hexdigest(), None)


async def test_a_file_that_a_person_changed_loses_its_writer(root: Path) -> None:
    async with open_store(f"folder://{root}", context=CONTEXT) as store:
        await store.put("films/a", b"first")
        assert (await store.head("films/a")).by == "r1/split/a1"
        (root / "films/a").write_bytes(b"other")
        os.utime(root / "films/a", (1, 1))  # of the same size: the time tells
        info = await store.head("films/a")
    assert (info.etag, info.by) == (hashlib.md5(b"other").hexdigest(), None)


async def test_a_file_that_replaced_another_loses_its_writer(root: Path, tmp_path: Path) -> None:
    async with open_store(f"folder://{root}", context=CONTEXT) as store:
        await store.put("films/a", b"first")
        was = (root / "films/a").stat()
        (tmp_path / "new").write_bytes(b"other")
        os.utime(tmp_path / "new", ns=(was.st_atime_ns, was.st_mtime_ns))
        (tmp_path / "new").replace(root / "films/a")  # size and time alike: the inode tells
        info = await store.head("films/a")
    assert (info.etag, info.by) == (hashlib.md5(b"other").hexdigest(), None)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"size": 5}', '{"etag": 1, "metadata": null}'])
async def test_broken_metadata_are_no_metadata(root: Path, text: str) -> None:
    async with open_store(f"folder://{root}", context=CONTEXT) as store:
        await store.put("films/a", b"hello")
        (root / ".aowhisk/films/a.json").write_text(text)
        info = await store.head("films/a")
    assert (info.etag, info.by) == (hashlib.md5(b"hello").hexdigest(), None)


async def test_metadata_of_a_crash_before_the_rename_are_not_of_the_old_file(root: Path) -> None:
    # given an object, and a writer that died after its metadata and before its data
    async with open_store(f"folder://{root}") as store:
        await store.put("films/a", b"old")
    files, key = Files(root), parse_key("films/a")
    with files.temporary() as file:
        file.write(b"new")
        file.flush()
        written = Opened(file, os.fstat(file.fileno()), Metadata("etag of new", {}))
        files._keep(key, written)
    # when it is read, then it is the old one
    async with open_store(f"folder://{root}") as store:
        assert await store.get("films/a") == b"old"
        assert (await store.head("films/a")).etag == hashlib.md5(b"old").hexdigest()


@pytest.mark.parametrize("name", ["n" * 255, "é" * 127])
async def test_the_longest_names_keep_their_metadata(root: Path, name: str) -> None:
    async with open_store(f"folder://{root}", context=CONTEXT) as store:
        await store.put(f"films/{name}", b"x")
        assert (await store.head(f"films/{name}")).by == "r1/split/a1"


async def test_objects_whose_metadata_want_one_name_both_keep_them(root: Path) -> None:
    async with open_store(f"folder://{root}", context=CONTEXT) as store:
        for keys in (("films/a", "films/a.json/b"), ("cards/a.json/b", "cards/a")):
            for key in keys:
                await store.put(key, key)
            for key in keys:
                assert (await store.head(key)).by == "r1/split/a1"
                assert await store.get(key) == key.encode()


async def test_a_deleted_object_leaves_no_folder_and_no_metadata(root: Path) -> None:
    async with open_store(f"folder://{root}") as store:
        await store.put("films/a/b/c", b"x")
        await store.put("films/a/d", b"x")
        await store.delete("films/a/b/c")
    left = {str(path.relative_to(root)) for path in root.rglob("*")}
    assert left == {
        ".aowhisk",
        ".aowhisk/.lock",
        ".aowhisk/.tmp",
        ".aowhisk/films",
        ".aowhisk/films/a",
        ".aowhisk/films/a/d.json",
        "films",
        "films/a",
        "films/a/d",
    }


async def test_links_that_lead_out_are_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/file").write_bytes(b"secret")
    async with open_store(f"folder://{root}") as store:
        await store.put("films/a", b"x")
        (root / "films/file").symlink_to(tmp_path / "secret/file")
        (root / "films/folder").symlink_to(tmp_path / "secret")
        (root / "films/private").symlink_to(root / ".aowhisk")
        (root / "bucket").symlink_to(tmp_path / "secret")
        for key in (
            "films/file",
            "films/folder/file",
            "films/folder/new",
            "films/private/films/a.json",
            "bucket/file",
        ):
            for use in (store.get, store.head, store.delete):
                with pytest.raises(InvalidKey, match="link"):
                    await use(key)
            with pytest.raises(InvalidKey, match="link"):
                await store.put(key, b"overwritten")
        assert [info.key async for info in store.list("films/")] == ["films/a"]
        assert [info.key async for info in store.list("films/folder/")] == []
        assert [info.key async for info in store.list("bucket")] == []
    assert (tmp_path / "secret/file").read_bytes() == b"secret"
    assert os.listdir(tmp_path / "secret") == ["file"]


async def test_links_that_stay_inside_are_followed(root: Path) -> None:
    async with open_store(f"folder://{root}") as store:
        await store.put("films/a", b"x")
        (root / "films/same").symlink_to("a")
        assert await store.get("films/same") == b"x"


async def test_a_store_behind_a_link_is_a_store(root: Path, tmp_path: Path) -> None:
    root.mkdir()
    (tmp_path / "link").symlink_to(root)
    async with open_store(f"folder://{tmp_path / 'link'}") as store:
        await store.put("films/a", b"x")
        assert await store.get("films/a") == b"x"


async def test_a_pipe_is_no_object_and_holds_nobody(root: Path) -> None:
    (root / "films").mkdir(parents=True)
    os.mkfifo(root / "films/pipe")
    async with open_store(f"folder://{root}") as store:
        with anyio.fail_after(5):
            with pytest.raises(NoSuchKey):
                await store.get("films/pipe")
            assert [info async for info in store.list("films")] == []


async def test_names_that_differ_in_case_are_two_objects_where_files_do(root: Path) -> None:
    async with open_store(f"folder://{root}") as store:
        await store.put("films/A/x", b"1")
        if (root / "films/a/x").exists():
            pytest.skip("this file system folds case")
        await store.put("films/a/x", b"2")
        assert await store.get("films/A/x") == b"1"


async def test_names_that_differ_in_case_are_refused_where_files_do_not(root: Path) -> None:
    async with open_store(f"folder://{root}") as store:
        await store.put("films/Dir/Name", b"x")
    backend = FolderBackend(root)
    backend._files._folds_case = True  # what it finds out on such a file system
    for name in ("films/dir/other", "films/Dir/name"):
        with pytest.raises(InvalidKey, match="does not tell"), Body(b"y") as body:
            await backend.put(parse_key(name), body, metadata={})
    for name in ("films/Dir/Name", "films/Dir/else"):
        with Body(b"y") as body:
            await backend.put(parse_key(name), body, metadata={})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do anything")
async def test_a_folder_that_we_may_only_read_can_be_read(root: Path) -> None:
    async with open_store(f"folder://{root}", context=CONTEXT) as store:
        await store.put("films/a", b"x")
        os.chmod(root / ".aowhisk", 0o500)
        os.chmod(root / "films", 0o500)
        try:
            assert (await store.head("films/a")).by == "r1/split/a1"
            with pytest.raises(StoreUnavailable, match="permissions"):
                await store.put("films/b", b"x")
        finally:
            os.chmod(root / ".aowhisk", 0o700)
            os.chmod(root / "films", 0o700)


async def test_a_root_that_is_a_file_is_unavailable(root: Path) -> None:
    root.write_bytes(b"")
    async with open_store(f"folder://{root}") as store:
        with pytest.raises(StoreUnavailable, match="check the folder"):
            await store.put("films/a", b"x")


async def test_a_reader_keeps_its_version_while_another_is_written(root: Path) -> None:
    first, second = b"1" * (3 * MIB), b"2" * (3 * MIB)
    async with open_store(f"folder://{root}") as store:
        await store.put("films/a", first)
        stream = store.stream("films/a")
        chunks = [await stream.__anext__()]
        await store.put("films/a", second)
        chunks += [chunk async for chunk in stream]
        assert b"".join(chunks) == first
        assert await store.get("films/a") == second


async def test_a_writer_that_is_killed_leaves_nothing_visible(root: Path, tmp_path: Path) -> None:
    async with open_store(f"folder://{root}") as store:
        await store.put("films/other", b"x")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(4096 * MIB)
    writer = start(
        "import asyncio, sys\n"
        "from object_store import open_store\n"
        "async def main():\n"
        "    async with open_store(sys.argv[1]) as store:\n"
        "        await store.upload('films/a', sys.argv[2])\n"
        "asyncio.run(main())",
        f"folder://{root}",
        str(tmp_path / "large"),
    )
    with anyio.fail_after(20):
        while not os.listdir(root / ".aowhisk/.tmp"):
            await anyio.sleep(0.01)
    writer.send_signal(signal.SIGKILL)
    assert writer.wait() == -signal.SIGKILL
    writer.communicate()
    async with open_store(f"folder://{root}") as store:
        assert [info.key async for info in store.list("films")] == ["films/other"]


async def test_a_write_that_fails_leaves_no_file_behind(root: Path, tmp_path: Path) -> None:
    async with open_store(f"folder://{root}") as store:
        await store.put("films/a/b", b"x")
        with pytest.raises(InvalidKey):
            await store.put("films/a", b"y")
        with pytest.raises(FileNotFoundError):
            await store.upload("films/c", tmp_path / "missing")
        with (tmp_path / "large").open("wb") as file:
            file.truncate(512 * MIB)
        with anyio.move_on_after(0.05) as scope:
            await store.upload("films/d", tmp_path / "large")
        assert scope.cancelled_caught
    assert os.listdir(root / ".aowhisk/.tmp") == []


RACER = """
import asyncio, sys
from object_store import open_store
from object_store.wire import Context

async def main(url, me):
    async with open_store(url, context=Context("r", "c", me)) as store:
        print("ready", flush=True)
        sys.stdin.readline()
        for n in range(150):
            await store.put("films/same", f"{me}:{n}:" + me * 1000)
            await store.put(f"films/{me}/{n % 3}", me)
            await store.delete(f"films/{me}/{n % 3}")

asyncio.run(main(*sys.argv[1:]))
"""


async def test_two_processes_write_one_object_and_its_metadata_stay_its_own(root: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(SRC)}
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, f"folder://{root}", me],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for me in ("a", "b")
    ]
    async with open_store(f"folder://{root}", context=Context("r", "c", "0")) as store:
        await store.put("films/same", "0:0:" + "0" * 1000)
        for racer in racers:
            assert racer.stdout is not None
            assert (await asyncio.to_thread(racer.stdout.readline)).strip() == b"ready"
        ends = [asyncio.to_thread(racer.communicate, b"go\n") for racer in racers]
        done = threading.Event()

        async def read_on() -> None:
            """What is read is always whole, and by whom its metadata say."""
            while not done.is_set():
                data = (await store.get("films/same")).decode()
                writer = store.io.reads[-1].by
                me = data.partition(":")[0]
                assert data.endswith(me * 1000)
                assert writer == f"r/c/{me}"

        async with anyio.create_task_group() as group:
            group.start_soon(read_on)
            await asyncio.gather(*ends)
            done.set()
        assert [racer.returncode for racer in racers] == [0, 0]
        assert [info.key async for info in store.list("films")] == ["films/same"]
        last = (await store.get("films/same")).decode().split(":")
        assert (last[1], (await store.head("films/same")).by) == ("149", f"r/c/{last[0]}")
    assert os.listdir(root / ".aowhisk/.tmp") == []
