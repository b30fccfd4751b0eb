"""The how-to pages, done as they say, with real servers."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pages import blocks, run_page
from s3_server import S3Server

S3 = "s3+http://KEY:SECRET@127.0.0.1:9000"

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")


FILMS = {
    "manifest.yaml": "packages: {default: {actions: {encode: {function: encode.py}}}}",
    "encode.py": "def main(args):\n    return {'film': args['video']}\n",
    "flow.py": """
from aowhisk import Dag

def transcoding(video):
    dag = Dag("films")
    dag.call("encode", {"video": video})
    return dag
""",
    "visit.py": """
import time
from fastapi.testclient import TestClient
from service import app

with TestClient(app) as client:
    first = client.post("/films/r1?video=a")
    assert (first.status_code, first.json()["id"]) == (200, "r1"), first.text
    while client.get("/films/r1").json()["state"] != "succeeded":
        time.sleep(0.05)
    assert client.get("/films/r1").json()["ended"] == ["encode"]
    assert client.post("/films/r1?video=a").json()["state"] == "succeeded"
    assert client.post("/films/r1?video=b").status_code == 409
    assert client.post("/films/no%20id?video=b").status_code == 422
    assert client.get("/films/r2").status_code == 404
""",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node here")
def test_the_action_in_javascript_takes_part_in_recovery(folder: Path, s3_server: S3Server) -> None:
    run_page("javascript.md", folder, said={S3: s3_server.url})


@pytest.mark.skipif(shutil.which("go") is None, reason="there is no go here")
def test_the_action_in_go_takes_part_in_recovery(folder: Path, s3_server: S3Server) -> None:
    run_page("go.md", folder, said={S3: s3_server.url})


def test_objects_lie_on_s3(folder: Path, s3_server: S3Server) -> None:
    run_page("s3.md", folder, said={S3: s3_server.url})


def test_runs_left_in_mongodb_are_done_by_others(folder: Path, mongo_url: str) -> None:
    run_page("mongo.md", folder, said={"mongodb://127.0.0.1:27017/aowhisk": mongo_url})


def test_dags_are_run_from_a_shell(folder: Path) -> None:
    run_page("runs.md", folder)


def test_what_is_said_of_the_move_runs(folder: Path) -> None:
    run_page("migration.md", folder, notes={"before"})
    assert [b.note for b in blocks("migration.md")].count("before") == 2


def test_the_service_answers_as_the_page_says(folder: Path) -> None:
    (service,) = (block for block in blocks("fastapi.md") if block.file == "service.py")
    for name, text in {**FILMS, "service.py": service.text}.items():
        (folder / name).write_text(text)
    done = subprocess.run(
        [sys.executable, "visit.py"], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
