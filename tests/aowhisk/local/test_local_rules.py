"""Rules: what they may join, and when they are active."""

from typing import Any

import pytest

from aowhisk.local import Account

MALFORMED = "The request content was malformed:\n"
KIND = "class org.apache.openwhisk.core.entity.Whisk"


@pytest.fixture
async def joined(rest: Any) -> Any:
    """Triggers `t` and `t2`, actions `a`, `p/a` and `q/a`, and rule `r` from `t` to `a`."""
    await rest.put("a")
    await rest.http.put("packages/p", json={})
    await rest.put("p/a")
    await rest.http.put("packages/q", json={"binding": {"namespace": "_", "name": "p"}})
    for trigger in ("t", "t2"):
        await rest.http.put(f"triggers/{trigger}", json={})
    await put(rest, trigger="/_/t", action="/_/a")
    return rest


async def put(rest: Any, name: str = "r", query: str = "", **body: Any) -> Any:
    answer = await rest.http.put(f"rules/{name}{query}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def status(rest: Any, name: str = "r") -> str:
    return str((await rest.http.get(f"rules/{name}")).json()["status"])


@pytest.mark.parametrize(
    ("action", "shown"),
    [
        ("/_/a", {"path": "guest", "name": "a"}),
        ("_/a", {"path": "guest", "name": "a"}),
        ("guest/a/", {"path": "guest", "name": "a"}),
        ("/guest/p/a", {"path": "guest/p", "name": "a"}),
        ("/_/q/a", {"path": "guest/q", "name": "a"}),
        ({"path": "_", "name": "a"}, {"path": "guest", "name": "a"}),
        ({"path": "/_/p", "name": "a"}, {"path": "guest/p", "name": "a"}),
        (
            {"path": "_", "name": "a", "version": "0.0.7", "binding": "guest/q"},
            {"path": "guest", "name": "a", "version": "0.0.7"},
        ),
    ],
)
async def test_a_name_is_a_path_or_an_object(joined: Any, action: Any, shown: Any) -> None:
    made = await put(joined, "other", trigger={"path": "_", "name": "t"}, action=action)
    trigger = (await joined.http.get("triggers/t")).json()

    assert made["trigger"] == {"path": "guest", "name": "t"}
    assert made["action"] == shown
    assert trigger["rules"]["guest/other"] == {"action": shown, "status": "active"}


TOO_SHORT = (
    f"{MALFORMED}requirement failed: The fully qualified name of the entity must contain at least "
    "the namespace and the name of the entity."
)


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        ({"action": "a"}, 400, TOO_SHORT),
        ({"trigger": "/t"}, 400, TOO_SHORT),
        ({"action": "//"}, 400, f"{MALFORMED}requirement failed: path undefined"),
        (
            {"action": "/_/$/a"},
            400,
            f"{MALFORMED}requirement failed: path contains invalid parts ArraySeq(_, $, a)",
        ),
        ({"action": 1}, 400, f"{MALFORMED}fully qualified name malformed"),
        ({"action": {"path": "_"}}, 400, f"{MALFORMED}fully qualified name malformed"),
        ({"action": {"path": "", "name": "a"}}, 400, f"{MALFORMED}fully qualified name malformed"),
        (
            {"action": {"path": "_", "name": "a", "version": "x"}},
            400,
            f"{MALFORMED}fully qualified name malformed",
        ),
        ({"action": None}, 400, "rule requires a valid trigger and a valid action"),
        ({"trigger": None}, 400, "rule requires a valid trigger and a valid action"),
        ({"trigger": "/_/x"}, 400, "trigger /guest/x does not exist"),
        ({"trigger": "/_/p/t"}, 400, "trigger /guest/p/t does not exist"),
        ({"trigger": "/_/x", "action": "/_/y"}, 400, "trigger /guest/x does not exist"),
        ({"action": "/_/x"}, 400, "action /guest/x does not exist"),
        ({"action": "/_/p/x"}, 400, "action /guest/p/x does not exist"),
        ({"action": "/_/q/x"}, 400, "action /guest/q/x does not exist"),
        ({"action": "/_/x/a"}, 404, "The requested resource does not exist."),
        (
            {"action": "/_/t/a"},
            409,
            "Resource by this name exists but is not in this collection.",
        ),
        (
            {"trigger": "/_/a"},
            400,
            f"document type {KIND}Action did not match expected type {KIND}Trigger.",
        ),
        (
            {"action": "/_/r"},
            400,
            f"document type {KIND}Rule did not match expected type {KIND}ActionMetaData.",
        ),
        (
            {"trigger": "/other/t"},
            403,
            "The supplied authentication is not authorized to access 'other/t'.",
        ),
        (
            {"trigger": "/other/t", "action": "/else/a"},
            403,
            "The supplied authentication is not authorized to access 'else/a, other/t'.",
        ),
        (
            {"action": "/other/p/a"},
            403,
            "The supplied authentication is not authorized to access 'other/p'.",
        ),
    ],
)
async def test_what_cannot_be_joined_is_refused(
    joined: Any, changes: Any, code: int, text: str
) -> None:
    body = {"trigger": "/_/t", "action": "/_/a"} | changes

    answer = await joined.http.put("rules/new", json=body)

    assert (answer.status_code, answer.json()["error"]) == (code, text)
    assert (await joined.http.get("rules/new")).status_code == 404


async def test_a_rule_may_join_what_another_namespace_shares(opened: Any, rest_of: Any) -> None:
    accounts = [Account("anna", "a:a"), Account("bert", "b:b")]
    async with opened(auth=accounts) as (ow, anna), rest_of(ow, "b:b") as bert:
        await anna.http.put("packages/p", json={"publish": True})
        await anna.put("p/echo")
        await bert.http.put("triggers/t", json={})
        await bert.http.put("packages/bound", json={"binding": {"namespace": "anna", "name": "p"}})

        direct = await put(bert, "r1", trigger="/_/t", action="/anna/p/echo")
        bound = await put(bert, "r2", trigger="/_/t", action="/_/bound/echo")

    assert direct["action"] == {"path": "anna/p", "name": "echo"}
    assert bound["action"] == {"path": "bert/bound", "name": "echo"}


async def test_an_update_keeps_what_it_does_not_give_and_the_state(joined: Any) -> None:
    await joined.http.post("rules/r", json={"status": "inactive"})

    changed = await put(joined, query="?overwrite=true", action="/_/p/a", publish=True)

    assert changed["version"] == "0.0.2"
    assert changed["publish"] is True
    assert changed["trigger"] == {"path": "guest", "name": "t"}
    assert changed["action"] == {"path": "guest/p", "name": "a"}
    assert changed["status"] == "inactive"
    trigger = (await joined.http.get("triggers/t")).json()
    assert trigger["rules"] == {"guest/r": {"action": changed["action"], "status": "inactive"}}


async def test_a_rule_moves_from_one_trigger_to_another(joined: Any) -> None:
    await put(joined, query="?overwrite=true", trigger="/_/t2")

    assert (await joined.http.get("triggers/t")).json()["rules"] == {}
    assert list((await joined.http.get("triggers/t2")).json()["rules"]) == ["guest/r"]


async def test_an_update_checks_also_what_it_does_not_change(joined: Any) -> None:
    await joined.http.delete("actions/a")

    answer = await joined.http.put("rules/r?overwrite=true", json={"trigger": "/_/t2"})

    assert (answer.status_code, answer.json()["error"]) == (400, "action /guest/a does not exist")
    assert await status(joined) == "active"


async def test_a_rule_that_is_there_is_not_replaced_without_overwrite(joined: Any) -> None:
    answer = await joined.http.put("rules/r", json={"trigger": "/_/t", "action": "/_/a"})

    assert (answer.status_code, answer.json()["error"]) == (409, "resource already exists")


async def test_lists_are_whole_rules_without_their_states(joined: Any) -> None:
    await put(joined, "later", trigger="/_/t", action="/_/a")

    listed = (await joined.http.get("rules")).json()
    counted = (await joined.http.get("rules?count=true")).json()

    whole = (await joined.http.get("rules/r")).json()
    assert [one["name"] for one in listed] == ["later", "r"]
    assert listed[1] | {"status": "active"} == whole
    assert counted == {"rules": 2}


async def test_a_rule_is_switched_off_and_on(joined: Any) -> None:
    for state in ("inactive", "inactive", " active ", "active"):
        answer = await joined.http.post("rules/r", json={"status": state})

        assert (answer.status_code, answer.text) == (200, "OK")
        assert answer.headers["content-type"].startswith("text/plain")
        assert await status(joined) == state.strip()


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"status": "on"}, "requirement failed: on is not a recognized rule state"),
        ({"status": " "}, "requirement failed: argument undefined"),
        ({"status": 1}, "1 (of class spray.json.JsNumber)"),
        ({"status": None}, "null (of class spray.json.JsNull$)"),
        ({"status": True}, "true (of class spray.json.JsTrue$)"),
        ({}, "key not found: status"),
        ([], "[] (of class spray.json.JsArray)"),
    ],
)
async def test_what_is_no_state_is_refused(joined: Any, body: Any, text: str) -> None:
    answer = await joined.http.post("rules/r", json=body)

    assert (answer.status_code, answer.json()["error"]) == (400, MALFORMED + text)


async def test_without_its_trigger_a_rule_is_inactive_and_stays_so(joined: Any) -> None:
    await joined.http.delete("triggers/t")

    off = await joined.http.post("rules/r", json={"status": "inactive"})
    on = await joined.http.post("rules/r", json={"status": "active"})

    assert off.text == "OK"
    assert (on.status_code, on.json()["error"]) == (
        404,
        "Only rules with existing triggers can be activated",
    )


async def test_a_trigger_made_again_gets_its_rule_back_only_when_that_is_switched_on(
    joined: Any,
) -> None:
    await joined.http.delete("triggers/t")
    await joined.http.put("triggers/t", json={})

    before = await status(joined)
    await joined.http.post("rules/r", json={"status": "active"})

    assert (before, await status(joined)) == ("inactive", "active")
    assert (await joined.http.post("triggers/t", json={})).status_code == 202


async def test_a_rule_of_a_trigger_made_again_is_updated_as_an_inactive_one(joined: Any) -> None:
    await joined.http.delete("triggers/t")
    await joined.http.put("triggers/t", json={})

    changed = await put(joined, query="?overwrite=true")

    assert changed["status"] == "inactive"
    assert (await joined.http.post("triggers/t", json={})).status_code == 204


async def test_without_its_action_a_rule_stays_active(joined: Any) -> None:
    await joined.http.delete("actions/a")

    assert await status(joined) == "active"


async def test_where_something_else_has_the_triggers_name_a_rule_can_only_be_refused(
    joined: Any,
) -> None:
    await joined.http.delete("triggers/t")
    await joined.put("t")

    answers = [
        await joined.http.get("rules/r"),
        await joined.http.post("rules/r", json={"status": "active"}),
        await joined.http.put("rules/r?overwrite=true", json={"trigger": "/_/t2"}),
        await joined.http.delete("rules/r"),
    ]

    assert [answer.status_code for answer in answers] == [500, 500, 409, 409]


async def test_a_deleted_rule_is_inactive_and_gone_from_its_trigger(joined: Any) -> None:
    deleted = (await joined.http.delete("rules/r")).json()

    assert deleted["status"] == "inactive"
    assert (await joined.http.get("triggers/t")).json()["rules"] == {}
    assert (await joined.http.delete("rules/r")).status_code == 404
    assert (await joined.http.post("rules/r", json={"status": "active"})).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("PUT", "rules/", 404),
        ("GET", "rules/r/x", 404),
        ("PATCH", "rules/r", 404),
        ("GET", "rules/t", 409),
        ("PUT", "rules/t?overwrite=true", 409),
        ("PUT", "triggers/r?overwrite=true", 409),
        ("PUT", "rules/$", 400),
        ("GET", "rules?skip=-1", 400),
    ],
)
async def test_what_there_is_not_is_refused(joined: Any, method: str, path: str, code: int) -> None:
    body = None if method == "GET" else {"trigger": "/_/t", "action": "/_/a"}

    assert (await joined.http.request(method, path, json=body)).status_code == code
