"""What the stock actions give: what their JavaScript would."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import anyio
import pytest

from aowhisk.local import LocalOpenWhisk
from aowhisk.local.builtins import BUILTINS, Builtins, Call
from aowhisk.models import Status

HOST = "http://ow:1"


async def run(name: str, arguments: Any, seconds: float = 60.0) -> Any:
    return await Builtins(HOST).run(name, arguments, namespace="anna", seconds=seconds)


@pytest.mark.parametrize(
    ("name", "arguments", "result"),
    [
        ("utils/echo", {"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}),
        ("utils/echo", {}, {}),
        ("utils/echo", [1, 2], [1, 2]),
        ("utils/cat", {"lines": [4, None, "x"]}, {"lines": [4, None, "x"], "payload": "4\n\nx"}),
        ("utils/cat", {}, {"lines": [], "payload": ""}),
        ("utils/cat", ["no", "names"], {"lines": [], "payload": ""}),
        ("utils/head", {"lines": [4, 2, 3], "num": 2}, {"lines": [4, 2], "num": 2}),
        ("utils/head", {"lines": [4, 2, 3]}, {"lines": [4], "num": 1}),
        ("utils/sort", {"lines": [10, 9, "b"]}, {"lines": [10, 9, "b"], "length": 3}),
        ("utils/sort", {"lines": [True, None]}, {"lines": [None, True], "length": 2}),
        (
            "utils/split",
            {"payload": "one,two", "separator": ","},
            {"lines": ["one", "two"], "payload": "one,two"},
        ),
        (
            "utils/split",
            {"payload": "a\r\nb\nc"},
            {"lines": ["a", "b", "c"], "payload": "a\r\nb\nc"},
        ),
        ("utils/split", {"payload": 1.0}, {"lines": ["1"], "payload": 1.0}),
        ("utils/smash", {"a": 1, "$fieldName": "p"}, {"p": {"a": 1}}),
        ("utils/namespace", {}, {"namespace": "anna"}),
        ("utils/hosturl", {}, {"url": f"{HOST}/api/v1/namespaces/anna/actions"}),
        (
            "utils/hosturl",
            {"path": "t", "trigger": True},
            {"url": f"{HOST}/api/v1/namespaces/anna/triggers/t"},
        ),
        (
            "utils/hosturl",
            {"path": "a", "web": True, "ext": ".http"},
            {"url": f"{HOST}/api/v1/web/anna/default/a.http"},
        ),
        (
            "utils/hosturl",
            {"path": "p/a", "web": True},
            {"url": f"{HOST}/api/v1/web/anna/p/a.json"},
        ),
        ("samples/greeting", {"name": "Io"}, {"payload": "Hello, Io from somewhere!"}),
        ("samples/greeting", {}, {"payload": "Hello, stranger from somewhere!"}),
        ("samples/helloWorld", {"payload": "Io"}, {}),
        ("samples/wordCount", {"payload": "three grey geese"}, {"count": 3}),
    ],
)
async def test_it_succeeds(name: str, arguments: Any, result: Any) -> None:
    response, _ = await run(name, arguments)

    assert response.status is Status.SUCCESS
    assert response.result == result


@pytest.mark.parametrize(
    ("name", "arguments", "status"),
    [
        ("utils/echo", {"error": "x", "a": 1}, Status.APPLICATION_ERROR),
        ("utils/smash", {"a": 1}, Status.APPLICATION_ERROR),
        ("utils/hosturl", {"web": True, "trigger": True}, Status.APPLICATION_ERROR),
        ("utils/hosturl", {"web": True, "ext": ".pdf"}, Status.APPLICATION_ERROR),
        ("utils/hosturl", {"trigger": True, "path": "a/b"}, Status.APPLICATION_ERROR),
        ("utils/split", {}, Status.DEVELOPER_ERROR),
        ("utils/sort", {"lines": "text"}, Status.DEVELOPER_ERROR),
        ("utils/head", {"lines": [1], "num": "x"}, Status.DEVELOPER_ERROR),
        ("samples/wordCount", {"payload": None}, Status.DEVELOPER_ERROR),
        ("samples/wordCount", {"payload": 5}, Status.DEVELOPER_ERROR),
    ],
)
async def test_it_fails(name: str, arguments: Any, status: Status) -> None:
    response, _ = await run(name, arguments)

    assert response.status is status
    assert response.result.keys() == {"error"}


async def test_what_javascript_would_throw_is_said_as_node_says_it() -> None:
    response, _ = await run("utils/split", {"payload": None})

    assert response.result == {
        "error": "An error has occurred: TypeError: "
        "Cannot read properties of null (reading 'toString')"
    }


async def test_the_date_is_that_of_javascript() -> None:
    response, _ = await run("utils/date", {})

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", response.result["date"])


async def test_values_are_logged_as_node_shows_them() -> None:
    _, logs = await run("samples/greeting", {"name": "O'Io", "a-b": [1, {}], "n": None})

    assert [line.partition(" ")[2] for line in logs] == [
        "stdout: params: { name: 'O\\'Io', 'a-b': [ 1, {} ], n: null }"
    ]


async def test_curl_gives_what_it_fetched(ow: LocalOpenWhisk, rest_on_a_port: Any) -> None:
    async with rest_on_a_port(ow) as rest:
        response, _ = await run("samples/curl", {"payload": str(rest.http.base_url.join("/ping"))})

    assert response.result == {"msg": "pong"}


async def test_curl_is_ended_by_the_time_limit(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "curl").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "curl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    response, _ = await run("samples/curl", {"payload": "x"}, seconds=0.2)

    assert response.timed_out
    assert "exceeded its time limits of 200 milliseconds" in response.result["error"]


async def test_a_url_is_no_option_of_curl(tmp_path: Path) -> None:
    target = tmp_path / "written"

    await run("samples/curl", {"payload": f"-o{target}"})

    assert not target.exists()


async def test_without_curl_its_absence_is_told(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    response, _ = await run("samples/curl", {"payload": "x"})

    assert "not found" in response.result["msg"]


@pytest.mark.parametrize("name", sorted(BUILTINS.keys() - {"samples/curl", "utils/date"}))
async def test_the_shown_javascript_gives_the_same_under_node(
    name: str, rest: Any, tmp_path: Path
) -> None:
    """Where there is node; the samples are those of the annotations."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node here")
    shown = await rest.http.get(f"http://ow/api/v1/namespaces/whisk.system/actions/{name}")
    notes = {note["key"]: note["value"] for note in shown.json()["annotations"]}
    file = tmp_path / "action.js"
    given = notes.get("sampleInput", {})
    file.write_text(
        f"{shown.json()['exec']['code']}\nconsole.log = () => {{}};\n"
        f"const given = JSON.parse(process.argv[2]);\n"
        "process.stdout.write(JSON.stringify(main(given) || {}));\n"
    )
    done = await anyio.run_process(
        [node, str(file), json.dumps(given)],
        env={"__OW_NAMESPACE": "anna", "__OW_API_HOST": HOST},
    )

    response, _ = await run(name, given)
    assert json.loads(done.stdout) == response.result


def test_a_call_logs_each_line() -> None:
    call = Call({}, "anna", HOST)

    call.log("a\nb", 1)

    assert [line.split(" ", 1)[1] for line in call.logs] == ["stdout: a", "stdout: b 1"]
