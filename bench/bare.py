"""The yardstick: a bare aiohttp loop that sends the requests an orchestrator would send."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable

import aiohttp

from bench.meter import Facts, gc_threshold, metered
from object_store.wire import Context

__all__ = ["calls", "chain"]

_HEADERS = {
    "authorization": "Basic YmVuY2g6eA==",
    "content-type": "application/json",
    "x-ow-extra-logging": "on",
}


async def calls(
    url: str, *, action: str, count: int, concurrency: int, tuned: bool = False
) -> Facts:
    """So many calls, `concurrency` at a time: a queue of bodies and as many workers."""
    gc_threshold(tuned)
    facts: Facts = {}
    async with _session() as session:
        await _work(session, url, action, range(concurrency), concurrency)
        with metered(facts):
            await _work(session, url, action, range(count), concurrency)
    return facts


async def chain(url: str, *, action: str, length: int, times: int) -> Facts:
    """Chains of calls, one after the other."""
    facts: Facts = {}
    async with _session() as session:
        await _work(session, url, action, range(length), 1)
        with metered(facts):
            for _ in range(times):
                await _work(session, url, action, range(length), 1)
    return facts


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))


async def _work(
    session: aiohttp.ClientSession, url: str, action: str, items: Iterable[int], width: int
) -> None:
    target = f"{url}/api/v1/namespaces/_/actions/{action}?blocking=true&timeout=5000"
    numbers = iter(items)

    async def worker() -> None:
        for n in numbers:
            context = Context(run="0" * 20, call=f"noop.{n}", attempt=f"{n:024x}").to_json()
            body = json.dumps({"n": n, "_aowhisk": context}).encode()
            async with session.post(target, data=body, headers=_HEADERS) as reply:
                record = json.loads(await reply.read())
                assert record["response"]["success"], record

    await asyncio.gather(*(worker() for _ in range(width)))
