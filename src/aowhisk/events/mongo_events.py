"""The events of a MongoDB journal, read back out of their documents."""

from __future__ import annotations

import asyncio
import itertools
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from aowhisk.errors import JournalError
from aowhisk.events.model import Event
from aowhisk.events.mongo_database import Database
from aowhisk.events.mongo_documents import event_of, event_with

__all__ = ["BREATH", "Events"]

BREATH = 50  # events made of documents before others may run: about 1 ms


class Events:
    """The collection `events` of a database, and the `chunks` of large ones."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(
        self,
        query: Mapping[str, Any],
        sort: Sequence[tuple[str, int]],
        *,
        without: Sequence[str] = (),
        limit: int = 0,
    ) -> list[Event]:
        """The events that a query finds; the fields that it leaves out have their defaults, or
        not."""
        events = []
        documents = await self._database.find(
            "events", query, without=without, sort=sort, limit=limit
        )
        for n, document in enumerate(documents):
            events.append(await self.event(document))
            if n % BREATH == 0:
                await asyncio.sleep(0)
        return events

    async def event(self, document: Mapping[str, Any]) -> Event:
        """The event of a document."""
        if "json" in document:
            return event_with(document, document["json"])
        if "chunks" not in document:
            return event_of(document)
        unpack, parts = zlib.decompressobj(), []
        for n in itertools.count():
            name = f"{document['owner']}#{document['put']}#{n}"
            found = await self._database.find("chunks", {"_id": name})
            if not found:
                raise JournalError(f"a part of event {document['_id']} is gone: chunk {name}")
            parts.append(await asyncio.to_thread(unpack.decompress, found[0]["data"]))
            if unpack.eof:
                break
        return event_with(document, b"".join(parts))
