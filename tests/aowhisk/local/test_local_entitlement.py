"""What a namespace may do in another one."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from aowhisk.local import Account, LocalOpenWhisk
from aowhisk.local.entitlement import Entitlement
from aowhisk.local.http import Refusal
from aowhisk.local.store import Store

ACTION = {"exec": {"kind": "python:3", "code": "def main(args):\n    return args\n"}}
MINE = "def main(args):\n    return {'whose': 'bert'}\n"
ACCOUNTS = [Account("anna", "a:secret"), Account("bert", "b:secret")]


def denied(what: str) -> str:
    return f"The supplied authentication is not authorized to access '{what}'."


@pytest.fixture
async def shop(opened: Any) -> AsyncIterator[LocalOpenWhisk]:
    """Anna's packages: `open` is published, `closed` is not; `alias` is bound to `open`."""
    async with opened(auth=ACCOUNTS) as (ow, anna):
        for name, body in {
            "open": {"publish": True, "parameters": [{"key": "from", "value": "anna"}]},
            "closed": {},
            "alias": {"binding": {"namespace": "_", "name": "open"}, "publish": True},
        }.items():
            assert (await anna.http.put(f"packages/{name}", json=body)).status_code == 200
        await anna.put("open/hello")
        await anna.put("closed/hello")
        await anna.put("plain")
        yield ow


@pytest.fixture
async def bert(shop: LocalOpenWhisk, rest_of: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Bert, at Anna's namespace."""
    async with rest_of(shop, "b:secret") as rest:
        rest.http.base_url = "http://ow/api/v1/namespaces/anna/"
        yield rest.http


async def test_a_published_package_is_listed_read_and_called_by_others(
    bert: httpx.AsyncClient,
) -> None:
    listed = (await bert.get("packages")).json()
    counted = (await bert.get("packages?count=true")).json()
    package = (await bert.get("packages/open")).json()
    inside = (await bert.get("actions/open/")).json()
    action = (await bert.get("actions/open/hello")).json()
    record = (await bert.post("actions/open/hello?blocking=true", json={"to": "bert"})).json()

    assert [one["name"] for one in listed] == ["open"]
    assert counted == {"packages": 1}
    assert [one["name"] for one in package["actions"]] == ["hello"]
    assert [one["namespace"] for one in inside] == ["anna/open"]
    assert action["exec"]["code"] == ACTION["exec"]["code"]
    assert record["namespace"] == record["subject"] == "bert"
    assert {"key": "path", "value": "anna/open/hello"} in record["annotations"]
    assert record["response"]["result"] == {"from": "anna", "to": "bert"}


async def test_the_record_of_a_foreign_action_is_with_who_called_it(
    bert: httpx.AsyncClient, shop: LocalOpenWhisk, rest_of: Any
) -> None:
    record = (await bert.post("actions/open/hello?blocking=true", json={})).json()

    own = await bert.get(f"http://ow/api/v1/namespaces/_/activations/{record['activationId']}")
    async with rest_of(shop) as anna:
        owners = await anna.http.get(f"activations/{record['activationId']}")

    assert own.status_code == 200
    assert owners.status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "what"),
    [
        ("GET", "actions", "anna"),
        ("GET", "actions/plain", "anna/plain"),
        ("POST", "actions/plain", "anna/plain"),
        ("PUT", "actions/new", "anna/new"),
        ("GET", "actions/closed/", "anna/closed"),
        ("GET", "actions/closed/hello", "anna/closed"),
        ("POST", "actions/closed/hello", "anna/closed"),
        ("GET", "actions/missing/hello", "anna/missing"),
        ("POST", "actions/alias/hello", "anna/alias"),
        ("PUT", "actions/open/hello", "anna/open/hello"),
        ("DELETE", "actions/open/hello", "anna/open/hello"),
        ("GET", "packages/closed", "anna/closed"),
        ("GET", "packages/plain", "anna/plain"),
        ("GET", "packages/missing", "anna/missing"),
        ("GET", "packages/alias", "anna/alias"),
        ("PUT", "packages/open", "anna/open"),
        ("DELETE", "packages/open", "anna/open"),
        ("GET", "limits", "anna"),
        ("GET", f"activations/{'0' * 32}", f"anna/{'0' * 32}"),
    ],
)
async def test_what_is_not_published_is_refused_in_the_name_of_what_is_missing_a_right(
    bert: httpx.AsyncClient, method: str, path: str, what: str
) -> None:
    answer = await bert.request(method, path, json=ACTION if method != "GET" else None)

    assert answer.status_code == 403
    assert answer.json()["error"] == denied(what)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "actions/plain"),
        ("PUT", "actions"),
        ("POST", "packages/open"),
        ("DELETE", f"activations/{'0' * 32}"),
        ("GET", "actions/a/b/c"),
    ],
)
async def test_what_is_no_route_is_not_found_in_another_namespace_either(
    bert: httpx.AsyncClient, method: str, path: str
) -> None:
    answer = await bert.request(method, path, json={} if method != "GET" else None)

    assert answer.status_code == 404
    assert answer.json()["error"] == "The requested resource could not be found."


async def test_a_foreign_published_package_can_be_bound_and_called_through_the_binding(
    shop: LocalOpenWhisk, rest_of: Any
) -> None:
    async with rest_of(shop, "b:secret") as bert, rest_of(shop) as anna:
        body = {
            "binding": {"namespace": "anna", "name": "open"},
            "parameters": [{"key": "to", "value": "bert"}],
        }
        assert (await bert.http.put("packages/mine", json=body)).status_code == 200
        record = (await bert.invoke("mine/hello")).json()
        bound = (await bert.http.get("packages/mine")).json()

        assert record["response"]["result"] == {"from": "anna", "to": "bert"}
        assert {"key": "binding", "value": "bert/mine"} in record["annotations"]
        assert [one["name"] for one in bound["actions"]] == ["hello"]

        await anna.http.put("packages/open?overwrite=true", json={"publish": False})
        called = await bert.invoke("mine/hello")
        read = await bert.http.get("packages/mine")

        assert called.status_code == read.status_code == 403
        assert called.json()["error"] == read.json()["error"] == denied("bert/mine")


@pytest.mark.parametrize(
    ("namespace", "name", "status", "text"),
    [
        ("anna", "closed", 403, denied("anna/closed")),
        ("anna", "missing", 403, denied("anna/missing")),
        ("anna", "alias", 403, denied("anna/alias")),
        ("_", "missing", 400, "Binding references a package that does not exist."),
        ("_", "action", 409, "Cannot bind to a resource that is not a package."),
        ("_", "bound", 400, "Cannot bind to another package binding."),
    ],
)
async def test_a_binding_to_what_cannot_be_bound_is_refused(
    shop: LocalOpenWhisk, rest_of: Any, namespace: str, name: str, status: int, text: str
) -> None:
    async with rest_of(shop, "b:secret") as bert:
        await bert.put("action")
        bound = {"binding": {"namespace": "anna", "name": "open"}}
        await bert.http.put("packages/bound", json=bound)

        body = {"binding": {"namespace": namespace, "name": name}}
        answer = await bert.http.put("packages/new", json=body)

    assert (answer.status_code, answer.json()["error"]) == (status, text)


async def test_a_package_cannot_become_a_binding(shop: LocalOpenWhisk, rest_of: Any) -> None:
    async with rest_of(shop) as anna:
        body = {"binding": {"namespace": "_", "name": "open"}}

        answer = await anna.http.put("packages/closed?overwrite=true", json=body)

    assert answer.status_code == 409
    assert answer.json()["error"] == (
        "Resource is a package and cannot be converted into a binding."
    )


async def test_a_dangling_binding_of_ones_own_does_not_exist_under_its_own_name(
    shop: LocalOpenWhisk, rest_of: Any
) -> None:
    async with rest_of(shop) as anna:
        await anna.http.delete("packages/open?force=true")

        read = await anna.http.get("packages/alias")
        called = await anna.invoke("alias/hello")

    assert read.json()["error"] == "The requested resource 'anna/alias' does not exist."
    assert called.json()["error"] == "The requested resource does not exist."
    assert read.status_code == called.status_code == 404


async def test_a_refused_foreign_call_is_charged(opened: Any) -> None:
    accounts = [Account("anna", "a:secret", {"invocationsPerMinute": 1})]
    async with opened(auth=accounts) as (_, anna):
        url = "http://ow/api/v1/namespaces/bert/actions/p/a"

        statuses = [(await anna.http.post(url, json={})).status_code for _ in range(2)]

    assert statuses == [403, 429]


def test_what_a_rule_or_a_sequence_names_has_to_be_readable() -> None:
    entitlement = Entitlement(Store())

    entitlement.check_reference("anna", "anna/action")
    with pytest.raises(Refusal, match="'bert/action'"):
        entitlement.check_reference("anna", "bert/action")
    with pytest.raises(Refusal, match="'bert/package'"):
        entitlement.check_reference("anna", "bert/package/action")


async def test_a_published_sequence_needs_components_that_its_caller_may_call(
    bert: httpx.AsyncClient, shop: LocalOpenWhisk, rest_of: Any
) -> None:
    async with rest_of(shop) as anna:
        for name, component in (("fine", "open/hello"), ("own", "plain"), ("shut", "closed/hello")):
            exec_ = {"kind": "sequence", "components": [f"/_/{component}"]}
            answer = await anna.http.put(f"actions/open/{name}", json={"exec": exec_})
            assert answer.status_code == 200

    record = (await bert.post("actions/open/fine?blocking=true", json={"to": "bert"})).json()
    assert record["namespace"] == "bert"
    assert record["response"]["result"] == {"from": "anna", "to": "bert"}
    for name, component in (("own", "plain"), ("shut", "closed")):
        answer = await bert.post(f"actions/open/{name}?blocking=true", json={})
        assert (answer.status_code, answer.json()["error"]) == (403, denied(f"anna/{component}"))


async def test_a_foreign_conductor_names_actions_of_its_caller(
    bert: httpx.AsyncClient, shop: LocalOpenWhisk, rest_of: Any
) -> None:
    async with rest_of(shop) as anna:
        await anna.put("open/c", annotations=[{"key": "conductor", "value": True}])
    bert.base_url = httpx.URL("http://ow/api/v1/namespaces/_/")
    await bert.put("actions/mine", json={"exec": {"kind": "python:3", "code": MINE}})
    bert.base_url = httpx.URL("http://ow/api/v1/namespaces/anna/")

    query = "blocking=true&result=true"
    mine = await bert.post(f"actions/open/c?{query}", json={"action": "mine"})
    assert mine.json() == {"from": "anna", "whose": "bert"}
    other = await bert.post(f"actions/open/c?{query}", json={"action": "/anna/plain"})
    text = "Failed entitlement check for action with name 'anna/plain' during composition."
    assert other.json() == {"error": text}
