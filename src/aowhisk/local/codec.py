"""Entities and what they hold as JSON and back, whatever fields they have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from aowhisk.models import JSON

__all__ = ["Codec"]

_TYPE, _ENUM, _MAP, _TUPLE = "$type", "$enum", "$map", "$tuple"


class Codec:
    """Writes and reads instances of these dataclasses and enums, which are told by their names."""

    def __init__(self, *types: type) -> None:
        self._types = {one.__name__: one for one in types}

    def encode(self, value: object) -> JSON:
        """JSON that `decode` makes `value` of again; TypeError for what it does not know."""
        if value is None or type(value) in (str, int, float, bool):
            return value
        if isinstance(value, Enum):
            return {_ENUM: self._name(type(value)), "value": value.value}
        if isinstance(value, Mapping):
            if any(key.startswith("$") for key in value):  # as ours do
                return {_MAP: [[key, self.encode(one)] for key, one in value.items()]}
            return {key: self.encode(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self.encode(one) for one in value]
        if isinstance(value, tuple):
            return {_TUPLE: [self.encode(one) for one in value]}
        if is_dataclass(value) and not isinstance(value, type):
            held = {one.name: self.encode(getattr(value, one.name)) for one in fields(value)}
            return {_TYPE: self._name(type(value)), "fields": held}
        raise TypeError(f"{type(value).__name__} cannot be stored")

    def decode(self, value: JSON) -> Any:
        """What was encoded; ValueError for what these types never were."""
        if isinstance(value, list):
            return [self.decode(one) for one in value]
        if not isinstance(value, dict):
            return value
        if _MAP in value:
            return {key: self.decode(one) for key, one in value[_MAP]}
        if _TUPLE in value:
            return tuple(self.decode(one) for one in value[_TUPLE])
        if _ENUM in value:
            return self._type(value[_ENUM])(value["value"])
        if _TYPE in value:
            held = {name: self.decode(one) for name, one in value["fields"].items()}
            try:
                return self._type(value[_TYPE])(**held)
            except TypeError as problem:
                raise ValueError(f"{value[_TYPE]}: {problem}") from problem
        return {key: self.decode(one) for key, one in value.items()}

    def _name(self, kind: type) -> str:
        if self._types.get(kind.__name__) is not kind:
            raise TypeError(f"{kind.__name__} cannot be stored")
        return kind.__name__

    def _type(self, name: str) -> type:
        if name not in self._types:
            raise ValueError(f"there is no {name}")
        return self._types[name]
