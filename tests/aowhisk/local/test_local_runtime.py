"""What becomes of an activation: results, errors, limits, logs, cold and warm starts."""

import base64
import io
import os
import zipfile
from pathlib import Path
from typing import Any

import anyio
import pytest

from aowhisk.local import LocalOpenWhisk
from aowhisk.local.cgroups import Cgroups

DEVELOPER = "action developer error"
APPLICATION = "application error"


def annotations(record: dict[str, Any]) -> dict[str, Any]:
    return {item["key"]: item["value"] for item in record["annotations"]}


async def ended(rest: Any, name: str, **params: Any) -> dict[str, Any]:
    """The stored record of one blocking call."""
    answer = await rest.invoke(name, **params)
    return await rest.record(answer.headers["x-openwhisk-activation-id"])


def error(record: dict[str, Any]) -> tuple[str, Any]:
    return record["response"]["status"], record["response"]["result"]["error"]


async def test_what_an_action_raises_is_an_application_error_with_its_text(rest: Any) -> None:
    await rest.put("bad", "def main(args):\n    raise ValueError('no good')\n")

    answer = await rest.invoke("bad")
    record = await rest.record(answer.headers["x-openwhisk-activation-id"])

    assert answer.status_code == 502
    assert error(record) == (APPLICATION, "no good")
    assert any("stderr: ValueError: no good" in line for line in record["logs"])


async def test_an_error_swallows_its_siblings(rest: Any) -> None:
    await rest.put("bad", "def main(args):\n    return {'error': None, 'other': 1}\n")

    record = await ended(rest, "bad")

    assert record["response"]["result"] == {"error": None}
    assert record["response"]["status"] == APPLICATION


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("def main(args):\n    import os; os._exit(3)\n", "command exited"),
        ("def main(args):\n    import sys; sys.exit(0)\n", "command exited"),
        ("def main(args):\n    return {'x': {1, 2}}\n", "command exited"),
        ("async def main(args):\n    return {}\n", "command exited"),
        ("def main(args):\n    return 'x'\n", "The action did not return a dictionary or array."),
        (
            "def main(args):\n    return {'x': float('nan')}\n",
            "The action did not return a dictionary or array.",
        ),
        ("def other(args):\n    pass\n", "Cannot start action. Check logs for details."),
        ("import nothing_at_all\n", "Cannot start action. Check logs for details."),
        ("import sys; sys.exit(1)\n", "Cannot start action. Check logs for details."),
        (
            "def main(args)\n    pass\n",
            "The action failed to generate or locate a binary. See logs for details.",
        ),
        ("", "Missing main/no code to execute."),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
async def test_an_action_that_breaks_is_a_developer_error(rest: Any, code: str, text: str) -> None:
    await rest.put("bad", code)

    assert error(await ended(rest, "bad")) == (DEVELOPER, text)


async def test_a_developer_error_costs_the_container_and_an_application_error_does_not(
    rest: Any,
) -> None:
    await rest.put(
        "one",
        "import os\ndef main(args):\n"
        "    if args.get('raise'): raise ValueError\n"
        "    return None if args.get('none') else {'pid': os.getpid()}\n",
    )
    first = await rest.result("one")

    await rest.invoke("one", **{"raise": True})
    second = await rest.result("one")
    await rest.invoke("one", none=True)
    third = await rest.result("one")

    assert first == second != third


async def test_a_cold_start_is_told_by_init_time_and_a_warm_one_by_its_absence(rest: Any) -> None:
    await rest.put("echo")

    cold, warm = await ended(rest, "echo"), await ended(rest, "echo")

    assert annotations(cold)["initTime"] > 0
    assert "initTime" not in annotations(warm)
    assert annotations(warm)["path"] == "guest/echo"


async def test_an_update_runs_in_a_new_container(rest: Any) -> None:
    await rest.put("a", "def main(args):\n    return {'v': 1}\n")
    before = await rest.result("a")

    await rest.put("a", "def main(args):\n    return {'v': 2}\n")

    assert (before, await rest.result("a")) == ({"v": 1}, {"v": 2})


async def test_the_time_limit_ends_the_run_and_what_it_started(
    rest: Any, tmp_path: Path, until: Any
) -> None:
    code = (
        "import subprocess, sys\ndef main(args):\n"
        "    child = subprocess.Popen(['sleep', '60'])\n"
        "    open(args['file'], 'w').write(str(child.pid))\n"
        "    child.wait()\n"
    )
    await rest.put("slow", code, limits={"timeout": 500})

    record = await ended(rest, "slow", file=str(tmp_path / "pid"))

    assert error(record) == (DEVELOPER, "The action exceeded its time limits of 500 milliseconds.")
    assert annotations(record)["timeout"] is True
    child = _read(tmp_path / "pid")
    await until(lambda: " Z " in _read(Path(f"/proc/{child}/stat"), " Z "))


def _read(path: Path, default: str = "") -> str:
    try:
        return path.read_text()
    except OSError:
        return default


async def test_the_initialisation_has_the_time_limit_too(rest: Any) -> None:
    await rest.put("slow", "import time\ntime.sleep(60)\n", limits={"timeout": 300})

    text = "The action exceeded its time limits of 300 milliseconds during initialization."
    assert error(await ended(rest, "slow")) == (DEVELOPER, text)


@pytest.mark.parametrize(
    "grab",
    [
        "x = b'x' * (300 << 20); time.sleep(30)",  # keeps it
        "len(b'x' * (300 << 20))",  # gives it back at once
        "subprocess.run([sys.executable, '-c',"  # another process of its
        " 'import time; x = bytes([1]) * (300 << 20); time.sleep(30)'])",
    ],
)
async def test_too_much_memory_ends_it_where_the_kernel_does_not_look(
    opened: Any, monkeypatch: pytest.MonkeyPatch, grab: str
) -> None:
    monkeypatch.setattr(Cgroups, "here", lambda: None)
    code = f"import subprocess, sys, time\ndef main(args):\n    {grab}\n    return {{}}\n"
    async with opened() as (_, rest):
        await rest.put("greedy", code, limits={"memory": 128, "timeout": 20000})

        text = "The action exhausted its memory and was aborted."
        assert error(await ended(rest, "greedy")) == (DEVELOPER, text)


async def test_a_result_over_one_mebibyte_is_cut(rest: Any) -> None:
    await rest.put("big", "def main(args):\n    return {'x': 'y' * args['n']}\n")

    status, text = error(await ended(rest, "big", n=1_100_000))

    assert status == APPLICATION
    assert text.startswith(
        "The action produced a response that exceeded the allowed length: 1100010 > 1048576 bytes. "
        'The truncated response was: {"x": "yyy'
    )


async def test_what_is_printed_is_the_log_of_its_own_activation(rest: Any) -> None:
    code = (
        "import sys\ndef main(args):\n    print('out', args['n'])\n"
        "    print('err', args['n'], file=sys.stderr)\n    sys.stdout.write('no newline')\n"
        "    return {}\n"
    )
    await rest.put("talk", code)

    first, second = await ended(rest, "talk", n=1), await ended(rest, "talk", n=2)

    assert sorted(line[31:] for line in first["logs"]) == [
        "stderr: err 1",
        "stdout: no newline",
        "stdout: out 1",
    ]
    assert {line[31:] for line in second["logs"]} >= {"stdout: out 2", "stderr: err 2"}
    assert first["logs"][0][:4].isdigit()
    assert first["logs"][0][29] == "Z"


async def test_logs_of_a_crash_are_kept(rest: Any) -> None:
    await rest.put(
        "crash", "import os\ndef main(args):\n    print('last words')\n    os._exit(1)\n"
    )

    record = await ended(rest, "crash")

    assert record["logs"][0].endswith("stdout: last words")
    assert record["logs"][-1].endswith("Log data might be missing.")


async def test_a_child_that_never_stops_writing_does_not_hold_the_server(rest: Any) -> None:
    await rest.put(
        "noisy",
        "import subprocess\ndef main(args):\n    subprocess.Popen(['yes'])\n    return {}\n",
    )

    with anyio.fail_after(10):
        assert await rest.result("noisy") == {}
        assert await rest.result("noisy") == {}


async def test_logs_over_their_limit_are_cut_and_say_so(rest: Any) -> None:
    code = "def main(args):\n    for n in range(30):\n        print('x' * 65000)\n    return {}\n"
    await rest.put("chatty", code, limits={"logs": 1})

    logs = (await ended(rest, "chatty"))["logs"]

    assert logs[-1].endswith("exceeds the limit of 1048576 bytes.")
    assert len(logs) == 17


async def test_what_docker_writes_around_a_line_counts_for_the_limit_too(rest: Any) -> None:
    await rest.put("chatty", "def main(args):\n    print('\\n' * 30_000)\n", limits={"logs": 1})

    logs = (await ended(rest, "chatty"))["logs"]

    assert len(logs) == 1048576 // 71 + 2  # it was cut, and gave no object: a line for each


async def test_a_large_payload_arrives_whole(rest: Any) -> None:
    await rest.put("length", "def main(args):\n    return {'n': len(args['x'])}\n")

    assert await rest.result("length", x="ü" * 500_000) == {"n": 500_000}


async def test_a_zip_brings_its_modules_with_it(rest: Any) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("__main__.py", "import helper\ndef go(args):\n    return helper.answer\n")
        archive.writestr("helper.py", "answer = {'n': 42}\n")
    await rest.put("zipped", base64.b64encode(packed.getvalue()).decode(), main="go")

    assert await rest.result("zipped") == {"n": 42}


async def test_a_result_written_by_a_fork_of_the_worker_does_not_confuse_it(rest: Any) -> None:
    code = (
        "import multiprocessing\n"
        "def main(args):\n"
        "    with multiprocessing.get_context('fork').Pool(2) as pool:\n"
        "        return {'n': sum(pool.map(abs, [-1, -2, -3]))}\n"
    )
    await rest.put("forks", code)

    assert await rest.result("forks") == {"n": 6}
    assert await rest.result("forks") == {"n": 6}


async def test_sixteen_cold_starts_at_once_do_not_run_each_other_out_of_time(
    ow: Any, rest: Any
) -> None:
    code = (
        "import time\nx = sum(range(1_000_000))\n"
        "def main(args):\n    time.sleep(0.2)\n    return {}\n"
    )
    await rest.put("cold", code, limits={"timeout": 3000})

    async with anyio.create_task_group() as tasks:
        for _ in range(16):
            tasks.start_soon(rest.invoke, "cold")

    assert [a.status.value for a in ow.activations("cold")] == ["success"] * 16
    assert sum(a.init_time is not None for a in ow.activations("cold")) > 8


async def test_when_all_containers_are_taken_an_idle_one_of_another_action_goes(
    opened: Any,
) -> None:
    code = "import os\ndef main(args):\n    return {'pid': os.getpid()}\n"
    async with opened(containers=2) as (ow, rest):
        for name in ("a", "b", "c"):
            await rest.put(name, code)

        pids = [(await rest.result(name))["pid"] for name in ("a", "b", "c", "b", "a")]

        assert pids[1] == pids[3]
        assert pids[0] != pids[4]
        assert len(ow.worker_pids) <= 2


async def test_more_calls_than_containers_wait_their_turn_and_none_is_forgotten(
    opened: Any,
) -> None:
    async with opened(containers=2) as (ow, rest):
        await rest.put("a")
        await rest.put("b")
        async with anyio.create_task_group() as tasks:
            for n in range(40):
                tasks.start_soon(lambda n=n: rest.invoke("ab"[n % 2], n=n))

        assert len(ow.activations()) == 40
        assert all(a.succeeded for a in ow.activations())


async def test_a_single_call_is_not_passed_over_by_many_of_another_action(opened: Any) -> None:
    async with opened(containers=1) as (ow, rest):
        await rest.put("many")
        await rest.put("one")
        for name in ("many", "many", "one", "many", "many", "many"):
            await rest.invoke(name, "")
        await ow.settled()

        assert [a.name for a in ow.activations()].index("one") == 2


async def test_an_idle_container_goes_after_its_time(opened: Any, until: Any) -> None:
    async with opened(idle=0.0) as (ow, rest):
        await rest.put("echo")
        await rest.invoke("echo")

        await until(lambda: not ow.worker_pids)


async def test_an_action_never_gets_the_key_unless_it_asks(rest: Any) -> None:
    code = "import os\ndef main(args):\n    return {'key': os.environ.get('__OW_API_KEY')}\n"
    await rest.put("closed", code)
    await rest.put("open", code, annotations=[{"key": "provide-api-key", "value": True}])

    assert await rest.result("closed") == {"key": None}
    assert ":" in (await rest.result("open"))["key"]


@pytest.mark.parametrize(
    ("wanted", "given"), [(0, False), ("", False), (None, False), ("yes", True), ([], True)]
)
async def test_the_key_is_given_for_whatever_counts_as_true(
    rest: Any, wanted: Any, given: bool
) -> None:
    code = "import os\ndef main(args):\n    return {'given': '__OW_API_KEY' in os.environ}\n"
    await rest.put("a", code, annotations=[{"key": "provide-api-key", "value": wanted}])

    assert await rest.result("a") == {"given": given}


async def test_init_parameters_are_texts_in_the_environment(rest: Any) -> None:
    code = (
        "import os\ndef main(args):\n    return {'all': [os.environ[n] for n in 'TNBOZ'], **args}\n"
    )
    values = {"T": "t", "N": 1.5, "B": False, "O": {"a": [1]}, "Z": None}
    parameters = [{"key": key, "value": value, "init": True} for key, value in values.items()]
    await rest.put("a", code, parameters=parameters)

    assert await rest.result("a", x=1) == {"all": ["t", "1.5", "false", '{"a":[1]}', ""], "x": 1}


async def test_with_a_log_limit_of_nothing_nothing_is_logged_whatever_happens(rest: Any) -> None:
    code = "import os\ndef main(args):\n    print('x', flush=True)\n    os._exit(1)\n"
    await rest.put("a", code, limits={"logs": 0})

    assert (await ended(rest, "a"))["logs"] == []


async def test_a_worker_is_in_a_session_of_its_own(ow: Any, rest: Any) -> None:
    await rest.put("echo")
    await rest.invoke("echo")

    (pid,) = ow.worker_pids

    assert os.getsid(pid) == pid != os.getsid(0)


async def test_who_waits_for_a_warm_container_when_the_server_stops_is_told_202(
    tmp_path: Path, rest_of: Any, until: Any
) -> None:
    begun, told = tmp_path / "begun", []
    code = (
        "import time\ndef main(args):\n"
        "    if args:\n        open(args['begun'], 'w').close()\n        time.sleep(60)\n"
        "    return {}\n"
    )
    ow = LocalOpenWhisk(root=tmp_path / "ow", containers=1)

    async def call(rest: Any) -> None:
        told.append((await rest.invoke("wait", begun=str(begun))).status_code)

    async with rest_of(ow) as rest, anyio.create_task_group() as tasks, ow:
        await rest.put("wait", code)
        assert (await rest.invoke("wait")).status_code == 200
        tasks.start_soon(call, rest)  # in the container that is warm
        tasks.start_soon(call, rest)  # in the queue
        await until(begun.exists)

    assert told == [202, 202]
    assert len(ow.activations()) == 1
