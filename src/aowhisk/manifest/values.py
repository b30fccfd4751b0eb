"""Reads the values of a YAML document, and says where in it something is wrong."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeGuard

from aowhisk.errors import ConfigError
from aowhisk.manifest.document import scalar
from aowhisk.models import JSON

__all__ = ["TYPES", "Values", "is_declaration", "kind_of"]

_VARIABLE = re.compile(r"\$(\$\{\w+\})|\$\{(\w+)\}|^\$(\w+)$")
_PARAMETER = {"type", "value", "default", "description", "required", "status", "schema"}
_UNSUPPORTED = {
    "apis": "API routes; give the action `web: true` and call its own URL",
    "feeds": "feed actions described here; name an existing one as a trigger's `feed`",
    "compositions": "compositions; write a sequence, or an action with `conductor: true`",
    "config": "a wskdeploy configuration; set AOWHISK_APIHOST and AOWHISK_AUTH",
    "events": "schemas of events",
}
_ELSEWHERE = {
    "namespace": "AOWHISK_NAMESPACE",
    "credential": "AOWHISK_AUTH",
    "apiHost": "AOWHISK_APIHOST",
    "apigwAccessToken": "AOWHISK_AUTH",
}
_FOREIGN = {*_UNSUPPORTED, *_ELSEWHERE}
_OLD = {
    "package": "`packages: {NAME: ...}`, without `name` inside",
    "application": "`project: {name: NAME, packages: ...}`",
}
TYPES: dict[str, tuple[tuple[type, ...], JSON]] = {
    "string": ((str,), ""),
    "integer": ((int,), 0),
    "int": ((int,), 0),
    "number": ((int, float), 0),
    "float": ((int, float), 0.0),
    "boolean": ((bool,), False),
    "bool": ((bool,), False),
    "json": ((dict, list, str, int, float, bool, type(None)), {}),
    "object": ((dict,), {}),
    "array": ((list,), []),
}
"""What an input may be declared as: the types of its values, and the value of one that has none."""


class Values:
    """Turns parts of one document into values; `where` is the path inside it, for messages."""

    def __init__(self, file: Path, environ: Mapping[str, str]) -> None:
        self._file = file
        self._environ = environ
        self._scope: Mapping[str, JSON] = {}
        self._given: Mapping[str, JSON] = {}
        self.notes: list[str] = []

    def error(self, where: str, problem: str) -> ConfigError:
        """What to raise for a problem at `where`."""
        return ConfigError(f"{self._file}: {where + ': ' if where else ''}{problem}")

    def mapping(self, value: object, where: str) -> Mapping[str, Any]:
        """A mapping; nothing at all counts as an empty one."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.error(where, f"is {kind_of(value)}, not a mapping of names to values")
        return value

    def fields(self, value: object, where: str, allowed: Iterable[str]) -> Mapping[str, Any]:
        """A mapping that has none but `allowed` fields; fields of wskdeploy's that are left empty
        say nothing and are left out."""
        known = sorted(allowed)
        found = self.mapping(value, where)
        for name in found:
            if name not in known and (name not in _FOREIGN or found[name]):
                raise self.error(f"{where}.{name}".lstrip("."), _unknown(name, known))
        return {name: one for name, one in found.items() if name in known}

    def text(self, value: object, where: str) -> str:
        """A text that is not empty."""
        if not isinstance(value, str) or not value:
            raise self.error(where, f"is {kind_of(value)}, not a text")
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
        return {
            str(name): self._given[name]
            if name in self._given
            else self.parameter(v, f"{where}.{name}")
            for name, v in given.items()
        }

    def parameter(self, value: object, where: str) -> JSON:
        """The value of one parameter, given plainly or as {type, value, ...}."""
        if isinstance(value, str) and value in TYPES:  # `count: integer` only declares it
            return TYPES[value][1]
        if not is_declaration(value):
            return self.filled(value, where)
        kind = value.get("type")
        if kind is not None and (not isinstance(kind, str) or kind not in TYPES):
            raise self.error(
                f"{where}.type", f"is {kind!r}; allowed are {', '.join(sorted(TYPES))}"
            )
        written = value["value"] if value.get("value") is not None else value.get("default")
        if written is None and value.get("required") is True:
            raise self.error(where, "is required; give it a value (in a deployment file, say)")
        if written is None:
            return TYPES[kind or "string"][1]
        found = self.filled(written, where)
        return found if kind is None else self.typed(found, kind, written, where)

    def typed(self, found: JSON, kind: str, written: object, where: str) -> JSON:
        """`found`, which has to be of the type that was declared; `written` is what stood there."""
        types = TYPES[kind][0]
        if isinstance(found, str) and kind in ("json", "object", "array"):
            try:
                found = json.loads(found)
            except ValueError as problem:
                raise self.error(where, f"is no JSON, which its type asks for: {problem}") from None
        elif isinstance(found, str) and str not in types and found != written:
            found = scalar(found)  # it came from the environment, as text
        if kind == "string" and isinstance(found, bool | int | float):
            self.notes.append(f"{where} is {kind_of(found)}, though its type is string")
            return found  # as wskdeploy sends it, whose own examples have such
        if not isinstance(found, types) or (isinstance(found, bool) and bool not in types):
            raise self.error(where, f"is {kind_of(found)}, but its type is {kind}")
        return found

    def filled(self, value: Any, where: str) -> JSON:
        """`value` with `$NAME` and `${NAME}` replaced; `$${NAME}` stands for `${NAME}`."""
        if isinstance(value, dict):
            return {str(k): self.filled(v, f"{where}.{k}") for k, v in value.items()}
        if isinstance(value, list):
            return [self.filled(v, f"{where}.{n}") for n, v in enumerate(value)]
        if not isinstance(value, str):
            if value is None or (isinstance(value, bool | int | float) and math.isfinite(value)):
                return value
            raise self.error(
                where, f"is {kind_of(value)}, which JSON does not have; put it in quotes"
            )
        whole = _VARIABLE.fullmatch(value)
        if whole and not whole[1]:
            return self.variable(whole[2] or whole[3], where)
        return _VARIABLE.sub(
            lambda match: match[1] or str(self.variable(match[2] or match[3], where)), value
        )

    def variable(self, name: str, where: str) -> JSON:
        """A variable of the environment, else an input of the package or the project."""
        if name in self._environ:
            return self._environ[name]
        if name in self._scope:
            return self._scope[name]
        raise self.error(where, f"the environment variable {name} is not set")


def is_declaration(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether a parameter is given as {type, value, ...}, and is not itself such a mapping."""
    return isinstance(value, dict) and bool(value) and _PARAMETER.issuperset(value)


def _unknown(name: object, known: list[str]) -> str:
    """What is wrong with a field of this name where only `known` ones are allowed."""
    if name in _UNSUPPORTED:
        return f"aowhisk does not support {_UNSUPPORTED[str(name)]}"
    if name in _ELSEWHERE:
        return f"does not belong into a manifest; set {_ELSEWHERE[str(name)]}"
    if name in _OLD and "packages" in known:
        return f"is of an old format; write {_OLD[str(name)]}"
    guess = difflib.get_close_matches(str(name), known, n=1)
    hint = f"did you mean {guess[0]!r}? " if guess else ""
    return f"unknown field; {hint}allowed are {', '.join(known)}"


def kind_of(value: object) -> str:
    """In words, for messages."""
    names = {
        dict: "a mapping",
        list: "a list",
        str: "a text",
        int: "a number",
        float: "a number",
        bool: "a boolean",
    }
    if isinstance(value, float) and not math.isfinite(value):
        return f"the number {value}"
    return "nothing" if value is None else names.get(type(value), f"a {type(value).__name__}")
