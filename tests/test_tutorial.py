"""The tutorial, done as it says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pages import Shell, blocks, environment, looks_like, run_page

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")


def test_every_block_of_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    run_page("tutorial.md", folder)


def test_nothing_of_the_tutorial_is_left_out() -> None:
    found = blocks("tutorial.md")
    fences = (Path(__file__).parent.parent / "docs/tutorial.md").read_text().count("```")
    assert len(found) * 2 == fences
    assert {b.language for b in found} == {"python", "yaml", "sh", "text"}


def test_a_command_that_fails_in_the_middle_of_a_block_is_noticed(tmp_path: Path) -> None:
    with Shell(tmp_path, environment(tmp_path / "x")) as shell:
        assert shell.run("echo one\nfalse\necho two") == (1, "one\n")
        assert shell.run("export A=1") == (0, "")
        assert shell.run('echo "$A"') == (0, "1\n")


def test_dots_stand_for_anything_and_nothing_else_does() -> None:
    assert looks_like("a  1.5 s\nb\nc\n", "a ... s\n...\nc\n")
    assert looks_like("c\n", "...\nc\n")
    assert not looks_like("a\nb\n", "a\n")
    assert not looks_like("axb\n", "a.b\n")
