"""A whole manifest in the local OpenWhisk: what `Orchestrator.local` and `serve --manifest` do."""

from __future__ import annotations

from pathlib import Path

import pytest

from aowhisk.client import Client
from aowhisk.errors import ConfigError
from aowhisk.local import LocalOpenWhisk
from aowhisk.manifest import Manifest
from aowhisk.models import Activation

WHOLE = """
packages:
  p:
    inputs: {greeting: hello}
    dependencies: {tools: {location: /whisk.system/utils, inputs: {lines: [a, b]}}}
    actions:
      a: {code: "def main(args): return {'said': args['greeting'] + ' ' + args['name']}"}
    sequences:
      outer: {actions: "inner, tools/echo"}
      inner: {actions: [a]}
    triggers: {t: {inputs: {name: anna}}}
    rules: {r: {trigger: t, action: outer}}
"""


def manifest(folder: Path, text: str) -> Manifest:
    (folder / "manifest.yaml").write_text(text)
    return Manifest.load(folder / "manifest.yaml")


async def test_sequences_bindings_triggers_and_rules_of_a_manifest_work(tmp_path: Path) -> None:
    async with (
        LocalOpenWhisk(root=tmp_path / "root") as ow,
        Client(auth=ow.auth, app=ow.app) as client,
    ):
        for _ in range(2):  # deploying it again is fine
            await ow.deploy(manifest(tmp_path, WHOLE))

        done = await client.actions.invoke("p/outer", {"name": "bert"})
        assert isinstance(done, Activation)
        assert done.result == {"said": "hello bert", "lines": ["a", "b"]}
        assert (await client.packages.get("tools")).parameters["lines"] == ["a", "b"]
        assert await client.triggers.fire("t", {"name": "cleo"}) is not None
        await ow.settled()
        assert [one.result for one in ow.activations("p/a")] == [
            {"said": "hello bert"},
            {"said": "hello cleo"},
        ]


async def test_a_feed_has_to_be_deployed_by_deploy(tmp_path: Path) -> None:
    text = "packages: {default: {triggers: {t: {feed: /whisk.system/alarms/alarm}}}}"
    async with LocalOpenWhisk(root=tmp_path / "root") as ow:
        with pytest.raises(ConfigError, match="deploy with aowhisk deploy"):
            await ow.deploy(manifest(tmp_path, text))
