"""Compositions: what a conductor says, what it is told, and what the records say."""

from typing import Any

import pytest
from conftest import annotations

from aowhisk.local import Limits, LoseRecord

CONDUCTOR = "def main(args):\n    return args\n"  # says what it is given
STEP = "def main(args):\n    return {'n': args['n'] + 1} if 'n' in args else {'error': 'no n'}\n"
LIST = "def main(args):\n    return [1, 2]\n"


async def conductor(rest: Any, name: str = "c", code: str = CONDUCTOR, **body: Any) -> None:
    await rest.put(name, code, annotations=[{"key": "conductor", "value": True}], **body)


async def sequence(rest: Any, name: str, *components: str) -> None:
    exec_ = {"kind": "sequence", "components": [f"/_/{one}" for one in components]}
    answer = await rest.http.put(f"actions/{name}?overwrite=true", json={"exec": exec_})
    assert answer.status_code == 200, answer.text


async def test_what_names_no_action_is_the_end(rest: Any) -> None:
    await conductor(rest)
    assert await rest.result("c", n=1) == {"n": 1}
    assert await rest.result("c", params={"n": 1}, x=2) == {"n": 1}
    assert await rest.result("c", params=3) == {"value": 3}
    answer = await rest.invoke("c", error="no")
    assert answer.status_code == 502
    assert answer.json()["response"]["status"] == "application error"
    assert len(answer.json()["logs"]) == 1


async def test_an_error_inside_params_is_a_result(rest: Any) -> None:
    await conductor(rest)
    answer = await rest.invoke("c", params={"error": "no"})
    assert answer.status_code == 200
    assert answer.json()["response"]["result"] == {"error": "no"}
    await rest.put("step", STEP)
    await sequence(rest, "s", "c", "step")
    stopped = await rest.invoke("s", params={"error": "no"})
    assert len(stopped.json()["logs"]) == 1


async def test_it_runs_what_it_names_and_hears_what_became_of_it(ow: Any, rest: Any) -> None:
    await conductor(rest, limits={"timeout": 5000, "logs": 3})
    await rest.put("step", STEP, limits={"memory": 512})

    answer = await rest.invoke("c", action="step", params={"n": 1}, state={"kept": "yes"})

    record = answer.json()
    assert record["response"] == {
        "result": {"n": 2, "kept": "yes"},
        "status": "success",
        "success": True,
    }
    said = annotations(record)
    assert isinstance(said.pop("waitTime"), int)
    assert said == {
        "path": "guest/c",
        "kind": "sequence",
        "topmost": True,
        "conductor": True,
        "limits": {"timeout": 5000, "memory": 512, "logs": 3, "concurrency": 1},
    }
    parts = [await rest.record(one) for one in record["logs"]]
    assert [part["name"] for part in parts] == ["c", "step", "c"]
    assert {part["cause"] for part in parts} == {record["activationId"]}
    assert {annotations(part)["causedBy"] for part in parts} == {"sequence"}
    assert annotations(parts[0])["kind"] == "python:3.11"
    assert record["duration"] == sum(part["duration"] for part in parts)
    assert [ow.count("c"), ow.count("step")] == [3, 1]


async def test_parameters_of_the_conductor_are_below_every_payload_of_it(rest: Any) -> None:
    await conductor(rest, parameters=[{"key": "p", "value": 1}, {"key": "n", "value": 0}])
    await rest.put("step", STEP)
    assert await rest.result("c", action="step", params={"n": 1}) == {"p": 1, "n": 2}


async def test_without_params_a_component_has_its_own(rest: Any) -> None:
    await conductor(rest)
    await rest.put("step", STEP, parameters=[{"key": "n", "value": 5}])
    assert await rest.result("c", action="step", n=1) == {"n": 6}


async def test_state_wins_over_the_result_and_is_boxed(rest: Any) -> None:
    await conductor(rest)
    await rest.put("step", STEP)
    won = await rest.result("c", action="step", params={"n": 1}, state={"n": 7})
    assert won == {"n": 7}
    boxed = await rest.result("c", action="step", params={"n": 1}, state=9)
    assert boxed == {"n": 2, "state": 9}  # which is the conductor's state once more


async def test_the_error_of_a_component_is_told_to_the_conductor(rest: Any) -> None:
    await conductor(rest)
    await rest.put("step", STEP)
    answer = await rest.invoke("c", action="step")
    assert answer.status_code == 502
    assert answer.json()["response"]["result"] == {"error": "no n"}
    assert len(answer.json()["logs"]) == 3


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a?", 'Failed to parse action name from json value "a?" during composition.'),
        ("/a", 'Failed to parse action name from json value "/a" during composition.'),
        ("/a/b/c/d", 'Failed to parse action name from json value "/a/b/c/d" during composition.'),
        ("", 'Failed to parse action name from json value "" during composition.'),
        ([1], "Failed to parse action name from json value [1] during composition."),
        (None, "Failed to parse action name from json value null during composition."),
        ("gone", "Failed to resolve action with name 'guest/gone' during composition."),
        ("/_/gone", "Failed to resolve action with name 'guest/gone' during composition."),
        ("p/gone", "Failed to resolve action with name 'guest/p/gone' during composition."),
        ("t", "Failed to resolve action with name 'guest/t' during composition."),
        ("q/a", "Failed entitlement check for action with name 'guest/q/a' during composition."),
        ("/other/a", "Failed entitlement check for action with name 'other/a' during composition."),
        (
            "other/p/a",
            "Failed entitlement check for action with name 'other/p/a' during composition.",
        ),
    ],
)
async def test_an_action_that_cannot_be_had_is_told_to_the_conductor(
    rest: Any, name: Any, text: str
) -> None:
    await conductor(rest)
    await rest.http.put("packages/p", json={})
    await rest.http.put("triggers/t", json={})

    answer = await rest.invoke("c", action=name)

    assert answer.status_code == 502
    assert answer.json()["response"]["result"] == {"error": text}
    assert len(answer.json()["logs"]) == 2


async def test_components_are_found_by_name_package_and_full_name(rest: Any) -> None:
    await conductor(rest)
    await rest.http.put("packages/p", json={"parameters": [{"key": "n", "value": 1}]})
    await rest.put("p/step", STEP)
    for name in ("p/step", "/_/p/step", "/guest/p/step", "guest/p/step"):
        assert await rest.result("c", action=name) == {"n": 2}


async def test_a_composition_in_a_composition_has_a_record_between(rest: Any) -> None:
    await conductor(rest)
    await rest.put("step", STEP)

    outer = (
        await rest.invoke("c", action="c", params={"action": "step", "params": {"n": 1}})
    ).json()

    assert outer["response"]["result"] == {"n": 2}
    inner = await rest.record(outer["logs"][1])
    assert annotations(inner)["topmost"] is False
    assert (annotations(inner)["causedBy"], inner["cause"]) == ("sequence", outer["activationId"])
    assert len(inner["logs"]) == 3


async def test_a_sequence_can_be_a_component_and_a_composition_one_of_a_sequence(
    rest: Any,
) -> None:
    await conductor(rest)
    await rest.put("step", STEP)
    await sequence(rest, "twice", "step", "step")
    await sequence(rest, "s", "c", "step")

    record = (await rest.invoke("c", action="twice", params={"n": 1})).json()
    assert record["response"]["result"] == {"n": 3}
    assert "conductor" not in annotations(await rest.record(record["logs"][1]))

    record = (await rest.invoke("s", action="step", params={"n": 1})).json()
    assert record["response"]["result"] == {"n": 3}
    part = await rest.record(record["logs"][0])
    assert annotations(part)["conductor"] is True
    assert annotations(part)["causedBy"] == "sequence"


async def test_it_gives_up_after_twice_the_components_and_one_call(opened: Any) -> None:
    async with opened(limits=Limits(sequence_length=3)) as (ow, rest):
        for_ever = "def main(args):\n    return {'action': 'step', 'params': {'n': 1}}\n"
        await conductor(rest, code=for_ever)
        await rest.put("step", STEP)

        answer = await rest.invoke("c")

        assert answer.status_code == 502
        text = "Too many actions in the composition."
        assert answer.json()["response"]["result"] == {"error": text}
        assert [ow.count("step"), len(answer.json()["logs"])] == [3, 3 + 7]


async def test_the_components_of_nested_compositions_count_together(opened: Any) -> None:
    async with opened(limits=Limits(sequence_length=2)) as (ow, rest):
        await conductor(rest)
        await rest.put("step", STEP)
        one = {"action": "step", "params": {"n": 1}}
        answer = await rest.invoke(
            "c", action="c", params=one, state={"action": "c", "params": one, "state": one}
        )
        assert answer.json()["response"]["result"]["error"].startswith("Too many actions")
        assert ow.count("step") == 2


async def test_the_annotation_counts_when_it_is_truthy_and_not_on_a_sequence(rest: Any) -> None:
    await rest.put("step", STEP)
    for value, conducts in ((1, True), ("x", True), ({}, True), (0, False), ("", False)):
        await rest.put("c", CONDUCTOR, annotations=[{"key": "conductor", "value": value}])
        told = await rest.result("c", action="step", params={"n": 1})
        assert told == ({"n": 2} if conducts else {"action": "step", "params": {"n": 1}}), value
    body = {
        "exec": {"kind": "sequence", "components": ["/_/step"]},
        "annotations": [{"key": "conductor", "value": True}],
    }
    await rest.http.put("actions/s", json=body)
    assert "conductor" not in annotations((await rest.invoke("s", n=1)).json())


async def test_an_array_of_the_conductor_breaks_it_without_a_record(ow: Any, rest: Any) -> None:
    await conductor(rest, code=LIST)
    answer = await rest.invoke("c")
    assert answer.status_code == 500
    assert answer.json()["error"] == "There was an internal server error."
    later = await rest.invoke("c", "blocking=false")
    await ow.settled()
    assert (await rest.http.get(f"activations/{later.json()['activationId']}")).status_code == 404


async def test_an_array_of_a_component_is_told_as_if_it_had_not_been_found(rest: Any) -> None:
    await conductor(rest)
    await rest.put("list", LIST)
    answer = await rest.invoke("c", action="list", state={"x": 1})
    text = "Failed to resolve action with name 'guest/list' during composition."
    assert answer.json()["response"]["result"] == {"error": text}
    assert len(answer.json()["logs"]) == 3


async def test_a_conductor_that_breaks_after_a_component_is_told_twice(rest: Any) -> None:
    code = """
def main(args):
    if 'error' in args:
        return {'params': args} if args['error'].startswith('Failed ent') else [1]
    return [1] if 'n' in args else {'action': 'step', 'params': {'n': 1}}
"""
    await conductor(rest, code=code)
    await rest.put("step", STEP)
    answer = await rest.invoke("c")
    text = "Failed entitlement check for action with name 'guest/step' during composition."
    assert answer.json()["response"]["result"] == {"error": text}
    assert len(answer.json()["logs"]) == 5


async def test_an_array_that_a_sequence_hands_over_leaves_a_conductor_its_own_parameters(
    rest: Any,
) -> None:
    await conductor(rest, parameters=[{"key": "p", "value": 1}])
    await rest.put("list", LIST)
    await sequence(rest, "s", "list", "c")
    assert await rest.result("s") == {"p": 1}


async def test_what_breaks_inside_ends_what_it_is_a_part_of(rest: Any) -> None:
    await conductor(rest)
    await conductor(rest, "broken", LIST)
    await sequence(rest, "s", "broken")
    outer = await rest.invoke("c", action="broken")
    assert outer.status_code == 500
    text = "Activation failure during composition."
    assert outer.json()["response"]["result"] == {"error": text}
    assert len(outer.json()["logs"]) == 1
    failed = await rest.invoke("s")
    assert failed.json()["response"]["result"] == {"error": "Sequence failed."}


async def test_a_part_that_is_never_heard_of_ends_it_at_last(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aowhisk.local.composer.ACK_DELAY", 0.1)
    async with opened(faults=[LoseRecord(action="step")]) as (_, rest):
        await conductor(rest)
        await rest.put("step", STEP, limits={"timeout": 2000})
        answer = await rest.invoke("c", action="step", params={"n": 1})
        part = answer.json()["logs"][1]
        text = f"Timeout reached when retrieving activation {part} during composition."
        assert answer.status_code == 500
        assert answer.json()["response"]["result"] == {"error": text}


async def test_a_rule_can_begin_a_composition(ow: Any, rest: Any) -> None:
    await conductor(rest)
    await rest.put("step", STEP)
    await rest.http.put("triggers/t", json={})
    await rest.http.put("rules/r", json={"trigger": "/_/t", "action": "/_/c"})
    await rest.http.post("triggers/t", json={"action": "step", "params": {"n": 1}})
    await ow.settled()
    assert [ow.count("c"), ow.count("step")] == [3, 1]
    assert [one.result for one in ow.activations("c")][-1]["n"] == 2
