"""The one S3 client of a store: opened when first used, kept until it is closed."""

from __future__ import annotations

import asyncio
import weakref
from contextlib import AsyncExitStack, suppress
from typing import Any

from object_store.errors import StoreError, StoreUnavailable
from object_store.s3.address import Address

__all__ = ["Connection"]

CONNECTIONS = 64
"""Requests at once."""

_SESSIONS: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = weakref.WeakKeyDictionary()
"""One session per event loop: making one costs far more than a client of it."""


class Connection:
    """Gives the client of one address on one event loop."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._client: Any = None
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()

    async def client(self) -> Any:
        """The client; opened if it is not."""
        if self._client is None:
            async with self._opening:
                if self._client is None:
                    self._client = await self._open()
        return self._client

    async def close(self) -> None:
        """Close the client and its connections."""
        self._client = None
        await self._stack.aclose()

    async def _open(self) -> Any:
        loop = asyncio.get_running_loop()
        session = _SESSIONS.get(loop)
        if session is None:
            session = _SESSIONS[loop] = await asyncio.to_thread(_new_session)
        from botocore.exceptions import BotoCoreError

        access, secret = self._address.credentials or (None, None)
        making = session.client(
            "s3",
            endpoint_url=self._address.endpoint,
            region_name=self._address.region,
            aws_access_key_id=access,
            aws_secret_access_key=secret,
            config=_config(path_style=self._address.endpoint is not None),
        )
        try:
            return await self._stack.enter_async_context(making)
        except (BotoCoreError, ValueError) as error:
            raise StoreUnavailable(
                f"{self._address.url}: no client can be made ({type(error).__name__}); "
                "check the store's URL and the AWS environment and profile"
            ) from error


def _new_session() -> Any:
    """A session that has read what a client of S3 needs: 100 ms that the loop need not wait."""
    try:
        import aioboto3
        from aiobotocore.session import AioSession
    except ImportError as error:
        raise StoreError(
            "an s3:// store needs the library aioboto3; "
            "install aowhisk-object-store[s3] into the action's image"
        ) from error
    from botocore.exceptions import DataNotFoundError

    base = AioSession()
    loader = base.get_component("data_loader")
    with suppress(DataNotFoundError):
        for part in ("service-2", "endpoint-rule-set-1", "paginators-1"):
            loader.load_service_model("s3", part)
        for name in ("endpoints", "partitions", "_retry", "sdk-default-configuration"):
            loader.load_data(name)
    return aioboto3.Session(botocore_session=base)


def _config(*, path_style: bool) -> Any:
    from aiobotocore.config import AioConfig

    return AioConfig(
        max_pool_connections=CONNECTIONS,
        connect_timeout=5,
        read_timeout=60,
        retries={"mode": "standard", "max_attempts": 3},
        signature_version="s3v4",  # the default signs URLs in a way that few but AWS take
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if path_style else "auto"},
    )
