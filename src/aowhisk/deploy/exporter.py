"""A namespace, or a part of it, as a manifest with the files that it names."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio.to_thread

from aowhisk.client import Action, Client, Package, Rule, Trigger
from aowhisk.deploy.entity import Kind
from aowhisk.deploy.platform import Platform
from aowhisk.deploy.present import Listed, Present, listed, look_all
from aowhisk.errors import ConfigError
from aowhisk.manifest import dump
from aowhisk.manifest.values import TYPES, is_declaration
from aowhisk.models import JSON

__all__ = ["export"]

_ENDINGS = {"python": ".py", "nodejs": ".js", "php": ".php", "ruby": ".rb", "go": ".go"}
_ENDINGS |= {"swift": ".swift", "java": ".java", "rust": ".rs"}
_CONCURRENCY = 8
_ARCHIVES = {"java": ".jar"}
_LIMITS = {"timeout": "timeout", "memory": "memorySize", "logs": "logSize"}
_STANDARD = {"timeout": 60_000, "memory": 256, "logs": 10}


async def export(
    client: Client, folder: Path, *, package: str | None = None, project: str | None = None
) -> tuple[str, ...]:
    """Write `folder`/manifest.yaml and the code of its actions beside it; what the format cannot
    say is told in the answer.

    All of the namespace, or `package` with what refers to it, or what `project` deployed. Values of
    parameters are written as they are: keep the file to yourself where they are secrets. Raises
    ConfigError where there is a manifest.yaml already, or nothing to write.
    """
    target = folder / "manifest.yaml"
    if target.exists():
        raise ConfigError(f"{target} is there already; name another folder")
    platform = await Platform.of(client)
    rows = [row async for row in listed(client) if _is_asked(row, package, project)]
    asked = dict.fromkeys((row.kind, row.name) for row in rows)
    found = list((await look_all(client, asked, concurrency=_CONCURRENCY)).values())
    if package is not None:
        found = _about(found, package, platform.namespace)
    writing = _Export(platform.namespace, project)
    for one in sorted(found, key=lambda each: (list(Kind).index(each.kind), each.name)):
        writing.add(one)
    if not writing.packages:
        raise ConfigError(f"there is nothing to export from namespace {platform.namespace!r}")
    await anyio.to_thread.run_sync(writing.write, target)
    return tuple(writing.notes)


def _is_asked(row: Listed, package: str | None, project: str | None) -> bool:
    if project is not None and (row.mark is None or row.mark.project != project):
        return False
    if package is None or row.kind in (Kind.TRIGGER, Kind.RULE):
        return True
    return row.name.partition("/")[0] == package


def _about(found: list[Present], package: str, namespace: str) -> list[Present]:
    """The package with what is in it, the rules of its actions and their triggers."""
    inside = f"/{namespace}/{package}/"
    rules = [
        one
        for one in found
        if one.kind is Kind.RULE and str(one.fields["action"]).startswith(inside)
    ]
    triggers = {str(rule.fields["trigger"]).rpartition("/")[2] for rule in rules}
    return [
        one
        for one in found
        if one in rules
        or one.kind not in (Kind.RULE, Kind.TRIGGER)
        or (one.kind is Kind.TRIGGER and one.name in triggers)
    ]


class _Export:
    """Collects the document and the files."""

    def __init__(self, namespace: str, project: str | None) -> None:
        self._own = f"/{namespace}/"
        self._project = project
        self._inherited: dict[str, Mapping[str, JSON]] = {}
        self.packages: dict[str, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
        self.notes: list[str] = []

    def add(self, one: Present) -> None:
        """One entity; packages come before what is in them."""
        match one.raw:
            case Package() if one.kind is Kind.BINDING:
                self._put("default", "dependencies", one.name, self._binding(one))
            case Package():
                self._inherited[one.name] = _part(one, "parameters")
                self.packages.setdefault(one.name, {}).update(self._package(one))
            case Action():
                package, _, name = one.name.rpartition("/")
                field = "sequences" if one.kind is Kind.SEQUENCE else "actions"
                body = self._sequence(one) if field == "sequences" else self._action(one, package)
                self._put(package or "default", field, name, body)
            case Trigger():
                self._put("default", "triggers", one.name, self._trigger(one))
            case Rule():
                self._put("default", "rules", one.name, self._rule(one))

    def write(self, target: Path) -> None:
        """Write it all; the manifest last, and for nobody else to read: it may hold secrets."""
        target.parent.mkdir(parents=True, exist_ok=True)
        for name, data in self.files.items():
            path = target.parent / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        target.touch(mode=0o600)
        if self._project is None:
            document: dict[str, JSON] = {"packages": self.packages}
        else:
            document = {"project": {"name": self._project, "packages": self.packages}}
        target.write_text(dump(document), encoding="utf-8")

    def _put(self, package: str, field: str, name: str, body: dict[str, JSON]) -> None:
        self.packages.setdefault(package, {}).setdefault(field, {})[name] = body

    def _package(self, one: Present) -> dict[str, JSON]:
        body = self._common(one)
        return body | {"public": True} if one.fields.get("publish") else body

    def _binding(self, one: Present) -> dict[str, JSON]:
        return {"location": str(one.fields["binding"]), **self._common(one)}

    def _action(self, one: Present, package: str) -> dict[str, JSON]:
        assert isinstance(one.raw, Action)
        code = one.raw.code
        body: dict[str, JSON] = {}
        family = one.raw.kind.partition(":")[0]
        if code.text:
            ending = _ARCHIVES.get(family, ".zip") if code.binary else _ENDINGS.get(family, ".txt")
            name = f"{package or 'default'}/{one.name.rpartition('/')[2]}{ending}"
            text = code.text
            self.files[name] = base64.b64decode(text) if code.binary else text.encode()
            body["function"] = name
        if code.container:
            body["docker"] = code.container
        else:
            body["runtime"] = one.raw.kind
        if code.main:
            body["main"] = code.main
        limits = {
            _LIMITS[name]: value
            for name, value in _part(one, "limits").items()
            if name in _LIMITS and value != _STANDARD[name]
        }
        if limits:
            body["limits"] = limits
        if init := _part(one, "init"):
            self.notes.append(
                f"action {one.name!r}: its init parameters ({', '.join(sorted(init))}) have no "
                "place in the format and are left out; deploy gives them anew"
            )
        return body | self._common(one, self._inherited.get(package, {}))

    def _sequence(self, one: Present) -> dict[str, JSON]:
        parts = [self._short(str(part)) for part in one.fields["components"]]
        return {"actions": ", ".join(parts), **self._common(one)}

    def _trigger(self, one: Present) -> dict[str, JSON]:
        body = self._common(one)
        feed = one.fields.get("annotations.feed")
        if feed is None:
            return body
        self.notes.append(
            f"trigger {one.name!r}: what its feed {feed} was told is kept nowhere; add its inputs"
        )
        rest = {k: v for k, v in (body.pop("annotations", None) or {}).items() if k != "feed"}
        return {"feed": feed, **body} | ({"annotations": rest} if rest else {})

    def _rule(self, one: Present) -> dict[str, JSON]:
        if one.fields.get("status") != "active":
            self.notes.append(f"rule {one.name!r} is inactive; deployed, it will be active")
        trigger = str(one.fields["trigger"]).rpartition("/")[2]
        action = self._short(str(one.fields["action"]))
        return {"trigger": trigger, "action": action, **self._common(one)}

    def _common(self, one: Present, inherited: Mapping[str, JSON] | None = None) -> dict[str, JSON]:
        """Inputs and annotations; without what an action has from its package."""
        below = inherited or {}
        inputs = {
            key: _written(value)
            for key, value in _part(one, "parameters").items()
            if key not in below or below[key] != value
        }
        found: dict[str, JSON] = {"inputs": inputs} if inputs else {}
        annotations = {key: _escaped(one) for key, one in _part(one, "annotations").items()}
        return found | ({"annotations": annotations} if annotations else {})

    def _short(self, path: str) -> str:
        """An action of this namespace without its name, so that it can go into another."""
        inside = path.removeprefix(self._own)
        if inside == path:
            return path
        return inside if "/" in inside else f"/_/{inside}"


def _part(one: Present, prefix: str) -> dict[str, JSON]:
    return {
        path.partition(".")[2]: value
        for path, value in one.fields.items()
        if path.startswith(f"{prefix}.")
    }


def _written(value: JSON) -> JSON:
    """An input as it has to be written to be read as `value`."""
    text = json.dumps(value)
    if "$" in text:
        return {"type": "json", "value": re.sub(r"\$\{(\w+)\}", r"$${\1}", text)}
    if is_declaration(value):
        return {"type": "json", "value": value}
    is_type = isinstance(value, str) and value in TYPES
    return {"type": "string", "value": value} if is_type else value


def _escaped(value: JSON) -> JSON:
    """An annotation as it has to be written to be read as `value`."""
    if isinstance(value, dict):
        return {key: _escaped(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_escaped(one) for one in value]
    return re.sub(r"\$\{(\w+)\}", r"$${\1}", value) if isinstance(value, str) else value
