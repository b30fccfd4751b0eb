"""The collections: what is sent, what is made of the answers, and lists longer than a page."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from client_server import AUTH, ID, Answer, Request, Script, always, record, refused, serve

from aowhisk import errors
from aowhisk.client import Action, ActionLimits, Client, Code, RuleStatus
from aowhisk.models import Status, from_ms

ACTION = {
    "namespace": "guest/pkg",
    "name": "hello",
    "version": "0.0.3",
    "publish": False,
    "updated": 1_700_000_000_000,
    "annotations": [{"key": "exec", "value": "python:3.11"}, {"key": "final", "value": True}],
    "limits": {"timeout": 60000, "memory": 256, "logs": 10, "concurrency": 1, "instances": 5},
    "exec": {"kind": "python:3.11", "code": "def main(a): ...", "binary": False},
    "parameters": [
        {"key": "a", "value": 1, "encryption": "aes"},
        {"key": "URL", "value": "s3://secret", "init": True},
    ],
    "new in some later version": 1,
}
MISSING = refused(404, "The requested resource does not exist.")


async def test_an_action_is_typed_and_keeps_what_is_unknown() -> None:
    async with serve(always(Answer(200, ACTION))) as server, Client(server.url, AUTH) as client:
        action = await client.actions.get("pkg/hello")
    assert (action.namespace, action.name, action.kind) == ("guest/pkg", "hello", "python:3.11")
    assert action.limits == ActionLimits(timeout=60, memory_mb=256, logs_mb=10, concurrency=1)
    assert (action.parameters, action.init_parameters) == ({"a": 1}, {"URL": "s3://secret"})
    assert action.annotations["final"] is True
    assert action.updated == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert action.raw["new in some later version"] == 1
    assert "secret" not in repr(action)


async def test_a_put_sends_the_code_the_limits_and_both_kinds_of_parameters() -> None:
    async with serve(always(Answer(200, ACTION))) as server, Client(server.url, AUTH) as client:
        out = await client.actions.put(
            "pkg/hello",
            Code.source("def main(args):\n    return args\n", main="main"),
            limits=ActionLimits(timeout=1.5, memory_mb=512),
            parameters={"a": 1},
            init_parameters={"URL": "s3://x"},
            annotations={"final": True},
            overwrite=True,
        )
    assert isinstance(out, Action)
    [request] = server.requests
    assert (request.method, request.query) == ("PUT", {"overwrite": "true"})
    assert request.json == {
        "exec": {
            "kind": "python:default",
            "code": "def main(args):\n    return args\n",
            "main": "main",
        },
        "limits": {"timeout": 1500, "memory": 512},
        "parameters": [
            {"key": "a", "value": 1},
            {"key": "URL", "value": "s3://x", "init": True},
        ],
        "annotations": [{"key": "final", "value": True}],
    }


async def test_fact_8_an_update_sends_only_what_is_given() -> None:
    async with serve(always(Answer(200, ACTION))) as server, Client(server.url, AUTH) as client:
        await client.actions.put("hello", drop_annotations=["old"], overwrite=True)
    assert server.requests[0].json == {"delAnnotations": ["old"]}


async def test_fact_8_what_exists_is_not_overwritten_unasked() -> None:
    answers = always(refused(409, "resource already exists"))
    async with serve(answers) as server, Client(server.url, AUTH) as client:
        with pytest.raises(errors.Rejected, match="pass overwrite=True") as caught:
            await client.actions.put("hello", "def main(args): return args")
    assert caught.value.status == 409
    assert server.requests[0].query == {}


async def test_fact_9_the_default_kind_is_one_that_every_server_has() -> None:
    async with serve(always(Answer(200, ACTION))) as server, Client(server.url, AUTH) as client:
        await client.actions.put("hello", "def main(args): return args")
    assert server.requests[0].json["exec"]["kind"] == "python:default"


async def test_fact_12_a_zip_travels_as_one_line_of_base64() -> None:
    data = bytes(range(256)) * 10
    async with serve(always(Answer(200, ACTION))) as server, Client(server.url, AUTH) as client:
        await client.actions.put("hello", Code.archive(data))
    sent = server.requests[0].json["exec"]["code"]
    assert "\n" not in sent
    assert base64.b64decode(sent) == data


@pytest.mark.parametrize("text", ["main", "  true\n", "functionmain", "abc=", "ab=="])
async def test_fact_12_a_source_that_looks_like_base64_is_refused(text: str) -> None:
    async with serve(always(Answer(200, ACTION))) as server, Client(server.url, AUTH) as client:
        with pytest.raises(errors.Rejected, match="add a comment line"):
            await client.actions.put("hello", text)
        await client.actions.put("hello", text + "\n# a comment")
    assert len(server.requests) == 1


async def test_fact_12_code_over_48_mb_says_so_before_the_upload() -> None:
    async with serve(always(Answer(200, ACTION))) as server, Client(server.url, AUTH) as client:
        with pytest.raises(errors.TooLarge, match=r"'hello' is 50331652 characters .*base64"):
            await client.actions.put("hello", Code.archive(bytes(36 * 1024 * 1024 + 1)))
        with pytest.raises(errors.TooLarge, match="50331649 characters,"):
            await client.actions.put("hello", "#" * (48 * 1024 * 1024 + 1))
    assert server.connections == 0


async def test_a_request_over_50_mib_is_refused_before_the_server_hangs_up() -> None:
    async with serve(always(Answer(200, ACTION))) as server, Client(server.url, AUTH) as client:
        with pytest.raises(errors.TooLarge, match="nothing was sent"):
            await client.packages.put("p", parameters={"x": "." * (50 * 1024 * 1024)})
    assert server.connections == 0


async def test_a_sequence_names_its_components_in_full() -> None:
    async with serve(always(Answer(200, ACTION))) as server, Client(server.url, AUTH) as client:
        await client.actions.put("s", Code.sequence("a", "pkg/b", "/other/c"))
    assert server.requests[0].json["exec"] == {
        "kind": "sequence",
        "components": ["/_/a", "/_/pkg/b", "/other/c"],
    }


async def test_an_image_may_have_code() -> None:
    async with serve(always(Answer(200, ACTION))) as server, Client(server.url, AUTH) as client:
        await client.actions.put("s", Code.image("me/python:1", text="x = 1"))
    sent = server.requests[0].json["exec"]
    assert sent == {"kind": "blackbox", "image": "me/python:1", "code": "x = 1"}


@pytest.mark.parametrize("empty", [Answer(200, "OK"), Answer(200), Answer(204)])
async def test_answers_to_put_and_delete_may_have_no_body(empty: Answer) -> None:
    """An operator can switch them off (require-response-payload)."""

    async def script(request: Request) -> Answer:
        return Answer(200, ACTION) if request.method == "GET" else empty

    async with serve(script) as server, Client(server.url, AUTH) as client:
        out = await client.actions.put("hello", "def main(args): return args")
        await client.actions.delete("hello")
    assert out.name == "hello"
    assert [r.method for r in server.requests] == ["PUT", "GET", "DELETE"]


async def test_fact_3_a_404_of_an_activation_says_not_yet() -> None:
    async with serve(always(MISSING)) as server, Client(server.url, AUTH) as client:
        with pytest.raises(errors.NotFound, match="not stored in namespace '_', or not yet"):
            await client.activations.get(ID)


async def test_fact_3_waiting_takes_a_404_for_not_yet() -> None:
    answers = always(MISSING, refused(503, "unavailable"), MISSING, Answer(200, record({"x": 1})))
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async with serve(answers) as server, Client(server.url, AUTH) as client:
        out = await client.activations.wait(ID, sleep=sleep)
    assert out.result == {"x": 1}
    assert len(pauses) == 3
    assert 0.1 <= pauses[0] <= 0.2


async def test_fact_3_waiting_ends_at_its_deadline_with_an_unknown_outcome() -> None:
    now = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    async with serve(always(MISSING)) as server, Client(server.url, AUTH) as client:
        with pytest.raises(errors.NotFound, match="outcome is unknown"):
            await client.activations.wait(ID, timeout=60, clock=lambda: now, sleep=sleep)
    assert now == pytest.approx(60)
    assert 10 < len(server.requests) < 40


async def test_waiting_does_not_swallow_a_wrong_key() -> None:
    answers = always(refused(401, "The supplied authentication is invalid"))
    async with serve(answers) as server, Client(server.url, AUTH) as client:
        with pytest.raises(errors.Unauthorized):
            await client.activations.wait(ID)


async def test_result_and_logs_have_their_own_pages() -> None:
    async def script(request: Request) -> Answer:
        if request.path.endswith("/logs"):
            return Answer(200, {"logs": ["a", "b"]})
        return Answer(200, {"result": {"x": 1}, "status": "success", "success": True, "size": 7})

    async with serve(script) as server, Client(server.url, AUTH) as client:
        assert await client.activations.logs(ID) == ("a", "b")
        assert await client.activations.result(ID) == {"x": 1}
    assert [r.path.rpartition("/")[2] for r in server.requests] == ["logs", "result"]


@pytest.mark.parametrize("text", ["", "xyz", ID.upper(), ID + "0", "../" + ID[3:]])
async def test_what_cannot_be_an_activation_id_is_refused_before_sending(text: str) -> None:
    async with serve(always(MISSING)) as server, Client(server.url, AUTH) as client:
        with pytest.raises(errors.Rejected, match="32 lowercase"):
            await client.activations.get(text)
    assert server.connections == 0


def rows_of(names: list[str], *, most: int = 200) -> Script:
    """A list of actions as OpenWhisk pages it, with at most `most` rows a page."""

    async def script(request: Request) -> Answer:
        limit, skip = int(request.query.get("limit", 30)), int(request.query.get("skip", 0))
        if not 0 <= limit <= most:
            return refused(
                400,
                "The query parameter 'limit' was malformed:\n"
                f"The value '{limit}' is not in the range of 0 to {most} for actions.",
            )
        chosen = names[skip : skip + (limit or most)]
        return Answer(200, [{**ACTION, "name": n, "exec": {"binary": False}} for n in chosen])

    return script


NAMES = [f"a{n}" for n in range(450)]


async def test_fact_10_a_list_pages_by_itself() -> None:
    async with serve(rows_of(NAMES)) as server, Client(server.url, AUTH) as client:
        found = [action async for action in client.actions.list()]
    assert [action.name for action in found] == NAMES
    assert found[0].kind == "python:3.11"  # from the annotation: lists have no kind
    assert [r.query["limit"] for r in server.requests] == ["200"] * 3


async def test_fact_10_a_providers_smaller_page_is_discovered_once() -> None:
    async with serve(rows_of(NAMES, most=50)) as server, Client(server.url, AUTH) as client:
        assert [a.name async for a in client.actions.list(limit=120)] == NAMES[:120]
        assert [a.name async for a in client.actions.list(limit=20, skip=5)] == NAMES[5:25]
    assert [r.query["limit"] for r in server.requests] == ["120", "50", "50", "20", "20"]


async def test_fact_10_a_limit_of_zero_asks_for_nothing() -> None:
    """To the server 0 means 200."""
    async with serve(rows_of(NAMES)) as server, Client(server.url, AUTH) as client:
        assert [a async for a in client.actions.list(limit=0)] == []
    assert server.requests == []


async def test_the_actions_of_a_package_are_listed_with_a_slash() -> None:
    async with serve(rows_of([])) as server, Client(server.url, AUTH) as client:
        assert [a async for a in client.actions.list(package="pkg")] == []
    assert server.requests[0].path == "/api/v1/namespaces/_/actions/pkg/"


def activations_of(starts: list[int], *, most: int = 200) -> Script:
    """A list of activations as OpenWhisk gives it: newest first, both bounds inclusive."""
    rows = [record(id_=f"{n:032x}", start=start) for n, start in enumerate(starts)]
    rows.sort(key=lambda row: -row["start"])

    async def script(request: Request) -> Answer:
        query = request.query
        low, high = int(query.get("since", 0)), int(query.get("upto", 10**15))
        chosen = [row for row in rows if low <= row["start"] <= high]
        skip, limit = int(query.get("skip", 0)), int(query["limit"]) or most
        chosen = chosen[skip : skip + limit]
        if query.get("docs") != "true":
            chosen = [
                {**{k: v for k, v in row.items() if k != "response"}, "statusCode": 1}
                for row in chosen
            ]
        return Answer(200, chosen)

    return script


@pytest.mark.parametrize(
    "starts",
    [
        list(range(1000, 1450)),
        [1000 + n // 7 for n in range(450)],
        [1000] * 450,
        [1000] * 199 + [999] * 202 + [998],
        list(range(1000, 1200)),
        [],
    ],
    ids=["apart", "sevens", "one millisecond", "edges", "exactly a page", "none"],
)
async def test_fact_10_activations_page_by_time_and_come_once(starts: list[int]) -> None:
    async with serve(activations_of(starts)) as server, Client(server.url, AUTH) as client:
        found = [a async for a in client.activations.list()]
    assert len(found) == len(starts)
    assert len({a.id for a in found}) == len(starts)
    assert [a.start for a in found] == sorted((from_ms(s) for s in starts), reverse=True)


async def test_fact_10_activations_stop_at_the_limit() -> None:
    async with (
        serve(activations_of([1000 + n // 7 for n in range(450)])) as server,
        Client(server.url, AUTH) as client,
    ):
        found = [a async for a in client.activations.list(limit=333)]
    assert len({a.id for a in found}) == 333


async def test_fact_10_bounds_are_inclusive_milliseconds_and_the_filter_keeps_the_package() -> None:
    async with (
        serve(activations_of(list(range(1000, 1100)))) as server,
        Client(server.url, AUTH) as client,
    ):
        found = [
            a
            async for a in client.activations.list(
                name="pkg/hello", since=from_ms(1010), upto=from_ms(1019), docs=True
            )
        ]
    assert len(found) == 10
    assert found[0].result == {}
    query = server.requests[0].query
    assert query == {
        "docs": "true",
        "name": "pkg/hello",
        "since": "1010",
        "upto": "1019",
        "skip": "0",
        "limit": "200",
    }


async def test_fact_5_summaries_have_a_status_by_number_and_no_result() -> None:
    async with serve(activations_of([1000])) as server, Client(server.url, AUTH) as client:
        [summary] = [a async for a in client.activations.list()]
    assert (summary.status, summary.result) == (Status.APPLICATION_ERROR, None)


async def test_fact_11_a_fire_without_an_active_rule_has_no_id() -> None:
    answers = always(Answer(202, {"activationId": ID}), Answer(204))
    async with serve(answers) as server, Client(server.url, AUTH) as client:
        assert await client.triggers.fire("t", {"a": 1}) == ID
        assert await client.triggers.fire("t") is None
    assert [r.json for r in server.requests] == [{"a": 1}, {}]


RULE = {
    "namespace": "guest",
    "name": "r",
    "version": "0.0.1",
    "trigger": {"path": "guest", "name": "t"},
    "action": {"path": "guest/pkg", "name": "a"},
    "status": "inactive",
}


async def test_fact_11_a_rules_state_answers_ok_in_plain_text() -> None:
    async with serve(always(Answer(200, "OK"))) as server, Client(server.url, AUTH) as client:
        await client.rules.enable("r")
        await client.rules.disable("r")
    assert [r.json for r in server.requests] == [{"status": "active"}, {"status": "inactive"}]


async def test_fact_11_lists_do_not_tell_a_rules_state() -> None:
    async def script(request: Request) -> Answer:
        if request.path.endswith("/rules"):
            return Answer(200, [{k: v for k, v in RULE.items() if k != "status"}])
        return Answer(200, RULE)

    async with serve(script) as server, Client(server.url, AUTH) as client:
        [listed] = [rule async for rule in client.rules.list()]
        assert listed.status is None
        assert await client.rules.status("r") is RuleStatus.INACTIVE
        made = await client.rules.put("r", trigger="t", action="pkg/a")
    assert (made.trigger, made.action) == ("/guest/t", "/guest/pkg/a")
    assert server.requests[-1].json == {"trigger": "/_/t", "action": "/_/pkg/a"}


async def test_a_trigger_has_no_rules_before_its_first_one() -> None:
    bare = {"namespace": "guest", "name": "t", "version": "0.0.1"}
    answers = always(Answer(200, bare), Answer(200, {**bare, "rules": {"guest/r": {}}}))
    async with serve(answers) as server, Client(server.url, AUTH) as client:
        assert (await client.triggers.put("t", parameters={"a": 1})).rules == ()
        assert (await client.triggers.get("t")).rules == ("guest/r",)
    assert server.requests[0].json == {"parameters": [{"key": "a", "value": 1}]}


@pytest.mark.parametrize(
    ("binding", "said"),
    [(False, None), ({}, None), ({"namespace": "a", "name": "b"}, "/a/b")],
)
async def test_a_packages_binding_has_three_forms(binding: Any, said: str | None) -> None:
    body = {
        "namespace": "guest",
        "name": "p",
        "version": "0.0.1",
        "binding": binding,
        "actions": [{"name": "x", "version": "0.0.1"}],
        "feeds": [{"name": "y", "version": "0.0.1"}],
    }
    async with serve(always(Answer(200, body))) as server, Client(server.url, AUTH) as client:
        package = await client.packages.get("p")
        await client.packages.put("q", binding="/a/b", publish=True)
        await client.packages.delete("p", force=True)
    assert (package.binding, package.actions) == (said, ("x", "y"))
    assert server.requests[1].json == {
        "publish": True,
        "binding": {"namespace": "a", "name": "b"},
    }
    assert server.requests[2].query == {"force": "true"}


async def test_a_package_that_is_not_empty_is_not_deleted_unasked() -> None:
    text = "Package not empty (contains 1 entity). Set force param or delete package contents."
    async with serve(always(refused(409, text))) as server, Client(server.url, AUTH) as client:
        with pytest.raises(errors.Rejected, match="package 'p': Package not empty"):
            await client.packages.delete("p")
    assert server.requests[0].query == {}


async def test_limits_are_all_optional() -> None:
    """The Helm chart's OpenWhisk gives three numbers."""
    old = {"invocationsPerMinute": 60, "concurrentInvocations": 30, "firesPerMinute": 60}
    new = {
        **old,
        "maxActionTimeout": 300000,
        "maxActionMemory": 512,
        "maxParameterSize": "1048576 B",
        "maxPayloadSize": "5 MB",
        "allowedKinds": ["python:3.11"],
        "somethingNew": 1,
    }
    answers = always(Answer(200, old), Answer(200, new))
    async with serve(answers) as server, Client(server.url, AUTH) as client:
        first, second = await client.limits.get(), await client.limits.get()
    assert (first.invocations_per_minute, first.concurrent_invocations) == (60, 30)
    assert first.max_timeout is first.max_parameter_size is first.allowed_kinds is None
    assert (second.max_timeout, second.max_memory_mb) == (300.0, 512)
    assert (second.max_parameter_size, second.max_payload_size) == (1048576, 5 * 1024 * 1024)
    assert second.allowed_kinds == ("python:3.11",)
    assert second.raw["somethingNew"] == 1


async def test_the_servers_description_is_asked_for_without_the_key() -> None:
    body = {"limits": {}, "runtimes": {"python": [{"kind": "python:3.11"}]}}
    async with serve(always(Answer(200, body))) as server, Client(server.url, AUTH) as client:
        info = await client.info()
    assert info["runtimes"]["python"][0]["kind"] == "python:3.11"
    assert server.requests[0].path == "/"
    assert "authorization" not in server.requests[0].headers


async def test_another_namespace_stands_in_every_path() -> None:
    answers = always(Answer(200, []))
    async with serve(answers) as server, Client(server.url, AUTH, namespace="my ns") as client:
        assert [a async for a in client.activations.list()] == []
        assert [a async for a in client.packages.list()] == []
    assert {r.path.rpartition("/")[0] for r in server.requests} == {"/api/v1/namespaces/my%20ns"}


async def test_a_get_that_is_answered_by_something_else_says_so() -> None:
    page = Answer(200, "<html>hello</html>", {"Content-Type": "text/html"})
    async with serve(always(page)) as server, Client(server.url, AUTH) as client:
        for ask in (client.limits.get, client.info, client.namespaces.list):
            with pytest.raises(errors.ServerFault, match="apihost"):
                await ask()
