"""What the tests of deploying have in common: a project in a folder, and all that a namespace
holds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aowhisk.client import Client
from aowhisk.deploy import Operation, Plan, Project, apply, plan, plan_removal
from aowhisk.manifest import Manifest
from aowhisk_pytest import Namespace

SOURCE = "def main(args):\n    return args\n"
EVERYTHING = """
project:
  name: app
  packages:
    tools:
      inputs: {bucket: films}
      annotations: {owner: me}
      public: true
      dependencies:
        utils: {location: /whisk.system/utils, inputs: {lines: 3}}
      actions:
        hello:
          code: |
            def main(args):
                return {"said": "hello " + args.get("name", "you"), "bucket": args.get("bucket")}
          inputs: {name: anna, token: $TOKEN}
          limits: {timeout: 30000, memorySize: 128}
          annotations: {team: blue}
        page: {code: "def main(args): return {'body': 'a page'}", web: true}
        steps: {code: "def main(args): return {'params': args}", conductor: true}
      sequences:
        both: {actions: "hello, inner", annotations: {kept: true}}
        inner: {actions: "utils/echo, hello"}
      triggers:
        tick: {inputs: {every: day}, annotations: {why: test}}
      rules:
        on-tick: {trigger: tick, action: both}
    default:
      actions:
        bare: {code: "def main(args): return {}"}
"""


@dataclass
class Site:
    """A project's folder and the namespace that it goes to."""

    folder: Path
    client: Client
    environ: Mapping[str, str]
    namespace: Namespace

    def write(self, text: str, **files: str) -> Path:
        """The manifest, and files beside it."""
        for name, content in files.items():
            (self.folder / name.replace("__", ".")).write_text(content)
        (self.folder / "manifest.yaml").write_text(text)
        return self.folder / "manifest.yaml"

    def project(self, text: str | None = None, **options: Any) -> Project:
        """The project, of `text` if there is one."""
        if text is not None:
            self.write(text)
        manifest = Manifest.load(self.folder / "manifest.yaml", environ=self.environ)
        return Project.load(manifest, environ=self.environ, **options)

    async def plan(self, text: str | None = None, **options: Any) -> Plan:
        """What would change."""
        return await plan(self.client, self.project(text), **options)

    async def deploy(self, text: str | None = None, **options: Any) -> Plan:
        """Deploy; what was done."""
        found = await self.plan(text, **options)
        await apply(self.client, found)
        return found

    async def undeploy(self, project: Project | str | None = None) -> Plan:
        """Remove; what was done."""
        found = await plan_removal(self.client, self.project() if project is None else project)
        await apply(self.client, found)
        return found


def done(plan: Plan) -> dict[str, str]:
    """What a plan does, by what it does it to."""
    return {str(step): step.operation.value for step in plan.work}


def changes(plan: Plan) -> dict[str, tuple[Any, Any] | str]:
    """The changes of a plan that updates one entity."""
    (step,) = plan.work
    assert step.operation is Operation.UPDATE
    return {
        each.field: "hidden" if each.is_secret else (each.old, each.new) for each in step.changes
    }


async def contents(client: Client, *, times: bool = False) -> dict[str, Any]:
    """Everything that the namespace holds, without versions and times."""
    found: dict[str, Any] = {}
    async for package in client.packages.list():
        found[f"package {package.name}"] = (await client.packages.get(package.name)).raw
    async for action in client.actions.list():
        name = "/".join([*action.namespace.split("/")[1:], action.name])
        found[f"action {name}"] = (await client.actions.get(name)).raw
    async for trigger in client.triggers.list():
        found[f"trigger {trigger.name}"] = (await client.triggers.get(trigger.name)).raw
    async for rule in client.rules.list():
        found[f"rule {rule.name}"] = (await client.rules.get(rule.name)).raw
    return {name: _settled(raw, times) for name, raw in found.items()}


def _settled(value: Any, times: bool) -> Any:
    if isinstance(value, dict):
        dropped = set() if times else {"updated", "version"}
        return {key: _settled(one, times) for key, one in value.items() if key not in dropped}
    if isinstance(value, list):
        parts = [_settled(one, times) for one in value]
        return sorted(parts, key=repr) if all(isinstance(one, dict) for one in parts) else parts
    return value


def aowhisk(
    *arguments: object, environ: Mapping[str, str], cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """The command line, as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "aowhisk", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**environ},
        cwd=cwd,
    )
