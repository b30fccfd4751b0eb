"""What befalls an activation on purpose: the faults before its run, and those after it."""

from __future__ import annotations

import anyio

from aowhisk.local.faults import Delay, Fail, FaultPlan, Lose, LoseRecord
from aowhisk.local.invocation import Invocation
from aowhisk.local.losses import lose
from aowhisk.local.outcome import Response
from aowhisk.models import Status

__all__ = ["befall", "spoil"]


async def befall(faults: FaultPlan, invocation: Invocation) -> Response | None:
    """Make it late; the response of one that fails instead of running."""
    if not faults:
        return None
    params = invocation.params
    if delay := faults.due(Delay, invocation.name, params):
        await anyio.sleep(delay.seconds)
    if fail := faults.due(Fail, invocation.name, params):
        return Response(fail.status, {"error": fail.message})
    return None


async def spoil(faults: FaultPlan, invocation: Invocation, response: Response) -> bool:
    """Lose what it wrote; whether its record is to be kept."""
    if not faults:
        return True
    params = invocation.params
    if response.status is Status.SUCCESS and (loss := faults.due(Lose, invocation.name, params)):
        await lose(loss, response.result, invocation.environ)
    return faults.due(LoseRecord, invocation.name, params) is None
