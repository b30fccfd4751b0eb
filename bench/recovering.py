"""Work with lost objects: recoveries as they run, and as they are planned."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime

import aiohttp

from aowhisk import Dag, Orchestrator, RecoveryPolicy
from aowhisk.events import Recorder
from aowhisk.events.memory import MemoryJournal
from aowhisk.events.model import Event, Intended
from aowhisk.lineage import CallRecord, CallRef, Lineage
from aowhisk.scheduler import Prober, plan_for
from aowhisk.scheduler.flights import Flights
from aowhisk.scheduler.recoverer import Recovery
from bench.meter import Facts, metered
from bench.ours import orchestrator
from object_store import NoSuchKey, ObjectStore
from object_store.backend import Body, ObjectInfo, Reading
from object_store.keys import Key
from object_store.wire import IORecord

__all__ = ["chain", "diamond", "ensure", "plan"]

_NOW = datetime.now(UTC)


class _HeadsOnly:
    """A backend of which nothing but HEAD is asked."""

    url = "bench:"

    async def head(self, key: Key) -> ObjectInfo:
        raise NotImplementedError

    def get(self, key: Key, *, etag: str | None = None) -> AbstractAsyncContextManager[Reading]:
        raise NotImplementedError

    async def put(self, key: Key, body: Body, *, metadata: Mapping[str, str]) -> ObjectInfo:
        raise NotImplementedError

    async def delete(self, key: Key) -> None:
        raise NotImplementedError

    def list(self, prefix: Key) -> AsyncIterator[ObjectInfo]:
        raise NotImplementedError

    async def presign(self, key: Key, *, seconds: int, method: str) -> str:
        raise NotImplementedError

    async def close(self) -> None:
        return None


class _ServersObjects(_HeadsOnly):
    """The objects of the stand-in server."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._at = f"{url}/objects/"
        self._session = session

    async def head(self, key: Key) -> ObjectInfo:
        async with self._session.get(self._at + str(key)) as reply:
            if reply.status == 404:
                raise NoSuchKey(str(key))
            seen = await reply.json()
        return ObjectInfo(str(key), seen["size"], seen["etag"], _NOW, {"aowhisk-by": seen["by"]})

    async def lose(self, key: str) -> None:
        async with self._session.delete(self._at + key) as reply:
            await reply.read()


class _Slow(_HeadsOnly):
    """Objects that HEAD takes `seconds` to tell of; `lost` are not there. `most` is how many were
    asked for at once."""

    def __init__(self, lost: frozenset[str], seconds: float) -> None:
        self._lost = lost
        self._seconds = seconds
        self._now = 0
        self.asked = self.most = 0

    async def head(self, key: Key) -> ObjectInfo:
        self.asked += 1
        self._now += 1
        self.most = max(self.most, self._now)
        await asyncio.sleep(self._seconds)
        self._now -= 1
        text = str(key)
        if text in self._lost:
            raise NoSuchKey(text)
        return ObjectInfo(text, 1000, "0" * 32, _NOW, {})


async def chain(url: str, *, length: int, ms: int, concurrency: int, times: int) -> Facts:
    """Chains of which every object is lost before the last call reads: that call's time, from its
    first attempt, which finds nothing, to the end of its second."""
    facts: Facts = {"took": []}
    async with aiohttp.ClientSession() as session:
        store = _ServersObjects(url, session)
        async with orchestrator(url, concurrency=concurrency, store=ObjectStore(store)) as ours:
            with metered(facts):
                for n in range(times):
                    keys = [f"links/{n}-{link}" for link in range(length)]
                    facts["took"].append(await _chain(ours, store, keys, ms))
    return {**facts, "chain": statistics.median(facts["took"])}


async def _chain(ours: Orchestrator, store: _ServersObjects, keys: list[str], ms: int) -> float:
    before: list[str] = []
    async with ours.start("chain") as run:
        for key in keys:
            await run.call("objects", {"reads": before, "writes": [key], "ms": ms})
            before = [key]
        for key in keys:
            await store.lose(key)
        began = time.perf_counter()
        await run.call("objects", {"reads": before})
        return time.perf_counter() - began


async def ensure(url: str, *, length: int, ms: int, times: int) -> Facts:
    """The same, of a run that has ended: how long `ensure` takes."""
    facts: Facts = {"took": []}
    async with aiohttp.ClientSession() as session:
        store = _ServersObjects(url, session)
        async with orchestrator(url, concurrency=16, store=ObjectStore(store)) as ours:
            with metered(facts):
                for n in range(times):
                    keys = [f"links/{n}-{link}" for link in range(length)]
                    await ours.run(_links(keys, ms))
                    for key in keys:
                        await store.lose(key)
                    began = time.perf_counter()
                    await ours.ensure(keys[-1])
                    facts["took"].append(time.perf_counter() - began)
    return {**facts, "chain": statistics.median(facts["took"])}


def _links(keys: list[str], ms: int) -> Dag:
    dag = Dag("chain")
    before: list[str] = []
    last = None
    for n, key in enumerate(keys):
        params = {"reads": before, "writes": [key], "ms": ms}
        after = () if last is None else (last,)
        last = dag.call("objects", params, id=f"link-{n}", after=after)
        before = [key]
    return dag


async def diamond(url: str, *, consumers: int, lose: bool) -> Facts:
    """One object, read by many calls at once; lost before, if `lose`: `writings` is how often its
    writer ran."""
    facts: Facts = {}
    policy = RecoveryPolicy(reruns=10**6)
    count = _Writings("source")
    async with aiohttp.ClientSession() as session:
        store = _ServersObjects(url, session)
        async with orchestrator(
            url, concurrency=consumers, store=ObjectStore(store), recovery=policy
        ) as ours:
            ours.recorder.add(count)
            async with ours.start("diamond") as run:
                await run.call("objects", {"writes": ["links/source"], "ms": 50}, id="source")
                if lose:
                    await store.lose("links/source")
                params = {"reads": ["links/source"], "ms": 50}
                with metered(facts):
                    found = await run.map("objects", [params] * consumers)
                assert len(found) == consumers
    return {**facts, "writings": count.count}


class _Writings:
    """Counts the attempts of a call."""

    def __init__(self, call: str) -> None:
        self._call = call
        self.count = 0

    def receive(self, event: Event) -> None:
        self.count += isinstance(event, Intended) and event.call == self._call


async def plan(*, known: int, wanted: int, lost: int, seconds: float) -> Facts:
    """Planning for `wanted` of the `known` objects, of which `lost` are gone, with a store whose
    HEAD takes so many seconds: chains of ten, each object made from the one before."""
    lineage = Lineage()
    for n in range(known):
        _record(lineage, n)
    keys = [_key(n) for n in range(wanted)]
    backend = _Slow(frozenset(_key(n * (wanted // lost)) for n in range(lost)), seconds)
    parts = Recovery(
        lineage=lineage,
        flights=Flights(),
        recorder=Recorder(MemoryJournal()),
        prober=Prober(ObjectStore(backend)),
        policy=RecoveryPolicy(reruns=10**6),
    )
    facts: Facts = {}
    with metered(facts):
        found = await plan_for("", parts, keys)
    assert len(found.steps) == lost, len(found.steps)
    return {**facts, "asked": backend.asked, "most": backend.most}


def _key(n: int) -> str:
    return f"objects/{n // 10}-{n % 10}"


def _record(lineage: Lineage, n: int) -> None:
    at, call = f"{n:024x}", CallRecord(CallRef("r" * 20, f"make.{n}"), "make", {"n": n})
    before = f"{'r' * 20}/make.{n - 1}/{n - 1:024x}"
    reads = [IORecord(_key(n - 1), 1000, "0" * 32, by=before)] if n % 10 else []
    lineage.record(call, at, reads=reads, writes=[IORecord(_key(n), 1000, "0" * 32)])
