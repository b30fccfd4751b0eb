"""Exporting: a namespace as a manifest, from which the same namespace can be made."""

from __future__ import annotations

import io
import json
import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest
from deploying import EVERYTHING, Site, contents

from aowhisk.client import Client, Code
from aowhisk.deploy import Project, apply, export, plan
from aowhisk.errors import ConfigError


async def test_what_is_exported_makes_the_same_namespace_elsewhere(
    site: Site, serving: Any, tmp_path: Path
) -> None:
    await site.deploy(EVERYTHING)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("__main__.py", "def main(args): return {'zipped': True}")
    client = site.client
    await client.actions.put("zipped", Code.archive(packed.getvalue(), main="main"))
    await client.actions.put("tools/image", Code.image("me/it:1", text="print(1)"))
    strange = {
        "a": "$HOME",
        "b": "${HOME} and $5",
        "c": "integer",
        "d": {"type": "x", "value": "${A}"},
        "e": ["$HOME", {"f": "${G}"}],
        "g": None,
        "h": "two\nlines: yes",
        "i": "no",
    }
    await client.triggers.put("strange", parameters=strange, annotations={"x": "${Y}"})

    notes = await export(client, tmp_path / "out")

    assert notes == ()
    other = serving.take()
    async with Client(other.apihost, other.auth) as there:
        project = Project.load(tmp_path / "out" / "manifest.yaml", requirements=False)
        await apply(there, await plan(there, project))
        found, expected = await contents(there), await contents(client)
        assert _comparable(found, other.namespace) == _comparable(
            expected, site.namespace.namespace
        )


def _comparable(found: dict[str, Any], namespace: str) -> Any:
    """Without marks, and with the namespace's own name taken out."""
    for raw in found.values():
        for inside in [raw, *raw.get("actions", ()), *raw.get("feeds", ())]:
            inside["annotations"] = [
                one for one in inside["annotations"] if one["key"] != "aowhisk-managed"
            ]
    return json.loads(json.dumps(found).replace(namespace, "NAMESPACE"))


async def test_a_packages_own_things_are_exported_with_its_rules(
    site: Site, tmp_path: Path
) -> None:
    await site.deploy(EVERYTHING)
    await site.client.rules.put("other", trigger="tick", action="bare")

    await export(site.client, tmp_path / "out", package="tools")

    text = (tmp_path / "out" / "manifest.yaml").read_text()
    project = Project.load(tmp_path / "out" / "manifest.yaml")
    assert set(project.manifest.actions) == {"tools/hello", "tools/page", "tools/steps"}
    assert set(project.manifest.rules) == {"on-tick"}
    assert set(project.manifest.triggers) == {"tick"}
    assert "bare" not in text
    # what an action has from its package is not copied into it
    assert "bucket" not in project.manifest.actions["tools/hello"].parameters


async def test_a_project_is_exported_under_its_name(site: Site, tmp_path: Path) -> None:
    await site.deploy(EVERYTHING)
    await site.client.actions.put("theirs", "def main(args): return {}")
    await export(site.client, tmp_path / "out", project="app")
    project = Project.load(tmp_path / "out" / "manifest.yaml")
    assert project.name == "app"
    assert "theirs" not in project.manifest.actions


async def test_what_the_format_cannot_say_is_told(site: Site, tmp_path: Path) -> None:
    client = site.client
    await client.actions.put("a", "def main(args): return {}", init_parameters={"SECRET": "s"})
    await client.triggers.put("t", annotations={"feed": "/whisk.system/alarms/alarm"})
    await client.rules.put("r", trigger="t", action="a")
    await client.rules.disable("r")

    notes = await export(client, tmp_path / "out")

    assert [note.split(":")[0] for note in notes] == [
        "action 'a'",
        "trigger 't'",
        "rule 'r' is inactive; deployed, it will be active",
    ]
    assert "feed: /whisk.system/alarms/alarm" in (tmp_path / "out" / "manifest.yaml").read_text()


async def test_the_files_are_what_was_there(site: Site, tmp_path: Path) -> None:
    source = "def main(args):\n    return {'ü': 1}\n"
    await site.client.packages.put("p")
    await site.client.actions.put("p/a", source)
    await site.client.actions.put("b", Code.source("package main // go", kind="go:default"))
    await site.client.actions.put("c", Code.archive(b"PK\3\4"))
    await export(site.client, tmp_path / "out")
    out = tmp_path / "out"
    assert (out / "p" / "a.py").read_text(encoding="utf-8") == source
    assert (out / "default" / "b.go").read_text() == "package main // go"
    assert (out / "default" / "c.zip").read_bytes() == b"PK\3\4"
    assert stat.S_IMODE((out / "manifest.yaml").stat().st_mode) == 0o600


async def test_nothing_is_overwritten_and_nothing_is_nothing(site: Site, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to export"):
        await export(site.client, tmp_path)
    (tmp_path / "manifest.yaml").write_text("mine")
    with pytest.raises(ConfigError, match="is there already"):
        await export(site.client, tmp_path)
    assert (tmp_path / "manifest.yaml").read_text() == "mine"
