"""The documentation as a whole; that it builds without a warning is `make docs`."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from protocol import faults

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
SITE: dict[str, Any] = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))


def pages(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    inner = nav.values() if isinstance(nav, dict) else nav
    return [page for each in inner for page in pages(each)]


def test_every_page_is_in_the_navigation_once() -> None:
    listed = pages(SITE["nav"])
    assert len(listed) == len(set(listed))
    written = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert written - set(listed) == set(), "add it to nav in mkdocs.yml"


def test_what_is_doubtful_is_an_error() -> None:
    assert SITE["strict"] is True
    assert set(SITE["validation"]["nav"].values()) == {"warn"}
    assert set(SITE["validation"]["links"].values()) == {"warn"}


@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="there is no mkdocs here")
def test_make_docs_fails_for_a_page_out_of_the_navigation_and_a_dead_link(tmp_path: Path) -> None:
    for entry in ROOT.iterdir():
        if not entry.name.startswith(".") and entry.name not in {"docs", "site"}:
            (tmp_path / entry.name).symlink_to(entry)
    shutil.copytree(DOCS, tmp_path / "docs")
    (tmp_path / "docs/alone.md").write_text("# Alone\n\n[nowhere](nowhere.md)\n", encoding="utf-8")
    (options,) = re.findall(r"/mkdocs (build .*)", (ROOT / "Makefile").read_text(encoding="utf-8"))
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", *options.split()],
        cwd=tmp_path,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode != 0
    assert "alone.md" in done.stderr
    assert "nowhere.md" in done.stderr
    assert done.stderr.count("WARNING") == 2


def test_the_map_of_the_architecture_has_every_part_and_no_other() -> None:
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    drawn = re.search(r"```text\n(.*?)```", page, re.S)
    assert drawn is not None
    told = re.findall(r"^(?:\w+ +| {10})((?:\w+, )*\w+)(?=  )", drawn[1], re.M)
    named = [name for line in told for name in line.split(", ")]
    there = {
        path.stem
        for path in (ROOT / "src/aowhisk").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert sorted(named) == sorted(there - {"__init__"})


def test_the_files_that_the_architecture_names_are_there() -> None:
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    for name in re.findall(r"`([\w/]+(?:/[\w.]+)*\.py)`", page):
        places = [ROOT / name, ROOT / "src" / name, ROOT / "src/aowhisk" / name]
        assert any(place.is_file() for place in places), name


def test_nothing_is_fetched_for_the_site() -> None:
    assert SITE["theme"]["font"] is False
    assert "http" not in (DOCS / "site.css").read_text(encoding="utf-8")


WHOLE = {"aowhisk.errors", "aowhisk.local.faults", "aowhisk.events.model"}
"""Modules that the reference has as a whole."""
PARTS = ("client", "deploy", "events", "history", "local", "manifest")


@pytest.mark.parametrize(
    "package", ["aowhisk", "object_store", *(f"aowhisk.{part}" for part in PARTS)]
)
def test_every_public_name_is_in_the_reference(package: str) -> None:
    text = "\n".join(p.read_text(encoding="utf-8") for p in (DOCS / "reference").glob("*.md"))
    told = {path.rpartition(".")[2] for path in re.findall(r"^::: ([\w.]+)$", text, re.MULTILINE)}
    for name in WHOLE:
        told |= set(importlib.import_module(name).__all__)
    public = set(importlib.import_module(package).__all__) - {"__version__"}
    assert public - told == set()


@pytest.mark.parametrize(
    ("note", "kind"),
    [("in", "call"), ("out", "success"), ("failure", "failure"), ("receipt", "receipt")],
)
def test_the_messages_on_the_page_are_in_the_schema(note: str, kind: str) -> None:
    text = (DOCS / "protocol.md").read_text(encoding="utf-8")
    found = re.findall(rf"^```json {note}\n(.*?)^```$", text, re.S | re.M)
    assert found
    for message in found:
        assert faults(json.loads(message), kind) == []


def test_the_schema_is_used_as_the_page_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    (code,) = re.findall(
        r"^```python schema\n(.*?)^```$", (DOCS / "protocol.md").read_text(), re.S | re.M
    )
    exec(code, {})
