"""Requests made up from the OpenAPI document by schemathesis: no 500, and answers as described."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from aowhisk.local import GUEST
from aowhisk.local.description import document

KNOWN = {"namespace": "_", "package": "tools", "action": "hello", "trigger": "tick", "rule": "each"}
WEB = {"namespace": "guest", "package": "default", "action": "hello.http"}
CODE = "def main(args):\n    return {'body': args}\n"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
bounded = settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
schema = schemathesis.openapi.from_dict(document())


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a local OpenWhisk."""
    root = str(tmp_path_factory.mktemp("ow"))
    command = [sys.executable, "-m", "aowhisk", "serve", "--port", "0", "--root", root]
    with subprocess.Popen(
        [*command, "--max-blocking-wait", "1"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[2].rstrip(",")
        try:
            yield url
        finally:
            process.terminate()


@pytest.fixture
def server(url: str) -> str:
    """Its URL, with something in it, whatever the test before has deleted."""
    with httpx.Client(base_url=f"{url}/api/v1/namespaces/_/", auth=_auth()) as http:
        _fill(http)
    return url


def _auth() -> tuple[str, str]:
    user, _, secret = GUEST.partition(":")
    return user, secret


def _fill(http: httpx.Client) -> None:
    annotations = [{"key": "web-export", "value": True}]
    action = {"exec": {"kind": "python:3", "code": CODE}, "annotations": annotations}
    for path, body in (
        ("packages/tools", {}),
        ("actions/hello", action),
        ("actions/tools/hello", action),
        ("triggers/tick", {}),
        ("rules/each", {"trigger": "/_/tick", "action": "/_/hello"}),
    ):
        http.put(f"{path}?overwrite=true", json=body).raise_for_status()


@schema.parametrize()
@bounded
def test_a_request_made_up_is_never_500_and_is_answered_as_described(
    server: str, case: Any
) -> None:
    _ask(server, case)


@schema.parametrize()
@bounded
def test_a_request_about_what_is_there_is_never_500_and_is_answered_as_described(
    server: str, case: Any
) -> None:
    names = WEB if "/web/" in case.path else KNOWN
    given = case.path_parameters or {}
    case.path_parameters = given | {key: names[key] for key in names if key in given}

    _ask(server, case)


def _ask(server: str, case: Any) -> None:
    answer = case.call(base_url=server, auth=_auth())

    case.validate_response(answer, checks=CHECKS)
