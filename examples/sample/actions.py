"""Three actions in a chain: each writes an object, and the next one reads it.

`@action` makes OpenWhisk's `main(args) -> dict` of a function with a store. It notes which objects
were read and written; with that a lost object can be written again.
"""

from __future__ import annotations

from typing import Any

from object_store import action


@action
async def action1(args: dict[str, Any], store: Any) -> dict[str, Any]:
    """Store a text."""
    key = store.key("sample/text.txt")  # sample/<run id>/text.txt: runs never share an object
    await store.put(key, args.get("text", "the quick brown fox"))
    return {"output": key}


@action
async def action2(args: dict[str, Any], store: Any) -> dict[str, Any]:
    """Turn the order of its words around."""
    text = (await store.get(args["input"])).decode()
    key = store.key("sample/turned.txt")
    await store.put(key, " ".join(reversed(text.split())))
    return {"output": key}


@action
async def action3(args: dict[str, Any], store: Any) -> dict[str, Any]:
    """Write it in capitals, and say how many words it has."""
    text = (await store.get(args["input"])).decode()
    key = store.key("sample/loud.txt")
    await store.put(key, text.upper())
    return {"output": key, "words": len(text.split())}
