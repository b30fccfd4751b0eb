"""The how-to pages, done as they say, with real servers."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pages import blocks, run_page
from s3_server import S3Server

S3 = "s3+http://KEY:SECRET@127.0.0.1:9000"

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")


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


def test_what_is_said_of_the_move_runs(folder: Path) -> None:
    run_page("migration.md", folder, notes={"before"})
    assert [b.note for b in blocks("migration.md")].count("before") == 2
