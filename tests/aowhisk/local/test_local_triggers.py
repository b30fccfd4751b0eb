"""Triggers: what is stored, what firing one begins, and the record of that."""

import json
from typing import Any

import pytest

from aowhisk.local import Account, Limits, Throttle, Unavailable

HEADERS = "def main(args):\n    return args['__ow_headers']\n"
PAYLOAD = "def main(args):\n    args.pop('__ow_headers')\n    return args\n"


def pairs(**values: Any) -> list[dict[str, Any]]:
    return [{"key": key, "value": value} for key, value in values.items()]


async def rule(rest: Any, name: str, action: str, trigger: str = "t") -> None:
    body = {"trigger": f"/_/{trigger}", "action": action}
    answer = await rest.http.put(f"rules/{name}", json=body)
    assert answer.status_code == 200, answer.text


async def fired(rest: Any, trigger: str = "t", **payload: Any) -> tuple[Any, list[Any]]:
    """The record of a fire, and what its logs say of each rule."""
    answer = await rest.http.post(f"triggers/{trigger}", json=payload)
    assert answer.status_code == 202
    record = await rest.record(answer.json()["activationId"])
    return record, [json.loads(line) for line in record["logs"]]


async def test_an_update_keeps_what_it_does_not_give_and_replaces_the_rest(rest: Any) -> None:
    first = {
        "parameters": pairs(a=1),
        "annotations": pairs(note="x", old=1),
        "publish": True,
        "version": "1.2",
    }
    made = (await rest.http.put("triggers/t", json=first)).json()
    second = {"annotations": pairs(note="y")}

    changed = (await rest.http.put("triggers/t?overwrite=true", json=second)).json()

    assert made["version"] == "1.2.0"
    assert changed["version"] == "1.2.1"
    assert changed["parameters"] == pairs(a=1)
    assert changed["annotations"] == pairs(note="y")
    assert changed["publish"] is True
    assert changed["limits"] == {}
    assert "rules" not in changed


async def test_a_trigger_that_is_there_is_not_replaced_without_overwrite(rest: Any) -> None:
    await rest.http.put("triggers/t", json={})

    answer = await rest.http.put("triggers/t", json={})

    assert (answer.status_code, answer.json()["error"]) == (409, "resource already exists")


async def test_lists_are_short_newest_first_paged_and_counted(rest: Any) -> None:
    for name in ("a", "b", "c"):
        await rest.http.put(f"triggers/{name}", json={"parameters": pairs(x=1)})
    await rest.put("echo")
    await rule(rest, "r", "/_/echo", "a")

    listed = (await rest.http.get("triggers?skip=1&limit=2")).json()
    counted = (await rest.http.get("triggers?count=true&skip=1")).json()

    assert [one["name"] for one in listed] == ["b", "a"]  # a rule does not renew its trigger
    assert set(listed[0]) == {"namespace", "name", "version", "publish", "annotations", "updated"}
    assert counted == {"triggers": 2}


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ([], 400, "The request content was malformed:\nObject expected in field 'exec'"),
        ({"exec": "x"}, 400, "The request content was malformed:\nJSON object expected"),
        ({"limits": 1}, 400, "The request content was malformed:\nObject expected"),
        ({"version": "0.0.0"}, 400, "The request content was malformed:\nsemantic version malfo"),
        ({"annotations": {}}, 400, "The request content was malformed:\nparameters malformed!"),
        ({"publish": 1}, 400, "The request content was malformed:\nExpected JsBoolean, but got 1"),
        ({"annotations": pairs(feed=1)}, 400, "Feed name is not valid"),
        ({"annotations": pairs(feed="/")}, 400, "Feed name is not valid"),
        ({"annotations": pairs(feed="/a/$")}, 400, "Feed name is not valid"),
        ({"parameters": pairs(a="x" * 1048576)}, 413, "parameters larger than allowed: 1048579"),
    ],
)
async def test_what_is_no_trigger_is_refused_and_nothing_is_stored(
    rest: Any, body: Any, status: int, text: str
) -> None:
    answer = await rest.http.put("triggers/t", json=body)

    assert answer.status_code == status
    assert answer.json()["error"].startswith(text)
    assert (await rest.http.get("triggers/t")).status_code == 404


async def test_a_feed_is_an_annotation_that_is_kept_as_it_is(rest: Any) -> None:
    body = {"annotations": pairs(feed="/whisk.system/alarms/alarm")}

    answer = await rest.http.put("triggers/t", json=body)

    assert answer.json()["annotations"] == body["annotations"]


async def test_firing_without_an_active_rule_is_204_and_leaves_nothing(rest: Any) -> None:
    await rest.http.put("triggers/t", json={})

    answer = await rest.http.post("triggers/t", json={}, headers={"accept": "text/plain"})

    assert (answer.status_code, answer.content) == (204, b"")
    assert "content-type" not in answer.headers
    assert "x-openwhisk-activation-id" not in answer.headers
    assert (await rest.http.get("activations")).json() == []


async def test_the_payload_lies_over_the_headers_over_the_triggers_parameters(rest: Any) -> None:
    await rest.put("payload", PAYLOAD)
    await rest.put("headers", HEADERS)
    await rest.http.put("triggers/t", json={"parameters": pairs(a=1, b=1, __ow_headers=1)})
    await rule(rest, "r1", "/_/payload")
    await rule(rest, "r2", "/_/headers")

    answer = await rest.http.post("triggers/t", json={"b": 2}, headers={"X-Event": "push"})
    _, told = await fired(rest, b=2, __ow_headers={"mine": 1})
    record = await rest.record(answer.json()["activationId"])
    first, second = [json.loads(line)["activationId"] for line in record["logs"]]

    assert (await rest.record(first))["response"]["result"] == {"a": 1, "b": 2}
    seen = (await rest.record(second))["response"]["result"]
    assert seen["x-event"] == "push"
    assert "content-type" not in seen
    assert "content-length" not in seen
    own = await rest.record(told[1]["activationId"])
    assert own["response"]["result"] == {"mine": 1}


async def test_the_record_tells_of_each_rule_and_has_no_end(rest: Any) -> None:
    await rest.put("echo")
    await rest.http.put("packages/p", json={})
    await rest.put("p/inner")
    await rest.http.put("packages/q", json={"binding": {"namespace": "_", "name": "p"}})
    await rest.put("gone")
    await rest.http.put("triggers/t", json={"version": "3.0.0"})
    for name, action in (("a", "echo"), ("b", "q/inner"), ("c", "gone"), ("d", "echo")):
        await rule(rest, name, f"/_/{action}")
    await rest.http.delete("actions/gone")
    await rest.http.post("rules/d", json={"status": "inactive"})

    record, told = await fired(rest, n=1)

    assert record.keys() == {
        "namespace",
        "name",
        "version",
        "subject",
        "activationId",
        "start",
        "response",
        "logs",
        "annotations",
        "publish",
    }
    assert record["version"] == "3.0.0"
    assert record["response"] == {"result": {"n": 1}, "status": "success", "success": True}
    begun = [one.pop("activationId") for one in told[:2]]
    assert told == [
        {"rule": "guest/a", "action": "guest/echo", "statusCode": 0, "success": True},
        {"rule": "guest/b", "action": "guest/q/inner", "statusCode": 0, "success": True},
        {
            "rule": "guest/c",
            "action": "guest/gone",
            "statusCode": 1,
            "success": False,
            "error": "The requested resource does not exist.",
        },
        {
            "rule": "guest/d",
            "action": "guest/echo",
            "statusCode": 1,
            "success": False,
            "error": "Rule 'guest/d' is inactive, action 'guest/echo' was not activated.",
        },
    ]
    for activation, name in zip(begun, ("echo", "inner"), strict=True):
        of_action = await rest.record(activation)
        assert of_action["name"] == name
        assert "cause" not in of_action


async def test_a_rule_begins_a_sequence_which_is_the_cause_of_its_parts(rest: Any) -> None:
    await rest.put("a", PAYLOAD)
    exec_ = {"kind": "sequence", "components": ["/_/a", "/_/echo"]}
    await rest.put("echo")
    await rest.http.put("actions/both", json={"exec": exec_})
    await rest.http.put("triggers/t", json={})
    await rule(rest, "r", "/_/both")

    _, told = await fired(rest, n=1)
    whole = await rest.record(told[0]["activationId"])
    first = await rest.record(whole["logs"][0])

    assert whole["response"]["result"] == {"n": 1}
    assert "cause" not in whole
    assert first["cause"] == whole["activationId"]


async def test_the_list_of_activations_shows_a_fire_without_its_end(rest: Any) -> None:
    await rest.put("echo")
    await rest.http.put("triggers/t", json={})
    await rule(rest, "r", "/_/echo")
    record, _ = await fired(rest)

    listed = (await rest.http.get("activations?name=t")).json()

    assert [one["activationId"] for one in listed] == [record["activationId"]]
    assert listed[0]["statusCode"] == 0
    assert not {"end", "duration", "response", "logs"} & listed[0].keys()


async def test_of_a_namespace_that_keeps_no_records_a_fire_is_not_kept_either(opened: Any) -> None:
    account = Account("guest", "a:b", {"storeActivations": False})
    async with opened(auth=[account]) as (ow, rest):
        await rest.put("echo")
        await rest.http.put("triggers/t", json={})
        await rule(rest, "r", "/_/echo")

        answer = await rest.http.post("triggers/t", json={})
        await ow.settled()

        assert answer.status_code == 202
        assert (await rest.http.get("activations")).json() == []


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"", "application/json", 202),
        (b"[1]", "application/json", 400),
        (b"null", "application/json", 400),
        (b"{", "application/json", 400),
        (b"{}", "text/plain", 415),
        (b'{"x": "' + b"a" * 1_048_577 + b'"}', "application/json", 413),
    ],
)
async def test_a_payload_is_a_json_object_or_nothing(
    rest: Any, content: bytes, kind: str, status: int
) -> None:
    await rest.put("echo")
    await rest.http.put("triggers/t", json={})
    await rule(rest, "r", "/_/echo")

    answer = await rest.http.post("triggers/t", content=content, headers={"content-type": kind})

    assert answer.status_code == status


async def test_what_is_too_large_only_with_the_triggers_parameters_fails_in_the_record(
    rest: Any,
) -> None:
    await rest.put("echo")
    await rest.http.put("triggers/t", json={"parameters": pairs(a="x" * 600_000)})
    await rule(rest, "r", "/_/echo")

    _, told = await fired(rest, b="x" * 600_000)

    assert told[0]["statusCode"] == 1
    assert told[0]["error"].startswith("Request larger than allowed: 1200")


async def test_a_rules_action_counts_as_an_invocation_and_is_refused_in_the_record(
    opened: Any,
) -> None:
    async with opened(limits=Limits(invocations_per_minute=1), clock=lambda: 90.0) as (_, rest):
        await rest.put("echo")
        await rest.http.put("triggers/t", json={})
        await rule(rest, "r", "/_/echo")
        await fired(rest)

        _, told = await fired(rest)

    assert told[0]["error"] == "Too many requests in the last minute (count: 2, allowed: 1)."


async def test_what_a_fault_refuses_is_told_in_the_record_by_its_kind(opened: Any) -> None:
    async with opened(faults=[Throttle(times=1), Unavailable(times=1)]) as (_, rest):
        await rest.put("echo")
        await rest.http.put("triggers/t", json={})
        await rule(rest, "r", "/_/echo")

        told = [(await fired(rest))[1][0] for _ in range(3)]

    assert [one["statusCode"] for one in told] == [1, 3, 0]
    assert told[1]["error"].startswith("The server is currently unavailable")


async def test_an_action_that_is_not_shared_any_more_is_refused_in_the_record(
    opened: Any, rest_of: Any
) -> None:
    accounts = [Account("anna", "a:a"), Account("bert", "b:b")]
    async with opened(auth=accounts) as (ow, anna), rest_of(ow, "b:b") as bert:
        await anna.http.put("packages/p", json={"publish": True})
        await anna.put("p/echo")
        await bert.http.put("triggers/t", json={})
        await rule(bert, "r", "/anna/p/echo")
        _, before = await fired(bert)
        await anna.http.put("packages/p?overwrite=true", json={"publish": False})

        _, after = await fired(bert)

        assert (await bert.record(before[0]["activationId"]))["subject"] == "bert"
        assert after[0]["error"] == (
            "The supplied authentication is not authorized to access 'anna/p'."
        )


async def test_a_trigger_takes_its_rules_with_it(rest: Any) -> None:
    await rest.put("echo")
    await rest.http.put("triggers/t", json={})
    await rule(rest, "r", "/_/echo")

    deleted = (await rest.http.delete("triggers/t")).json()
    left = (await rest.http.get("rules/r")).json()
    again = (await rest.http.put("triggers/t", json={})).json()

    assert deleted["rules"]["guest/r"]["status"] == "active"
    assert left["status"] == "inactive"
    assert "rules" not in again


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "triggers/", 200),
        ("PUT", "triggers/", 404),
        ("GET", "triggers/t/", 404),
        ("GET", "triggers/t/x", 404),
        ("POST", "triggers", 404),
        ("PATCH", "triggers/t", 404),
        ("DELETE", "triggers/t", 404),
        ("GET", "triggers/echo", 409),
        ("POST", "triggers/echo", 409),
        ("DELETE", "triggers/echo", 409),
        ("GET", "triggers?limit=201", 400),
    ],
)
async def test_what_there_is_not_is_refused(rest: Any, method: str, path: str, status: int) -> None:
    await rest.put("echo")

    answer = await rest.http.request(method, path, json=None if method == "GET" else {})

    assert answer.status_code == status
