"""What the namespace may do, and which Pythons there are."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from aowhisk.client import Limits
from aowhisk.doctor.finding import Finding, failed, ok, refused, warning
from aowhisk.doctor.needs import OLDEST_PYTHON, Needs
from aowhisk.doctor.subject import Subject
from aowhisk.errors import OpenWhiskError
from aowhisk.models import JSON

__all__ = ["IMAGE", "check_kinds", "check_limits"]

IMAGE = "openwhisk/action-python-v3.11:nightly"
"""An image of OpenWhisk's own runtime that object_store runs on (apache/openwhisk-runtime-python,
core/python311Action/Dockerfile)."""
_NO_LIMIT = 1_000_000
_RAISE = (
    "raise whisk.limits.actionsInvokesPerminute and .actionsInvokesConcurrent of the Helm chart, "
    "or `wskadmin limits set NAMESPACE --invocationsPerMinute N --concurrentInvocations N`"
)


async def check_limits(subject: Subject) -> Finding:
    """Are the namespace's limits enough for what is to run."""
    client = await subject.client()
    try:
        limits = subject.limits = await client.limits.get()
    except OpenWhiskError as error:
        return refused(error)
    needs = subject.needs
    timeout, memory = _most(limits, subject.info or {})
    facts: dict[str, JSON] = {
        "per_minute": limits.invocations_per_minute,
        "concurrent": limits.concurrent_invocations,
        "max_timeout": timeout,
        "max_memory_mb": memory,
    }
    told = ", ".join(_told(limits, timeout, memory))
    short = _short(timeout, memory, needs)
    if short:
        return failed(
            f"{told}; {needs.who} need {short}",
            "raise whisk.limits.actions.memory.max and .time.max of the Helm chart (and "
            "whisk.containerPool.userMemory with it), or lower `limits` in the manifest",
            **facts,
        )
    if limits.store_activations is False:
        return failed(
            f"{told}; records of activations are not stored",
            "results cannot be read: let the operator set storeActivations for this namespace",
            **facts,
        )
    slow = _pace(limits, needs.per_minute, needs.concurrent)
    return warning(f"{told}; {slow}", _RAISE, **facts) if slow else ok(told, **facts)


def _short(timeout: float | None, memory: int | None, needs: Needs) -> str:
    """What is needed and not allowed, in words."""
    wanted = []
    if memory is not None and memory < needs.memory_mb:
        wanted.append(f"{needs.memory_mb} MB of memory")
    if timeout is not None and timeout < needs.timeout:
        wanted.append(f"{needs.timeout:g} s")
    return " and ".join(wanted)


def _pace(limits: Limits, per_minute: int, concurrent: int) -> str:
    """What the throttles will cost, in words; empty where they do not hurt."""
    minute, at_once = limits.invocations_per_minute, limits.concurrent_invocations
    told = []
    if minute is not None and minute < per_minute:
        wait = "for ever" if not minute else f"{max(math.ceil(1000 / minute) - 1, 1)} minutes"
        told.append(f"1,000 calls take at least {wait}")
    if at_once is not None and at_once < concurrent:
        told.append(f"only {at_once} run at once")
    return "; ".join(told)


def _told(limits: Limits, timeout: float | None, memory: int | None) -> Iterator[str]:
    for number, what in (
        (limits.invocations_per_minute, "a minute"),
        (limits.concurrent_invocations, "at once"),
    ):
        if number is not None:
            yield f"{'any number of calls' if number >= _NO_LIMIT else f'{number:,} calls'} {what}"
    if timeout is not None:
        yield f"{timeout:g} s"
    if memory is not None:
        yield f"{memory} MB"


def _most(limits: Limits, info: Mapping[str, Any]) -> tuple[float | None, int | None]:
    """The greatest timeout in seconds and memory in MB; older servers tell them in `GET /` only,
    in milliseconds and bytes."""
    public = info.get("limits")
    public = public if isinstance(public, Mapping) else {}
    timeout, memory = limits.max_timeout, limits.max_memory_mb
    if timeout is None and isinstance(public.get("max_action_duration"), int):
        timeout = public["max_action_duration"] / 1000
    if memory is None and isinstance(public.get("max_action_memory"), int):
        memory = public["max_action_memory"] // 1024**2
    return timeout, memory


async def check_kinds(subject: Subject) -> Finding:
    """Is there a Python that object_store runs on."""
    allowed = None if subject.limits is None else subject.limits.allowed_kinds
    pythons = dict(_pythons(subject.info or {}))
    usable = {k: v for k, v in pythons.items() if allowed is None or k in allowed}
    good = [kind for kind, version in usable.items() if version and version >= OLDEST_PYTHON]
    old = [f"{kind} is Python {_dotted(v)}" for kind, v in usable.items() if v and kind not in good]
    facts: dict[str, JSON] = {
        "kinds": {kind: _dotted(version) for kind, version in usable.items()},
        "object_store_runs": bool(good),
    }
    if not good:
        there = ", ".join(old or usable) or "there is no python kind"
        return _too_old(there, facts, blackbox=allowed is None or "blackbox" in allowed)
    subject.kind = max(good, key=lambda kind: usable[kind] or ())
    told = f"object_store runs on {', '.join(good)}"
    told = f"{told}; not there: {', '.join(old)}" if old else told
    facts["use"] = subject.kind
    if str(subject.get("store") or "").startswith("s3") and not _is_ours(subject.info or {}):
        return warning(
            f"{told}; OpenWhisk's own images lack aioboto3, which the store at s3:// needs",
            "deploy with an image that has it: `make images`, then `aowhisk deploy --image "
            "aowhisk/sample:VERSION`",
            **facts,
        )
    return ok(told, **facts)


def _too_old(there: str, facts: Mapping[str, JSON], *, blackbox: bool) -> Finding:
    told = f"object_store needs Python {_dotted(OLDEST_PYTHON)} or newer; {there}"
    if not blackbox:
        return failed(
            told, "ask the operator for a newer python kind or the kind blackbox", **facts
        )
    return warning(
        told,
        f"deploy with an image: `docker: {IMAGE}` at the action in manifest.yaml, or one that "
        "`make images` builds",
        image=IMAGE,
        **facts,
    )


def _is_ours(info: Mapping[str, Any]) -> bool:
    """Whether it is `aowhisk serve`, whose containers have what this machine has."""
    runtimes = info.get("runtimes")
    rows = runtimes.get("python", ()) if isinstance(runtimes, Mapping) else ()
    return any(row.get("image") == "local" for row in rows)


def _dotted(version: tuple[int, ...] | None) -> str | None:
    return ".".join(map(str, version)) if version else None


def _pythons(info: Mapping[str, Any]) -> Iterator[tuple[str, tuple[int, ...] | None]]:
    """The kinds of Python that are not deprecated, each with its version. `python:3` does not say:
    the image's name does (action-python-v3.7)."""
    runtimes = info.get("runtimes")
    rows = runtimes.get("python", ()) if isinstance(runtimes, Mapping) else ()
    for row in rows:
        if row.get("deprecated"):
            continue
        kind = str(row.get("kind"))
        image = str(row.get("image") or "")
        found = re.search(r":(\d+\.\d+)$", kind) or re.search(r"python-?v(\d+\.\d+)", image)
        yield kind, tuple(map(int, found[1].split("."))) if found else None
