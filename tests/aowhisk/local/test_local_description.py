"""What the server says of its API, and whether that is so."""

import itertools
import re
from collections.abc import Iterator
from typing import Any

import httpx
import openapi_spec_validator
import pytest

from aowhisk.local import LocalOpenWhisk
from aowhisk.local.description import document

METHODS = ("get", "put", "post", "delete", "patch", "head")
COLLECTIONS = ("actions", "packages", "triggers", "rules", "activations", "limits", "others")
SHAPES = ("", "/n", "/p/", "/p/n", f"/{'0' * 32}", f"/{'0' * 32}/logs", "/p/n/x")
NO_ROUTE = "The requested resource could not be found."


def test_the_document_is_valid() -> None:
    openapi_spec_validator.validate(document())


async def test_it_is_there_for_everyone_as_is_a_page_that_shows_it(ow: LocalOpenWhisk) -> None:
    transport = httpx.ASGITransport(ow.app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://ow/api/v1/", follow_redirects=True
    ) as http:
        told = await http.get("api-docs")
        page = await http.get("docs")
        refused = await http.get("docs/index.html", headers={"Accept": "application/json"})

    assert told.json() == document()
    assert str(page.url) == "http://ow/api/v1/docs/index.html?url=/api/v1/api-docs"
    assert page.headers["content-type"] == "text/html; charset=UTF-8"
    assert refused.status_code == 406


async def test_trace_is_405_and_says_what_there_is(ow: LocalOpenWhisk) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(ow.app)) as http:
        answer = await http.request("TRACE", "http://ow/api/v1/namespaces")

    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, DELETE, POST, PUT, HEAD, OPTIONS, PATCH"


def requests() -> Iterator[tuple[str, str]]:
    inside = [f"/api/v1/namespaces/_/{c}{s}" for c, s in itertools.product(COLLECTIONS, SHAPES)]
    others = ["/api/v1", "/api/v1/namespaces", "/api/v1/namespaces/_", "/api/v1/api-docs"]
    others += ["/api/v1/docs", "/api/v1/docs/index.html", "/api/v1/web/guest/default/a.http"]
    return itertools.product(METHODS, [*inside, *others])


def described(method: str, path: str) -> bool:
    for template, item in document()["paths"].items():
        pattern = re.sub(r"\{activation\}", "[0-9a-f]{32}", template)
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", pattern), path) and method in item:
            return True
    return False


async def test_it_describes_every_route_and_no_other(ow: LocalOpenWhisk) -> None:
    wrong = []
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(ow.app),
        base_url="http://ow",
        auth=tuple(ow.auth.split(":")),
    ) as http:
        for method, path in requests():
            answer = await http.request(method, path, json={} if method != "head" else None)
            if method == "head":  # which has no body to tell by
                is_route = answer.status_code != 404 or "/web/" in path
            else:
                is_route = not (answer.status_code == 404 and NO_ROUTE in answer.text)
            if re.search("Inner entity level|Activation id length", answer.text):
                is_route = False  # limits/x, and ids that are none
            if is_route != described(method, path):
                wrong.append((method, path, answer.status_code, answer.text))

    assert wrong == []


def operations() -> list[tuple[str, Any]]:
    return [
        (f"{method} {path}", operation)
        for path, item in document()["paths"].items()
        for method, operation in item.items()
        if method in (*METHODS, "options")
    ]


@pytest.mark.parametrize(("name", "operation"), operations())
def test_every_operation_has_a_name_and_its_path_parameters(name: str, operation: Any) -> None:
    path = name.partition(" ")[2]
    components = document()["components"]["parameters"]
    given = [*document()["paths"][path].get("parameters", []), *operation.get("parameters", [])]
    found = {components[one["$ref"].rpartition("/")[2]]["name"] for one in given}

    assert operation["operationId"]
    assert set(re.findall(r"\{(\w+)\}", path)) <= found


def test_no_two_operations_share_a_name() -> None:
    names = [operation["operationId"] for _, operation in operations()]

    assert len(set(names)) == len(names)
