"""A deployment file: other values for the inputs and annotations of a manifest."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from aowhisk.errors import ConfigError
from aowhisk.manifest.document import parse
from aowhisk.manifest.values import is_declaration

__all__ = ["laid_over"]

_INSIDE = ("actions", "sequences", "triggers", "dependencies")
_SKIPPED = {"name", "version", "namespace", "credential", "apiHost"}


def laid_over(document: object, manifest: Path, deployment: Path) -> object:
    """The manifest's document with what the file `deployment` says laid over it.

    Raises ConfigError where that names something the manifest does not declare.
    """
    given = parse(deployment)
    if not isinstance(given, dict) or not isinstance(document, dict):
        raise ConfigError(f"{deployment}: is no mapping with `packages` or `project`")
    result: dict[str, Any] = deepcopy(document)
    merge = _Merge(manifest, deployment)
    own = given.get("project") or {}
    name = (result.get("project") or {}).get("name")
    if name and own.get("name") and own["name"] != name:
        raise ConfigError(
            f"{deployment}: project.name: is {own['name']!r}, but the manifest's project is "
            f"{name!r}"
        )
    where = "project.packages" if own.get("packages") else "packages"
    targets = (result.get("project") or {}).get("packages") or result.get("packages") or {}
    merge.values(result.get("project") or {}, own, "project", ("inputs", "parameters"))
    for name, package in (own.get("packages") or given.get("packages") or {}).items():
        merge.package(targets, str(name), package or {}, f"{where}.{name}")
    return result


class _Merge:
    def __init__(self, manifest: Path, deployment: Path) -> None:
        self._manifest = manifest
        self._file = deployment

    def package(self, targets: dict[str, Any], name: str, given: Any, where: str) -> None:
        """Lay one package over the manifest's."""
        target = self._target(targets, name, where)
        self._check(given, {"inputs", "parameters", "annotations", *_INSIDE}, where)
        self.values(target, given, where, ("inputs", "parameters", "annotations"))
        for field in _INSIDE:
            for key, entry in (given.get(field) or {}).items():
                place = f"{where}.{field}.{key}"
                found = self._target(target.get(field) or {}, str(key), place)
                self._check(entry or {}, {"inputs", "annotations"}, place)
                self.values(found, entry or {}, place, ("inputs", "annotations"))

    def values(
        self, target: dict[str, Any], given: Mapping[str, Any], where: str, fields: tuple[str, ...]
    ) -> None:
        """Give the inputs and annotations of one entity other values."""
        for field in fields:
            if not given.get(field):
                continue
            values = target.setdefault(field, None) or {}
            target[field] = values
            for key, value in given[field].items():
                if field == "annotations" and key not in values:
                    raise self._error(f"{where}.{field}.{key}", "the manifest has none such")
                written = value.get("value") if is_declaration(value) else value
                declared = values.get(key)
                if is_declaration(declared):
                    written = {**declared, "value": written}
                values[key] = written

    def _target(self, targets: dict[str, Any], name: str, where: str) -> dict[str, Any]:
        if name not in targets:
            known = ", ".join(map(str, targets)) or "none"
            raise self._error(where, f"{self._manifest} declares no such; it has {known}")
        if targets[name] is None:
            targets[name] = {}
        found: dict[str, Any] = targets[name]
        return found

    def _check(self, given: object, allowed: set[str], where: str) -> None:
        if not isinstance(given, dict):
            raise self._error(where, "is no mapping")
        if unknown := sorted(map(str, set(given) - allowed - _SKIPPED)):
            raise self._error(
                f"{where}.{unknown[0]}",
                f"does not belong into a deployment file; allowed are {', '.join(sorted(allowed))}",
            )

    def _error(self, where: str, problem: str) -> ConfigError:
        return ConfigError(f"{self._file}: {where}: {problem}")
