"""Lithops' OpenWhisk client (PyPI: lithops) on a local OpenWhisk."""

import json
import os
import ssl
import subprocess
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from aowhisk.local import GUEST

SCRIPT = Path(__file__).parent / "lithops_client.py"


@pytest.fixture(scope="module")
def told(tls_server: str, lithops: Path) -> Any:
    """What it gave."""
    done = subprocess.run(
        [str(lithops / "bin/python"), str(SCRIPT), tls_server, "guest", GUEST],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_function_is_registered_in_a_package(told: Any) -> None:
    assert told["namespaces"] == ["guest"]
    assert [one["name"] for one in told["packages"]] == ["lithops"]
    assert {one["name"] for one in told["actions"]} == {"squares", "image"}
    assert told["action"]["limits"] == {
        "timeout": 20000,
        "memory": 128,
        "logs": 10,
        "concurrency": 1,
    }


def test_it_is_invoked_with_its_result(told: Any) -> None:
    assert told["result"] == {"squares": [1, 4, 9]}


async def test_it_is_invoked_without_waiting_from_outside_and_from_an_action(
    told: Any, tls_server: str, certificate: Path
) -> None:
    user, _, secret = GUEST.partition(":")
    async with httpx.AsyncClient(
        base_url=f"{tls_server}/api/v1/namespaces/_/activations/",
        auth=(user, secret),
        verify=ssl.create_default_context(cafile=certificate),
    ) as http:
        with anyio.fail_after(20):
            for activation_id in (told["outside"], told["inside"]):
                while (answer := await http.get(f"{activation_id}/result")).status_code == 404:
                    await anyio.sleep(0.02)
                assert answer.json()["result"] == {"squares": [1, 4, 9]}


def test_it_sees_what_is_missing_and_that_its_key_is_wrong(told: Any) -> None:
    assert (told["missing"], told["wrong"]) == (404, 401)


def test_a_docker_image_says_that_it_cannot_run(told: Any) -> None:
    assert "docker.io/lithops/python" in told["image"]["error"]


def test_a_package_that_is_not_empty_stays(told: Any) -> None:
    assert told["full"] == 2
    assert told["left"] == [[], []]
