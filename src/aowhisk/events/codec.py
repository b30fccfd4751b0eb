"""Events as JSON and back; what a journal stores is readable without aowhisk."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from enum import Enum
from operator import attrgetter
from typing import Any, NamedTuple

from aowhisk.errors import JournalError
from aowhisk.events import model
from aowhisk.events.model import CallEvent, Cause, Event, RunState
from aowhisk.models import Activation, Status, from_ms, to_ms
from object_store.wire import IORecord

__all__ = ["KINDS", "clean", "dumps", "from_json", "to_json"]

KINDS: dict[str, type[Event]] = {
    kind.kind: kind
    for kind in vars(model).values()
    if isinstance(kind, type) and issubclass(kind, Event) and "kind" in vars(kind)
    if kind is not Event and kind.is_kept
}
_COMMON = frozenset({"run", "at"})
_KEPT = ("waitTime", "initTime", "timeout", "limits", "path")  # of an activation's annotations


def to_json(event: Event) -> dict[str, Any]:
    """The fields of an event that are not their defaults, but `run` and `at`, which every store
    has columns for."""
    out: dict[str, Any] = {}
    values, plan = _PLANS[type(event)]
    for value, (name, default, write) in zip(values(event), plan, strict=True):
        if value is default or value == default:
            continue
        out[name] = value if write is None else write(value)
    if out.get("of") == event.run:
        del out["of"]
    return out


_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def dumps(body: Mapping[str, Any]) -> str:
    """The body as JSON text that every reader takes: a number that JSON has no word for (a Python
    server may answer NaN) becomes null."""
    try:
        return _encode(body)
    except ValueError:
        return json.dumps(_finite(body), separators=(",", ":"))


def clean(text: str) -> str:
    """The text without lone surrogates, which UTF-8 has no bytes for."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def from_json(kind: str, run: str, at: float, body: Mapping[str, Any]) -> Event:
    """The event of that kind. Raises JournalError for a kind or a field that is not known here."""
    cls = KINDS.get(kind)
    if cls is None:
        raise JournalError(
            f"the journal holds an event {kind!r} that this version does not know; it was written "
            "by a newer aowhisk"
        )
    readers = _READERS[cls]
    if issubclass(cls, CallEvent):
        body = {"of": run, **body}
    try:
        given = {
            name: value if (read := readers.get(name)) is None else read(value)
            for name, value in body.items()
        }
        return cls(run=run, at=at, **given)
    except (TypeError, ValueError, KeyError) as error:
        raise JournalError(
            f"the journal's {kind!r} event of run {run} cannot be read: {error}"
        ) from error


def _activation_to_json(value: Activation | None) -> dict[str, Any] | None:
    if value is None:
        return None
    out: dict[str, Any] = {"id": value.id, "name": value.name}
    if value.status is not None:
        out["status"] = value.status.value
    for name, time in (("start", value.start), ("end", value.end)):
        if time is not None:
            out[name] = to_ms(time)
    if value.duration is not None:
        out["duration"] = round(value.duration * 1000)
    if value.version != "0.0.1":
        out["version"] = value.version
    annotations = {k: value.annotations[k] for k in _KEPT if value.annotations.get(k)}
    if annotations:
        out["annotations"] = annotations
    return out


def _activation_from_json(value: Mapping[str, Any] | None) -> Activation | None:
    if value is None:
        return None
    return Activation(
        id=value["id"],
        name=value["name"],
        version=value.get("version", "0.0.1"),
        status=Status(value["status"]) if "status" in value else None,
        start=from_ms(value["start"]) if "start" in value else None,
        end=from_ms(value["end"]) if "end" in value else None,
        duration=value["duration"] / 1000 if "duration" in value else None,
        annotations=value.get("annotations", {}),
    )


def _records_to_json(value: tuple[IORecord, ...]) -> list[Any]:
    return [record.to_json() for record in value]


def _records_from_json(value: list[Any]) -> tuple[IORecord, ...]:
    return tuple(IORecord(**record) for record in value)  # it was checked when it came


def _value(value: Enum) -> Any:
    return value.value


def _steps(value: list[Any]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((ref, tuple(keys)) for ref, keys in value)


def _tuple(value: list[Any] | None) -> tuple[Any, ...] | None:
    return None if value is None else tuple(value)


_Convert = Callable[[Any], Any]
_WRITE: dict[str, _Convert] = {
    "activation": _activation_to_json,
    "cause": _value,
    "reads": _records_to_json,
    "state": _value,
    "writes": _records_to_json,
}
_READ: dict[str, _Convert] = {
    "activation": _activation_from_json,
    "cause": Cause,
    "in_flight": tuple,
    "items": tuple,
    "keys": tuple,
    "lost": tuple,
    "reads": _records_from_json,
    "restore": _tuple,
    "state": RunState,
    "steps": _steps,
    "writes": _records_from_json,
}
_KEYS_ONLY = {model.Intended}  # its reads and writes are declared keys, not records


def _default(field: Any) -> Any:
    if field.default is not MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not MISSING else MISSING


class _Plan(NamedTuple):
    """How an event of a class is written: its values, and name, default, converter of each."""

    values: Callable[[Event], tuple[Any, ...]]
    fields: tuple[tuple[str, Any, _Convert | None], ...]

    @classmethod
    def of(cls, kind: type[Event]) -> _Plan:
        """For events of this class."""
        plain = {"reads", "writes"} if kind in _KEYS_ONLY else set()
        found = [f for f in fields(kind) if f.name not in _COMMON]
        names = [f.name for f in found]
        if len(names) == 1:  # attrgetter gives no tuple for one
            return cls(lambda event: (getattr(event, names[0]),), _converted(found, plain))
        return cls(attrgetter(*names), _converted(found, plain))


def _converted(
    found: Sequence[Field[Any]], plain: Collection[str]
) -> tuple[tuple[str, Any, _Convert | None], ...]:
    return tuple(
        (f.name, _default(f), None if f.name in plain else _WRITE.get(f.name)) for f in found
    )


def _readers(cls: type[Event]) -> dict[str, _Convert]:
    if cls in _KEYS_ONLY:
        return {**_READ, "reads": tuple, "writes": tuple}
    return _READ


_PLANS = {cls: _Plan.of(cls) for cls in KINDS.values()}
_PLANS[model.ShelvedEnd] = _PLANS[model.Ended]
_READERS = {cls: _readers(cls) for cls in KINDS.values()}
