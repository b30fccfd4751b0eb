"""What befalls activations and requests on purpose: where the faults of a plan take effect."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio

from aowhisk.local.faults import (
    ClockSkew,
    Crash,
    Delay,
    DelayRecord,
    DropReply,
    Fail,
    FaultPlan,
    GatewayTimeout,
    Lose,
    LoseRecord,
    R,
    SlowList,
    Throttle,
    Unavailable,
)
from aowhisk.local.http import OVERLOADED, Content, Refusal, Reply
from aowhisk.local.invocation import Invocation
from aowhisk.local.limits import Limits
from aowhisk.local.losses import chosen, lose, writes
from aowhisk.local.outcome import Response
from aowhisk.models import Status

__all__ = ["befall", "crashing", "distorted", "refuse", "spoil"]

_PAGE = b"""<html>\r
<head><title>504 Gateway Time-out</title></head>\r
<body>\r
<center><h1>504 Gateway Time-out</h1></center>\r
</body>\r
</html>\r
"""


async def befall(faults: FaultPlan, invocation: Invocation) -> Response | None:
    """Make it late, on a machine with a wrong clock; the response of one that fails instead of
    running."""
    faults = invocation.faults or faults
    if not faults:
        return None
    params = invocation.params
    if skew := faults.due(ClockSkew, invocation.name, params):
        invocation.skew = skew.seconds
    if delay := faults.due(Delay, invocation.name, params):
        await anyio.sleep(delay.seconds)
    if fail := faults.due(Fail, invocation.name, params):
        return Response(fail.status, {"error": fail.message})
    return None


@contextmanager
def crashing(faults: FaultPlan, invocation: Invocation, kill: Callable[[], None]) -> Iterator[None]:
    """Run in a container that `kill` ends, in the middle where that is due."""
    faults = invocation.faults or faults
    crash = faults.due(Crash, invocation.name, invocation.params) if faults else None
    if crash is None:
        yield
        return
    if not crash.seconds:
        kill()
    timer = asyncio.get_running_loop().call_later(crash.seconds, kill)
    try:
        yield
    finally:
        timer.cancel()


async def spoil(faults: FaultPlan, invocation: Invocation, response: Response) -> bool:
    """Lose what it wrote, hold back its record; whether that is to be kept."""
    faults = invocation.faults or faults
    if not faults:
        return True
    params = invocation.params
    name = invocation.name
    if response.status is Status.SUCCESS and (loss := faults.about(Lose, name, params)):
        written = await writes(loss, response.result, invocation.environ)
        if loss := faults.due(Lose, name, params, lambda loss: bool(chosen(loss, written))):
            await lose(loss, written, invocation.environ)
    if late := faults.due(DelayRecord, invocation.name, params):
        invocation.readable = time.monotonic() + late.seconds
    return faults.due(LoseRecord, invocation.name, params) is None


def refuse(faults: FaultPlan, what: Invocation | str, limits: Limits) -> None:
    """Refuse a request, where that is due: the one that makes an invocation, or `METHOD path`."""
    if throttle := _due(faults, Throttle, what):
        budget, in_flight = limits.invocations_per_minute, limits.concurrent_invocations
        raise Refusal(
            429,
            f"Too many requests in the last minute (count: {budget + 1}, allowed: {budget})."
            if throttle.per_minute
            else "Too many concurrent requests in flight "
            f"(count: {in_flight}, allowed: {in_flight}).",
        )
    if _due(faults, Unavailable, what):
        raise Refusal(503, OVERLOADED)


async def distorted(faults: FaultPlan, what: Invocation | str, reply: Reply) -> Reply:
    """What becomes of the answer to a request: the one that makes an invocation, or
    `METHOD path`."""
    if slow := _due(faults, SlowList, what):
        await anyio.sleep(slow.seconds)
    if gateway := _due(faults, GatewayTimeout, what):
        await anyio.sleep(gateway.seconds)
        content = Content(_PAGE, "text/html")
        return Reply(None, 504, content=content, cors=False, is_below=True)
    if _due(faults, DropReply, what):
        reply.dropped = True
    return reply


def _due(faults: FaultPlan, kind: type[R], what: Invocation | str) -> R | None:
    if isinstance(what, str):
        return faults.due_request(kind, what)
    return faults.due(kind, what.name, what.params)
