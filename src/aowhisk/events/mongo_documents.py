"""Events as MongoDB documents and back.

A document of `events` has the event's number, owner and kind, the keys that its attempt read and
wrote, and its other fields in `body`. What users give (params, results, items, a dag, labels) is
JSON text there: BSON would refuse or change some of it (`$ref`, large integers, deep nesting), and
so are the steps of a plan, since not every server takes arrays in arrays. A
body that cannot be BSON at all, or is too large for one document, is JSON text as a whole (`json`,
or compressed in `chunks`), and `body` then keeps only the short ones of its fields.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from aowhisk.events.codec import clean, from_json, to_json
from aowhisk.events.model import (
    CallEvent,
    Ended,
    Event,
    Intended,
)

__all__ = ["event_of", "event_with", "measured", "shortened", "whole"]

_TEXTS = ("params", "result", "error_facts", "items", "dag", "labels", "steps")
_SHORT = 1000  # characters of a field that stays when the body does not
_KEYS = 4_000_000  # characters of keys in one document's `reads` or `writes`
_INT64 = 18  # digits that always fit
_LARGEST = (1 << 63) - 1

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_encode_ascii = json.JSONEncoder(separators=(",", ":")).encode


def whole(event: Event, seq: int, owner: str, declared: tuple[str, ...]) -> dict[str, Any]:
    """The document of an event, its number in the run being `seq`."""
    document: dict[str, Any] = {
        "_id": f"{event.run}#{seq:010d}",
        "run": event.run,
        "seq": seq,
        "at": event.at,
        "kind": event.kind,
        "owner": owner,
    }
    if isinstance(event, CallEvent):
        document["call"] = event.call
        if attempt := getattr(event, "attempt", None):
            document["attempt"] = attempt
    if isinstance(event, Intended) and event.writes:
        document["declares"] = [clean(key) for key in event.writes]
    elif isinstance(event, Ended):
        document.update(_touched(event, declared), **measured(event))
    body = to_json(event)
    body.pop("call", None)
    body.pop("attempt", None)
    for name in _TEXTS:
        if name in body:
            body[name] = _encode(body[name])
    document["body"] = body
    return document


def shortened(document: Mapping[str, Any], event: Event) -> tuple[dict[str, Any], str]:
    """The document without what may not fit into BSON or be too much of it, and the body as JSON
    text in ASCII."""
    out = dict(document)
    out["body"] = {
        name: short
        for name, value in document["body"].items()
        if name not in _TEXTS and (short := _short(value)) is not None
    }
    for name in ("reads", "writes", "declares"):
        if name in out:
            out[name] = list(_fitting(out[name]))
    return out, _encode_ascii(to_json(event))


def event_of(document: Mapping[str, Any]) -> Event:
    """The event of a document that has all of its body."""
    body = dict(document["body"])
    for name in _TEXTS:
        if isinstance(body.get(name), str):  # `steps` was none in the first versions
            body[name] = json.loads(body[name])
    for name in ("call", "attempt"):
        if name in document:
            body[name] = document[name]
    return from_json(document["kind"], document["run"], document["at"], body)


def event_with(document: Mapping[str, Any], text: str | bytes) -> Event:
    """The event of a shortened document and the JSON text of its body."""
    return from_json(document["kind"], document["run"], document["at"], json.loads(text))


def measured(event: Ended) -> dict[str, Any]:
    """What questions are asked by: the keys in `writes` that were `kept` as they stood; of a
    successful activation bytes read, and milliseconds of all and of its cold start."""
    found: dict[str, Any] = {}
    if kept := [clean(record.key) for record in event.writes if record.kept]:
        found["kept"] = list(_fitting(kept))
    record = event.activation
    if event.error is None and record is not None and record.duration is not None:
        found["bytes_read"] = min(sum(read.size for read in event.reads), _LARGEST)
        found["duration_ms"] = round(record.duration * 1000)
        if record.init_time is not None:
            found["init_ms"] = round(record.init_time * 1000)
    return found


def _touched(event: Ended, declared: tuple[str, ...]) -> dict[str, Any]:
    """The objects that an attempt read and wrote; what a silent one declared counts as written."""
    unseen = () if event.reported else declared
    found: dict[str, Any] = {"of": event.of}
    if event.reads:
        found["reads"] = [clean(record.key) for record in event.reads]
    if event.writes or unseen:
        written = dict.fromkeys([*(record.key for record in event.writes), *unseen])
        found["writes"] = [clean(key) for key in written]
    return found


def _short(value: object) -> Any:
    text = clean(_encode(value))
    if len(text) > _SHORT:
        return None
    return json.loads(text, parse_int=lambda n: int(n) if len(n) <= _INT64 else float(n))


def _fitting(keys: Iterable[str]) -> Iterable[str]:
    room = _KEYS
    for key in keys:
        room -= len(key)
        if room < 0:
            return
        yield key
