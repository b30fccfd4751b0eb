"""Ties what is in memory to what is on disk, from the start of a server to its end."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import anyio
import anyio.to_thread

from aowhisk.local.archive import Archive
from aowhisk.local.catalog import SYSTEM
from aowhisk.local.records import Records
from aowhisk.local.store import Store

__all__ = ["Persistence"]


class Persistence:
    """Keeps the entities of `store` and the `records` in `folder`. `namespaces` are those that
    somebody has the key of: the stock packages are kept only where they can be changed."""

    def __init__(
        self, folder: Path, store: Store, records: Records, namespaces: Collection[str]
    ) -> None:
        self._archive = Archive(folder)
        self._store = store
        self._records = records
        self._system_is_owned = SYSTEM in namespaces

    async def open(self) -> None:
        """Take in what the folder has, and write to it what changes from now on."""
        with anyio.CancelScope(shield=True):  # whoever has the folder has to give it back
            contents = await anyio.to_thread.run_sync(self._archive.open)
        stock = self._store.take_out(SYSTEM) if self._system_is_owned else []
        self._store.restore(stock if contents.fresh else contents.entities)
        self._records.restore(contents.records)
        if contents.fresh:
            for entity in stock:
                self._archive.keep(entity.path, entity)
        self._store.watch = self._archive.keep
        self._records.watch = self._archive.add

    async def settled(self) -> None:
        """Wait until everything that has changed is on disk."""
        await self._archive.settled()

    async def close(self) -> None:
        """Write what is left, and give the folder back."""
        self._store.watch = self._records.watch = None
        await anyio.to_thread.run_sync(self._archive.close)
