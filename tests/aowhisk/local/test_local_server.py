"""LocalOpenWhisk as a whole: mounts, deployment, counters, beginning and end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from aowhisk.errors import ConfigError
from aowhisk.local import LocalOpenWhisk
from aowhisk.manifest import Manifest

SLOW = "import time\ndef main(args):\n    time.sleep(args['s'])\n    return {'slept': args['s']}\n"


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def children(pid: int) -> list[int]:
    return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_a_blocking_call_gets_the_record_over_both_mounts(mounted: Any) -> None:
    await mounted.put("echo")

    answer = await mounted.invoke("echo", a=1)

    assert answer.status_code == 200
    assert answer.json()["response"]["result"] == {"a": 1}
    assert answer.headers["x-openwhisk-activation-id"] == answer.json()["activationId"]


async def test_a_cancelled_request_does_not_end_its_activation(
    ow: LocalOpenWhisk, mounted: Any
) -> None:
    await mounted.put("slow", SLOW)
    await mounted.invoke("slow", s=0)  # warm

    with anyio.move_on_after(0.2) as scope:
        await mounted.invoke("slow", s=0.6)

    assert scope.cancelled_caught
    await ow.settled()
    assert ow.activations("slow")[-1].result == {"slept": 0.6}
    assert ow.count("slow") == 2


async def test_a_call_that_takes_longer_than_the_wait_becomes_202_and_its_record_comes_later(
    mounted: Any,
) -> None:
    await mounted.put("slow", SLOW)

    answer = await mounted.invoke("slow", "blocking=true&timeout=100", s=0.5)
    early = await mounted.http.get(f"activations/{answer.json()['activationId']}")
    record = await mounted.record(answer.json()["activationId"])

    assert answer.status_code == 202
    assert early.status_code == 404
    assert record["response"]["result"] == {"slept": 0.5}


async def test_a_manifest_is_deployed_with_its_package_params(
    tmp_path: Path, ow: LocalOpenWhisk, rest: Any
) -> None:
    (tmp_path / "a.py").write_text("def go(args):\n    return args\n")
    (tmp_path / "manifest.yaml").write_text(
        "packages:\n  p:\n    inputs: {x: 1, y: 1}\n    actions:\n"
        "      echo: {function: a.py, main: go, inputs: {y: 2}, limits: {timeout: 5000}}\n"
    )

    await ow.deploy(Manifest.load(tmp_path / "manifest.yaml"))

    assert await rest.result("p/echo", z=3) == {"x": 1, "y": 2, "z": 3}
    assert (await rest.http.get("actions/p/echo")).json()["limits"]["timeout"] == 5000


async def test_what_openwhisk_would_refuse_is_not_deployed(
    tmp_path: Path, ow: LocalOpenWhisk
) -> None:
    (tmp_path / "manifest.yaml").write_text(
        "packages: {default: {actions: {a: {code: 'puts 1', runtime: 'ruby:2.5'}}}}"
    )

    with pytest.raises(ConfigError, match=r"cannot deploy 'a'.*runtime 'ruby:2.5'"):
        await ow.deploy(Manifest.load(tmp_path / "manifest.yaml"))


async def test_init_params_are_in_the_environment_of_every_action(opened: Any) -> None:
    code = "import os\ndef main(args):\n    return {'url': os.environ['OBJECT_STORE_URL']}\n"
    async with opened(init_params={"OBJECT_STORE_URL": "folder:///tmp/x"}) as (_, rest):
        await rest.put("env", code)

        assert await rest.result("env", OBJECT_STORE_URL="y") == {"url": "folder:///tmp/x"}


async def test_an_action_sees_nothing_of_our_environment(
    monkeypatch: pytest.MonkeyPatch, opened: Any
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    async with opened() as (_, rest):
        await rest.put("env", "import os\ndef main(args):\n    return dict(os.environ)\n")

        found = await rest.result("env")

    assert "AWS_SECRET_ACCESS_KEY" not in found
    assert found["__OW_ACTION_NAME"] == "/guest/env"
    assert float(found["__OW_DEADLINE"]) > time.time() * 1000


async def test_an_exception_leaves_the_context_as_it_is_and_no_process_stays(opened: Any) -> None:
    pids: list[int] = []

    async def break_off() -> None:
        async with opened() as (ow, rest):
            await rest.put("slow", SLOW)
            await rest.invoke("slow", s=0)
            await rest.invoke("slow", "", s=60)
            pids.extend(ow.worker_pids)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await break_off()

    assert pids
    assert not any(alive(pid) for pid in pids)


async def test_who_still_waits_when_the_server_stops_is_told_202_and_who_comes_later_503(
    tmp_path: Path, rest_of: Any
) -> None:
    answers: list[int] = []
    ow = LocalOpenWhisk(root=tmp_path)

    async def call(rest: Any) -> None:
        answers.append((await rest.invoke("slow", s=60)).status_code)

    async with rest_of(ow) as rest, anyio.create_task_group() as tasks:
        async with ow:
            await rest.put("slow", SLOW)
            await rest.invoke("slow", s=0)
            tasks.start_soon(call, rest)
            while ow.count() < 2:
                await anyio.lowlevel.checkpoint()
        answers.append((await rest.invoke("slow", s=0)).status_code)

    assert sorted(answers) == [202, 503]


async def test_the_folders_of_the_containers_go_with_the_server(
    tmp_path: Path, opened: Any
) -> None:
    async with opened() as (_, rest):
        await rest.put("echo")
        await rest.invoke("echo")
        assert list((tmp_path / "ow").iterdir())

    assert not list((tmp_path / "ow").iterdir())


async def test_a_python_that_is_not_there_is_a_config_error(opened: Any) -> None:
    with pytest.raises(ConfigError, match="/no/python"):
        async with opened(python="/no/python"):
            pass


async def test_a_server_inside_an_action_is_refused(
    monkeypatch: pytest.MonkeyPatch, opened: Any
) -> None:
    monkeypatch.setenv("__OW_EXECUTION_ENV", "aowhisk")

    with pytest.raises(ConfigError, match="__main__"):
        async with opened():
            pass


SERVER = """
import anyio, sys
from aowhisk.local import LocalOpenWhisk
async def main():
    async with LocalOpenWhisk(root=sys.argv[1]) as ow:
        code = "import subprocess\\ndef main(a): return subprocess.run(['sleep', '60'])"
        ow._actions.put("guest/a", {"exec": {"kind": "python:3", "code": code}}, overwrite=True)
        ow._invoker.submit(ow._actions.invocation(ow._user, "guest/a", {}, "t"))
        while not ow.worker_pids:
            await anyio.sleep(0.01)
        await anyio.sleep(0.5)
        print(*ow.worker_pids, flush=True)
        await anyio.sleep(60)
anyio.run(main)
"""


async def test_no_worker_and_no_child_of_one_outlives_a_server_that_was_killed(
    tmp_path: Path, until: Any
) -> None:
    async with await anyio.open_process(
        [sys.executable, "-c", SERVER, str(tmp_path)], stderr=subprocess.STDOUT
    ) as server:
        assert server.stdout is not None
        worker = int(await server.stdout.receive())
        await until(lambda: bool(children(worker)))
        (child,) = children(worker)

        server.send_signal(signal.SIGKILL)

        await until(lambda: not alive(worker) and not alive(child))
