"""Reads the values of a YAML document, and says where in it something is wrong."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from aowhisk.errors import ConfigError
from aowhisk.models import JSON

__all__ = ["Values", "parse"]

_VARIABLE = re.compile(r"\$\{(\w+)\}|^\$(\w+)$")
_PARAMETER = {"type", "value", "default", "description", "required", "status", "schema"}
_LATER = {
    "sequences": "sequences",
    "triggers": "triggers",
    "rules": "rules",
    "feeds": "feeds",
    "apis": "API routes",
    "dependencies": "packages from elsewhere",
    "docker": "actions in images of their own",
    "native": "native actions",
    "include": "lists of files to include; give a folder as function",
    "exclude": "lists of files to exclude; give a folder as function",
}
_ELSEWHERE = {
    "namespace": "AOWHISK_NAMESPACE",
    "credential": "AOWHISK_AUTH",
    "apiHost": "AOWHISK_APIHOST",
}
_TYPES: dict[str, tuple[tuple[type, ...], JSON]] = {
    "string": ((str,), ""),
    "integer": ((int,), 0),
    "int": ((int,), 0),
    "number": ((int, float), 0),
    "float": ((int, float), 0.0),
    "boolean": ((bool,), False),
    "bool": ((bool,), False),
    "json": ((dict, list), {}),
    "object": ((dict,), {}),
    "array": ((list,), []),
}


class Values:
    """Turns parts of one document into values; `where` is the path inside it, for messages."""

    def __init__(self, file: Path, environ: Mapping[str, str]) -> None:
        self._file = file
        self._environ = environ

    def error(self, where: str, problem: str) -> ConfigError:
        """What to raise for a problem at `where`."""
        return ConfigError(f"{self._file}: {where + ': ' if where else ''}{problem}")

    def mapping(self, value: object, where: str) -> Mapping[str, Any]:
        """A mapping; nothing at all counts as an empty one."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.error(where, f"is {_kind_of(value)}, not a mapping of names to values")
        return value

    def fields(self, value: object, where: str, allowed: Iterable[str]) -> Mapping[str, Any]:
        """A mapping that has none but `allowed` fields."""
        known = sorted(allowed)
        found = self.mapping(value, where)
        for name in found:
            if name in known:
                continue
            if name in _LATER:
                raise self.error(f"{where}.{name}", f"aowhisk does not support {_LATER[name]} yet")
            if name in _ELSEWHERE:
                raise self.error(
                    f"{where}.{name}", f"does not belong into a manifest; set {_ELSEWHERE[name]}"
                )
            guess = difflib.get_close_matches(str(name), known, n=1)
            hint = f"did you mean {guess[0]!r}? " if guess else ""
            raise self.error(
                f"{where}.{name}".lstrip("."),
                f"unknown field; {hint}allowed are {', '.join(known)}",
            )
        return found

    def text(self, value: object, where: str) -> str:
        """A text that is not empty."""
        if not isinstance(value, str) or not value:
            raise self.error(where, f"is {_kind_of(value)}, not a text")
        return str(self.filled(value, where))

    def boolean(self, value: object, where: str) -> bool:
        """True or false."""
        if not isinstance(value, bool):
            raise self.error(where, f"is {value!r}, neither true nor false")
        return value

    def plain(self, value: object, where: str) -> dict[str, JSON]:
        """A mapping of names to any JSON."""
        return {
            str(name): self.filled(v, f"{where}.{name}")
            for name, v in self.mapping(value, where).items()
        }

    def inputs(self, value: object, where: str) -> dict[str, JSON]:
        """Parameters by name."""
        given = self.mapping(value, where)
        return {str(name): self.parameter(v, f"{where}.{name}") for name, v in given.items()}

    def parameter(self, value: object, where: str) -> JSON:
        """The value of one parameter, given plainly or as {type, value, ...}."""
        if (
            isinstance(value, str) and value in _TYPES
        ):  # `count: integer` declares it, as wskdeploy does
            return _TYPES[value][1]
        if not isinstance(value, dict) or not {"type", "value", "default"} & set(value):
            return self.filled(value, where)
        self.fields(value, where, _PARAMETER)
        kind = value.get(
            "type", "string" if "value" not in value and "default" not in value else None
        )
        if kind is not None and kind not in _TYPES:
            raise self.error(
                f"{where}.type", f"is {kind!r}; allowed are {', '.join(sorted(_TYPES))}"
            )
        if "value" not in value and "default" not in value:
            return _TYPES[kind][1] if kind else ""
        found = self.filled(value.get("value", value.get("default")), where)
        return found if kind is None else self.typed(found, kind, value, where)

    def typed(self, found: JSON, kind: str, declared: Mapping[str, Any], where: str) -> JSON:
        """`found`, which has to be of the type that was declared."""
        types = _TYPES[kind][0]
        written = declared.get("value", declared.get("default"))
        if (
            isinstance(found, str) and str not in types and found != written
        ):  # it came from the environment, as text
            found = yaml.safe_load(found)
        if not isinstance(found, types) or (isinstance(found, bool) and bool not in types):
            raise self.error(where, f"is {_kind_of(found)}, but its type is {kind}")
        return found

    def filled(self, value: JSON, where: str) -> JSON:
        """`value` with `$NAME` and `${NAME}` replaced from the environment."""
        if isinstance(value, dict):
            return {str(k): self.filled(v, f"{where}.{k}") for k, v in value.items()}
        if isinstance(value, list):
            return [self.filled(v, f"{where}.{n}") for n, v in enumerate(value)]
        if not isinstance(value, str):
            if value is None or isinstance(value, bool | int | float):
                return value
            raise self.error(
                where, f"is {_kind_of(value)}, which JSON does not have; put it in quotes"
            )
        return _VARIABLE.sub(lambda match: self.variable(match[1] or match[2], where), value)

    def variable(self, name: str, where: str) -> str:
        """A variable of the environment."""
        if name not in self._environ:
            raise self.error(where, f"the environment variable {name} is not set")
        return self._environ[name]


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, where YAML would drop the first silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def parse(file: Path) -> object:
    """The document in `file`; raises ConfigError."""
    try:
        return yaml.load(file.read_text(encoding="utf-8"), _Loader)
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigError(f"cannot read {file}: {problem}") from problem
    except yaml.YAMLError as problem:
        raise ConfigError(f"{file}: is not YAML: {problem}") from problem


def _kind_of(value: object) -> str:
    names = {
        dict: "a mapping",
        list: "a list",
        str: "a text",
        int: "a number",
        float: "a number",
        bool: "a boolean",
    }
    return "nothing" if value is None else names.get(type(value), f"a {type(value).__name__}")
