"""Does OpenWhisk run an action: one that comes, looks around and goes."""

from __future__ import annotations

import secrets
import time
from urllib.parse import urlsplit

import anyio

from aowhisk.client import Client, Code
from aowhisk.doctor.finding import Finding, failed, ok, refused, skipped, warning
from aowhisk.doctor.subject import Subject
from aowhisk.errors import NotFound, OpenWhiskError
from aowhisk.models import JSON, Activation

__all__ = ["check_invocation"]

_PATIENCE = 120.0  # a cold start that pulls its image
_RECORD = 20.0
_SOURCE = '''"""Made by aowhisk doctor; it can be deleted."""
import platform
import socket


def main(args):
    told = {"python": platform.python_version()}
    if "host" in args:
        try:
            socket.create_connection((args["host"], args["port"]), 5).close()
            told["store"] = "reached"
        except OSError as error:
            told["store"] = str(error)
    return told
'''


async def check_invocation(subject: Subject) -> Finding:
    """Is an action run, can its record be read, and does it reach the store."""
    if not subject.invoke:
        return skipped("not asked for (--invoke): it makes an action, runs and deletes it")
    client = await subject.client()
    name = f"aowhisk-doctor-{secrets.token_hex(6)}"
    params = _address(subject)
    start = time.monotonic()
    try:
        await client.actions.put(name, Code.source(_SOURCE, kind=subject.kind or "python:default"))
        try:
            return await _run(client, name, params, start)
        finally:
            with anyio.move_on_after(10, shield=True):
                await client.actions.delete(name)
    except NotFound as error:
        return failed(str(error), "look at the activation store, and at the invoker's log")
    except OpenWhiskError as error:
        if error.status == 503:
            return failed(str(error), "no invoker is healthy: look at its pod or its log")
        return refused(error)


async def _run(client: Client, name: str, params: dict[str, JSON], start: float) -> Finding:
    begun = await client.actions.invoke(name, params, blocking=True)
    took = time.monotonic() - start
    ended = isinstance(begun, Activation)
    record = await client.activations.wait(
        begun.id if isinstance(begun, Activation) else begun.activation_id,
        timeout=_RECORD if ended else _PATIENCE,
    )
    result = record.result if isinstance(record.result, dict) else {}
    lag = time.monotonic() - start - took
    facts: dict[str, JSON] = {"seconds": round(took, 2), "record_seconds": round(lag, 2), **result}
    if "python" not in result:
        return failed(
            f"the action ended in {record.status}: {record.result}",
            f"`wsk activation get {record.id}` and the invoker's log say more",
        )
    told = f"an action ran (Python {result['python']}, {took:.1f} s), its record is there"
    if result.get("store", "reached") != "reached":
        return warning(
            f"{told}; it cannot reach the store at {params['host']}:{params['port']}: "
            f"{result['store']}",
            "set AOWHISK_ACTION_STORE to the store's address as seen from inside the cluster",
            **facts,
        )
    return ok(told + ("; it reaches the store" if "store" in result else ""), **facts)


def _address(subject: Subject) -> dict[str, JSON]:
    """Host and port of the store as actions reach it; nothing of one that has none."""
    url = str(subject.get("action_store") or subject.get("store") or "")
    parts = urlsplit(url)
    if not parts.scheme.startswith("s3") or not parts.hostname:
        return {}
    plain = parts.scheme == "s3+http" or "tls=0" in parts.query
    return {"host": parts.hostname, "port": parts.port or (80 if plain else 443)}
