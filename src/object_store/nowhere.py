"""The store of an action that was given none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from object_store.backend import Body, ObjectInfo, Reading
from object_store.errors import StoreError
from object_store.keys import Key
from object_store.wire import STORE_URL, STORE_URL_PARAM

__all__ = ["NoStore", "Nowhere"]


class NoStore(StoreError):
    """The action uses a store, and nobody said where it is."""

    code = "NoStore"
    retryable = False

    def __init__(self) -> None:
        super().__init__(
            f"this action has no object store; deploy it with the init parameter {STORE_URL} "
            f"(environment), or call it with the param {STORE_URL_PARAM!r}"
        )


class Nowhere:
    """A backend whose every use says that there is none: an action without objects needs none."""

    url = "none"

    @asynccontextmanager
    async def get(self, key: Key, *, etag: str | None = None) -> AsyncIterator[Reading]:
        """Raise NoStore."""
        raise NoStore
        yield

    async def put(self, key: Key, body: Body, *, metadata: Mapping[str, str]) -> ObjectInfo:
        """Raise NoStore."""
        raise NoStore

    async def head(self, key: Key) -> ObjectInfo:
        """Raise NoStore."""
        raise NoStore

    async def delete(self, key: Key) -> None:
        """Raise NoStore."""
        raise NoStore

    async def list(self, prefix: Key) -> AsyncIterator[ObjectInfo]:
        """Raise NoStore."""
        raise NoStore
        yield

    async def presign(self, key: Key, *, seconds: int, method: str) -> str:
        """Raise NoStore."""
        raise NoStore

    async def close(self) -> None:
        """Do nothing."""
