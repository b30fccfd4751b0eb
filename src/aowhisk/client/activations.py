"""Activations: the records of what ran."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import anyio

from aowhisk.client.connection import Connection
from aowhisk.client.names import activation_path, collection_path, parse
from aowhisk.client.paging import page, pages_by_time
from aowhisk.errors import NotFound, OpenWhiskError
from aowhisk.models import JSON, Activation, to_ms

__all__ = ["ActivationPage", "Activations", "intervals"]

FIRST = 0.1
LONGEST = 5.0


def intervals(draw: Callable[[], float] = random.random) -> Iterator[float]:
    """Seconds between looks at one activation: from 0.1-0.2 growing to 2.5-5, jittered."""
    step = 2 * FIRST
    while True:
        yield step * (0.5 + draw() / 2)
        step = min(step * 1.6, LONGEST)


@dataclass(frozen=True, slots=True)
class ActivationPage:
    """One request's worth of activations, newest first; `size` is the bytes of the answer."""

    activations: tuple[Activation, ...]
    is_last: bool
    size: int


class Activations:
    """`client.activations`; ids are 32 hexadecimal digits.

    A record exists only after the end of its activation, and some time after it: NotFound may mean
    running, not stored yet, or never heard of. Lists are a load on OpenWhisk's database: of all
    that are asked for here, one request is under way at a time.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._turn = anyio.Lock()

    async def get(self, activation_id: str) -> Activation:
        """The whole record."""
        return (await self.sized(activation_id))[0]

    async def sized(self, activation_id: str) -> tuple[Activation, int]:
        """The whole record, and how many bytes of JSON it is."""
        data, size = await self._get(activation_id)
        return Activation.from_json(data), size

    async def result(self, activation_id: str) -> JSON:
        """What it returned, or `{"error": ...}`."""
        data, _ = await self._get(activation_id, "/result")
        return data.get("result")

    async def logs(self, activation_id: str) -> tuple[str, ...]:
        """Its log lines; of a sequence the ids of its parts."""
        data, _ = await self._get(activation_id, "/logs")
        return tuple(data.get("logs") or ())

    async def wait(
        self,
        activation_id: str,
        *,
        timeout: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> Activation:
        """The record, as soon as it is stored; raises NotFound after `timeout` seconds.

        For one activation. Waiting for many, use one `Poller`.
        """
        until = clock() + timeout
        for pause in intervals():
            try:
                return await self.get(activation_id)
            except OpenWhiskError as error:
                if not isinstance(error, NotFound) and not error.can_retry:
                    raise
                left = until - clock()
                if left <= 0:
                    raise _never_stored(activation_id, timeout) from error
            await sleep(min(pause, left))
        raise AssertionError  # intervals never end

    async def list(
        self,
        *,
        name: str | None = None,
        since: datetime | None = None,
        upto: datetime | None = None,
        docs: bool = False,
        limit: int | None = None,
        skip: int = 0,
    ) -> AsyncIterator[Activation]:
        """Records newest first, at most `limit`; whole ones with `docs`, else without result.

        `since` and `upto` bound their start, both inclusive. `name` is "action" or
        "package/action". The list lags behind `get`: never wait for a known id with it.
        """
        rows = pages_by_time(
            self._connection,
            self._path,
            _query(name, since, upto, docs=docs),
            about="the list of activations",
            limit=limit,
            skip=skip,
            turn=self._turn,
        )
        async for row in rows:
            yield Activation.from_json(row)

    async def page(
        self,
        *,
        name: str | None = None,
        since: datetime | None = None,
        upto: datetime | None = None,
        docs: bool = False,
        skip: int = 0,
        limit: int | None = None,
    ) -> ActivationPage:
        """One request's worth of `list`: as much as the server gives at once, or `limit`."""
        got = await page(
            self._connection,
            self._path,
            {**_query(name, since, upto, docs=docs), "skip": skip},
            size=self._connection.page_size if limit is None else limit,
            about="the list of activations",
            turn=self._turn,
        )
        return ActivationPage(tuple(map(Activation.from_json, got.rows)), got.is_last, got.size)

    @property
    def _path(self) -> str:
        return collection_path("activations", self._connection.namespace)

    async def _get(self, activation_id: str, part: str = "") -> tuple[Any, int]:
        return await self._connection.sized(
            "GET",
            f"{self._path}/{activation_path(activation_id)}{part}",
            about=f"activation '{activation_id}'",
            missing=f"is not stored in namespace '{self._connection.namespace}', or not yet",
        )


def _query(
    name: str | None, since: datetime | None, upto: datetime | None, *, docs: bool
) -> dict[str, str | int]:
    query: dict[str, str | int] = {"docs": "true"} if docs else {}
    if name is not None:
        query["name"] = str(parse(name, kind="action", packaged=True))
    if since is not None:
        query["since"] = to_ms(since)
    if upto is not None:
        query["upto"] = to_ms(upto)
    return query


def _never_stored(activation_id: str, timeout: float) -> NotFound:
    return NotFound(
        f"activation '{activation_id}' was not stored within {timeout:g} s; it may still run, be "
        "lost, or belong to a namespace that stores no activations. Its outcome is unknown",
        request=f"GET activations/{activation_id}",
        status=404,
    )
