"""Node.js actions: what OpenWhisk's Node.js runtime makes of them."""

import base64
import io
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import anyio
import pytest

from aowhisk.local import Limits, LocalOpenWhisk
from aowhisk.local.limits import ActionRanges, Range

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="there is no node here")
DEVELOPER = "action developer error"
APPLICATION = "application error"


class Js:
    """Creates and calls Node.js actions."""

    def __init__(self, rest: Any) -> None:
        self.rest = rest

    async def put(self, code: str, *, main: str | None = None, **body: Any) -> None:
        exec_ = {"kind": "nodejs:default", "code": code} | ({"main": main} if main else {})
        answer = await self.rest.http.put("actions/js?overwrite=true", json={"exec": exec_} | body)
        assert answer.status_code == 200, answer.text

    async def record(self, **params: Any) -> dict[str, Any]:
        """The stored record of one call."""
        answer = await self.rest.invoke("js", **params)
        return await self.rest.record(answer.headers["x-openwhisk-activation-id"])

    async def response(self, **params: Any) -> dict[str, Any]:
        found: dict[str, Any] = (await self.record(**params))["response"]
        return found


@pytest.fixture
def js(rest: Any) -> Js:
    return Js(rest)


def zipped(**files: str) -> str:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), text)
    return base64.b64encode(packed.getvalue()).decode()


async def test_a_function_gets_its_arguments_and_gives_an_object(js: Js) -> None:
    await js.put("function main(args) { return {hello: args.who, list: [1, {a: 'ü'}]} }")

    assert await js.response(who="you") == {
        "result": {"hello": "you", "list": [1, {"a": "ü"}]},
        "size": 36,
        "status": "success",
        "success": True,
    }


@pytest.mark.parametrize(
    ("code", "main"),
    [
        ("const go = (args) => ({n: args.n + 1})", "go"),
        ("exports.main = (args) => ({n: args.n + 1}) // a comment at the end", None),
        ("module.exports.other = async (args) => ({n: args.n + 1})", "other"),
        ("async function main(args) { return {n: args.n + 1} }", None),
        ("'use strict'\nvar api = {main: (args) => ({n: args.n + 1})}", "api.main"),
        (
            "function main(args) {\n"
            "  return new Promise((done) => setTimeout(() => done({n: args.n + 1}), 5))\n}",
            None,
        ),
    ],
)
async def test_main_may_be_given_and_named_in_several_ways(
    js: Js, code: str, main: str | None
) -> None:
    await js.put(code, main=main)

    assert (await js.response(n=41))["result"] == {"n": 42}


async def test_an_array_is_a_result_and_nothing_is_an_empty_object(js: Js) -> None:
    await js.put("function main(args) { return args.list }")

    assert (await js.response(list=[1, 2]))["result"] == [1, 2]
    assert (await js.response())["result"] == {}


async def test_null_is_no_json_object(js: Js) -> None:
    await js.put("function main() { return null }")

    text = "The action did not produce a valid JSON or JSON Array response: null"
    assert await js.response() == {
        "result": {"error": text},
        "size": 4,
        "status": DEVELOPER,
        "success": False,
    }


async def test_a_text_is_no_result_and_the_log_says_what_it_was(js: Js) -> None:
    await js.put("function main() { return 'text' }")

    record = await js.record()

    text = "The action did not return a dictionary or array."
    assert record["response"]["result"] == {"error": text}
    assert record["response"]["status"] == DEVELOPER
    assert record["logs"][0][31:] == (
        'stderr: Result must be of type object but has type "string": text'
    )


async def test_what_is_thrown_at_once_is_a_developer_error(js: Js) -> None:
    await js.put("function main() { throw new TypeError('no good') }")

    record = await js.record()

    assert record["response"]["result"] == {"error": "An error has occurred: TypeError: no good"}
    assert record["response"]["status"] == DEVELOPER
    assert record["logs"][0][31:] == "stderr: TypeError: no good"


async def test_what_is_rejected_is_an_application_error_with_its_parts(js: Js) -> None:
    await js.put(
        "async function main(args) { const e = new RangeError('no good'); e.code = 'E1'; throw e }"
    )

    response = await js.response()

    error = response["result"]["error"]
    assert response["status"] == APPLICATION
    assert (error["name"], error["message"], error["code"]) == ("RangeError", "no good", "E1")
    assert error["stack"].startswith("RangeError: no good\n    at main")


@pytest.mark.parametrize(
    ("thrown", "error"),
    [
        ("", {}),
        ("'a text'", "a text"),
        ("{status: 404, why: ['x']}", {"status": 404, "why": ["x"]}),
    ],
)
async def test_anything_can_be_rejected(js: Js, thrown: str, error: Any) -> None:
    await js.put(f"function main() {{ return Promise.reject({thrown}) }}")

    response = await js.response()

    assert (response["status"], response["result"]) == (APPLICATION, {"error": error})


async def test_an_error_field_is_an_application_error(js: Js) -> None:
    await js.put("function main() { return {error: {code: 7}, other: 1} }")

    response = await js.response()

    assert (response["status"], response["result"]) == (APPLICATION, {"error": {"code": 7}})


async def test_a_circular_result_is_an_internal_error_of_the_runtime(js: Js) -> None:
    await js.put("function main() { const a = {}; a.a = a; return a }")

    response = await js.response()

    assert (response["status"], response["result"]) == (DEVELOPER, {"error": "Internal error."})


@pytest.mark.parametrize(
    "code",
    [
        "function main() { process.exit(1) }",
        "function main() { setTimeout(() => { throw new Error('late') }, 1)\n"
        "  return new Promise(() => 0) }",
        "function main() { process.kill(process.pid, 'SIGKILL'); return new Promise(() => 0) }",
    ],
)
async def test_a_process_that_ends_has_given_no_answer(js: Js, code: str) -> None:
    await js.put(code)

    assert await js.response() == {
        "result": {"error": "The action did not produce a valid response and exited unexpectedly."},
        "status": DEVELOPER,
        "success": False,
    }


@pytest.mark.parametrize(
    ("code", "main", "begins"),
    [
        ("function main( {", None, "Initialization has failed due to: SyntaxError: "),
        (
            "nothing.at.all",
            None,
            "Initialization has failed due to: ReferenceError: nothing is not",
        ),
        (
            "const main = 5",
            None,
            "Initialization has failed due to: Action entrypoint 'main' is not a function.",
        ),
        (
            "function main() {}",
            "other",
            "Initialization has failed due to: Action entrypoint 'other' is not a function.",
        ),
        ("", None, "Missing main/no code to execute."),
        ("process.exit(0)", None, "The action did not initialize and exited unexpectedly."),
    ],
)
async def test_what_cannot_be_loaded_is_told(
    js: Js, code: str, main: str | None, begins: str
) -> None:
    await js.put(code, main=main)

    response = await js.response()

    assert response["status"] == DEVELOPER
    assert response["result"]["error"].startswith(begins)


async def test_a_folder_is_a_module_with_others_beside_it(js: Js) -> None:
    await js.put(
        zipped(
            package_json='{"main": "lib/begin.js"}',
            lib__begin_js="const {answer} = require('./other');\nexports.main = () => ({answer})",
            lib__other_js="exports.answer = 42",
        )
    )

    assert (await js.response())["result"] == {"answer": 42}


async def test_main_of_a_folder_may_name_the_file_too(js: Js) -> None:
    await js.put(
        zipped(begin_js="exports.go = () => ({cwd: __dirname === process.cwd()})"), main="begin.go"
    )

    assert (await js.response())["result"] == {"cwd": True}


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (
            zipped(other_js=""),
            "Zipped actions must contain either package.json or index.js at the root.",
        ),
        ("UEsDBAo=", "There was an error uncompressing the action archive."),
    ],
)
async def test_a_folder_without_a_beginning_is_refused(js: Js, code: str, text: str) -> None:
    await js.put(code)

    record = await js.record()

    assert record["response"]["result"] == {"error": f"Initialization has failed due to: {text}"}
    assert record["logs"][0][31:] == f"stderr: Error during initialization: {text}"


async def test_what_is_written_is_the_log_of_its_own_activation(js: Js) -> None:
    await js.put(
        "function main(args) {\n"
        "  console.log('out', args.n); console.error('err', args.n); return {} }"
    )

    first, second = await js.record(n=1), await js.record(n=2)

    assert sorted(line[31:] for line in first["logs"]) == ["stderr: err 1", "stdout: out 1"]
    assert sorted(line[31:] for line in second["logs"]) == ["stderr: err 2", "stdout: out 2"]


@pytest.mark.parametrize(
    "end", ["return {};", "return Promise.resolve({});", "return 5;", "throw 'x';"]
)
async def test_all_that_is_written_is_in_the_log_however_much_that_is(js: Js, end: str) -> None:
    await js.put(
        "function main(args) {\n"
        "  for (let i = 0; i < args.n; i++) console.log(`${i} ${'x'.repeat(90)}`);\n"
        f"  {end} }}"
    )

    logs = (await js.record(n=20_000))["logs"]

    assert [int(line.split()[2]) for line in logs if " stdout: " in line] == list(range(20_000))


async def test_the_log_is_cut_where_it_is_over_its_limit(js: Js) -> None:
    await js.put(
        "function main() {\n"
        "  for (let i = 0; i < 20000; i++) console.log('x'.repeat(90));\n"
        "  return {} }",
        limits={"logs": 1},
    )

    logs = (await js.record())["logs"]

    assert logs[-1].endswith("exceeds the limit of 1048576 bytes.")
    assert len(logs) == 1 + 1048576 // (90 + 71)


@pytest.mark.parametrize("given", [True, False])
async def test_modules_are_found_where_node_path_says_and_where_the_server_was_started(
    opened: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: bool
) -> None:
    modules = tmp_path / ("modules" if given else "node_modules")
    modules.mkdir()
    (modules / "helper.js").write_text("exports.n = 7;")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NODE_PATH", "modules")
    async with opened() as (_, rest):
        js = Js(rest)
        await js.put("const { n } = require('helper'); function main() { return {n} }")

        assert (await js.response())["result"] == {"n": 7}


async def test_the_environment_is_that_of_each_activation(js: Js) -> None:
    await js.put(
        "function main() { return {id: process.env.__OW_ACTIVATION_ID, "
        "name: process.env.__OW_ACTION_NAME, key: process.env.__OW_API_KEY || null, "
        "init: process.env.TOKEN, left: process.env.__OW_DEADLINE - Date.now()} }",
        parameters=[{"key": "TOKEN", "value": {"a": 1}, "init": True}],
    )

    first, second = await js.record(), await js.record()

    for record in (first, second):
        result = record["response"]["result"]
        assert result["id"] == record["activationId"]
        assert (result["name"], result["key"], result["init"]) == ("/guest/js", None, '{"a":1}')
        assert 50_000 < result["left"] <= 60_000


async def test_the_time_limit_ends_a_busy_loop(js: Js) -> None:
    await js.put("function main() { for (;;); }", limits={"timeout": 500})

    text = "The action exceeded its time limits of 500 milliseconds."
    assert (await js.response())["result"] == {"error": text}


async def test_an_action_can_ask_for_the_garbage_to_be_collected(js: Js) -> None:
    await js.put("function main() { gc(); return {is: typeof global.gc} }")
    assert (await js.response())["result"] == {"is": "function"}


async def test_a_module_keeps_its_state_while_it_is_warm(js: Js) -> None:
    await js.put("let n = 0; function main() { n += 1; return {n} }")

    assert [(await js.response())["result"] for _ in range(3)] == [{"n": 1}, {"n": 2}, {"n": 3}]


async def test_several_activations_share_a_container_where_the_limits_say_so(opened: Any) -> None:
    limits = Limits(actions=ActionRanges(concurrency=Range("concurrency", "", 1, 1, 20)))
    async with opened(limits=limits) as (ow, rest):
        js = Js(rest)
        await js.put(
            "let here = 0; let most = 0;\n"
            "async function main(args) {\n"
            "  here += 1; most = Math.max(most, here)\n"
            "  await new Promise((done) => setTimeout(done, 100))\n"
            "  here -= 1; return {most, n: args.n} }",
            limits={"concurrency": 10},
        )
        await js.response(n=0)
        results: list[Any] = []

        async def call(n: int) -> None:
            results.append((await js.response(n=n))["result"])

        async with anyio.create_task_group() as tasks:
            for n in range(1, 11):
                tasks.start_soon(call, n)

        assert sorted(one["n"] for one in results) == list(range(1, 11))
        assert {one["most"] for one in results} == {10}
        assert len(ow.worker_pids) == 1


async def _at_once(js: Js, count: int) -> list[dict[str, Any]]:
    """The responses of as many calls at once."""
    responses: list[dict[str, Any]] = []

    async def call() -> None:
        responses.append(await js.response())

    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(call)
    return responses


async def test_a_container_that_is_being_started_is_shared_too(opened: Any) -> None:
    limits = Limits(actions=ActionRanges(concurrency=Range("concurrency", "", 1, 1, 20)))
    async with opened(limits=limits) as (ow, rest):
        js = Js(rest)
        await js.put(
            "let n = 0\n"
            "function main() { n += 1; return new Promise((r) => setTimeout(() => r({n}), 300)) }",
            limits={"concurrency": 10},
        )
        results = [one["result"]["n"] for one in await _at_once(js, 15)]
        assert sorted(results) == [5] * 5 + [10] * 10
        assert len(ow.worker_pids) == 2


async def test_what_ends_a_shared_container_ends_all_that_run_in_it(opened: Any) -> None:
    limits = Limits(actions=ActionRanges(concurrency=Range("concurrency", "", 1, 1, 20)))
    async with opened(limits=limits) as (_, rest):
        js = Js(rest)
        await js.put(
            "let n = 0\n"
            "function main() { if (++n === 5) process.exit(1)\n"
            "  return new Promise((r) => setTimeout(() => r({n}), 20000)) }",
            limits={"concurrency": 10},
        )
        responses = await _at_once(js, 15)
        assert [one["status"] for one in responses] == [DEVELOPER] * 15


async def test_nobody_waits_for_a_shared_container_that_cannot_be_started(opened: Any) -> None:
    limits = Limits(actions=ActionRanges(concurrency=Range("concurrency", "", 1, 1, 20)))
    async with opened(limits=limits, containers=2) as (_, rest):
        js = Js(rest)
        await js.put("throw new Error('no')", limits={"concurrency": 3})
        with anyio.fail_after(60):
            responses = await _at_once(js, 7)
        assert [one["status"] for one in responses] == [DEVELOPER] * 7
        await js.put("function main() { return {} }", limits={"concurrency": 3})
        assert (await js.response())["status"] == "success"


async def test_python_runs_one_activation_at_a_time_in_a_container(opened: Any) -> None:
    limits = Limits(actions=ActionRanges(concurrency=Range("concurrency", "", 1, 1, 20)))
    async with opened(limits=limits, containers=3) as (ow, rest):
        code = (
            "import time\nhere = 0\ndef main(args):\n    global here\n    here += 1\n"
            "    time.sleep(0.02)\n    most, here = here, here - 1\n    return {'most': most}\n"
        )
        await rest.put("py", code, limits={"concurrency": 10})

        async with anyio.create_task_group() as tasks:
            for _ in range(9):
                tasks.start_soon(rest.invoke, "py")

        assert [a.result for a in ow.activations("py")] == [{"most": 1}] * 9


async def test_the_process_is_the_container(ow: LocalOpenWhisk, js: Js) -> None:
    await js.put("function main() { return {pid: process.pid} }")

    pid = (await js.response())["result"]["pid"]

    assert ow.worker_pids == [pid]


SERVER = """
import anyio, sys
from aowhisk.local import LocalOpenWhisk
async def main():
    async with LocalOpenWhisk(root=sys.argv[1]) as ow:
        exec_ = {"kind": "nodejs:default", "code": "function main() { for (;;); }"}
        ow._actions.put("guest/a", {"exec": exec_}, overwrite=True)
        ow._invoker.submit(ow._actions.invocation(ow._user, "guest/a", {}, "t"))
        while not ow.worker_pids:
            await anyio.sleep(0.01)
        await anyio.sleep(0.5)
        print(*ow.worker_pids, flush=True)
        await anyio.sleep(60)
anyio.run(main)
"""


async def test_a_busy_process_does_not_outlive_a_server_that_was_killed(
    tmp_path: Path, until: Any
) -> None:
    command = [sys.executable, "-c", SERVER, str(tmp_path)]
    async with await anyio.open_process(command, stderr=subprocess.STDOUT) as server:
        assert server.stdout is not None
        pid = int(await server.stdout.receive())
        status = Path(f"/proc/{pid}/stat")
        assert "(node)" in status.read_text()

        server.send_signal(signal.SIGKILL)

        await until(lambda: not status.exists() or ") Z" in status.read_text())
