"""Web actions over HTTP."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from aowhisk.local import Account, LocalOpenWhisk
from aowhisk.local.limits import Limits

RESULT = "def main(args):\n    return args['result']\n"
BODY = "def main(args):\n    return {'body': args}\n"
CORS = "OPTIONS, GET, DELETE, POST, PUT, HEAD, PATCH"
REST_CORS = "GET, DELETE, POST, PUT, HEAD"
WEB = {"web-export": True}


def visitor(ow: LocalOpenWhisk, **settings: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(ow.app), base_url="http://ow/api/v1/web/guest/", **settings
    )


@pytest.fixture
async def web(ow: LocalOpenWhisk) -> AsyncIterator[httpx.AsyncClient]:
    """Someone without credentials."""
    async with visitor(ow) as http:
        yield http


async def put(
    rest: Any, name: str, code: str = BODY, *, params: Any = None, **annotations: Any
) -> None:
    given = {key.replace("_", "-"): value for key, value in annotations.items()}
    await rest.put(
        name,
        code,
        annotations=[{"key": k, "value": v} for k, v in (WEB | given).items()],
        parameters=[{"key": k, "value": v} for k, v in (params or {}).items()],
    )


async def test_a_web_action_needs_no_credentials_and_tells_its_activation(
    rest: Any, web: httpx.AsyncClient
) -> None:
    await put(rest, "a", params={"stored": 1})

    answer = await web.post("default/a/x/y?q=1", json={"b": 2})

    told = answer.json()
    assert {k: told[k] for k in ("stored", "q", "b", "__ow_path", "__ow_method")} == {
        "stored": 1,
        "q": "1",
        "b": 2,
        "__ow_path": "/x/y",
        "__ow_method": "post",
    }
    record = await rest.record(answer.headers["x-openwhisk-activation-id"])
    assert record["namespace"] == "guest"


@pytest.mark.parametrize("export", [False, "true", 1, None])
async def test_only_a_true_export_exports(rest: Any, web: httpx.AsyncClient, export: Any) -> None:
    await put(rest, "a", web_export=export)

    answer = await web.get("default/a")

    assert answer.status_code == 404
    assert answer.json()["error"] == "The requested resource does not exist."
    assert "access-control-allow-origin" not in answer.headers


async def test_what_is_no_such_action_is_404_whatever_is_in_the_way(
    ow: LocalOpenWhisk, rest: Any, web: httpx.AsyncClient
) -> None:
    await rest.http.put("packages/p", json={})

    for path in ("default/missing", "p/missing", "missing/a", "default/p", "../nobody/default/a"):
        answer = await web.get(path)
        assert (path, answer.status_code) == (path, 404)
        assert answer.json()["error"] == "The requested resource does not exist."


async def test_what_is_no_route_asks_for_credentials_and_then_is_404(
    rest: Any, ow: LocalOpenWhisk, web: httpx.AsyncClient
) -> None:
    await rest.http.put("packages/defaults", json={})
    await put(rest, "defaults/a")
    paths = ("default", "default/", "default//a", "default/.json", "defaults/a")

    async with visitor(ow, auth=tuple(ow.auth.split(":"))) as known:
        for path in paths:
            assert (path, (await web.get(path)).status_code) == (path, 401)
            assert (path, (await known.get(path)).status_code) == (path, 404)


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST", "PUT", "PATCH"])
async def test_every_method_invokes(rest: Any, web: httpx.AsyncClient, method: str) -> None:
    await put(rest, "a")

    assert (await web.request(method, "default/a")).json()["__ow_method"] == method.lower()


async def test_head_invokes_and_has_headers_only(rest: Any, web: httpx.AsyncClient) -> None:
    await put(rest, "a", "def main(args):\n    return {'headers': {'x-m': args['__ow_method']}}\n")

    answer = await web.head("default/a")

    assert (answer.status_code, answer.headers["x-m"], answer.content) == (204, "head", b"")


async def test_a_packaged_action_runs_through_a_binding_with_its_parameters(
    rest: Any, web: httpx.AsyncClient
) -> None:
    body = {"parameters": [{"key": "a", "value": "p"}, {"key": "b", "value": "p"}]}
    await rest.http.put("packages/p", json=body)
    binding = {
        "binding": {"namespace": "_", "name": "p"},
        "parameters": [{"key": "b", "value": "q"}],
    }
    await rest.http.put("packages/q", json=binding)
    await put(rest, "p/a")

    told = (await web.get("q/a.json")).json()["body"]

    assert (told["a"], told["b"]) == ("p", "q")


@pytest.mark.parametrize(
    ("extension", "kind"),
    [
        (".http", "text/html; charset=UTF-8"),
        (".html", "text/html; charset=UTF-8"),
        (".text", "text/plain; charset=UTF-8"),
        (".svg", "image/svg+xml"),
        (".json", "application/json"),
        ("", "text/html; charset=UTF-8"),
    ],
)
async def test_the_extension_says_how_the_result_is_shown(
    rest: Any, web: httpx.AsyncClient, extension: str, kind: str
) -> None:
    await put(rest, "a", RESULT)

    answer = await web.post(f"default/a{extension}/rest", json={"result": {"body": "x"}})

    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)


async def test_an_unknown_extension_belongs_to_the_name(rest: Any, web: httpx.AsyncClient) -> None:
    await put(rest, "a")
    await put(rest, "a.xyz")

    assert (await web.get("default/a.abc")).status_code == 404
    assert (await web.get("default/a.xyz.json")).status_code == 200


async def test_status_headers_and_body_are_the_actions(rest: Any, web: httpx.AsyncClient) -> None:
    await put(rest, "a", RESULT)
    headers = {"X-A": "b", "Set-Cookie": ["a=1", "b=2"], "Content-Type": "image/png"}

    answer = await web.post(
        "default/a", json={"result": {"statusCode": 418, "headers": headers, "body": "QUI="}}
    )

    assert (answer.status_code, answer.headers["x-a"], answer.content) == (418, "b", b"AB")
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert answer.headers["content-type"] == "image/png"


async def test_the_error_of_an_application_is_shown_as_a_result_is(
    rest: Any, web: httpx.AsyncClient
) -> None:
    await put(rest, "a", RESULT)
    error = {"statusCode": 418, "body": "teapot"}

    async def ask(extension: str, error: Any) -> httpx.Response:
        return await web.post(f"default/a{extension}", json={"result": {"error": error}})

    assert (await ask("", error)).status_code == 418
    assert (await ask(".json", error)).json() == error
    assert (await ask("", {"a": 1})).status_code == 204
    assert (await ask(".text", "broken")).text == "broken"
    bare = await ask("", "broken")
    assert (bare.status_code, bare.json()["error"]) == (
        400,
        "Response is not valid 'message/http'.",
    )
    assert "x-openwhisk-activation-id" in bare.headers


async def test_any_other_error_is_400_and_says_nothing(rest: Any, web: httpx.AsyncClient) -> None:
    await put(rest, "a", "def main(args):\n    return 1\n")

    for extension in ("", ".json", ".text"):
        answer = await web.get(f"default/a{extension}")
        assert (answer.status_code, answer.json()["error"]) == (
            400,
            "There was an error processing your request.",
        )
        assert "x-openwhisk-activation-id" in answer.headers


async def test_a_list_is_500_in_plain_text(rest: Any, web: httpx.AsyncClient) -> None:
    await put(rest, "a", "def main(args):\n    return [1]\n")

    for extension in ("", ".json", ".text"):
        answer = await web.get(f"default/a{extension}")
        assert (answer.status_code, answer.text) == (500, "There was an internal server error.")
        assert answer.headers["content-type"].startswith("text/plain")


async def test_reserved_and_final_parameters_cannot_be_given(
    rest: Any, web: httpx.AsyncClient
) -> None:
    await put(rest, "a", params={"fixed": 1, "open": None}, final=True)
    told = "Request defines parameters that are not allowed (e.g., reserved properties)."

    for query, body in (
        ("?__ow_user=x", {}),
        ("", {"__ow_body": 1}),
        ("?fixed=2", {}),
        ("", {"fixed": 2}),
    ):
        answer = await web.post(f"default/a{query}", json=body)
        assert (answer.status_code, answer.json()["error"]) == (400, told)
        assert answer.headers["access-control-allow-methods"] == CORS
    assert (await web.post("default/a", json={"open": 2})).json()["open"] == 2
    assert (await web.post("default/a", json=["fixed"])).json()["__ow_body"] == ["fixed"]


async def test_a_raw_action_reads_the_request_itself(rest: Any, web: httpx.AsyncClient) -> None:
    await put(rest, "a", raw_http=True, params={"fixed": 1}, final=True)

    told = (await web.post("default/a?fixed=2", content=b"\x00")).json()

    assert (told["fixed"], told["__ow_query"], told["__ow_body"]) == (1, "fixed=2", "AA==")


async def test_a_secret_is_asked_for_in_a_header(rest: Any, web: httpx.AsyncClient) -> None:
    for name, secret in (("text", "s3"), ("number", 42)):
        await put(rest, name, require_whisk_auth=secret)
        wrong = await web.get(f"default/{name}", headers={"x-require-whisk-auth": "x"})

        assert (await web.get(f"default/{name}")).status_code == wrong.status_code == 401
        assert wrong.headers["access-control-allow-origin"] == "*"
        right = await web.get(f"default/{name}", headers={"X-Require-Whisk-Auth": str(secret)})
        assert right.status_code == 200


async def test_a_secret_that_is_false_is_not_asked_for(rest: Any, web: httpx.AsyncClient) -> None:
    await put(rest, "a", require_whisk_auth=False)

    assert (await web.get("default/a")).status_code == 200


@pytest.mark.parametrize("value", [None, {}, []])
async def test_a_secret_that_is_none_lets_nobody_in(
    rest: Any, web: httpx.AsyncClient, value: Any
) -> None:
    await put(rest, "a", require_whisk_auth=value)

    assert (await web.get("default/a")).status_code == 401


async def test_credentials_are_asked_for_and_tell_the_user(
    ow: LocalOpenWhisk, rest: Any, web: httpx.AsyncClient
) -> None:
    await put(rest, "a", require_whisk_auth=True)

    wrong = await web.get("default/a", auth=("guest", "wrong"))
    right = await web.get("default/a", auth=tuple(ow.auth.split(":")))

    told = "Authentication is possible but has failed or not yet been provided."
    assert (wrong.status_code, wrong.json()["error"]) == (401, told)
    assert "www-authenticate" not in wrong.headers
    assert right.json()["__ow_user"] == "guest"


async def test_options_is_answered_for_the_action(rest: Any, web: httpx.AsyncClient) -> None:
    await put(rest, "a", require_whisk_auth="secret")

    answer = await web.options("default/a", headers={"Access-Control-Request-Headers": "x-mine"})

    assert (answer.status_code, answer.content) == (200, b"")
    assert "content-type" not in answer.headers
    assert answer.headers["access-control-allow-methods"] == CORS
    assert answer.headers["access-control-allow-headers"] == "x-mine"


async def test_options_goes_to_an_action_that_wants_it_with_no_header_of_ours(
    rest: Any, web: httpx.AsyncClient
) -> None:
    code = "def main(args):\n    return {'headers': {'Access-Control-Allow-Methods': 'GET'}}\n"
    await put(rest, "a", code, web_custom_options=True, require_whisk_auth="secret")

    answer = await web.options("default/a")

    assert answer.headers["access-control-allow-methods"] == "GET"
    assert "access-control-allow-origin" not in answer.headers
    assert (await web.get("default/a")).status_code == 401


async def test_options_of_what_is_no_web_action_is_that_of_the_rest_api(
    web: httpx.AsyncClient,
) -> None:
    answer = await web.options("default")

    assert (answer.status_code, answer.text) == (200, "OK")
    assert answer.headers["access-control-allow-methods"] == REST_CORS
    assert (await web.options("default/missing")).status_code == 404


async def test_options_that_accepts_no_empty_answer_is_that_of_the_rest_api(
    rest: Any, web: httpx.AsyncClient
) -> None:
    await put(rest, "a")

    answer = await web.options("default/a", headers={"Accept": "application/json"})

    assert (answer.status_code, answer.text) == (200, "OK")


@pytest.mark.parametrize(
    ("extension", "offer"),
    [
        ("", "text/html; charset=UTF-8"),
        (".html", "text/html; charset=UTF-8"),
        (".text", "text/plain"),
        (".json", "application/json"),
    ],
)
async def test_what_the_client_does_not_accept_is_406(
    rest: Any, web: httpx.AsyncClient, extension: str, offer: str
) -> None:
    await put(rest, "a", RESULT)

    answer = await web.post(
        f"default/a{extension}", json={"result": {"body": "x"}}, headers={"Accept": "audio/ogg"}
    )

    assert answer.status_code == 406
    assert answer.json()["error"].endswith(f"only available with these types:\n{offer}")
    assert "x-openwhisk-activation-id" not in answer.headers


async def test_errors_and_empty_answers_are_sent_whatever_is_accepted(
    rest: Any, web: httpx.AsyncClient
) -> None:
    await put(rest, "a", RESULT)

    for result, status in (({}, 204), ({"statusCode": 404, "body": "x"}, 404)):
        answer = await web.post("default/a", json={"result": result}, headers={"Accept": "a/b"})
        assert answer.status_code == status


async def test_a_body_that_is_too_large_or_no_json_is_refused(
    rest: Any, web: httpx.AsyncClient
) -> None:
    await put(rest, "a")

    large = await web.post("default/missing", content=b"x" * (1024 * 1024 + 1))
    broken = await web.post("default/a", content=b"{", headers={"content-type": "application/json"})

    assert (large.status_code, large.json()["error"]) == (
        413,
        "Request larger than allowed: 1048577 > 1048576 bytes.",
    )
    assert broken.status_code == 400
    assert broken.json()["error"].startswith("The request content was malformed:\n")
    assert "access-control-allow-origin" not in broken.headers


async def test_the_owner_is_charged_for_what_anyone_asks(opened: Any) -> None:
    async with opened(limits=Limits(invocations_per_minute=2)) as (ow, rest), visitor(ow) as web:
        await put(rest, "a")
        statuses = [(await web.get("default/a")).status_code for _ in range(3)]
        missing = (await web.get("default/missing")).status_code

    assert statuses == [200, 200, 429]
    assert missing == 404


async def test_a_wait_that_is_over_is_202_with_the_id(opened: Any) -> None:
    async with opened(limits=Limits(blocking_wait=0.01)) as (ow, rest), visitor(ow) as web:
        await put(rest, "a", "import time\ndef main(args):\n    time.sleep(0.3)\n    return {}\n")
        answer = await web.get("default/a")
        record = await rest.record(answer.headers["x-openwhisk-activation-id"])

    assert (answer.status_code, answer.json()["error"]) == (202, "Response not yet ready.")
    assert record["response"]["success"]


async def test_it_is_the_same_on_a_port(ow: LocalOpenWhisk, rest_on_a_port: Any) -> None:
    async with rest_on_a_port(ow) as rest:
        await put(rest, "a", RESULT)
        url = str(rest.http.base_url).replace("namespaces/_/", "web/guest/default/a")
        headers = {"X-A": "ü", "X-Broken": "a\nb", "Set-Cookie": ["a=1", "b=2"]}
        answers = [
            await rest.http.post(url, json={"result": {"statusCode": code, "headers": headers}})
            for code in (204, 205, 304, 420, 302)
        ]

    assert [answer.status_code for answer in answers] == [204, 205, 304, 420, 302]
    for answer in answers:
        assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
        assert "x-broken" not in answer.headers


async def test_a_binding_reaches_the_published_package_of_another_and_no_other(
    tmp_path: Path,
) -> None:
    accounts = [Account("anna", "a:secret"), Account("bert", "b:secret")]
    async with (
        LocalOpenWhisk(root=tmp_path, auth=accounts) as ow,
        httpx.AsyncClient(
            transport=httpx.ASGITransport(ow.app), base_url="http://ow/api/v1/"
        ) as http,
    ):
        package, action = "namespaces/anna/packages/p", "namespaces/anna/actions/p/a"
        shared = {"publish": True}
        body = {
            "exec": {"kind": "python:3", "code": BODY},
            "annotations": [{"key": "web-export", "value": True}],
        }
        await http.put(package, json=shared, auth=("a", "secret"))
        await http.put(action, json=body, auth=("a", "secret"))
        binding = {"binding": {"namespace": "anna", "name": "p"}}
        await http.put("namespaces/_/packages/q", json=binding, auth=("b", "secret"))

        through = await http.get("web/bert/q/a")
        await http.put(f"{package}?overwrite=true", json={"publish": False}, auth=("a", "secret"))
        refused = await http.get("web/bert/q/a")

        assert [one.namespace for one in ow.activations()] == ["bert"]
    assert (through.status_code, refused.status_code) == (200, 403)


async def test_a_sequence_is_a_web_action_too(rest: Any, web: httpx.AsyncClient) -> None:
    await rest.put("first", "def main(args):\n    return {'n': int(args['n']) + 1}\n")
    await rest.put("second", "def main(args):\n    return {'body': str(args['n'])}\n")
    body = {
        "exec": {"kind": "sequence", "components": ["/_/first", "/_/second"]},
        "annotations": [{"key": "web-export", "value": True}],
    }
    await rest.http.put("actions/both", json=body)

    assert (await web.get("default/both?n=1")).text == "2"
    failed = await web.get("default/both.text?n=x")
    assert (failed.status_code, "invalid literal" in failed.text) == (200, True)


async def test_a_composition_is_a_web_action_too(rest: Any, web: httpx.AsyncClient) -> None:
    code = (
        "def main(args):\n"
        "    if args.get('$step'):\n"
        "        return {'params': {'body': args['n']}}\n"
        "    return {'action': 'next', 'params': {'n': args['n']}, 'state': {'$step': 1}}\n"
    )
    await rest.put("next", "def main(args):\n    return {'n': int(args['n']) + 1}\n")
    await put(rest, "conductor", code, conductor=True)

    assert (await web.get("default/conductor?n=1")).json() == 2
