"""Packages, triggers, rules, namespaces and limits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from aowhisk.client.connection import Connection, to_bytes
from aowhisk.client.entity import (
    Limits,
    Package,
    Rule,
    RuleStatus,
    Trigger,
    annotations_to_json,
    parameters_to_json,
)
from aowhisk.client.names import collection_path, parse
from aowhisk.client.paging import pages_by_skip
from aowhisk.models import JSON

__all__ = ["LimitsResource", "Namespaces", "Packages", "Rules", "Triggers"]


class _Entities:
    """What packages, triggers and rules have in common: one request for one name."""

    kind: str

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def delete(self, name: str) -> None:
        """Delete it."""
        await self._request("DELETE", name)

    async def _request(
        self,
        method: str,
        name: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Mapping[str, JSON] | None = None,
    ) -> Any:
        namespace = self._connection.namespace
        entity = parse(name, kind=self.kind)
        about = f"{self.kind} '{entity}'"
        return await self._connection.request(
            method,
            entity.path(f"{self.kind}s", namespace),
            about=about,
            missing=f"not found in namespace '{entity.namespace or namespace}'",
            query=query,
            body=None if body is None else to_bytes(body, about=about),
        )

    async def _put(self, name: str, body: Mapping[str, JSON], *, overwrite: bool) -> Any:
        query = {"overwrite": "true"} if overwrite else None
        data = await self._request("PUT", name, query=query, body=body)
        if isinstance(data, dict) and "name" in data:
            return data
        return await self._request("GET", name)  # the operator has switched answers off

    def _rows(self, limit: int | None, skip: int) -> AsyncIterator[dict[str, Any]]:
        path = collection_path(f"{self.kind}s", self._connection.namespace)
        about = f"the list of {self.kind}s"
        return pages_by_skip(self._connection, path, about=about, limit=limit, skip=skip)


class Packages(_Entities):
    """`client.packages`; names are "package" or "/namespace/package"."""

    kind = "package"

    async def put(
        self,
        name: str,
        *,
        parameters: Mapping[str, JSON] | None = None,
        annotations: Mapping[str, JSON] | None = None,
        binding: str | None = None,
        publish: bool | None = None,
        overwrite: bool = False,
    ) -> Package:
        """Create the package, or with `overwrite` update it; None leaves as it was.

        `binding` makes it stand for another one, "/namespace/package".
        """
        body = _body(parameters, annotations)
        if publish is not None:
            body["publish"] = publish
        if binding is not None:
            target = parse(binding, kind="package")
            namespace = target.namespace or self._connection.namespace
            body["binding"] = {"namespace": namespace, "name": target.name}
        return Package.from_json(await self._put(name, body, overwrite=overwrite))

    async def get(self, name: str) -> Package:
        """The package with the names of its actions."""
        return Package.from_json(await self._request("GET", name))

    async def delete(self, name: str, *, force: bool = False) -> None:
        """Delete the package; with `force` also what is in it, else that is Rejected (409)."""
        await self._request("DELETE", name, query={"force": "true"} if force else None)

    async def list(self, *, limit: int | None = None, skip: int = 0) -> AsyncIterator[Package]:
        """All packages, newest first; at most `limit`."""
        async for row in self._rows(limit, skip):
            yield Package.from_json(row)


class Triggers(_Entities):
    """`client.triggers`; names are "trigger" or "/namespace/trigger"."""

    kind = "trigger"

    async def put(
        self,
        name: str,
        *,
        parameters: Mapping[str, JSON] | None = None,
        annotations: Mapping[str, JSON] | None = None,
        overwrite: bool = False,
    ) -> Trigger:
        """Create the trigger, or with `overwrite` update it; None leaves as it was."""
        body = _body(parameters, annotations)
        return Trigger.from_json(await self._put(name, body, overwrite=overwrite))

    async def get(self, name: str) -> Trigger:
        """The trigger with the names of its rules."""
        return Trigger.from_json(await self._request("GET", name))

    async def fire(self, name: str, params: Mapping[str, JSON] | None = None) -> str | None:
        """Fire it; the id of the trigger's activation, None where no active rule listens.

        In the latter case (204) nothing happens and nothing is recorded.
        """
        data = await self._request("POST", name, body=params or {})
        return str(data["activationId"]) if isinstance(data, dict) else None

    async def list(self, *, limit: int | None = None, skip: int = 0) -> AsyncIterator[Trigger]:
        """All triggers, newest first; at most `limit`."""
        async for row in self._rows(limit, skip):
            yield Trigger.from_json(row)


class Rules(_Entities):
    """`client.rules`; names are "rule" or "/namespace/rule"."""

    kind = "rule"

    async def put(
        self,
        name: str,
        *,
        trigger: str,
        action: str,
        annotations: Mapping[str, JSON] | None = None,
        overwrite: bool = False,
    ) -> Rule:
        """Let `trigger` set off `action`; both must exist. A new rule is active."""
        namespace = self._connection.namespace
        body = _body(None, annotations)
        body["trigger"] = parse(trigger, kind="trigger").qualified(namespace)
        body["action"] = parse(action, kind="action", packaged=True).qualified(namespace)
        return Rule.from_json(await self._put(name, body, overwrite=overwrite))

    async def get(self, name: str) -> Rule:
        """The rule with its status."""
        return Rule.from_json(await self._request("GET", name))

    async def status(self, name: str) -> RuleStatus | None:
        """Whether the rule acts; lists do not say it."""
        return (await self.get(name)).status

    async def enable(self, name: str) -> None:
        """Make the rule act; fine if it does."""
        await self._request("POST", name, body={"status": RuleStatus.ACTIVE.value})

    async def disable(self, name: str) -> None:
        """Make the rule rest; fine if it does."""
        await self._request("POST", name, body={"status": RuleStatus.INACTIVE.value})

    async def list(self, *, limit: int | None = None, skip: int = 0) -> AsyncIterator[Rule]:
        """All rules, newest first, without their status; at most `limit`."""
        async for row in self._rows(limit, skip):
            yield Rule.from_json(row)


class Namespaces:
    """`client.namespaces`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def list(self) -> tuple[str, ...]:
        """The names of the key's namespaces; OpenWhisk gives exactly one."""
        rows = await self._connection.request("GET", "/namespaces", about="the list of namespaces")
        return tuple(map(str, rows))


class LimitsResource:
    """`client.limits`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def get(self) -> Limits:
        """The limits of the client's namespace, as far as the server tells."""
        path = collection_path("limits", self._connection.namespace)
        data = await self._connection.request("GET", path, about="the limits")
        return Limits.from_json(data)


def _body(
    parameters: Mapping[str, JSON] | None, annotations: Mapping[str, JSON] | None
) -> dict[str, JSON]:
    body: dict[str, JSON] = {}
    if parameters is not None:
        body["parameters"] = parameters_to_json(parameters)
    if annotations is not None:
        body["annotations"] = annotations_to_json(annotations)
    return body
