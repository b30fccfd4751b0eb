"""Executables that speak the ActionLoop protocol: go, rust and whatever else is built."""

import base64
import io
import os
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

import anyio
import pytest

DEVELOPER = "action developer error"
LOOP = f"""#!{sys.executable}
import json, os, sys
answers = os.fdopen(3, "w", buffering=1)
print('{{"ok": true}}', file=answers)
for line in sys.stdin:
    request = json.loads(line)
    value = request.pop("value")
    if value.get("say"):
        print("said", value["say"])
        sys.stdout.flush()
    if value.get("exit"):
        sys.exit(value["exit"])
    if value.get("raw"):
        print(value["raw"], file=answers)
    else:
        value["keys"] = sorted(request)
        value["env"] = os.environ.get("__OW_EXECUTION_ENV")
        print(json.dumps(value), file=answers)
"""
GO = """package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	out := os.NewFile(3, "pipe")
	fmt.Fprintln(out, `{"ok": true}`)
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadBytes('\\n')
		if err != nil {
			return
		}
		var request map[string]interface{}
		json.Unmarshal(line, &request)
		fmt.Println("greeting")
		value := request["value"].(map[string]interface{})
		answer, _ := json.Marshal(map[string]interface{}{"hello": value["who"]})
		fmt.Fprintln(out, string(answer))
	}
}
"""


def packed(files: dict[str, bytes], mode: int = 0o755) -> str:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o100000 | mode) << 16
            archive.writestr(entry, content)
    return base64.b64encode(data.getvalue()).decode()


async def put(rest: Any, code: str, kind: str = "go:default", **body: Any) -> None:
    exec_ = {"kind": kind, "code": code}
    answer = await rest.http.put("actions/exe?overwrite=true", json={"exec": exec_} | body)
    assert answer.status_code == 200, answer.text


async def ended(rest: Any, **params: Any) -> dict[str, Any]:
    answer = await rest.invoke("exe", **params)
    record: dict[str, Any] = await rest.record(answer.headers["x-openwhisk-activation-id"])
    return record


@pytest.mark.parametrize("kind", ["go:default", "go:1.22", "rust:default"])
async def test_it_gets_a_line_with_value_and_context_and_answers_with_one(
    rest: Any, kind: str
) -> None:
    await put(rest, LOOP, kind)

    response = (await ended(rest, n=1))["response"]

    assert response["status"] == "success"
    assert response["result"] == {
        "n": 1,
        "keys": [
            "action_name",
            "action_version",
            "activation_id",
            "deadline",
            "namespace",
            "transaction_id",
        ],
        "env": "aowhisk",
    }


async def test_a_program_in_go_is_an_action(rest: Any, tmp_path: Path) -> None:
    go = shutil.which("go")
    if go is None:
        pytest.skip("there is no go here")
    (tmp_path / "main.go").write_text(GO)
    env = os.environ | {"GO111MODULE": "off"}
    await anyio.run_process([go, "build", "-o", "exec", "main.go"], cwd=tmp_path, env=env)
    await put(rest, packed({"exec": (tmp_path / "exec").read_bytes()}))

    record = await ended(rest, who="you")

    assert record["response"]["result"] == {"hello": "you"}
    assert [line[31:] for line in record["logs"]] == ["stdout: greeting"]


async def test_a_zip_keeps_the_modes_of_its_files(rest: Any) -> None:
    helper = b"#!/bin/sh\necho helped\n"
    loop = LOOP.replace(
        "import json", "import subprocess; subprocess.run(['./helper']); import json"
    )
    await put(rest, packed({"exec": loop.encode(), "helper": helper}))

    record = await ended(rest)

    assert record["response"]["status"] == "success"
    assert record["logs"][0].endswith("stdout: helped")


async def test_one_that_lost_its_mode_runs_all_the_same(rest: Any) -> None:
    await put(rest, packed({"exec": LOOP.encode()}, mode=0o644))

    assert (await ended(rest))["response"]["status"] == "success"


async def test_one_built_for_an_image_is_told_that_it_runs_there(rest: Any) -> None:
    name = b"openwhisk/action-golang-v1.22\n"
    await put(rest, packed({"exec": LOOP.encode(), "exec.env": name}))

    assert (await ended(rest))["response"]["result"]["env"] == "openwhisk/action-golang-v1.22"


async def test_it_is_used_again_and_its_logs_are_those_of_each_activation(rest: Any) -> None:
    await put(rest, LOOP)

    first, second = await ended(rest, say="one"), await ended(rest, say="two")

    assert [line[31:] for line in first["logs"]] == ["stdout: said one"]
    assert [line[31:] for line in second["logs"]] == ["stdout: said two"]
    assert any(one["key"] == "initTime" for one in first["annotations"])
    assert all(one["key"] != "initTime" for one in second["annotations"])


async def test_one_that_exits_is_told_by_the_proxy(rest: Any) -> None:
    await put(rest, LOOP)

    response = (await ended(rest, exit=3))["response"]

    assert response == {
        "result": {"error": "command exited"},
        "size": 27,
        "status": DEVELOPER,
        "success": False,
    }


@pytest.mark.parametrize("raw", ["no JSON", "5", '"text"', "{'a': 1}"])
async def test_an_answer_that_is_no_object_is_told_by_the_proxy(rest: Any, raw: str) -> None:
    await put(rest, LOOP)

    response = (await ended(rest, raw=raw))["response"]

    text = "The action did not return a dictionary or array."
    assert (response["status"], response["result"]) == (DEVELOPER, {"error": text})


@pytest.mark.parametrize(
    ("code", "text", "log"),
    [
        (
            "package main\nfunc Main() {}\n",
            "The action failed to generate or locate a binary. See logs for details.",
            "stderr: This local OpenWhisk has no compiler for this kind",
        ),
        (
            packed({"other": b"#!/bin/sh\n"}),
            "The action failed to generate or locate a binary. See logs for details.",
            "stderr: [Errno 2] No such file or directory: 'exec'",
        ),
        (
            "#!/no/such/interpreter\n",
            "Cannot start action. Check logs for details.",
            "stderr: exec: No such file or directory",
        ),
        (
            "#!/bin/sh\nexit 0\n",
            "Cannot start action. Check logs for details.",
            "stderr: The action did not initialize or run as expected",
        ),
        (
            "#!/bin/sh\necho '{\"ok\": false}' >&3\nread line\n",
            "Cannot start action. Check logs for details.",
            "stderr: The action did not initialize properly.",
        ),
        ("", "Missing main/no code to execute.", "stderr: The action did not initialize or run"),
    ],
)
async def test_what_cannot_be_started_is_told(rest: Any, code: str, text: str, log: str) -> None:
    await put(rest, code)

    record = await ended(rest)

    assert record["response"]["status"] == DEVELOPER
    assert record["response"]["result"] == {"error": text}
    assert record["logs"][0][31:].startswith(log)


async def test_one_that_never_says_that_it_is_there_runs_out_of_time(rest: Any) -> None:
    await put(rest, "#!/bin/sh\nread line\nread line\n", limits={"timeout": 300})

    text = "The action exceeded its time limits of 300 milliseconds during initialization."
    assert (await ended(rest))["response"]["result"] == {"error": text}
