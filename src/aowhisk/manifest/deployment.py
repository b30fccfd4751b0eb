"""A deployment file: other values for the inputs and annotations of a manifest."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from aowhisk.errors import ConfigError
from aowhisk.manifest.document import parse
from aowhisk.manifest.values import is_declaration, kind_of

__all__ = ["laid_over"]

_INSIDE = ("actions", "sequences", "triggers", "dependencies")
_SKIPPED = {"name", "version", "namespace", "credential", "apiHost"}


def laid_over(document: object, manifest: Path, deployment: Path) -> object:
    """The manifest's document with what the file `deployment` says laid over it.

    Raises ConfigError where that names something the manifest does not declare.
    """
    merge = _Merge(manifest, deployment)
    given = merge.mapping(parse(deployment), "")
    if not isinstance(document, dict):  # the manifest's own reader says what is wrong with it
        return document
    result: dict[str, Any] = deepcopy(document)
    project = result.get("project") or {}
    if not isinstance(project, dict):
        return document
    own = merge.mapping(given.get("project"), "project")
    name = project.get("name")
    if name and own.get("name") and own["name"] != name:
        raise ConfigError(
            f"{deployment}: project.name: is {own['name']!r}, but the manifest's project is "
            f"{name!r}"
        )
    where = "project.packages" if own.get("packages") else "packages"
    targets = project.get("packages") or result.get("packages") or {}
    merge.values(project, own, "project", ("inputs", "parameters"))
    packages = merge.mapping(own.get("packages") or given.get("packages"), where)
    for key, package in packages.items():
        merge.package(targets, str(key), package, f"{where}.{key}")
    return result


class _Merge:
    def __init__(self, manifest: Path, deployment: Path) -> None:
        self._manifest = manifest
        self._file = deployment

    def mapping(self, value: object, where: str) -> Mapping[str, Any]:
        """A mapping; nothing at all counts as an empty one."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self._error(where, f"is {kind_of(value)}, not a mapping of names to values")
        return value

    def package(self, targets: object, name: str, value: object, where: str) -> None:
        """Lay one package over the manifest's."""
        target = self._target(targets, name, where)
        given = self._given(value, {"inputs", "parameters", "annotations", *_INSIDE}, where)
        self.values(target, given, where, ("inputs", "parameters", "annotations"))
        for field in _INSIDE:
            for key, entry in self.mapping(given.get(field), f"{where}.{field}").items():
                place = f"{where}.{field}.{key}"
                found = self._target(target.get(field) or {}, str(key), place)
                said = self._given(entry, {"inputs", "annotations"}, place)
                self.values(found, said, place, ("inputs", "annotations"))

    def values(
        self, target: dict[str, Any], given: Mapping[str, Any], where: str, fields: tuple[str, ...]
    ) -> None:
        """Give the inputs and annotations of one entity other values."""
        for field in fields:
            said = self.mapping(given.get(field), f"{where}.{field}")
            if not said:
                continue
            values = target.setdefault(field, None) or {}
            if not isinstance(values, dict):
                return  # the manifest's own reader says what is wrong with it
            target[field] = values
            for key, value in said.items():
                if field == "annotations" and key not in values:
                    raise self._error(f"{where}.{field}.{key}", "the manifest has none such")
                written = value.get("value") if is_declaration(value) else value
                declared = values.get(key)
                if is_declaration(declared):
                    written = {**declared, "value": written}
                values[key] = written

    def _target(self, targets: object, name: str, where: str) -> dict[str, Any]:
        known = targets if isinstance(targets, dict) else {}
        if name not in known:
            names = ", ".join(map(str, known)) or "none"
            raise self._error(where, f"{self._manifest} declares no such; it has {names}")
        if known[name] is None:
            known[name] = {}
        found = known[name]
        return found if isinstance(found, dict) else {}

    def _given(self, value: object, allowed: set[str], where: str) -> Mapping[str, Any]:
        given = self.mapping(value, where)
        if unknown := sorted(map(str, set(given) - allowed - _SKIPPED)):
            raise self._error(
                f"{where}.{unknown[0]}",
                f"does not belong into a deployment file; allowed are {', '.join(sorted(allowed))}",
            )
        return given

    def _error(self, where: str, problem: str) -> ConfigError:
        return ConfigError(f"{self._file}: {where + ': ' if where else ''}{problem}")
