"""The REST API's answers, word by word where a client may depend on them."""

from typing import Any

import httpx
import pytest

from aowhisk.local import LocalOpenWhisk

API = "http://ow/api/v1"


async def test_without_credentials_and_with_wrong_ones_it_is_401(ow: LocalOpenWhisk) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(ow.app)) as http:
        none = await http.get(f"{API}/namespaces")
        wrong = await http.get(f"{API}/namespaces", auth=("guest", "wrong"))

    assert none.status_code == wrong.status_code == 401
    assert "was not supplied" in none.json()["error"]
    assert wrong.json()["error"] == "The supplied authentication is invalid"
    assert wrong.headers["www-authenticate"].startswith("Basic")


async def test_root_api_and_ping_need_no_credentials(ow: LocalOpenWhisk) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(ow.app)) as http:
        root = (await http.get("http://ow/")).json()
        api = (await http.get(API)).json()
        ping = await http.get("http://ow/ping")

    assert root["limits"]["max_action_duration"] == 300_000
    assert "python:3.11" in [one["kind"] for one in root["runtimes"]["python"]]
    assert api["api_version"] == "1.0.0"
    assert ping.text == "pong"


async def test_an_update_keeps_replaces_and_merges_field_by_field(rest: Any) -> None:
    await rest.put(
        "a",
        parameters=[{"key": "x", "value": 1}],
        annotations=[{"key": "owner", "value": "me"}, {"key": "old", "value": 1}],
        limits={"timeout": 1000},
    )

    body = {
        "annotations": [{"key": "new", "value": 2}],
        "delAnnotations": ["old"],
        "limits": {"logs": 1},
    }
    changed = (await rest.http.put("actions/a?overwrite=true", json=body)).json()

    assert changed["version"] == "0.0.2"
    assert changed["parameters"] == [{"key": "x", "value": 1}]
    assert changed["limits"] == {"timeout": 1000, "memory": 256, "logs": 1, "concurrency": 1}
    assert {item["key"] for item in changed["annotations"]} == {
        "owner",
        "new",
        "exec",
        "provide-api-key",
    }


async def test_put_without_overwrite_of_what_is_there_is_409(rest: Any) -> None:
    await rest.put("a")

    answer = await rest.http.put("actions/a", json={"exec": {"kind": "python:3", "code": ""}})

    assert (answer.status_code, answer.json()["error"]) == (409, "resource already exists")


async def test_an_action_and_a_package_cannot_share_a_name(rest: Any) -> None:
    await rest.put("a")

    assert (await rest.http.get("packages/a")).status_code == 409


async def test_a_deleted_action_is_404(rest: Any) -> None:
    await rest.put("a")
    await rest.http.delete("actions/a")

    assert (await rest.http.get("actions/a")).status_code == 404
    assert (await rest.invoke("a")).json()["error"] == "The requested resource does not exist."


async def test_a_binding_lays_its_params_between_package_and_action(rest: Any) -> None:
    def given(**values: int) -> list[dict[str, Any]]:
        return [{"key": key, "value": value} for key, value in values.items()]

    await rest.http.put("packages/p", json={"parameters": given(a=1, b=1, c=1)})
    await rest.put("p/echo", parameters=given(c=3))
    binding = {"namespace": "_", "name": "p"}
    await rest.http.put("packages/q", json={"binding": binding, "parameters": given(b=2, c=2)})

    record = (await rest.invoke("q/echo", d=4)).json()

    assert record["response"]["result"] == {"a": 1, "b": 2, "c": 3, "d": 4}
    assert {"key": "binding", "value": "guest/q"} in record["annotations"]
    assert (await rest.http.delete("packages/p")).status_code == 409
    assert (await rest.http.delete("packages/p?force=true")).status_code == 200
    assert (await rest.invoke("q/echo")).status_code == 404


async def test_a_final_param_cannot_be_overridden(rest: Any) -> None:
    await rest.put(
        "a",
        parameters=[{"key": "x", "value": 1}],
        annotations=[{"key": "final", "value": True}],
    )

    assert await rest.result("a", y=2) == {"x": 1, "y": 2}
    assert (await rest.invoke("a", x=2)).status_code == 400


async def test_lists_are_newest_first_paged_counted_and_filtered(rest: Any) -> None:
    await rest.put("a")
    await rest.put("b")
    ids = []
    for name in ("a", "b", "a"):
        record = (await rest.invoke(name)).json()
        ids.append(record["activationId"])

    async def listed(**query: Any) -> Any:
        return (await rest.http.get("activations", params=query)).json()

    everything = await listed()
    assert [item["activationId"] for item in everything] == ids[::-1]
    assert "response" not in everything[0]
    assert everything[0]["statusCode"] == 0
    assert [i["activationId"] for i in await listed(name="a", docs=True, limit=1)] == [ids[2]]
    assert [i["activationId"] for i in await listed(skip=2)] == [ids[0]]
    assert await listed(count=True, name="b") == {"activations": 1}
    assert await listed(upto=everything[-1]["start"] - 1) == []
    assert len(await listed(since=everything[-1]["start"])) == 3


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("limit=201", "is not in the range of 0 to 200"),
        ("limit=x", "is not an integer"),
        ("skip=-1", "is not greater than or equal to 0"),
        ("skip=2147483648", "is not an integer"),
        ("skip=1_0", "is not an integer"),
        ("since=9223372036854775808", "is not a valid value"),
        ("since=x", "epoch seconds"),
        ("name=a/b/c", "'package-name/simple'"),
        ("docs=maybe", "is not a valid Boolean value"),
        ("docs=true&count=true", "'docs' is not permitted"),
    ],
)
async def test_a_bad_query_is_400_and_says_which(rest: Any, query: str, text: str) -> None:
    answer = await rest.http.get(f"activations?{query}")

    assert answer.status_code == 400
    assert text in answer.json()["error"]


async def test_logs_and_result_can_be_had_by_themselves(rest: Any) -> None:
    await rest.put("a", "def main(args):\n    print('hi')\n    return {'n': 1}\n")
    activation = (await rest.invoke("a")).json()["activationId"]

    logs = (await rest.http.get(f"activations/{activation}/logs")).json()["logs"]
    result = (await rest.http.get(f"activations/{activation}/result")).json()

    assert [line[31:] for line in logs] == ["stdout: hi"]
    assert result == {"result": {"n": 1}, "status": "success", "success": True, "size": 9}


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"[1]", 400),
        (b"{", 400),
        (b'{"x": NaN}', 400),
        (b'{"x": ' + b"[" * 2000 + b"]" * 2000 + b"}", 400),
        (b'{"x": "' + b"a" * 1_048_577 + b'"}', 413),
        (b"", 200),
    ],
)
async def test_a_payload_is_a_json_object_of_at_most_one_mebibyte(
    rest: Any, content: bytes, status: int
) -> None:
    await rest.put("a")
    headers = {"content-type": "application/json"}

    answer = await rest.http.post("actions/a?blocking=true", content=content, headers=headers)

    assert answer.status_code == status


async def test_the_request_id_is_kept_and_is_the_code_of_an_error(rest: Any) -> None:
    answer = await rest.http.get("actions/nothing", headers={"x-request-id": "mine"})

    assert answer.headers["x-request-id"] == answer.json()["code"] == "mine"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PATCH", "actions/a", 404),
        ("POST", "packages/a", 404),
        ("GET", "nothing", 404),
        ("GET", "actions/a%2Fb", 400),
        ("GET", "activations/123", 400),
        ("GET", "limits/x", 400),
        ("GET", "/api/v1/namespaces/other/actions", 403),
        ("GET", "/nothing", 405),
    ],
)
async def test_what_there_is_not_is_refused(rest: Any, method: str, path: str, status: int) -> None:
    url = f"http://ow{path}" if path.startswith("/") else path

    assert (await rest.http.request(method, url)).status_code == status


async def test_a_record_is_also_found_with_a_slash_at_the_end(rest: Any) -> None:
    await rest.put("a")
    activation = (await rest.invoke("a")).json()["activationId"]

    assert (await rest.http.get(f"activations/{activation}/")).status_code == 200
    assert (await rest.http.get(f"activations/{activation}/logs/")).status_code == 404


@pytest.mark.parametrize("name", ["a", "/a", "a/", " "])
async def test_the_name_of_a_filter_may_have_slashes_around_it(rest: Any, name: str) -> None:
    await rest.put("a")
    await rest.invoke("a")

    assert len((await rest.http.get("activations", params={"name": name})).json()) == 1


async def test_of_wrong_parameters_of_a_list_the_first_is_told(rest: Any) -> None:
    for wrong in ("docs=x&name=$", "name=$&since=x&docs=true", "since=x&upto=x", "skip=x&limit=x"):
        answer = await rest.http.get(f"activations?{wrong}&count=true")

        first = wrong.partition("=")[0]
        assert answer.json()["error"].startswith(f"The query parameter '{first}' was malformed")


async def test_the_wait_may_have_a_sign(rest: Any) -> None:
    await rest.put("a", "import time\n\n\ndef main(args):\n    time.sleep(2)\n    return {}\n")

    assert (await rest.invoke("a", "blocking=true&timeout=%2B5")).status_code == 202
