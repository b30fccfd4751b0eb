"""Running sequences: what is passed on, what ends them, what their records say."""

from pathlib import Path
from typing import Any

import anyio
import pytest
from conftest import annotations

from aowhisk.local import Fail, Limits, LocalOpenWhisk, LoseRecord
from aowhisk.models import Status

ADD = "def main(args):\n    return {'n': args.get('n', 0) + args.get('by', 1)}\n"
FAIL = "def main(args):\n    return {'error': 'no', 'n': 1}\n"
CRASH = "import os\ndef main(args):\n    os._exit(1)\n"
LIST = "def main(args):\n    return [1, 2]\n"
SHOW = "def main(args):\n    return {'type': type(args).__name__, 'args': args}\n"
WAIT = """
import os, time
def main(args):
    open(args['begun'], 'w').close()
    while not os.path.exists(args['go']):
        time.sleep(0.01)
    return {}
"""


async def put(rest: Any, name: str, *components: str, **body: Any) -> None:
    exec_ = {"kind": "sequence", "components": [f"/_/{one}" for one in components]}
    answer = await rest.http.put(f"actions/{name}?overwrite=true", json={"exec": exec_} | body)
    assert answer.status_code == 200, answer.text


async def test_a_record_names_its_components_and_they_name_it(ow: Any, rest: Any) -> None:
    await rest.put("a", ADD, limits={"memory": 512}, parameters=[{"key": "by", "value": 10}])
    await rest.put("b", ADD)
    await put(rest, "s", "a", "b", limits={"timeout": 5000, "logs": 3})

    answer = await rest.invoke("s", n=1)

    record = answer.json()
    parts = [await rest.record(one) for one in record["logs"]]
    assert answer.headers["x-openwhisk-activation-id"] == record["activationId"]
    assert record == await rest.record(record["activationId"])
    assert record["response"] == {
        "result": {"n": 12},
        "size": 10,
        "status": "success",
        "success": True,
    }
    said = annotations(record)
    assert isinstance(said.pop("waitTime"), int)
    assert said == {
        "path": "guest/s",
        "kind": "sequence",
        "topmost": True,
        "limits": {"timeout": 5000, "memory": 512, "logs": 3, "concurrency": 1},
    }
    assert "cause" not in record
    assert record["duration"] == sum(part["duration"] for part in parts)
    assert record["end"] >= max(part["end"] for part in parts)
    assert [part["name"] for part in parts] == ["a", "b"]
    assert {part["cause"] for part in parts} == {record["activationId"]}
    assert {annotations(part)["causedBy"] for part in parts} == {"sequence"}
    assert [ow.count(name) for name in ("s", "a", "b", None)] == [1, 1, 1, 3]


async def test_lists_show_causes_and_filter_by_the_name_of_the_sequence(rest: Any) -> None:
    await rest.put("a", ADD)
    await put(rest, "s", "a")
    record = (await rest.invoke("s")).json()

    listed = {one["name"]: one for one in (await rest.http.get("activations")).json()}

    assert listed["a"]["cause"] == record["activationId"]
    assert "cause" not in listed["s"]
    assert listed["s"]["duration"] == record["end"] - record["start"]
    found = (await rest.http.get("activations?name=s")).json()
    assert [one["activationId"] for one in found] == [record["activationId"]]


async def test_not_blocking_it_is_202_and_its_record_comes_at_the_end(ow: Any, rest: Any) -> None:
    await rest.put("a", ADD)
    await put(rest, "s", "a", "a")

    answer = await rest.invoke("s", "blocking=false")

    assert answer.status_code == 202
    assert (await rest.record(answer.json()["activationId"]))["response"]["result"] == {"n": 2}
    await ow.settled()


async def test_a_call_that_takes_longer_than_the_wait_becomes_202_and_goes_on(
    rest: Any, tmp_path: Path, until: Any
) -> None:
    begun, go = tmp_path / "begun", tmp_path / "go"
    await rest.put("wait", WAIT)
    await rest.put("a", ADD)
    await put(rest, "s", "wait", "a")

    answer = await rest.invoke("s", "blocking=true&timeout=50", begun=str(begun), go=str(go))

    assert answer.status_code == 202
    gone = await rest.http.get(f"activations/{answer.json()['activationId']}")
    assert gone.status_code == 404
    go.touch()
    assert (await rest.record(answer.json()["activationId"]))["response"]["result"] == {"n": 1}


async def test_an_error_ends_it_and_is_its_own(rest: Any) -> None:
    await rest.put("a", ADD)
    await rest.put("fail", FAIL)
    await put(rest, "s", "a", "fail", "a")

    answer = await rest.invoke("s")

    assert answer.status_code == 502
    assert answer.json()["response"]["result"] == {"error": "no"}
    assert answer.json()["response"]["status"] == "application error"
    assert len(answer.json()["logs"]) == 2


async def test_a_developer_error_ends_it_as_one(rest: Any) -> None:
    await rest.put("a", ADD)
    await rest.put("crash", CRASH)
    await put(rest, "s", "crash", "a")

    answer = await rest.invoke("s")

    assert answer.status_code == 502
    assert answer.json()["response"]["status"] == "action developer error"
    assert len(answer.json()["logs"]) == 1


async def test_an_error_in_the_payload_does_not_end_it(rest: Any) -> None:
    await rest.put("show", SHOW)
    await put(rest, "s", "show", "show")
    answer = await rest.result("s", error="mine")
    assert answer["args"]["args"] == {"error": "mine"}


async def test_an_array_takes_the_place_of_all_arguments(rest: Any) -> None:
    await rest.put("list", LIST)
    await rest.put("show", SHOW, parameters=[{"key": "p", "value": 1}])
    await put(rest, "s", "list", "show")
    assert await rest.result("s") == {"type": "list", "args": [1, 2]}
    await put(rest, "s", "show", "list")
    answer = await rest.invoke("s")
    assert (answer.status_code, answer.json()) == (200, [1, 2])


async def test_its_package_gives_a_sequence_nothing_and_its_components_theirs(rest: Any) -> None:
    for name, value in (("outer", 1), ("inner", 2)):
        given = [{"key": name, "value": value}, {"key": "who", "value": name}]
        await rest.http.put(f"packages/{name}", json={"parameters": given})
    await rest.http.put(
        "packages/bound",
        json={
            "binding": {"namespace": "_", "name": "inner"},
            "parameters": [{"key": "who", "value": "bound"}],
        },
    )
    await rest.put("inner/show", SHOW)
    await put(rest, "outer/s", "bound/show")

    record = (await rest.invoke("outer/s", n=1)).json()

    assert record["response"]["result"]["args"] == {"inner": 2, "who": "bound", "n": 1}
    part = await rest.record(record["logs"][0])
    assert annotations(part)["path"] == "guest/inner/show"
    assert annotations(part)["binding"] == "guest/bound"


async def test_a_sequence_that_is_called_through_a_binding_says_so(rest: Any) -> None:
    await rest.put("a", ADD)
    await rest.http.put("packages/p", json={})
    await rest.http.put("packages/b", json={"binding": {"namespace": "_", "name": "p"}})
    await put(rest, "p/s", "a")

    record = (await rest.invoke("b/s")).json()

    assert annotations(record)["path"] == "guest/p/s"
    assert annotations(record)["binding"] == "guest/b"


async def test_init_parameters_of_a_component_are_in_its_environment(rest: Any) -> None:
    code = "import os\ndef main(args):\n    return {'env': os.environ.get('X'), 'args': args}\n"
    await rest.put("env", code, parameters=[{"key": "X", "value": "y", "init": True}])
    await put(rest, "s", "env")
    assert await rest.result("s", n=1) == {"env": "y", "args": {"n": 1}}


async def test_components_belong_to_the_same_transaction(rest: Any) -> None:
    code = "import os\ndef main(args):\n    return {'id': os.environ['__OW_TRANSACTION_ID']}\n"
    await rest.put("tell", code)
    await put(rest, "s", "tell")
    answer = await rest.http.post("actions/s?blocking=true&result=true", json={})
    assert answer.json() == {"id": answer.headers["x-request-id"]}


async def test_a_sequence_in_a_sequence_has_a_record_between(rest: Any) -> None:
    await rest.put("a", ADD)
    await put(rest, "inner", "a", "a")
    await put(rest, "outer", "inner", "a")

    outer = (await rest.invoke("outer")).json()

    assert outer["response"]["result"] == {"n": 3}
    inner = await rest.record(outer["logs"][0])
    assert (inner["name"], inner["cause"]) == ("inner", outer["activationId"])
    assert annotations(inner)["topmost"] is False
    assert annotations(inner)["causedBy"] == "sequence"
    part = await rest.record(inner["logs"][0])
    assert part["cause"] == inner["activationId"]
    assert len(outer["logs"]) == len(inner["logs"]) == 2


async def test_more_actions_than_allowed_end_it_though_it_could_be_stored(rest: Any) -> None:
    await rest.put("a", ADD)
    await put(rest, "s", *["a"] * 49)
    await put(rest, "grown", "a")
    await put(rest, "outer", "s", "grown")
    await put(rest, "grown", "a", "a")

    answer = await rest.invoke("outer")

    assert answer.status_code == 502
    record = answer.json()
    assert record["response"]["result"] == {"error": "Too many actions in the sequence."}
    assert "size" not in record["response"]
    assert [len((await rest.record(one))["logs"]) for one in record["logs"]] == [49, 1]


async def test_a_component_that_was_deleted_ends_it(rest: Any) -> None:
    for name in ("a", "gone"):
        await rest.put(name, ADD)
    await put(rest, "s", "a", "gone", "a")
    await put(rest, "alone", "gone")
    await rest.http.delete("actions/gone")

    answer = await rest.invoke("s")

    assert answer.status_code == 502
    assert answer.json()["response"] == {
        "result": {"error": "Sequence component does not exist."},
        "status": "application error",
        "success": False,
    }
    assert len(answer.json()["logs"]) == 1
    assert "limits" not in annotations((await rest.invoke("alone")).json())


async def test_without_the_package_of_a_component_nothing_is_begun(ow: Any, rest: Any) -> None:
    await rest.http.put("packages/p", json={})
    await rest.put("p/a", ADD)
    await put(rest, "s", "p/a")
    await rest.http.delete("packages/p?force=true")

    answer = await rest.invoke("s")

    assert answer.status_code == 404
    assert answer.json()["error"] == "The requested resource does not exist."
    assert ow.count() == 0


async def test_a_component_that_became_something_else_breaks_it_without_a_record(
    ow: Any, rest: Any
) -> None:
    await rest.put("a", ADD)
    await put(rest, "s", "a", "a")
    await put(rest, "outer", "s")
    await rest.http.delete("actions/a")
    await rest.http.put("triggers/a", json={})

    answer = await rest.invoke("s")
    assert answer.status_code == 500
    assert answer.json()["error"] == "There was an internal server error."
    assert "x-openwhisk-activation-id" not in answer.headers
    later = await rest.invoke("s", "blocking=false")
    await ow.settled()
    assert (await rest.http.get(f"activations/{later.json()['activationId']}")).status_code == 404

    outer = await rest.invoke("outer")
    assert outer.status_code == 500
    assert outer.json()["response"]["result"] == {"error": "Sequence failed."}
    assert outer.json()["logs"] == []


@pytest.fixture
async def halfway(rest: Any, tmp_path: Path, until: Any) -> Any:
    """A sequence of `wait` and `next` whose first component is running; lets it go on."""
    begun, go = tmp_path / "begun", tmp_path / "go"
    await rest.put("wait", WAIT)
    await rest.put("next", ADD)
    await put(rest, "s", "wait", "next")
    answer = await rest.invoke("s", "blocking=false", begun=str(begun), go=str(go))
    await until(begun.exists)

    async def go_on() -> tuple[dict[str, Any], dict[str, Any]]:
        go.touch()
        record = await rest.record(answer.json()["activationId"])
        return record, await rest.record(record["logs"][1])

    return go_on


async def test_a_component_that_is_deleted_on_the_way_could_not_be_found(
    rest: Any, halfway: Any
) -> None:
    await rest.http.delete("actions/next")

    whole, part = await halfway()

    text = "Action could not be found or may have been deleted."
    assert whole["response"]["result"] == part["response"]["result"] == {"error": text}
    assert whole["response"]["status"] == "application error"
    assert annotations(part) == {"path": "guest/next", "kind": "unknown", "causedBy": "sequence"}
    assert part["duration"] == 0


async def test_a_component_that_is_updated_on_the_way_runs_as_it_is_now(
    rest: Any, halfway: Any
) -> None:
    await rest.put("next", SHOW)

    whole, part = await halfway()

    assert whole["response"]["result"]["type"] == "dict"
    assert part["version"] == "0.0.1"


async def test_a_component_that_becomes_a_sequence_on_the_way_cannot_be_run(
    rest: Any, halfway: Any
) -> None:
    await put(rest, "next", "wait")
    whole, _ = await halfway()
    assert whole["response"]["status"] == "whisk internal error"
    assert whole["response"]["result"] == {"error": "Action could not be fetched."}


async def test_a_component_that_becomes_a_trigger_on_the_way_cannot_be_run(
    rest: Any, halfway: Any
) -> None:
    await rest.http.delete("actions/next")
    await rest.http.put("triggers/next", json={})
    whole, _ = await halfway()
    assert whole["response"]["status"] == "whisk internal error"
    text = "Action version is not compatible and cannot be invoked."
    assert whole["response"]["result"] == {"error": text}


async def test_a_component_that_is_never_heard_of_ends_it_at_last(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aowhisk.local.composer.ACK_DELAY", 0.1)
    async with opened(faults=[LoseRecord(action="a")]) as (_, rest):
        await rest.put("a", ADD, limits={"timeout": 2000})
        await put(rest, "s", "a", "a")
        answer = await rest.invoke("s")
        part = answer.json()["logs"][0]
        text = f"Timeout reached when retrieving activation {part} for sequence component."
        assert answer.status_code == 500
        assert answer.json()["response"]["result"] == {"error": text}


async def test_a_sequence_counts_once_a_minute_and_one_in_flight(
    opened: Any, tmp_path: Path, until: Any
) -> None:
    begun, go = tmp_path / "begun", tmp_path / "go"
    limits = Limits(invocations_per_minute=3, concurrent_invocations=2)
    async with opened(limits=limits, clock=lambda: 90.0) as (_, rest):
        await rest.put("wait", WAIT)
        await rest.put("a", ADD)
        await put(rest, "s", "wait", "a", "a", "a")
        first = await rest.invoke("s", "blocking=false", begun=str(begun), go=str(go))
        await until(begun.exists)
        assert (await rest.invoke("a")).status_code == 200
        go.touch()
        assert (await rest.record(first.json()["activationId"]))["response"]["success"]
        assert (await rest.invoke("s", begun=str(begun), go=str(go))).status_code == 200
        assert (await rest.invoke("s")).status_code == 429


async def test_final_parameters_are_those_of_the_sequence_and_no_matter_for_components(
    rest: Any,
) -> None:
    final = [{"key": "final", "value": True}]
    await rest.put("show", SHOW, parameters=[{"key": "p", "value": 1}], annotations=final)
    await put(rest, "s", "show", annotations=final)
    assert (await rest.invoke("show", p=2)).status_code == 400
    assert (await rest.result("s", p=2))["args"] == {"p": 2}
    answer = await rest.http.post("actions/s", json={"_actions": []})
    assert answer.status_code == 400


async def test_faults_befall_a_sequence_as_any_action(opened: Any) -> None:
    faults = [Fail(action="s", status=Status.DEVELOPER_ERROR), LoseRecord(action="s", nth=2)]
    async with opened(faults=faults) as (ow, rest):
        await rest.put("a", ADD)
        await put(rest, "s", "a")
        failed = await rest.invoke("s")
        assert failed.json()["response"]["result"] == {"error": "failed on purpose"}
        lost = await rest.invoke("s", "blocking=true&timeout=500")
        assert lost.status_code == 202
        await ow.settled()
        assert [ow.count("s"), ow.count("a")] == [2, 1]
        assert len(ow.activations("s")) == 1


async def test_who_waits_when_the_server_stops_is_told_202(
    tmp_path: Path, rest_of: Any, until: Any
) -> None:
    begun, told = tmp_path / "begun", []
    ow = LocalOpenWhisk(root=tmp_path / "ow")

    async def call(rest: Any) -> None:
        answer = await rest.invoke("s", begun=str(begun), go=str(tmp_path / "never"))
        told.append(answer.status_code)

    async with rest_of(ow) as rest, anyio.create_task_group() as tasks, ow:
        await rest.put("wait", WAIT)
        await put(rest, "s", "wait")
        tasks.start_soon(call, rest)
        await until(begun.exists)
    assert told == [202]


async def test_a_sequence_and_its_records_are_there_after_a_restart(
    opened: Any, tmp_path: Path
) -> None:
    async with opened(data=tmp_path / "data") as (_, rest):
        await rest.put("a", ADD)
        await put(rest, "s", "a", "a")
        before = (await rest.invoke("s", n=1)).json()
    async with opened(data=tmp_path / "data") as (_, rest):
        assert await rest.record(before["activationId"]) == before
        assert (await rest.record(before["logs"][0]))["cause"] == before["activationId"]
        assert await rest.result("s", n=1) == {"n": 3}
