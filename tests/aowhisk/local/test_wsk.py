"""OpenWhisk's command line client: for each of its commands the requests that it sends, byte for
byte as Go's HTTP client writes them, and what it needs of the answers.

From apache/openwhisk-cli (commands/*.go) and apache/openwhisk-client-go (whisk/*.go).
"""

import base64
import io
import json
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import anyio
import pytest

from aowhisk.local import LocalOpenWhisk

NS = "/api/v1/namespaces"
AGENT = "OpenWhisk-CLI/1.0 (2021-04-01T23:49:54.523+0000) linux amd64"
ECHO = "def main(args):\n    print('said')\n    return args\n"
FEED = """def main(args):
    if args['lifecycleEvent'] == 'CREATE' and 'cron' not in args:
        return {'error': 'needs cron'}
    return {'done': args['lifecycleEvent'], 'trigger': args['triggerName']}
"""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    data: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.data)

    @property
    def exit_code(self) -> int:
        """What a shell sees of wsk."""
        return 0 if 200 <= self.status <= 299 else (self.status - 256) % 256

    @property
    def message(self) -> str:
        """What wsk prints of an answer that is no success."""
        assert set(self.body) == {"error", "code"}
        assert isinstance(self.body["code"], str)
        return str(self.body["error"])


class Wsk:
    """Writes requests as wsk does: no Accept, a body ends with a newline, and only with one is
    there a Content-Type."""

    def __init__(self, url: str, key: str) -> None:
        self._host, _, port = url.rpartition("/")[2].partition(":")
        self._port = int(port)
        self.key = key

    async def ask(self, method: str, path: str, body: Any = None, *, auth: bool = True) -> Answer:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._host}:{self._port}"]
        lines.append(f"User-Agent: {AGENT}")
        data = b"" if body is None else json.dumps(body, separators=(",", ":")).encode() + b"\n"
        if data:
            lines.append(f"Content-Length: {len(data)}")
        elif method in ("POST", "PUT"):
            lines.append("Content-Length: 0")
        if auth:
            lines.append(f"Authorization: Basic {base64.b64encode(self.key.encode()).decode()}")
        if data:
            lines.append("Content-Type: application/json")
        lines.append("Accept-Encoding: gzip")
        return await self._exchange("\r\n".join(lines).encode() + b"\r\n\r\n" + data)

    async def _exchange(self, request: bytes) -> Answer:
        with anyio.fail_after(20):
            async with await anyio.connect_tcp(self._host, self._port) as stream:
                await stream.send(request)
                received = b""
                while b"\r\n\r\n" not in received:
                    received += await stream.receive()
                head, _, data = received.partition(b"\r\n\r\n")
                first, *rest = head.decode("latin-1").split("\r\n")
                pairs = (line.partition(":") for line in rest)
                headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
                while len(data) < int(headers.get("content-length", 0)):
                    data += await stream.receive()
        return Answer(int(first.split()[1]), headers, data)

    async def get(self, path: str) -> Answer:
        return await self.ask("GET", f"{NS}/{path}")

    async def put(self, path: str, body: Any) -> Answer:
        answer = await self.ask("PUT", f"{NS}/{path}", body)
        assert answer.status == 200, answer.data
        return answer

    async def post(self, path: str, body: Any = None) -> Answer:
        return await self.ask("POST", f"{NS}/{path}", body)

    async def delete(self, path: str) -> Answer:
        return await self.ask("DELETE", f"{NS}/{path}")

    async def action(self, name: str, code: str = ECHO, **more: Any) -> Answer:
        """`wsk action create NAME file.py ...`"""
        exec_ = {"kind": "python:default", "code": code}
        body = {"namespace": "_", "name": name, "exec": exec_} | more
        return await self.put(f"_/actions/{name}?overwrite=false", body)

    async def trigger(self, name: str, **more: Any) -> Answer:
        """`wsk trigger create NAME ...`"""
        return await self.put(f"_/triggers/{name}?overwrite=false", {"name": name} | more)

    async def rule(self, name: str, trigger: str, action: str, overwrite: str = "false") -> Answer:
        """`wsk rule create NAME TRIGGER ACTION`"""
        body = {"name": name, "status": "", "trigger": f"/_/{trigger}", "action": f"/_/{action}"}
        return await self.put(f"_/rules/{name}?overwrite={overwrite}", body)

    async def record(self, activation: str) -> Any:
        """`wsk activation get ID`, as soon as there is one."""
        with anyio.fail_after(20):
            while (answer := await self.get(f"_/activations/{activation}")).status != 200:
                await anyio.sleep(0.01)
        return answer.body


def pairs(**values: Any) -> list[dict[str, Any]]:
    return [{"key": key.replace("_", "-"), "value": value} for key, value in values.items()]


def annotations(body: Any) -> dict[str, Any]:
    return {item["key"]: item["value"] for item in body["annotations"]}


@pytest.fixture
async def wsk(ow: LocalOpenWhisk, rest_on_a_port: Any) -> AsyncIterator[Wsk]:
    async with rest_on_a_port(ow) as rest:
        url = rest.http.base_url
        yield Wsk(f"http://{url.host}:{url.port}", ow.auth)


async def test_property_get_apibuild_reads_the_api_without_a_key(wsk: Wsk) -> None:
    body = (await wsk.ask("GET", "/api/v1", auth=False)).body

    assert body.keys() >= {"build", "buildno"}


async def test_namespace_list_names_ones_own(wsk: Wsk) -> None:
    assert (await wsk.ask("GET", f"{NS}")).body == ["guest"]
    assert (await wsk.ask("GET", f"{NS}/")).body == ["guest"]


async def test_namespace_get_and_list_ask_for_everything_and_the_state_of_each_rule(
    wsk: Wsk,
) -> None:
    await wsk.action("a")
    await wsk.trigger("t")
    await wsk.rule("r", "t", "a")

    found = {
        collection: (await wsk.get(f"_/{collection}?limit=0&skip=0")).body
        for collection in ("actions", "packages", "triggers", "rules")
    }
    state = (await wsk.get(f"_/rules/{found['rules'][0]['name']}")).body["status"]

    assert [len(found[name]) for name in found] == [1, 0, 1, 1]
    assert annotations(found["actions"][0])["exec"].startswith("python:")
    assert state == "active"


async def test_action_create_with_params_annotations_and_limits(wsk: Wsk) -> None:
    made = (
        await wsk.action(
            "a",
            parameters=pairs(who="me", n=1),
            annotations=pairs(note="x"),
            limits={"timeout": 5000, "memory": 128, "logs": 1, "concurrency": 1},
        )
    ).body

    assert made["version"] == "0.0.1"
    assert made["parameters"] == pairs(who="me", n=1)
    assert annotations(made)["note"] == "x"
    assert made["limits"] == {"timeout": 5000, "memory": 128, "logs": 1, "concurrency": 1}


async def test_action_create_of_one_that_is_there_says_so_and_fails(wsk: Wsk) -> None:
    await wsk.action("a")
    body = {"namespace": "_", "name": "a", "exec": {"kind": "python:default", "code": ECHO}}

    again = await wsk.ask("PUT", f"{NS}/_/actions/a?overwrite=false", body)

    assert again.message == "resource already exists"
    assert again.exit_code == 153


async def test_action_create_kind_of_a_zip_sends_it_in_base64(wsk: Wsk) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr("__main__.py", "def go(args):\n    return {'zip': True}\n")
    code = base64.b64encode(archive.getvalue()).decode()
    exec_ = {"kind": "python:3.11", "code": code, "main": "go"}
    body = {"namespace": "_", "name": "z", "exec": exec_}

    made = (await wsk.put("_/actions/z?overwrite=false", body)).body
    result = (await wsk.post("_/actions/z?blocking=true&result=true", {})).body

    assert made["exec"]["binary"] is True
    assert result == {"zip": True}


async def test_action_create_docker_stores_the_image(wsk: Wsk) -> None:
    exec_ = {"kind": "blackbox", "image": "me/image"}
    body = {"namespace": "_", "name": "d", "exec": exec_}

    made = (await wsk.put("_/actions/d?overwrite=false", body)).body

    assert made["exec"] == exec_ | {"binary": False}


async def test_action_create_sequence_sends_full_names(wsk: Wsk) -> None:
    await wsk.action("a")
    await wsk.action("b", "def main(args):\n    return {'sum': args['n'] + 1}\n")
    exec_ = {"kind": "sequence", "components": ["/_/a", "/_/b"]}
    body = {"namespace": "_", "name": "s", "exec": exec_}

    made = (await wsk.put("_/actions/s?overwrite=false", body)).body
    result = (await wsk.post("_/actions/s?blocking=true&result=true", {"n": 1})).body

    assert made["exec"] == {"kind": "sequence", "components": ["/guest/a", "/guest/b"]}
    assert result == {"sum": 2}


async def test_action_create_copy_reads_the_other_with_its_code(wsk: Wsk) -> None:
    await wsk.action("a", parameters=pairs(n=1), annotations=pairs(note="x"))
    original = (await wsk.get("_/actions/a?code=true")).body
    copied = {key: original[key] for key in ("exec", "parameters", "annotations")}

    body = {"namespace": "_", "name": "b"} | copied
    made = (await wsk.put("_/actions/b?overwrite=false", body)).body

    assert {key: made[key] for key in copied} == copied


async def test_action_create_web_and_web_secure_are_annotations(wsk: Wsk) -> None:
    web = pairs(web_export=True, raw_http=False, final=True, require_whisk_auth="secret")

    made = (await wsk.action("w", annotations=web)).body
    anonymous = await wsk.ask("GET", "/api/v1/web/guest/default/w.json", auth=False)

    assert annotations(made).items() >= annotations({"annotations": web}).items()
    assert anonymous.status == 401


async def test_action_update_looks_first_and_keeps_what_it_does_not_send(wsk: Wsk) -> None:
    missing = await wsk.get("_/actions/a?code=false")
    exec_ = {"kind": "python:default", "code": ECHO}
    body = {"namespace": "_", "name": "a", "exec": exec_, "annotations": pairs(old=1)}
    first = (await wsk.put("_/actions/a?overwrite=true", body)).body
    found = await wsk.get("_/actions/a?code=false")
    body = {
        "namespace": "_",
        "name": "a",
        "annotations": pairs(new=1),
        "delAnnotations": ["old"],
        "parameters": pairs(n=1),
    }

    second = (await wsk.put("_/actions/a?overwrite=true", body)).body

    assert missing.exit_code == 148
    assert "code" not in found.body["exec"]
    assert (first["version"], second["version"]) == ("0.0.1", "0.0.2")
    assert second["exec"]["code"] == ECHO
    assert {"new"} == annotations(second).keys() - annotations(first).keys()
    assert "old" not in annotations(second)


async def test_action_get_save_asks_for_the_code(wsk: Wsk) -> None:
    await wsk.action("a")

    shown = (await wsk.get("_/actions/a?code=true")).body

    assert shown["exec"]["code"] == ECHO
    assert shown["exec"]["binary"] is False


async def test_action_list_of_a_namespace_and_of_a_package(wsk: Wsk) -> None:
    await wsk.put("_/packages/p?overwrite=false", {"namespace": "_", "name": "p"})
    await wsk.action("a")
    await wsk.action("p/b")

    everything = (await wsk.get("_/actions?limit=30&skip=0")).body
    inside = (await wsk.get("_/actions/p/?limit=30&skip=0")).body
    system = (await wsk.get("whisk.system/actions/utils/?limit=30&skip=0")).body

    assert [f"/{one['namespace']}/{one['name']}" for one in everything] == [
        "/guest/p/b",
        "/guest/a",
    ]
    assert [one["name"] for one in inside] == ["b"]
    assert "echo" in [one["name"] for one in system]


async def test_action_invoke_prints_the_id(wsk: Wsk) -> None:
    await wsk.action("a")

    answer = await wsk.post("_/actions/a?blocking=false&result=false", {"n": 1})

    assert answer.status == 202
    assert answer.headers["x-openwhisk-activation-id"] == answer.body["activationId"]
    assert (await wsk.record(answer.body["activationId"]))["response"]["result"] == {"n": 1}


async def test_action_invoke_blocking_prints_the_record_and_result_only_the_result(
    wsk: Wsk,
) -> None:
    await wsk.action("a")

    record = (await wsk.post("_/actions/a?blocking=true&result=false", {})).body
    result = await wsk.post("_/actions/a?blocking=true&result=true", {"n": 1})

    assert record["response"]["result"] == {}
    assert result.body == {"n": 1}


async def test_action_invoke_of_a_failing_one_prints_the_record_and_is_246(wsk: Wsk) -> None:
    await wsk.action("f", "def main(args):\n    return {'error': 'no'}\n")

    answer = await wsk.post("_/actions/f?blocking=true&result=false", {})
    result = await wsk.post("_/actions/f?blocking=true&result=true", {})

    assert answer.exit_code == result.exit_code == 246
    assert answer.body["response"]["success"] is False
    assert "code" not in answer.body  # else wsk takes it for an error of the API
    assert result.body == {"error": "no"}


async def test_action_invoke_of_none_says_that_there_is_none(wsk: Wsk) -> None:
    answer = await wsk.post("_/actions/none?blocking=false&result=false", {})

    assert answer.message == "The requested resource does not exist."
    assert answer.exit_code == 148


async def test_action_invoke_finds_a_name_with_blanks_and_signs(wsk: Wsk) -> None:
    await wsk.action("my%20a&b@c")

    answer = await wsk.post("_/actions/my%20a&b@c?blocking=true&result=true", {"n": 1})

    assert answer.body == {"n": 1}


async def test_action_delete_answers_with_the_action(wsk: Wsk) -> None:
    await wsk.action("a")

    answer = await wsk.delete("_/actions/a")

    assert (answer.status, answer.body["name"]) == (200, "a")
    assert (await wsk.delete("_/actions/a")).exit_code == 148


async def test_activation_list_filters_and_shows_full_records(wsk: Wsk) -> None:
    await wsk.action("a")
    await wsk.action("b")
    for name in ("a", "b"):
        await wsk.post(f"_/actions/{name}?blocking=true&result=false", {})

    every = (await wsk.get("_/activations?limit=30&skip=0")).body
    start = every[0]["start"]
    of_a = (await wsk.get("_/activations?limit=30&name=a&skip=0")).body
    full = (await wsk.get(f"_/activations?docs=true&limit=1&since={start}&skip=0")).body
    before = (await wsk.get("_/activations?limit=200&skip=0&upto=1")).body

    assert [one["name"] for one in every] == ["b", "a"]
    assert every[0].keys() >= {"activationId", "start", "end", "duration", "statusCode", "version"}
    assert [one["name"] for one in of_a] == ["a"]
    assert full[0]["response"]["success"] is True
    assert before == []


async def test_activation_get_logs_and_result_of_the_last(wsk: Wsk) -> None:
    await wsk.action("a")
    await wsk.post("_/actions/a?blocking=true&result=false", {"n": 1})

    last = (await wsk.get("_/activations?limit=1&skip=0")).body[0]["activationId"]
    record = (await wsk.get(f"_/activations/{last}")).body
    logs = (await wsk.get(f"_/activations/{last}/logs")).body["logs"]
    result = (await wsk.get(f"_/activations/{last}/result")).body

    assert record["activationId"] == last
    assert [line[39:] for line in logs] == ["said"]  # what --strip leaves
    assert result["result"] == {"n": 1}


async def test_activation_get_of_none_is_148(wsk: Wsk) -> None:
    assert (await wsk.get(f"_/activations/{'0' * 32}")).exit_code == 148


async def test_activation_poll_goes_on_from_the_newest(wsk: Wsk) -> None:
    await wsk.action("a")
    await wsk.post("_/actions/a?blocking=true&result=false", {})

    newest = (await wsk.get("_/activations?docs=true&limit=1&skip=0")).body[0]
    since = newest["start"] + 1
    nothing = (await wsk.get(f"_/activations?docs=true&limit=0&since={since}&skip=0")).body
    later = (await wsk.post("_/actions/a?blocking=true&result=false", {})).body["activationId"]
    seen = (await wsk.get(f"_/activations?docs=true&limit=0&since={since}&skip=0")).body

    assert nothing == []
    assert [(one["activationId"], len(one["logs"])) for one in seen] == [(later, 1)]


async def test_package_create_update_get_list_and_delete(wsk: Wsk) -> None:
    body = {"namespace": "_", "name": "p", "parameters": pairs(a=1), "publish": True}
    made = (await wsk.put("_/packages/p?overwrite=false", body)).body
    await wsk.action("p/a", annotations=pairs(description="says it again"))
    body = {"namespace": "_", "name": "p", "annotations": pairs(note="x")}
    changed = (await wsk.put("_/packages/p?overwrite=true", body)).body

    shown = (await wsk.get("_/packages/p")).body
    listed = (await wsk.get("_/packages?limit=30&skip=0")).body
    full = await wsk.delete("_/packages/p")
    await wsk.delete("_/actions/p/a")
    empty = await wsk.delete("_/packages/p")

    assert (made["publish"], changed["publish"]) == (True, True)
    assert changed["parameters"] == pairs(a=1)
    assert [annotations(one)["description"] for one in shown["actions"]] == ["says it again"]
    assert [one["name"] for one in listed] == ["p"]
    assert full.message.startswith("Package not empty (contains 1 entity).")
    assert full.exit_code == 153
    assert empty.status == 200


async def test_package_bind_and_list_of_another_namespace(wsk: Wsk) -> None:
    binding = {"namespace": "whisk.system", "name": "utils"}
    body = {"parameters": pairs(a=1), "binding": binding}

    made = (await wsk.put("_/packages/mine?overwrite=false", body)).body
    shown = (await wsk.get("_/packages/mine")).body
    public = (await wsk.get("whisk.system/packages?limit=30&skip=0")).body

    assert made["binding"] == shown["binding"] == binding
    assert "echo" in [one["name"] for one in shown["actions"]]
    assert {"utils", "samples"} <= {one["name"] for one in public}


async def test_package_refresh_is_not_there_as_in_openwhisk(wsk: Wsk) -> None:
    answer = await wsk.post("_/packages/refresh")

    assert answer.message == "The requested resource could not be found."


async def test_trigger_create_update_get_list_and_delete(wsk: Wsk) -> None:
    made = (await wsk.trigger("t", parameters=pairs(a=1), annotations=pairs(note="x"))).body
    found = await wsk.get("_/triggers/t")
    body = {"name": "t", "parameters": pairs(b=2)}
    changed = (await wsk.put("_/triggers/t?overwrite=true", body)).body
    listed = (await wsk.get("_/triggers?limit=30&skip=0")).body
    await wsk.get("_/triggers/t")
    deleted = await wsk.delete("_/triggers/t")

    assert made == found.body
    assert changed["version"] == "0.0.2"
    assert changed["parameters"] == pairs(b=2)
    assert changed["annotations"] == pairs(note="x")
    assert [f"/{one['namespace']}/{one['name']}" for one in listed] == ["/guest/t"]
    assert (deleted.status, deleted.body["name"]) == (200, "t")
    assert (await wsk.get("_/triggers/t")).exit_code == 148


async def test_trigger_fire_prints_the_id_and_without_rules_none(wsk: Wsk) -> None:
    await wsk.action("a", "def main(args):\n    return {'n': args['n']}\n")
    await wsk.trigger("t")

    silent = await wsk.post("_/triggers/t", {})
    await wsk.rule("r", "t", "a")
    heard = await wsk.post("_/triggers/t", {"n": 1})
    record = await wsk.record(heard.body["activationId"])
    begun = json.loads(record["logs"][0])["activationId"]

    assert (silent.status, silent.data) == (204, b"")
    assert heard.status == 202
    assert (await wsk.record(begun))["response"]["result"] == {"n": 1}


async def test_trigger_create_feed_makes_the_trigger_and_calls_the_feed(wsk: Wsk) -> None:
    await wsk.action("feed", FEED, annotations=pairs(feed=True))
    await wsk.trigger("t", annotations=pairs(feed="/_/feed"))
    event = {"lifecycleEvent": "CREATE", "triggerName": "/_/t", "authKey": wsk.key}

    created = await wsk.post("_/actions/feed?blocking=true&result=false", event | {"cron": "*"})
    feed = annotations((await wsk.get("_/triggers/t")).body)["feed"]
    event["lifecycleEvent"] = "DELETE"
    deleted = await wsk.post("_/actions/feed?blocking=true&result=false", event)

    assert created.body["response"]["result"] == {"done": "CREATE", "trigger": "/_/t"}
    assert feed == "/_/feed"
    assert deleted.body["response"]["result"]["done"] == "DELETE"


async def test_trigger_create_feed_takes_the_trigger_back_when_the_feed_refuses(wsk: Wsk) -> None:
    await wsk.action("feed", FEED)
    await wsk.trigger("t", annotations=pairs(feed="/_/feed"))
    event = {"lifecycleEvent": "CREATE", "triggerName": "/_/t", "authKey": wsk.key}

    refused = await wsk.post("_/actions/feed?blocking=true&result=false", event)
    gone = await wsk.delete("_/triggers/t")

    assert refused.exit_code == 246
    assert refused.body["response"]["result"] == {"error": "needs cron"}
    assert gone.status == 200


async def test_rule_create_update_get_list_and_delete(wsk: Wsk) -> None:
    await wsk.action("a")
    await wsk.action("b")
    await wsk.trigger("t")

    made = (await wsk.rule("r", "t", "a")).body
    changed = (await wsk.rule("r", "t", "b", overwrite="true")).body
    shown = (await wsk.get("_/rules/r")).body
    listed = (await wsk.get("_/rules?limit=30&skip=0")).body
    deleted = await wsk.delete("_/rules/r")

    assert made["trigger"] == {"path": "guest", "name": "t"}
    assert (changed["version"], changed["action"]["name"]) == ("0.0.2", "b")
    assert shown == changed
    assert [one["name"] for one in listed] == ["r"]
    assert deleted.status == 200


async def test_rule_create_without_its_action_says_which(wsk: Wsk) -> None:
    await wsk.trigger("t")
    body = {"name": "r", "status": "", "trigger": "/_/t", "action": "/_/none"}

    answer = await wsk.ask("PUT", f"{NS}/_/rules/r?overwrite=false", body)

    assert answer.message == "action /guest/none does not exist"
    assert answer.exit_code == 144


async def test_rule_disable_enable_and_status(wsk: Wsk) -> None:
    await wsk.action("a")
    await wsk.trigger("t")
    await wsk.rule("r", "t", "a")

    states = []
    for state in ("inactive", "active"):
        body = {"status": state, "trigger": None, "action": None}
        assert (await wsk.post("_/rules/r", body)).status == 200
        states.append((await wsk.get("_/rules/r")).body["status"])

    assert states == ["inactive", "active"]


async def test_rule_delete_disable_switches_it_off_first(wsk: Wsk) -> None:
    await wsk.action("a")
    await wsk.trigger("t")
    await wsk.rule("r", "t", "a")

    off = await wsk.post("_/rules/r", {"status": "inactive", "trigger": None, "action": None})
    deleted = await wsk.delete("_/rules/r")

    assert (off.status, deleted.status) == (200, 200)


async def test_a_wrong_key_is_told_and_is_145(wsk: Wsk) -> None:
    wsk.key = "23bc46b1-71f6-4ed5-8c54-816aa4f8c502:wrong"

    answer = await wsk.get("_/actions?limit=30&skip=0")

    assert answer.message == "The supplied authentication is invalid"
    assert answer.exit_code == 145
