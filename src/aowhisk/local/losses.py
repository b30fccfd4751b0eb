"""Loses objects on purpose: what the fault `Lose` does to a store."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from fnmatch import fnmatchcase

from aowhisk.errors import ConfigError
from aowhisk.local.faults import Lose
from aowhisk.models import JSON
from object_store import open_store
from object_store.wire import IO, IO_KEY, STORE_URL

__all__ = ["lose"]

_log = logging.getLogger(__name__)


async def lose(fault: Lose, result: JSON, environ: Mapping[str, str]) -> None:
    """Delete what the activation with this `result` wrote, as far as `fault.keys` matches."""
    url = fault.store or environ.get(STORE_URL)
    if url is None:
        raise ConfigError(f"{fault!r} knows no store: give it `store=`, or the action {STORE_URL}")
    told = result.get(IO_KEY) if isinstance(result, dict) else None
    if told is None:
        _log.warning("%r loses nothing: the result does not say what was written", fault)
        return
    io = IO.from_json(told)
    async with open_store(url) as store:
        if io.receipt is not None:  # what it wrote was too much to send; the receipt says it
            receipt = json.loads(await store.get(io.receipt))
            io = IO.from_json(receipt["io"])
        for record in io.writes:
            if fnmatchcase(record.key, fault.keys):
                await store.delete(record.key)
