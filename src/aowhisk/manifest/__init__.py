"""`manifest.yaml`: which packages, actions, triggers and rules there are, in wskdeploy's format.

    packages:
      transcoder:                       # "default" puts its actions into no package
        actions:
          splitter:
            function: actions.py        # a file, a folder with __main__.py, or a zip; or `code: |`
            main: split
            runtime: python:3.11
            limits: {timeout: 60000, memorySize: 256}
            inputs: {resolution: 360p, token: $TOKEN}
        sequences: {both: {actions: "splitter, combiner"}}

What aowhisk cannot deploy is refused, never left out silently.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from aowhisk.errors import ConfigError
from aowhisk.manifest.deployment import laid_over
from aowhisk.manifest.document import dump, parse
from aowhisk.manifest.reader import Reader
from aowhisk.manifest.spec import (
    ActionLimits,
    ActionSpec,
    BindingSpec,
    PackageSpec,
    RuleSpec,
    SequenceSpec,
    TriggerSpec,
)
from aowhisk.models import JSON

__all__ = [
    "ActionLimits",
    "ActionSpec",
    "BindingSpec",
    "Manifest",
    "PackageSpec",
    "RuleSpec",
    "SequenceSpec",
    "TriggerSpec",
    "dump",
]

_DOCUMENT = {"packages", "project", "filepath"}
_PROJECT = {"name", "packages", "version", "description", "inputs", "parameters"}


@dataclass(frozen=True, slots=True)
class Manifest:
    """The packages of one `manifest.yaml`; every file that it names has been read. `project` is
    its own name for all of it, None where it has none; `notes` is what it says in vain."""

    path: Path
    packages: tuple[PackageSpec, ...]
    project: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def actions(self) -> dict[str, ActionSpec]:
        """Every action by its full name."""
        return {action.name: action for package in self.packages for action in package.actions}

    @property
    def sequences(self) -> dict[str, SequenceSpec]:
        """Every sequence by its full name, each after those that it is made of."""
        left = {one.name: one for package in self.packages for one in package.sequences}
        found: dict[str, SequenceSpec] = {}
        while left:
            ready = [
                one
                for one in left.values()
                if left.keys().isdisjoint(part.removeprefix("/_/") for part in one.components)
            ]
            for one in ready or left.values():  # a circle, which the server refuses
                found[one.name] = one
            left = {name: one for name, one in left.items() if name not in found}
        return found

    @property
    def triggers(self) -> dict[str, TriggerSpec]:
        """Every trigger by its name."""
        return {one.name: one for package in self.packages for one in package.triggers}

    @property
    def rules(self) -> dict[str, RuleSpec]:
        """Every rule by its name."""
        return {one.name: one for package in self.packages for one in package.rules}

    @property
    def bindings(self) -> dict[str, BindingSpec]:
        """Every binding by its name."""
        return {one.name: one for package in self.packages for one in package.bindings}

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        deployment: str | Path | None = None,
        params: Mapping[str, JSON] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Manifest:
        """Read the file at `path`; `$NAME` is taken from `environ`, by default the process's.

        `deployment` is a file that gives inputs and annotations other values; `params` gives
        values to inputs by name, and wins. Raises ConfigError that names the file, the place
        inside it and what is allowed there.
        """
        file = Path(path)
        document = parse(file)
        if deployment is not None:
            document = laid_over(document, file, Path(deployment))
        found = _read(Reader(file, os.environ if environ is None else environ), document, params)
        for kind, count in Counter(_names(found)).items():
            if count > 1:
                raise ConfigError(f"{file}: {kind} is declared twice; names are the namespace's")
        return replace(found, path=file)


def _read(reader: Reader, document: object, params: Mapping[str, JSON] | None) -> Manifest:
    top = reader.fields(document, "", _DOCUMENT)
    project = reader.fields(top.get("project") or {}, "project", _PROJECT)
    if project.get("packages") and top.get("packages"):
        raise reader.error("project.packages", "packages are given twice; keep one of them")
    where = "project.packages" if project.get("packages") else "packages"
    packages = reader.mapping(project.get("packages") or top.get("packages"), where)
    if not packages:
        raise reader.error(
            where, "no package is declared; write `packages: {default: {actions: ...}}`"
        )
    field = "inputs" if "inputs" in project else "parameters"
    reader.scope(project.get(field), f"project.{field}", params or {})
    name = project.get("name")
    return Manifest(
        Path(),
        tuple(reader.package(str(key), body, f"{where}.{key}") for key, body in packages.items()),
        None if name in (None, "") else reader.text(name, "project.name"),
        tuple(reader.notes),
    )


def _names(manifest: Manifest) -> Iterator[str]:
    """What each declaration takes in the namespace's one space of names."""
    for package in manifest.packages:
        yield f"package {package.name!r}"
        for kind, found in (
            ("action", package.actions),
            ("sequence", package.sequences),
            ("trigger", package.triggers),
            ("rule", package.rules),
            ("dependency", package.bindings),
        ):
            yield from (f"{kind} {one.name!r}" for one in found)
