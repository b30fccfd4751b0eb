"""Loses objects on purpose: what the fault `Lose` does to a store."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from aowhisk.errors import ConfigError
from aowhisk.local.faults import Lose
from aowhisk.models import JSON
from object_store import open_store
from object_store.wire import IO, IO_KEY, STORE_URL

__all__ = ["chosen", "lose", "writes"]

_log = logging.getLogger(__name__)


async def writes(fault: Lose, result: JSON, environ: Mapping[str, str]) -> list[str]:
    """The keys that the activation with this `result` wrote."""
    told = result.get(IO_KEY) if isinstance(result, dict) else None
    if told is None:
        _log.warning("%r loses nothing: the result does not say what was written", fault)
        return []
    io = IO.from_json(told)
    if io.receipt is not None:  # what it wrote was too much to send; the receipt says it
        async with open_store(_store(fault, environ)) as store:
            receipt = json.loads(await store.get(io.receipt))
        io = IO.from_json(receipt["io"])
    return [record.key for record in io.writes]


def chosen(fault: Lose, keys: Iterable[str]) -> list[str]:
    """Those that the fault is about."""
    return [key for key in keys if fnmatchcase(key, fault.keys)]


async def lose(fault: Lose, keys: Iterable[str], environ: Mapping[str, str]) -> None:
    """Delete those of the keys that the fault is about."""
    async with open_store(_store(fault, environ)) as store:
        for key in chosen(fault, keys):
            await store.delete(key)


def _store(fault: Lose, environ: Mapping[str, str]) -> str:
    url = fault.store or environ.get(STORE_URL)
    if url is None:
        raise ConfigError(f"{fault!r} knows no store: give it `store=`, or the action {STORE_URL}")
    return url
