"""The catalog: what OpenWhisk says of the actions that a run uses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import anyio

from aowhisk.client import Client
from aowhisk.errors import OpenWhiskError

__all__ = ["ActionFacts", "Catalog"]

_DEFAULT_LIMIT = 60.0  # seconds; ENT/TimeLimit.scala
_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class ActionFacts:
    """An action's limits: `timeout` in seconds, of a sequence the sum of its components';
    `memory` in MB. A `composed` one runs other actions: it is a sequence or a conductor."""

    timeout: float = _DEFAULT_LIMIT
    memory: int = 256
    composed: bool = False


class Catalog:
    """Asks for each action once, and again when told to."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._facts: dict[str, ActionFacts] = {}
        self._asking: dict[str, anyio.Lock] = {}

    async def check(self, actions: Iterable[str]) -> None:
        """Ask for all of them; raises the first error, NotFound for one that does not exist."""
        room = anyio.CapacityLimiter(_AT_ONCE)
        failed: list[OpenWhiskError] = []

        async def one(action: str) -> None:
            async with room:
                try:
                    await self._ask(action)
                except OpenWhiskError as error:
                    failed.append(error)

        async with anyio.create_task_group() as group:
            for action in dict.fromkeys(actions):
                group.start_soon(one, action)
        if failed:
            raise failed[0]

    async def facts(self, action: str) -> ActionFacts:
        """What is known of an action; asks if nothing is."""
        known = self._facts.get(action)
        if known is None:
            async with self._asking.setdefault(action, anyio.Lock()):
                known = self._facts.get(action)
                return known if known is not None else await self._ask(action)
        return known

    async def _ask(self, action: str, above: frozenset[str] = frozenset()) -> ActionFacts:
        """Ask for it, and for what it is made of, save what it is itself a part of (`above`)."""
        entity = await self._client.actions.get(action, code=False)
        limits, components = entity.limits, entity.code.components
        timeout = limits.timeout if limits.timeout is not None else _DEFAULT_LIMIT
        if components:
            parts = {part: await self._part(part, above | {action}) for part in set(components)}
            timeout = sum(parts[part].timeout for part in components)
        conducts = entity.annotations.get("conductor") not in (None, False, 0, "")
        facts = ActionFacts(
            timeout=timeout,
            memory=limits.memory_mb if limits.memory_mb is not None else 256,
            composed=bool(components) or conducts,
        )
        self._facts[action] = facts
        return facts

    async def _part(self, action: str, above: frozenset[str]) -> ActionFacts:
        if action in above:
            return ActionFacts()
        try:
            return self._facts.get(action) or await self._ask(action, above)
        except OpenWhiskError:  # one that is missing or forbidden ends the sequence by itself
            return ActionFacts()
