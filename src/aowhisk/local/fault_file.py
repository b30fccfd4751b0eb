"""Faults that are written down: in a file, or in the header of one request."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from aowhisk.errors import ConfigError
from aowhisk.local import faults
from aowhisk.local.faults import Fault, FaultPlan, RequestFault
from aowhisk.local.http import Refusal
from aowhisk.local.request import Request
from aowhisk.manifest.document import parse
from aowhisk.models import JSON, Status

__all__ = ["HEADER", "load_faults", "plan_of"]

HEADER = b"x-aowhisk-fault"


def _word(kind: type[Fault]) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__).lower()


_KINDS: Mapping[str, type[Fault]] = {
    _word(kind): kind
    for kind in vars(faults).values()
    if isinstance(kind, type) and issubclass(kind, Fault) and kind not in (Fault, RequestFault)
}
_TYPES: Mapping[str, tuple[type, ...]] = {
    "str": (str,),
    "str | None": (str, type(None)),
    "int": (int,),
    "float": (int, float),
    "float | None": (int, float, type(None)),
    "bool": (bool,),
}


def load_faults(file: Path, *, header: bool = False) -> FaultPlan:
    """The plan of a YAML or JSON file: a list of faults, or `{seed: N, faults: [...]}`, each fault
    its name as `fault` and its fields (`{fault: lose-record, probability: 0.1}`). Raises
    ConfigError, naming the place."""
    document = parse(file)
    seed: object = 0
    if isinstance(document, dict):
        if unknown := document.keys() - {"seed", "faults"}:
            raise ConfigError(f"{file}: there is no field {min(map(str, unknown))!r}")
        document, seed = document.get("faults", []), document.get("seed", 0)
    if not isinstance(document, list) or isinstance(seed, bool) or not isinstance(seed, int):
        raise ConfigError(f"{file} is neither a list of faults nor `seed` and `faults`")
    found = []
    for number, item in enumerate(document, 1):
        if not isinstance(item, dict) or not isinstance(item.get("fault"), str):
            raise ConfigError(f"{file}: fault {number}: is no mapping with the name as `fault`")
        settings = {str(key): value for key, value in item.items() if key != "fault"}
        found.append(_fault(f"{file}: fault {number}", item["fault"], settings))
    return FaultPlan(found, seed=seed, header=header)


def plan_of(request: Request, plan: FaultPlan, line: str | None = None) -> FaultPlan:
    """The plan for one request, with the faults of its own header where `plan` allows that and
    the request comes from this machine; `line` is its `METHOD path`, None where it invokes."""
    header = request.headers.get(HEADER) if plan.header else None
    if header is None or not request.is_local:
        return plan
    try:
        return plan.beside([*_written(header.decode("latin-1"), line)])
    except ConfigError as problem:
        raise Refusal(400, f"The header {HEADER.decode()} cannot be read: {problem}") from problem


def _written(text: str, line: str | None) -> list[Fault]:
    """`name field=value ...; name ...`, a value being JSON, else text."""
    found = []
    for part in text.split(";"):
        name, *words = part.split() or [""]
        if not name:
            continue
        settings: dict[str, JSON] = {}
        for word in words:
            key, equals, value = word.partition("=")
            if not equals:
                raise ConfigError(f"{word!r} is not `field=value`")
            try:
                settings[key] = json.loads(value)
            except ValueError:
                settings[key] = value
        kind = _KINDS.get(name)
        if kind is not None and issubclass(kind, RequestFault):
            settings["requests"] = line and re.sub(r"([*?[])", r"[\1]", line)
        found.append(_fault(name, name, settings))
    return found


def _fault(where: str, name: str, settings: Mapping[str, JSON]) -> Fault:
    kind = _KINDS.get(name)
    if kind is None:
        raise ConfigError(f"{where}: there is no fault {name!r}; there are {', '.join(_KINDS)}")
    known = {one.name: str(one.type) for one in fields(kind)}
    given = dict(settings)
    for key, value in given.items():
        if key not in known:
            raise ConfigError(f"{where}: {name} has no {key!r}; it has {', '.join(known)}")
        types = _TYPES.get(known[key])
        if types and (not isinstance(value, types) or isinstance(value, bool) > (bool in types)):
            raise ConfigError(f"{where}: {key} is {value!r}, which is no {known[key]}")
    try:
        if "status" in given:
            given["status"] = Status(given["status"])
        return kind(**given)
    except (TypeError, ValueError, ConfigError) as problem:
        raise ConfigError(f"{where}: {problem}") from problem
