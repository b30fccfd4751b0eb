"""The stock packages: there from the start, for everyone, and closed."""

from typing import Any

import pytest

from aowhisk.local import Account, LocalOpenWhisk

SYSTEM = "http://ow/api/v1/namespaces/whisk.system"


async def test_the_packages_are_listed_and_read_by_everyone(rest: Any) -> None:
    packages = (await rest.http.get(f"{SYSTEM}/packages")).json()
    utils = (await rest.http.get(f"{SYSTEM}/packages/utils")).json()
    inside = (await rest.http.get(f"{SYSTEM}/actions/samples/")).json()

    assert {one["name"] for one in packages} == {"utils", "samples"}
    assert all(one["publish"] for one in packages)
    assert {one["name"] for one in utils["actions"]} >= {"echo", "cat", "date", "split", "sort"}
    assert {one["name"] for one in inside} == {"greeting", "helloWorld", "wordCount", "curl"}


async def test_a_stock_action_is_shown_as_the_javascript_that_it_is(rest: Any) -> None:
    shown = (await rest.http.get(f"{SYSTEM}/actions/utils/sort")).json()
    bare = (await rest.http.get(f"{SYSTEM}/actions/utils/sort?code=false")).json()

    assert shown["exec"].keys() == {"kind", "code", "binary"}
    assert shown["exec"]["kind"].startswith("nodejs:")
    assert "function main" in shown["exec"]["code"]
    assert bare["exec"].keys() == {"kind", "binary"}
    notes = {note["key"]: note["value"] for note in shown["annotations"]}
    assert notes["sampleInput"] == {"lines": [4, 2, 3]}
    assert notes["exec"] == shown["exec"]["kind"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "actions/utils/echo"),
        ("DELETE", "actions/utils/echo"),
        ("PUT", "packages/utils"),
        ("DELETE", "packages/samples"),
        ("PUT", "packages/new"),
    ],
)
async def test_nobody_writes_there(rest: Any, method: str, path: str) -> None:
    answer = await rest.http.request(method, f"{SYSTEM}/{path}?overwrite=true", json={})

    assert answer.status_code == 403
    assert "is not authorized to access 'whisk.system/" in answer.json()["error"]


async def test_who_has_the_key_of_the_system_namespace_writes_there(opened: Any) -> None:
    async with opened(auth=[Account("whisk.system", "system:secret")]) as (_, system):
        await system.put("utils/echo", "def main(args):\n    return {'mine': True}\n")

        assert await system.result("utils/echo", a=1) == {"mine": True}


async def test_a_stock_action_leaves_a_record_without_any_process(
    ow: LocalOpenWhisk, rest: Any
) -> None:
    answer = await rest.http.post(
        f"{SYSTEM}/actions/utils/cat?blocking=true", json={"lines": ["a", 2]}
    )
    record = await rest.record(answer.json()["activationId"])

    assert answer.json()["response"]["result"] == {"lines": ["a", 2], "payload": "a\n2"}
    assert ow.worker_pids == []
    assert record["namespace"] == "guest"
    assert len(record["logs"]) == 1
    assert "stdout: cat: returning" in record["logs"][0]
    notes = {note["key"]: note["value"] for note in record["annotations"]}
    assert notes["path"] == "whisk.system/utils/cat"
    assert notes["limits"]["timeout"] == 60_000
    assert "initTime" not in notes


async def test_a_stock_package_can_be_bound_with_parameters(rest: Any) -> None:
    body = {
        "binding": {"namespace": "whisk.system", "name": "samples"},
        "parameters": [{"key": "place", "value": "Mount Olympus"}],
    }
    await rest.http.put("packages/hermes", json=body)

    assert await rest.result("hermes/greeting", payload="Io") == {
        "payload": "Hello, Io from Mount Olympus!"
    }


async def test_stock_actions_are_components_of_a_sequence(ow: LocalOpenWhisk, rest: Any) -> None:
    components = [f"/whisk.system/utils/{name}" for name in ("split", "sort", "cat")]
    body = {"exec": {"kind": "sequence", "components": components}}
    assert (await rest.http.put("actions/sorted", json=body)).status_code == 200

    result = await rest.result("sorted", payload="c,a,b", separator=",")

    assert result == {"lines": ["a", "b", "c"], "payload": "a\nb\nc"}
    assert ow.worker_pids == []


async def test_a_stock_action_serves_a_rule(ow: LocalOpenWhisk, rest: Any) -> None:
    await rest.http.put("triggers/t", json={})
    rule = {"trigger": "/_/t", "action": "/whisk.system/samples/greeting"}
    assert (await rest.http.put("rules/r", json=rule)).status_code == 200

    await rest.http.post("triggers/t", json={"name": "Io"})
    await ow.settled()

    (record,) = (await rest.http.get("activations?name=samples/greeting&docs=true")).json()
    assert record["response"]["result"] == {"payload": "Hello, Io from somewhere!"}
