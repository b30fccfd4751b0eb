"""Params given on the command line."""

from __future__ import annotations

import json
from pathlib import Path

from aowhisk.errors import ConfigError
from aowhisk.models import JSON

__all__ = ["params_of"]


def params_of(pairs: list[str], file: Path | None) -> dict[str, JSON]:
    """The params in `file`, and those given as KEY=VALUE, which win."""
    found: dict[str, JSON] = {}
    if file is not None:
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as problem:
            raise ConfigError(f"cannot read params from {file}: {problem}") from problem
        if not isinstance(found, dict):
            raise ConfigError(f"{file} holds no JSON object")
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise ConfigError(f"--param {pair!r} is not KEY=VALUE")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found
