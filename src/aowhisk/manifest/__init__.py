"""`manifest.yaml`: which actions there are, in wskdeploy's format.

    packages:
      transcoder:                       # "default" puts its actions into no package
        actions:
          splitter:
            function: actions.py        # a file, a folder with __main__.py, or a zip; or `code: |`
            main: split
            runtime: python:3.11
            limits: {timeout: 60000, memorySize: 256}
            inputs: {resolution: 360p, token: $TOKEN}

What aowhisk cannot deploy yet is refused, never left out silently.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aowhisk.manifest.reader import Reader
from aowhisk.manifest.spec import ActionLimits, ActionSpec, PackageSpec
from aowhisk.manifest.values import parse

__all__ = ["ActionLimits", "ActionSpec", "Manifest", "PackageSpec"]

_DOCUMENT = {"packages", "project"}
_PROJECT = {"name", "packages", "version", "description"}


@dataclass(frozen=True, slots=True)
class Manifest:
    """The packages of one `manifest.yaml`; every file that it names has been read."""

    path: Path
    packages: tuple[PackageSpec, ...]

    @property
    def actions(self) -> dict[str, ActionSpec]:
        """Every action by its full name."""
        return {action.name: action for package in self.packages for action in package.actions}

    @classmethod
    def load(cls, path: str | Path, *, environ: Mapping[str, str] | None = None) -> Manifest:
        """Read the file at `path`; `$NAME` is taken from `environ`, by default the process's.

        Raises ConfigError that names the file, the place inside it and what is allowed there.
        """
        file = Path(path)
        reader = Reader(file, os.environ if environ is None else environ)
        document = reader.fields(parse(file), "", _DOCUMENT)
        project = reader.fields(document.get("project") or {}, "project", _PROJECT)
        if "packages" in project and "packages" in document:
            raise reader.error("project.packages", "packages are given twice; keep one of them")
        where = "project.packages" if "packages" in project else "packages"
        packages = reader.mapping(
            (project if "packages" in project else document).get("packages"), where
        )
        if not packages:
            raise reader.error(
                where, "no package is declared; write `packages: {default: {actions: ...}}`"
            )
        return cls(
            file,
            tuple(
                reader.package(str(name), body, f"{where}.{name}")
                for name, body in packages.items()
            ),
        )
