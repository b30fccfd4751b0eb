"""What the orchestrator's side says and takes, held against the schema of protocol 1: real calls,
of actions in every language that runs here."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from pages import blocks
from protocol import faults
from s3_server import S3Server

from aowhisk import Dag, Orchestrator
from aowhisk.events.model import Cause
from aowhisk.local import Lose
from object_store.wire import IO_KEY

ACTIONS = '''
import json, os, pathlib
from object_store import action

def seen(args):
    """Notes what it is given, and answers by the protocol's bare minimum."""
    with open(args["notes"], "a") as notes:
        notes.write(json.dumps(args) + "\\n")
    return {"said": "x" * args.get("bytes", 0)}

@action
async def write(args, store):
    with open(args["notes"], "a") as notes:
        notes.write(json.dumps({"_aowhisk": store.context.to_json()}) + "\\n")
    for name in "ab":
        await store.put(store.key("parts/" + name), name)
    return {"a": store.key("parts/a")}

@action
async def read(args, store):
    return {"text": (await store.get(args["a"])).decode()}
'''
MANIFEST = """
packages:
  default:
    actions:
      seen: {function: actions.py, main: seen}
      write: {function: actions.py, main: write}
      read: {function: actions.py, main: read}
"""


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    (tmp_path / "actions.py").write_text(ACTIONS)
    (tmp_path / "manifest.yaml").write_text(MANIFEST)
    return tmp_path / "manifest.yaml"


def noted(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def answers(orchestrator: Orchestrator, actions: Iterable[str]) -> list[Any]:
    """The results as they came, of every activation."""
    return [each.result for name in actions for each in orchestrator.server.activations(name)]


async def test_every_call_is_given_what_the_schema_says(manifest: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    dag = Dag("calls")
    dag.call("seen", {"notes": str(notes)}, id="first")
    dag.map("seen", {"notes": str(notes)}, over=[1, 2], id="many")
    async with Orchestrator.local(manifest, root=tmp_path / "root") as orchestrator:
        await orchestrator.run(dag)
    found = noted(notes)
    assert sorted(each["_aowhisk"]["call"] for each in found) == ["first", "many.0", "many.1"]
    assert [faults(each, "call") for each in found] == [[], [], []]


async def test_so_is_a_recovery_attempt_and_what_comes_of_it(
    manifest: Path, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    dag = Dag("lost")
    dag.call("read", {"a": dag.call("write", {"notes": str(notes)})["a"]})
    lose = [Lose(action="write", keys="parts/*/a")]
    async with Orchestrator.local(manifest, root=tmp_path / "root", faults=lose) as orchestrator:
        run = await orchestrator.run(dag, id="r")
        said = answers(orchestrator, ["write", "read"])
    assert [each.get("_aowhisk", {}).get("restore") for each in noted(notes)] == [
        None,
        ["parts/r/a"],
    ]
    assert [faults(each, "call") for each in noted(notes)] == [[], []]
    assert [faults(each, "answer") for each in said] == [[]] * 4
    assert sum("error" in each for each in said) == 1
    assert [w.get("kept") for w in said[0][IO_KEY]["writes"] + said[1][IO_KEY]["writes"]].count(
        True
    ) == 1
    assert Cause.RECOVERY in {attempt.cause for attempt in run.telemetry.attempts}


def written(page: str, folder: Path) -> Path:
    """The action of a how-to page, built; its manifest."""
    for block in blocks(page):
        if block.file:
            (folder / block.file).write_text(block.text)
    if page == "go.md":
        (build,) = (b.text for b in blocks(page) if "go build" in b.text)
        subprocess.run(["sh", "-e", "-c", build], cwd=folder, check=True, timeout=120)
    return folder / "manifest.yaml"


@pytest.mark.parametrize(("page", "tool"), [("javascript.md", "node"), ("go.md", "go")])
async def test_the_actions_in_other_languages_speak_all_of_it(
    tmp_path: Path, s3_server: S3Server, page: str, tool: str
) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"there is no {tool} here")
    url, run_id = s3_server.url, f"speaks-{tool}"
    place = {"root": tmp_path / "root", "store": url, "faults": [Lose(call="first")]}
    dag = Dag("speaking")
    first = dag.call("shout", {"input": f"texts/{tool}"}, id="first")
    dag.call("shout", {"input": first["output"]}, id="second")
    large = Dag("large")
    large.call("shout", {"input": f"texts/{tool}", "rest": "x" * 1_100_000}, id="large")
    async with Orchestrator.local(written(page, tmp_path), **place) as orchestrator:
        store = orchestrator.store
        assert store is not None
        await store.put(f"texts/{tool}", "so it goes")
        run = await orchestrator.run(dag, id=run_id)
        by_params = await orchestrator.run(large, id=f"{run_id}-large")
        said = answers(orchestrator, ["shout"])
        assert await store.get(run["second"].result["output"]) == b"SO IT GOES"
        who = (await store.head(f"loud/{run_id}/{tool}")).by
    assert [faults(each, "answer") for each in said] == [[]] * 5
    assert sorted("error" in each for each in said) == [False] * 4 + [True]
    assert who is not None
    assert who.startswith(f"{run_id}/")
    assert by_params["large"].result == {"output": f"loud/{run_id}-large/{tool}"}
