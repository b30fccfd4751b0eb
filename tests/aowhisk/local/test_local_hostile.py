"""Actions that do their worst: one record each, and a server that goes on answering."""

import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from aowhisk.local import LocalOpenWhisk

DEVELOPER = "action developer error"
EXITED = "command exited"
OUT_OF_MEMORY = "The action exhausted its memory and was aborted."
NO_OBJECT = "The action did not return a dictionary or array."


@asynccontextmanager
async def answering(rest: Any) -> AsyncIterator[None]:
    """Fails where the server takes more than a second for an answer in the meantime."""
    longest = 0.0

    async def ask() -> None:
        nonlocal longest
        while True:
            began = time.perf_counter()
            assert (await rest.http.get("packages")).status_code == 200
            longest = max(longest, time.perf_counter() - began)
            await anyio.sleep(0.02)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        yield
        tasks.cancel_scope.cancel()
    assert longest < 1


@pytest.fixture
async def hostile(
    ow: LocalOpenWhisk, rest_on_a_port: Callable[..., Any]
) -> AsyncIterator[Callable[..., Any]]:
    """Runs code once and gives its record, having seen that it is the only one and that the
    server answered all the while."""
    async with rest_on_a_port(ow) as rest:

        async def run(code: str, **body: Any) -> dict[str, Any]:
            limits = {"timeout": 10_000} | body.pop("limits", {})
            await rest.put("bad", code, limits=limits)
            async with answering(rest):
                answer = await rest.invoke("bad", **body)
                found: dict[str, Any] = await rest.record(
                    answer.headers["x-openwhisk-activation-id"]
                )
            await rest.put("good")
            assert await rest.result("good", n=1) == {"n": 1}
            assert [one.id for one in ow.activations("bad")] == [found["activationId"]]
            return found

        yield run


def error(record: dict[str, Any]) -> tuple[str, Any]:
    return record["response"]["status"], record["response"]["result"]["error"]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def of_containers(ow: LocalOpenWhisk) -> set[int]:
    """Every process that was begun in a container of `ow`, wherever it has gone."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environ = (entry / "environ").read_bytes()
            except OSError:
                continue
            if b"AOWHISK_CONTAINER=" in environ and str(ow.root).encode() in environ:
                found.add(int(entry.name))
    return found


async def test_a_worker_killed_in_the_middle_of_a_call_costs_that_call(
    ow: LocalOpenWhisk, rest: Any, until: Any, tmp_path: Path
) -> None:
    code = (
        "import os, time\ndef main(args):\n    print('begun', flush=True)\n"
        "    open(args['file'], 'w').write(str(os.getpid()))\n    time.sleep(60)\n"
    )
    await rest.put("long", code)
    activation = (await rest.invoke("long", "", file=str(tmp_path / "pid"))).json()["activationId"]
    await until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "")

    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    with anyio.fail_after(1):
        record = await rest.record(activation)

    # Where the kernel looks after memory, what so many processes cost it may end them first.
    assert error(record) in ((DEVELOPER, EXITED), (DEVELOPER, OUT_OF_MEMORY))
    assert record["logs"][0].endswith("stdout: begun")
    assert len(ow.activations()) == 1


async def test_a_worker_killed_while_it_is_idle_costs_nothing(
    ow: LocalOpenWhisk, rest: Any, until: Any
) -> None:
    await rest.put("echo")
    await rest.invoke("echo")
    (pid,) = ow.worker_pids

    os.kill(pid, signal.SIGKILL)
    await until(lambda: not alive(pid))

    assert await rest.result("echo", n=2) == {"n": 2}
    assert [one.succeeded for one in ow.activations()] == [True, True]


@pytest.mark.parametrize(
    "fork",
    [
        # never more than 1,024 processes, which end by themselves after 20 s
        "for _ in range(10):\n        os.fork()\n    time.sleep(20)\n    os._exit(0)",
        "for _ in range(1000):\n        if os.fork() == 0:\n"
        "            time.sleep(20)\n            os._exit(0)\n    time.sleep(20)",
    ],
    ids=["all fork", "one forks"],
)
async def test_a_fork_bomb_is_put_out(
    ow: LocalOpenWhisk, hostile: Callable[..., Any], until: Any, fork: str
) -> None:
    record = await hostile(
        f"import os, time\ndef main(args):\n    {fork}\n", limits={"memory": 512}
    )

    if error(record) != (DEVELOPER, OUT_OF_MEMORY):  # as it may be, before they are counted
        assert error(record) == (DEVELOPER, EXITED)
        assert any("more than 512 processes" in line for line in record["logs"])
    await until(lambda: len(of_containers(ow)) < 8)


async def test_it_can_open_as_many_files_as_a_container_and_no_more(
    hostile: Callable[..., Any],
) -> None:
    code = (
        "def main(args):\n    files = []\n    try:\n        while True:\n"
        "            files.append(open('/dev/null'))\n"
        "    except OSError as problem:\n"
        "        return {'errno': problem.errno, 'open': len(files)}\n"
    )

    result = (await hostile(code))["response"]["result"]

    assert result["errno"] == 24  # EMFILE
    assert 1000 < result["open"] < 1024


async def test_what_fills_stdout_is_cut_and_runs_out_of_time(hostile: Callable[..., Any]) -> None:
    code = "def main(args):\n    while True:\n        print('x' * 1000)\n"

    record = await hostile(code, limits={"timeout": 1500, "logs": 1})

    text = "The action exceeded its time limits of 1500 milliseconds."
    assert error(record) == (DEVELOPER, text)
    assert record["logs"][-1].endswith("exceeds the limit of 1048576 bytes.")
    assert sum(map(len, record["logs"])) < 1_200_000


async def test_one_line_without_an_end_is_cut_too(hostile: Callable[..., Any]) -> None:
    code = (
        "import sys\ndef main(args):\n    while True:\n"
        "        sys.stderr.write('x' * 100000)\n        sys.stderr.flush()\n"
    )

    record = await hostile(code, limits={"timeout": 1000, "logs": 1})

    assert record["logs"][-1].endswith("exceeds the limit of 1048576 bytes.")
    assert sum(map(len, record["logs"])) < 1_200_000


@pytest.mark.parametrize("loop", ["time.sleep(1)", "pass"])
async def test_what_never_returns_runs_out_of_time(hostile: Callable[..., Any], loop: str) -> None:
    code = f"import time\ndef main(args):\n    while True:\n        {loop}\n"

    record = await hostile(code, limits={"timeout": 500})

    text = "The action exceeded its time limits of 500 milliseconds."
    assert error(record) == (DEVELOPER, text)


async def test_a_signal_that_is_ignored_does_not_help_it(hostile: Callable[..., Any]) -> None:
    code = (
        "import signal, time\ndef main(args):\n"
        "    for one in (signal.SIGTERM, signal.SIGINT, signal.SIGIO, signal.SIGHUP):\n"
        "        signal.signal(one, signal.SIG_IGN)\n    time.sleep(60)\n"
    )

    record = await hostile(code, limits={"timeout": 500})

    text = "The action exceeded its time limits of 500 milliseconds."
    assert error(record) == (DEVELOPER, text)


@pytest.mark.parametrize(
    "descriptors", ["range(4)", "range(100)", "[3]"], ids=["0 to 3", "all", "3"]
)
async def test_without_its_pipes_it_can_give_no_answer(
    hostile: Callable[..., Any], descriptors: str
) -> None:
    code = (
        f"import os\ndef main(args):\n    for fd in {descriptors}:\n        try:\n"
        "            os.close(fd)\n        except OSError:\n            pass\n    return {}\n"
    )

    assert error(await hostile(code)) == (DEVELOPER, EXITED)


async def test_one_that_closes_its_pipes_and_stays_is_ended(hostile: Callable[..., Any]) -> None:
    code = "import os, time\ndef main(args):\n    os.closerange(0, 100)\n    time.sleep(60)\n"

    assert error(await hostile(code)) == (DEVELOPER, EXITED)


async def test_without_stdout_and_stderr_it_only_has_no_logs(hostile: Callable[..., Any]) -> None:
    record = await hostile(
        "import os\ndef main(args):\n    os.close(1)\n    os.close(2)\n    return {'n': 1}\n"
    )

    assert record["response"]["result"] == {"n": 1}
    assert record["logs"] == []


KEEPER = (
    "import os, time\n"
    "def keeper():\n"
    "    if os.fork():\n        return\n"
    "    os.setsid()\n"
    "    if os.fork():\n        os._exit(0)\n"
    "    time.sleep(60)\n    os._exit(0)\n"
)


async def test_a_child_that_keeps_the_pipes_does_not_hide_that_its_parent_is_gone(
    ow: LocalOpenWhisk, hostile: Callable[..., Any], until: Any
) -> None:
    with anyio.fail_after(5):
        record = await hostile(f"{KEEPER}def main(args):\n    keeper()\n    os._exit(3)\n")

    assert error(record) == (DEVELOPER, EXITED)
    await until(lambda: of_containers(ow) <= {*ow.worker_pids, *stems(ow)})


def stems(ow: LocalOpenWhisk) -> set[int]:
    """The processes that hold no action yet."""
    assert ow._pool is not None
    return {container.pid for container in ow._pool._stems}


async def test_a_child_that_stays_behind_ends_with_the_container(
    ow: LocalOpenWhisk, rest: Any, until: Any
) -> None:
    await rest.put("bad", f"{KEEPER}def main(args):\n    keeper()\n    return {{'n': 1}}\n")

    assert [await rest.result("bad") for _ in range(2)] == [{"n": 1}] * 2
    await until(lambda: len(of_containers(ow) - {*ow.worker_pids, *stems(ow)}) == 2)
    strays = of_containers(ow) - {*ow.worker_pids, *stems(ow)}
    os.kill(ow.worker_pids[0], signal.SIGKILL)

    await until(lambda: not any(map(alive, strays)) and not ow.worker_pids)


async def test_everything_that_left_the_process_group_ends_with_the_server(
    opened: Callable[..., Any], until: Any
) -> None:
    async with opened() as (ow, rest):
        await rest.put("bad", f"{KEEPER}def main(args):\n    keeper()\n    return {{}}\n")
        await rest.invoke("bad")
        everyone = of_containers(ow)

    assert len(everyone) > len(ow.worker_pids)
    await until(lambda: not any(map(alive, everyone)))


@pytest.mark.parametrize(
    ("wrote", "expected"),
    [
        ("b'garbage\\n'", (DEVELOPER, NO_OBJECT)),
        ("b'\\xff\\xfe\\n'", (DEVELOPER, NO_OBJECT)),
        ("b'12 13 14\\n'", (DEVELOPER, NO_OBJECT)),
        ("b'{\"error\": 1}\\n'", ("application error", 1)),
    ],
)
async def test_what_it_writes_on_the_pipe_of_answers_is_its_answer(
    hostile: Callable[..., Any], wrote: str, expected: tuple[str, Any]
) -> None:
    code = f"import os\ndef main(args):\n    os.write(3, {wrote})\n    return {{'n': 1}}\n"

    assert error(await hostile(code)) == expected


async def test_an_answer_too_many_is_not_taken_for_the_next_ones(rest: Any) -> None:
    code = (
        "import os, time\ndef main(args):\n    if args.get('twice'):\n"
        "        os.write(3, b'{\"forged\": true}\\n')\n        time.sleep(0.2)\n"
        "    return {'n': args['n']}\n"
    )
    await rest.put("twice", code)

    assert await rest.result("twice", twice=True, n=1) == {"forged": True}
    assert await rest.result("twice", n=2) == {"n": 2}
    assert await rest.result("twice", n=3) == {"n": 3}


async def test_an_endless_answer_is_cut_off(hostile: Callable[..., Any]) -> None:
    code = "import os\ndef main(args):\n    while True:\n        os.write(3, b'x' * 65536)\n"

    record = await hostile(code, limits={"timeout": 30_000})

    assert error(record) == (DEVELOPER, EXITED)


@pytest.mark.parametrize("levels", [901, 975, 5000])
async def test_a_result_nested_too_deeply_to_be_told_again_is_none(
    hostile: Callable[..., Any], levels: int
) -> None:
    code = f"""
import os
def main(args):
    text = '{{"deep": ' + "[" * {levels} + "]" * {levels} + "}}\\n"
    os.write(3, text.encode())
    os._exit(0)
"""
    status, text = error(await hostile(code))
    assert status == DEVELOPER
    assert text in (NO_OBJECT, EXITED)


async def test_a_crash_takes_no_other_activation_with_it(ow: LocalOpenWhisk, rest: Any) -> None:
    code = (
        "import os, time\ndef main(args):\n    time.sleep(0.05)\n"
        "    if args['n'] % 3 == 0:\n        os.kill(os.getpid(), 9)\n    return {'n': args['n']}\n"
    )
    await rest.put("some", code)

    async with anyio.create_task_group() as tasks:
        for n in range(18):
            tasks.start_soon(lambda n=n: rest.invoke("some", n=n))

    ended = ow.activations("some")
    assert len(ended) == 18
    assert sum(one.succeeded for one in ended) == 12
