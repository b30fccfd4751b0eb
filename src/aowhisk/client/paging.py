"""Lists longer than a page: by `skip`, and for activations by moving `upto`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from aowhisk.client.connection import Connection
from aowhisk.client.faults import page_limit
from aowhisk.errors import Rejected

__all__ = ["Page", "page", "pages_by_skip", "pages_by_time"]


@dataclass(frozen=True, slots=True)
class Page:
    """One answer to a list request.

    `asked` is how many rows were asked for, `size` the bytes of the answer.
    """

    rows: list[dict[str, Any]]
    asked: int
    size: int

    @property
    def is_last(self) -> bool:
        """Whether the list ends here."""
        return len(self.rows) < self.asked


async def page(
    connection: Connection,
    path: str,
    query: Mapping[str, str | int],
    *,
    size: int,
    about: str,
    turn: AbstractAsyncContextManager[object] = nullcontext(),  # noqa: B008 -- it has no state
) -> Page:
    """One page of at most `size` rows, asked for in `turn`.

    Some providers allow less than OpenWhisk's 200 rows: their refusal says how many, and from then
    on the connection keeps to it.
    """
    while True:
        asked = min(size, connection.page_size)
        try:
            async with turn:
                rows, bytes_ = await connection.sized(
                    "GET", path, about=about, query={**query, "limit": asked}
                )
        except Rejected as error:
            allowed = page_limit(error)
            if not allowed or allowed >= asked:
                raise
            connection.page_size = min(connection.page_size, allowed)
            continue
        return Page(rows, asked, bytes_)


async def pages_by_skip(
    connection: Connection, path: str, *, about: str, limit: int | None, skip: int
) -> AsyncIterator[dict[str, Any]]:
    """All rows of a list of entities, newest first; each once, though rows shift meanwhile."""
    seen: set[str] = set()
    while limit is None or len(seen) < limit:
        size = connection.page_size if limit is None else limit - len(seen)
        got = await page(connection, path, {"skip": skip}, size=size, about=about)
        for row in got.rows:
            key = f"{row.get('namespace')}/{row.get('name')}"
            if key not in seen:
                seen.add(key)
                yield row
        skip += len(got.rows)
        if got.is_last:
            return


async def pages_by_time(
    connection: Connection,
    path: str,
    query: Mapping[str, str | int],
    *,
    about: str,
    limit: int | None,
    skip: int,
    turn: AbstractAsyncContextManager[object],
) -> AsyncIterator[dict[str, Any]]:
    """Activations, newest first; each once.

    `skip` drifts while new activations arrive, so the next page starts at the oldest start seen.
    Bounds are inclusive: what stands at the bound comes again and is left out.
    """
    query = dict(query)
    edge: set[str] = set()
    given = 0
    while limit is None or given < limit:
        size = connection.page_size if limit is None else limit - given + len(edge)
        got = await page(
            connection, path, {**query, "skip": skip}, size=size, about=about, turn=turn
        )
        for row in got.rows:
            if row["activationId"] not in edge and (limit is None or given < limit):
                given += 1
                yield row
        if got.is_last:
            return
        oldest = min(int(row["start"]) for row in got.rows)
        if oldest == query.get("upto"):  # one millisecond holds more than a page
            skip += len(got.rows)
        else:
            skip, edge = 0, set()
            query["upto"] = oldest
        edge |= {row["activationId"] for row in got.rows if row["start"] == oldest}
