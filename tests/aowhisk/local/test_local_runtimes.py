"""Which kinds there are, and what becomes of the others."""

import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from aowhisk.local import LocalOpenWhisk
from aowhisk.local.http import Refusal
from aowhisk.local.runtimes import Runtimes


def a_node(folder: Path, says: str) -> None:
    folder.mkdir()
    (folder / "node").write_text(f"#!/bin/sh\necho {says}\n")
    (folder / "node").chmod(0o755)


def kinds(runtimes: Runtimes, family: str) -> dict[str, bool]:
    listed: list[dict[str, Any]] = runtimes.to_json().get(family, [])
    return {one["kind"]: one["default"] for one in listed}


async def test_the_root_lists_the_kinds_by_family_with_one_default_each(ow: LocalOpenWhisk) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(ow.app)) as http:
        runtimes = (await http.get("http://ow/")).json()["runtimes"]

    assert runtimes["python"][0] == {
        "kind": "python:3",
        "image": "local",
        "deprecated": False,
        "default": False,
        "attached": False,
        "requireMain": False,
    }
    for family, listed in runtimes.items():
        assert [one["default"] for one in listed].count(True) == 1
        assert all(one["kind"].startswith(f"{family}:") for one in listed)


def test_nodejs_is_offered_up_to_the_version_that_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_node(tmp_path / "bin", "v19.9.0")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)

    offered = kinds(Runtimes.here(), "nodejs")

    assert offered == {
        "nodejs:10": False,
        "nodejs:12": False,
        "nodejs:14": False,
        "nodejs:16": False,
        "nodejs:18": False,
        "nodejs:19": True,
    }


@pytest.mark.parametrize("says", ["", "not a version"])
def test_nodejs_is_not_offered_where_there_is_none_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str
) -> None:
    a_node(tmp_path / "bin", says)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    runtimes = Runtimes.here()

    assert kinds(runtimes, "nodejs") == {}
    with pytest.raises(Refusal, match="The specified runtime 'nodejs:default' is not supported"):
        runtimes.resolve("nodejs:default")


@pytest.mark.parametrize(
    "kind",
    ["php:8.1", "java:8", "ruby:2.5", "swift:default", "dotnet:3.1", "python:2", "python", ""],
)
async def test_a_kind_without_its_runtime_is_refused_with_those_there_are(
    rest: Any, kind: str
) -> None:
    answer = await rest.http.put("actions/a", json={"exec": {"kind": kind, "code": "x y"}})

    assert answer.status_code == 400
    assert answer.json()["error"].startswith(
        "The request content was malformed:\n"
        f"The specified runtime '{kind}' is not supported by this platform. "
        "Valid values are: 'python:3', 'python:3.9', 'python:3.10'"
    )


@pytest.mark.parametrize(
    ("asked", "stored"), [("python:default", "python:3.10"), ("go:default", "go:1.20")]
)
async def test_a_default_is_stored_as_the_kind_it_stands_for(
    rest: Any, asked: str, stored: str
) -> None:
    answer = await rest.http.put("actions/a", json={"exec": {"kind": asked, "code": "x y"}})

    assert answer.json()["exec"]["kind"] == stored
    assert {"key": "exec", "value": stored} in answer.json()["annotations"]


async def test_an_image_can_be_stored_and_its_call_says_that_there_are_none(rest: Any) -> None:
    exec_ = {"kind": "blackbox", "image": "openwhisk/dockerskeleton"}
    await rest.http.put("actions/box", json={"exec": exec_})

    answer = await rest.invoke("box")
    record = await rest.record(answer.headers["x-openwhisk-activation-id"])

    assert answer.status_code == 502
    assert record["response"] == {
        "result": {"error": "Failed to pull container image 'openwhisk/dockerskeleton'."},
        "status": "action developer error",
        "success": False,
    }
    assert record["logs"][0].endswith("stderr: This local OpenWhisk runs no container images.")
