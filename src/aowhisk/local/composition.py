"""Runs a composition: a conductor's answers say which action runs next
(CTRL/actions/PrimitiveActions.scala, docs/conductors.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aowhisk.local.accounting import Broken, Budget, Tally
from aowhisk.local.http import Refusal, to_json
from aowhisk.local.invocation import Invocation, Payload
from aowhisk.local.outcome import Response
from aowhisk.local.records import Record
from aowhisk.local.references import path_of
from aowhisk.local.target import Target
from aowhisk.models import JSON

if TYPE_CHECKING:
    from aowhisk.local.composer import Composer

__all__ = ["Composition"]

TOO_LONG = "Too many actions in the composition."
FAILED = "Activation failure during composition."


class Composition:
    """One composition on its way. At most `n` components and `2n + 1` calls of conductors run,
    those of compositions inside it included, where `n` is the longest sequence."""

    def __init__(self, composer: Composer, whole: Invocation, tally: Tally, budget: Budget) -> None:
        self._composer = composer
        self._whole = whole
        self._conductor = Target(whole.action, whole.stored, whole.binding)
        self._tally = tally
        tally.memory = whole.action.limits["memory"]
        self._budget = budget
        self._state: dict[str, JSON] = {}
        self._recoveries: list[str] = []

    async def run(self) -> Response:
        """Call the conductor with the payload, then with what became of each action that it
        named, until it names none.

        Whatever breaks after a component was found is told to the conductor as if it had not been
        found, and once more as if it had been forbidden: so far does OpenWhisk's recovery reach.
        """
        payload: Payload = self._whole.arguments
        while True:
            try:
                answer = await self._turn(payload)
            except Broken:
                if not self._recoveries:
                    raise
                answer = {"error": self._recoveries.pop()}
            if isinstance(answer, Response):
                return answer
            payload = answer

    async def _turn(self, payload: Payload) -> Response | dict[str, JSON]:
        """Call the conductor, and what it names; the end, or the next payload."""
        budget = self._budget
        if budget.conductors > 2 * budget.longest:
            return Response.application_error(TOO_LONG)
        budget.conductors += 1
        given = {} if isinstance(payload, list) else {**payload, **self._state}
        part = await self._composer.container(self._conductor, given, self._whole)
        record = self._ended(part)
        if isinstance(record, Response):
            return record
        result = _object(record)
        params = _boxed(result, "params", "value")
        self._state = _boxed(result, "state", "state") or {}
        if "action" not in result:
            return Response(record.status, result if params is None else params)
        path = path_of(result["action"], self._whole.user.namespace)
        if path is None:
            name = to_json(result["action"]).decode()
            return _error(f"Failed to parse action name from json value {name} during composition.")
        if budget.components >= budget.longest:
            return _error(TOO_LONG)
        return await self._component(path, {} if params is None else params)

    async def _component(self, path: str, params: Payload) -> Response | dict[str, JSON]:
        forbidden = f"Failed entitlement check for action with name '{path}' during composition."
        missing = f"Failed to resolve action with name '{path}' during composition."
        try:
            self._composer.entitlement.check_reference(self._whole.user.namespace, path)
        except Refusal:
            return _error(forbidden)
        self._recoveries.append(forbidden)
        try:
            target = Target.at(self._composer.store, path)
        except Refusal:
            return _error(missing)
        self._recoveries.append(missing)
        return await self._run(target, params)

    async def _run(self, target: Target, params: Payload) -> Response | dict[str, JSON]:
        budget = self._budget
        if target.action.is_conductor:
            inner = budget
        else:
            inner = budget.fresh()
            budget.components += 1
        try:
            part = await self._composer.component(target, params, self._whole, inner)
        except Broken:
            return Response.whisk_error(FAILED)
        record = self._ended(part)
        return record if isinstance(record, Response) else _object(record)

    def _ended(self, part: Invocation) -> Record | Response:
        """Count a part; its record, or the end of the composition where it has none."""
        if part.record is None:
            self._tally.logs.append(part.id)
            return Response.whisk_error(
                f"Timeout reached when retrieving activation {part.id} during composition."
            )
        self._tally.add(part.record)
        return part.record


def _object(record: Record) -> dict[str, JSON]:
    """The result; the controller breaks on an array."""
    result = record.response["result"]
    if not isinstance(result, dict):
        raise Broken
    return result


def _boxed(result: dict[str, JSON], name: str, inside: str) -> dict[str, JSON] | None:
    """What `result` holds by `name`, as an object: anything else is put into one."""
    if name not in result:
        return None
    value = result[name]
    return value if isinstance(value, dict) else {inside: value}


def _error(text: str) -> dict[str, JSON]:
    return {"error": text}
