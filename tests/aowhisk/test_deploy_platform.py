"""What a server can do: kinds of several generations of OpenWhisk, as they describe themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from client_server import AUTH, Answer, Request, Server, serve

from aowhisk.client import Client
from aowhisk.deploy import MARK, Plan, Project, plan
from aowhisk.errors import DeployError
from aowhisk.manifest import ActionSpec

USES = "import object_store\ndef main(args): return args\n"
OLD = [{"kind": "python:3", "image": "openwhisk/action-python-v3.7:1.17.0", "default": True}]
NEW = [
    {"kind": "python:3.10", "image": "openwhisk/action-python-v3.10:nightly", "default": True},
    {"kind": "python:3.11", "image": "openwhisk/action-python-v3.11:nightly", "default": False},
]
MIXED = [OLD[0], {**NEW[1]}]
LIMITS_OF_2022 = {"invocationsPerMinute": 60, "concurrentInvocations": 30, "firesPerMinute": 60}
ROOT_LIMITS = {
    "min_action_duration": 100,
    "max_action_duration": 300_000,
    "min_action_memory": 134_217_728,
    "max_action_memory": 536_870_912,
    "min_action_logs": 0,
    "max_action_logs": 10_485_760,
}


def server(
    python: Any, *, limits: Any = None, root: int = 200, actions: Mapping[str, Any] | None = None
) -> Any:
    """An OpenWhisk with these kinds, and nothing in it but `actions`."""
    info = {"runtimes": {"python": python, "nodejs": []}, "limits": ROOT_LIMITS}

    async def script(request: Request) -> Answer:
        if request.path == "/":
            return Answer(root, info if root == 200 else {"error": "no", "code": "1"})
        if request.path.endswith("/namespaces"):
            return Answer(200, ["guest"])
        if request.path.endswith("/limits"):
            return Answer(200, LIMITS_OF_2022 if limits is None else limits)
        assert request.method == "GET", "nothing is sent"
        if actions and (found := actions.get(request.path.rpartition("/")[2])):
            return Answer(200, found)
        return Answer(404, {"error": "The requested resource does not exist.", "code": "1"})

    return serve(script)


async def planned(url: str, folder: Path, text: str = "", **options: Any) -> Plan:
    (folder / "a.py").write_text(USES)
    action = f"{{function: a.py, {text}}}"
    (folder / "manifest.yaml").write_text(f"packages: {{default: {{actions: {{a: {action}}}}}}}")
    project = Project.load(folder / "manifest.yaml", **options)
    async with Client(url, AUTH) as client:
        return await plan(client, project)


async def refused(url: str, folder: Path, text: str = "", **options: Any) -> str:
    with pytest.raises(DeployError) as caught:
        await planned(url, folder, text, **options)
    return str(caught.value)


async def test_a_python_that_is_too_old_for_object_store_is_said_with_the_image(
    tmp_path: Path,
) -> None:
    async with server(OLD) as old:
        said = await refused(old.url, tmp_path)
        assert "object_store needs Python 3.10, and python:3 here is Python 3.7" in said
        assert "--image openwhisk/action-python-v3.11:nightly" in said

        plan = await planned(old.url, tmp_path, image="openwhisk/action-python-v3.11:nightly")

    fields = {change.field: change.new for change in plan.steps[0].changes}
    assert fields["kind"] == "blackbox"
    assert fields["image"] == "openwhisk/action-python-v3.11:nightly"


async def test_where_there_is_a_newer_kind_it_is_named(tmp_path: Path) -> None:
    async with server(MIXED) as mixed:
        assert "write `runtime: python:3.11`" in await refused(mixed.url, tmp_path)
        plan = await planned(mixed.url, tmp_path, "runtime: python:3.11")
    assert plan.work


async def test_the_default_kind_is_the_servers(tmp_path: Path) -> None:
    async with server(NEW) as new:
        plan = await planned(new.url, tmp_path)
    assert {change.field: change.new for change in plan.steps[0].changes}["kind"] == "python:3.10"


async def test_a_kind_that_is_no_longer_supported_is_refused(tmp_path: Path) -> None:
    kinds = [{**NEW[0]}, {**NEW[1], "deprecated": True}]
    async with server(kinds) as found:
        said = await refused(found.url, tmp_path, "runtime: python:3.11")
    assert "the kind 'python:3.11' is no longer supported" in said


async def test_kinds_that_the_namespace_may_not_use_are_refused(tmp_path: Path) -> None:
    async with server(NEW, limits={**LIMITS_OF_2022, "allowedKinds": ["python:3.11"]}) as found:
        said = await refused(found.url, tmp_path)
    assert "the kind 'python:3.10' is not allowed here; allowed are python:3.11" in said


async def test_an_older_servers_limits_are_those_of_its_front_page(tmp_path: Path) -> None:
    async with server(NEW) as found:
        said = await refused(found.url, tmp_path, "limits: {timeout: 400000, memorySize: 1024}")
    assert "limits.timeout is 400000 ms; this namespace allows 300000 at most" in said
    assert "limits.memorySize is 1024 MB; this namespace allows 512 at most" in said


async def test_behind_a_gateway_that_shows_no_front_page_nothing_is_guessed(
    tmp_path: Path,
) -> None:
    async with server(NEW, root=403) as found:
        plan = await planned(found.url, tmp_path, "limits: {timeout: 400000}")
    changes = {change.field: change.new for change in plan.steps[0].changes}
    assert changes["kind"] == "python:default"


async def test_a_store_at_s3_needs_what_openwhisks_own_images_do_not_have(tmp_path: Path) -> None:
    async with server(NEW) as found:
        plan = await planned(found.url, tmp_path, store="s3://key:secret@host")
        quiet = await planned(found.url, tmp_path, store="s3://k:s@host", image="me/with-s3:1")
    assert "name one that has it with --image" in plan.notes[0]
    assert quiet.notes == ()


@pytest.mark.parametrize(
    ("store", "is_here"),
    [
        ("s3://k:s@localhost:9000", True),
        ("s3+http://k:s@127.0.0.1:9000", True),
        ("folder:///srv/store", True),
        ("s3://k:s@store.example.com", False),
    ],
)
async def test_a_store_on_this_machine_is_not_where_a_container_looks(
    tmp_path: Path, store: str, is_here: bool
) -> None:
    async with server(NEW) as found:
        plan = await planned(found.url, tmp_path, store=store, image="me/with-s3:1")
    assert ["give --store as the actions reach it" in note for note in plan.notes] == [
        True for _ in range(is_here)
    ]


@pytest.mark.parametrize("cipher", ["8Xw==", "somebody's own"])
async def test_values_that_the_server_keeps_encrypted_are_taken_for_what_was_deployed(
    tmp_path: Path, cipher: str
) -> None:
    text = "inputs: {token: secret}"
    async with server(NEW) as empty:
        (step,) = (await planned(empty.url, tmp_path, text)).steps
    assert step.wanted is not None
    spec = step.wanted.spec
    assert isinstance(spec, ActionSpec)
    stored = {
        "name": "a",
        "namespace": "guest",
        "version": "0.0.1",
        "exec": {"kind": "python:3.10", "code": spec.code, "binary": True},
        "limits": {"timeout": 60000, "memory": 256, "logs": 10, "concurrency": 1},
        "annotations": [{"key": MARK, "value": step.wanted.mark.to_json()}],
        "parameters": [{"key": "token", "value": cipher, "encryption": "aes-256"}],
    }
    async with server(NEW, actions={"a": stored}) as found:
        assert (await planned(found.url, tmp_path, text)).work == ()
        other = await planned(found.url, tmp_path, "inputs: {token: secret, more: 1}")
    assert [change.field for change in other.work[0].changes] == ["parameters.more"]


async def test_planning_sends_nothing(tmp_path: Path) -> None:
    found: Server
    async with server(NEW) as found:
        plan = await planned(found.url, tmp_path)
        assert {request.method for request in found.requests} == {"GET"}
    assert json.loads(json.dumps(plan.to_json()))["namespace"] == "guest"
