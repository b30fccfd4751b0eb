"""The document of an activation that has ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aowhisk.local.entities import pairs
from aowhisk.local.invocation import Invocation
from aowhisk.local.outcome import Response
from aowhisk.local.records import Record
from aowhisk.models import JSON

__all__ = ["record_of"]


def record_of(
    invocation: Invocation,
    response: Response,
    annotations: Mapping[str, JSON],
    *,
    start: int,
    end: int,
    duration: int,
    logs: Sequence[str] = (),
) -> Record:
    """The record of `invocation`; times in epoch ms, `duration` in ms. `path`, `causedBy` and
    `binding` need not be among the `annotations`."""
    action, skew = invocation.action, round(invocation.skew * 1000)
    shown: dict[str, JSON] = {"path": action.path, **annotations}
    if invocation.cause is not None:
        shown["causedBy"] = "sequence"
    if invocation.binding is not None:
        shown["binding"] = invocation.binding
    document: dict[str, Any] = {
        "namespace": invocation.user.namespace,
        "name": action.name,
        "version": action.version,
        "subject": invocation.user.namespace,
        "activationId": invocation.id,
        "start": start + skew,
        "end": end + skew,
        "duration": duration,
        "response": response.to_json(),
        "logs": list(logs),
        "annotations": pairs(shown),
        "publish": False,
    }
    if invocation.cause is not None:
        document["cause"] = invocation.cause
    return Record(
        invocation.id,
        invocation.user.namespace,
        action.path,
        start + skew,
        response.status,
        document,
        invocation.readable,
    )
