"""Memory cgroups: where they are, and what the kernel does in them."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from aowhisk.local.cgroups import Cgroups

TEXT = "The action exhausted its memory and was aborted."
GRAB = "def main(args):\n    return {'n': len(b'x' * (args['mb'] << 20))}\n"
CHILD = (
    "import subprocess, sys\n\n\ndef main(args):\n"
    "    grab = 'x = bytes([1]) * (300 << 20); print(len(x))'\n"
    "    return {'code': subprocess.run([sys.executable, '-c', grab]).returncode}\n"
)


@pytest.fixture
def kernel() -> None:
    """Skips where this process may not have memory cgroups."""
    found = Cgroups.here()
    if found is None:
        pytest.skip("there are no memory cgroups for us")
    found.remove()


def tree(tmp_path: Path, *, kind: str, options: str, root: str, line: str) -> Path:
    """A /proc/self of a process in the cgroup `line`, of which `root` is mounted."""
    proc = tmp_path / "proc"
    proc.mkdir()
    mount = f"35 31 0:32 {root} {tmp_path}/cg rw,relatime shared:9 - {kind} {kind} {options}\n"
    (proc / "mountinfo").write_text("22 1 0:1 / / rw - ext4 /dev/vda rw\n" + mount)
    (proc / "cgroup").write_text(line)
    return proc


async def test_the_kernel_ends_an_action_with_too_much_memory(kernel: None, rest: Any) -> None:
    await rest.put("greedy", GRAB, limits={"memory": 128})

    fits = await rest.invoke("greedy", mb=100)
    answer = await rest.invoke("greedy", mb=300)
    again = await rest.invoke("greedy", mb=100)

    assert fits.json()["response"]["result"] == {"n": 100 << 20}
    assert answer.json()["response"]["result"] == {"error": TEXT}
    assert answer.json()["response"]["status"] == "action developer error"
    assert again.status_code == 200


async def test_a_child_with_too_much_memory_is_ended_and_its_parent_told(
    kernel: None, rest: Any
) -> None:
    await rest.put("a", CHILD, limits={"memory": 128})

    assert await rest.result("a") == {"code": -9}


async def test_nothing_is_left_of_the_cgroups_of_a_server(kernel: None, opened: Any) -> None:
    async with opened() as (ow, rest):
        await rest.put("a")
        await rest.invoke("a")
        folder: Path = ow._cgroups._folder
        inside = [one.name for one in folder.iterdir() if one.is_dir()]
        (pid,) = ow.worker_pids
        groups = [one for one in inside if str(pid) in (folder / one / "cgroup.procs").read_text()]

    assert len(groups) == 1
    assert not folder.exists()


def test_what_a_killed_server_has_left_is_taken_away_by_the_next(kernel: None) -> None:
    ours = Cgroups.here()
    assert ours is not None
    left = ours._folder.with_name("aowhisk-999999999-x")
    (left / "1").mkdir(parents=True)
    kept = ours._folder.with_name(f"aowhisk-{os.getpid()}-x")
    kept.mkdir()
    try:
        other = Cgroups.here()
        assert other is not None
        other.remove()

        assert not left.exists()
        assert kept.exists()
    finally:
        kept.rmdir()
        ours.remove()


@pytest.mark.parametrize(
    ("root", "line"), [("/", "4:memory:/job\n"), ("/box", "4:memory:/box/job\n")]
)
def test_version_1_is_found_below_its_mount(tmp_path: Path, root: str, line: str) -> None:
    (tmp_path / "cg" / "job").mkdir(parents=True)
    proc = tree(tmp_path, kind="cgroup", options="rw,memory", root=root, line="0::/\n" + line)

    made = Cgroups.here(proc)

    # In a plain folder there is no cgroup.procs to write to: it is tried, and left alone.
    assert made is None
    assert list((tmp_path / "cg" / "job").iterdir()) == []


def test_version_2_wants_memory_looked_after_below(tmp_path: Path) -> None:
    own = tmp_path / "cg" / "scope"
    own.mkdir(parents=True)
    (own / "cgroup.subtree_control").write_text("")
    (own / "cgroup.procs").write_text(f"{os.getpid()}\n")
    proc = tree(tmp_path, kind="cgroup2", options="rw", root="/", line="0::/scope\n")

    assert Cgroups.here(proc) is None
    assert (own / "aowhisk-server" / "cgroup.procs").read_text() == "0"
    assert (own / "cgroup.subtree_control").read_text() == "+memory"


def test_version_2_leaves_a_cgroup_alone_in_which_others_run(tmp_path: Path) -> None:
    own = tmp_path / "cg" / "scope"
    own.mkdir(parents=True)
    (own / "cgroup.procs").write_text(f"1\n{os.getpid()}\n")
    proc = tree(tmp_path, kind="cgroup2", options="rw", root="/", line="0::/scope\n")

    assert Cgroups.here(proc) is None
    assert [one.name for one in own.iterdir()] == ["cgroup.procs"]


def test_where_there_is_no_proc_there_are_none(tmp_path: Path) -> None:
    assert Cgroups.here(tmp_path / sys.platform) is None
