"""The child of test_sharing.py: an orchestrator that does what the lines of its stdin ask for.

python sharing.py URL AUTH JOURNAL STORE LEDGER LEASE
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator
from typing import Any

import anyio

from aowhisk import AowhiskError, Client, Dag, Orchestrator, Patience, RetryPolicy, item


def counted(
    ledger: str,
    *,
    width: int = 8,
    seconds: float = 0.05,
    idempotent: bool = True,
    unless: str | None = None,
    protocol: bool = True,
) -> Dag:
    """A call, a map of `width`, a join; each notes in the ledger that it was sent."""
    dag = Dag("counted")
    once: dict[str, Any] = {"retry": RetryPolicy(retries=0), "idempotent": idempotent}
    once["protocol"] = protocol
    params = {"ledger": ledger, "seconds": seconds}
    marked = params if unless is None else {**params, "unless": unless}
    first = dag.call("tally", {**params, "n": 1}, id="first", **once)
    many = dag.map(
        "tally", {**marked, "n": item}, over=list(range(width)), id="many", after=[first], **once
    )
    dag.call("tally", {**params, "n": many["n"]}, id="last", **once)
    return dag


async def code(orchestrator: Orchestrator, run: str, ledger: str, calls: list[int]) -> str:
    """A run that decides as it goes: one call after the other."""
    async with orchestrator.start("code", id=run) as live:
        for call, n in enumerate(calls):
            params = {"ledger": ledger, "seconds": 0, "n": n}
            await live.call("tally", params, id=f"c{call}")
    return "ended"


class Child:
    """What can be asked for."""

    def __init__(self, orchestrator: Orchestrator, ledger: str) -> None:
        self._orchestrator = orchestrator
        self._ledger = ledger

    async def answer(self, asked: dict[str, Any]) -> None:
        """Do it and say how it ended, on one line."""
        name, do = asked.pop("name"), asked.pop("do")
        error: str | None = None
        try:
            text = await getattr(self, do)(**asked)
        except AowhiskError as found:
            error, text = type(found).__name__, str(found)
        print(json.dumps({"name": name, "error": error, "text": text}), flush=True)

    async def run(self, id: str, concurrency: int = 4, **facts: Any) -> object:
        dag = counted(self._ledger, **facts)
        run = await self._orchestrator.run(dag, id=id, concurrency=concurrency)
        return run["last"].result

    async def resume(self, id: str) -> object:
        return (await self._orchestrator.resume(id))["last"].result

    async def cancel(self, id: str, **facts: Any) -> object:
        handle = await self._orchestrator.submit(counted(self._ledger, **facts), id=id)
        await handle.cancel()
        return None

    async def enqueue(self, id: str, **facts: Any) -> str:
        return await self._orchestrator.enqueue(counted(self._ledger, **facts), id=id)

    async def serve(self, at_once: int = 4) -> None:
        await self._orchestrator.serve(at_once=at_once, every=0.2)

    async def code(self, id: str, calls: list[int]) -> str:
        return await code(self._orchestrator, id, self._ledger, calls)


async def lines() -> AsyncIterator[str]:
    """The lines of stdin, until it is closed."""
    reader = asyncio.StreamReader(limit=2**24)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        yield line.decode()


async def main() -> None:
    url, auth, journal, store, ledger, lease = sys.argv[1:]
    patience = Patience(allowance=1.0, lease=float(lease), blocking_wait=1.0, grace=1.0)
    async with Orchestrator(
        Client(url, auth), store=store, journal=journal, concurrency=4, patience=patience
    ) as orchestrator:
        print(json.dumps({"name": "ready"}), flush=True)
        child = Child(orchestrator, ledger)
        async with anyio.create_task_group() as group:
            async for line in lines():
                group.start_soon(child.answer, json.loads(line))
            group.cancel_scope.cancel()


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    anyio.run(main)
