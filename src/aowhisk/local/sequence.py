"""Runs the components of a sequence one after the other (CTRL/actions/SequenceActions.scala)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aowhisk.local.accounting import Broken, Budget, Tally
from aowhisk.local.components import COMPONENT_MISSING, TOO_LONG
from aowhisk.local.http import Refusal
from aowhisk.local.invocation import Invocation, Payload
from aowhisk.local.outcome import Response
from aowhisk.local.target import Target

if TYPE_CHECKING:
    from aowhisk.local.composer import Composer

__all__ = ["run_sequence"]

FAILED = "Sequence failed."


async def run_sequence(
    composer: Composer, whole: Invocation, tally: Tally, budget: Budget
) -> Response:
    """Give the payload to the first component, each result to the next; the last result, or the
    first one with an `error`, is the sequence's. All components are looked up before the first
    runs."""
    payload: Payload = whole.arguments
    response = Response.application_error(COMPONENT_MISSING)
    for target in [_found(composer, path) for path in whole.action.components]:
        if budget.atomic >= budget.longest:
            return Response.application_error(TOO_LONG)
        if isinstance(target, Refusal):
            if target.status != 404:
                raise Broken
            return Response.application_error(COMPONENT_MISSING)
        try:
            part = await _step(composer, target, payload, whole, budget)
        except Broken:
            return Response.whisk_error(FAILED)
        if part.record is None:
            tally.logs.append(part.id)
            return Response.whisk_error(
                f"Timeout reached when retrieving activation {part.id} for sequence component."
            )
        tally.add(part.record)
        response = Response.recorded(part.record)
        payload = response.result
        if isinstance(payload, dict) and "error" in payload:
            break
    return response


async def _step(
    composer: Composer, target: Target, payload: Payload, whole: Invocation, budget: Budget
) -> Invocation:
    if target.action.is_sequence:
        return await composer.component(target, payload, whole, budget)
    part = await composer.component(target, payload, whole, budget.fresh())
    budget.atomic += 1
    return part


def _found(composer: Composer, path: str) -> Target | Refusal:
    try:
        return Target.at(composer.store, path)
    except Refusal as refusal:
        return refusal
