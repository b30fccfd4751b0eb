"""Actions for test_whole.py; they run in the worker processes of the local OpenWhisk."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from object_store import ObjectStore, action


@action
async def link(args: dict[str, Any], store: ObjectStore) -> dict[str, Any]:
    """Read `reads`, write `writes` (names in bucket `data`, under the run's id)."""
    await asyncio.sleep(args.get("seconds", 0))
    text = b"".join([await store.get(key) for key in args.get("reads", [])])
    keys = [store.key(f"data/{name}") for name in args.get("writes", [])]
    for key in keys:
        await store.put(key, text + key.rpartition("/")[2].encode() + args.get("salt", "").encode())
    return {"keys": keys, "key": keys[0] if keys else None, "text": text.decode()[:200]}


@action
async def wreck(args: dict[str, Any], store: ObjectStore) -> dict[str, Any]:
    """Delete `keys`, and overwrite `spoil`, as a stranger would."""
    for key in args.get("keys", []):
        await store.delete(key)
    return {"done": True}


@action
async def names(args: dict[str, Any], store: ObjectStore) -> dict[str, Any]:
    """A large result."""
    return {"names": [f"{n:0{args['width']}d}" for n in range(args["count"])]}


@action
async def count(args: dict[str, Any], store: ObjectStore) -> dict[str, Any]:
    """Large params."""
    return {"count": len(args["names"]), "last": args["names"][-1]}


@action
async def nap(args: dict[str, Any], store: ObjectStore) -> dict[str, Any]:
    await asyncio.sleep(args["seconds"])
    return {"n": args.get("n")}


@action
async def fail(args: dict[str, Any], store: ObjectStore) -> dict[str, Any]:
    raise ValueError("as asked")


def plain(args: dict[str, Any]) -> dict[str, Any]:
    """An action that knows nothing of us."""
    return args


@action
async def first(args: dict[str, Any], store: ObjectStore) -> dict[str, Any]:
    """Write `name`; for a sequence with `second`."""
    await asyncio.sleep(args.get("seconds", 0))
    key = store.key(f"data/{args['name']}")
    await store.put(key, args["name"].encode())
    return {"key": key, "crash": args.get("crash")}


@action
async def second(args: dict[str, Any], store: ObjectStore) -> dict[str, Any]:
    """Read `key` and write beside it what it held, twice."""
    if args.get("crash"):
        print("about to crash", flush=True)
        os._exit(1)
    text = await store.get(args["key"])
    twice = args["key"] + ".twice"
    await store.put(twice, text + text)
    return {"key": args["key"], "twice": twice}
