"""OpenWhisk's two ways to read activations, on a virtual clock."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from urllib.parse import parse_qs

import anyio

from aowhisk.client import Client
from aowhisk.models import to_ms
from aowhisk.poller import Poller

DAWN = datetime(2026, 1, 1, tzinfo=UTC)


def clock() -> float:
    return asyncio.get_running_loop().time()


def now() -> datetime:
    return DAWN + timedelta(seconds=clock())


@dataclass
class Platform:
    """An ASGI app with OpenWhisk's two ways to read activations.

    `ends` says when each record is there, `lag` how much later a list shows it, `hidden` is never
    listed, `causes` are shown with what they caused, `texts` are
    results; those `earlier` were started so many seconds before. `skew` is how far its clock is
    ahead of ours.
    """

    ends: dict[str, float] = field(default_factory=dict)
    lag: float = 0.0
    hidden: set[str] = field(default_factory=set)
    causes: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    size: int = 10
    skew: float = 0.0
    earlier: dict[str, float] = field(default_factory=dict)
    broken_until: float = 0.0
    on_list: Callable[[dict[str, str]], Awaitable[None]] | None = None
    gets: list[str] = field(default_factory=list)
    lists: list[dict[str, str]] = field(default_factory=list)
    lists_at_once: int = 0

    def add(self, n: int, ends: float) -> str:
        id_ = f"{n:032x}"
        self.ends[id_] = ends
        return id_

    def row(self, id_: str, *, whole: bool) -> dict[str, Any]:
        start = to_ms(DAWN + timedelta(seconds=self.skew)) + int(id_, 16)
        if id_ in self.earlier:
            start = to_ms(DAWN + timedelta(seconds=self.skew - self.earlier[id_]))
        end = to_ms(DAWN + timedelta(seconds=self.skew + max(0.0, self.ends[id_])))
        row: dict[str, Any] = {"activationId": id_, "name": "a", "start": start, "end": end}
        if id_ in self.causes:
            row["cause"] = self.causes[id_]
        if whole:
            text = self.texts.get(id_, "." * self.size)
            row["response"] = {"status": "success", "result": {"text": text}}
        return row

    def get(self, id_: str) -> tuple[int, Any]:
        self.gets.append(id_)
        if self.ends.get(id_, 1e9) > clock():
            return 404, {"error": "The requested resource does not exist.", "code": "1"}
        return 200, self.row(id_, whole=True)

    def list(self, query: dict[str, str]) -> tuple[int, Any]:
        self.lists.append(query)
        shown = [
            self.row(id_, whole=query.get("docs") == "true")
            for id_, end in self.ends.items()
            if end + self.lag <= clock() and id_ not in self.hidden
        ]
        low, high = int(query.get("since", 0)), int(query.get("upto", 1e15))
        rows = sorted((r for r in shown if low <= r["start"] <= high), key=lambda r: -r["start"])
        skip = int(query["skip"])
        return 200, rows[skip : skip + int(query["limit"])]

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        await anyio.sleep(0.01)
        path = scope["path"]
        if clock() < self.broken_until:
            status, body = 503, {"error": "unavailable", "code": "1"}
        elif path.endswith("/activations"):
            assert self.lists_at_once == 0, "two lists in flight"
            self.lists_at_once += 1
            try:
                await anyio.sleep(0.05)
                raw = parse_qs(scope["query_string"].decode())
                query = {key: values[0] for key, values in raw.items()}
                if self.on_list is not None:
                    await self.on_list(query)
                status, body = self.list(query)
            finally:
                self.lists_at_once -= 1
        else:
            status, body = self.get(path.rpartition("/")[2])
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(body).encode()})


def poller_of(client: Client) -> Poller:
    return Poller(client, clock=clock, now=now, random=Random(7).random)
