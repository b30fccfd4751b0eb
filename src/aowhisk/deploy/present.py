"""What the namespace holds, in the words of `entity`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field

import anyio
import anyio.to_thread

from aowhisk.client import Action, Client, Package, Rule, Trigger
from aowhisk.deploy.contents import digest
from aowhisk.deploy.entity import MARK, Fields, Kind, Mark, is_default
from aowhisk.errors import DeployError, NotFound, Rejected
from aowhisk.models import JSON

__all__ = ["Listed", "Present", "listed", "look", "look_all"]

_OWN = {MARK, "exec", "binding"}
"""Annotations that OpenWhisk, or we, write."""


@dataclass(frozen=True, slots=True)
class Present:
    """One entity that is there. `hidden` are parameters whose values the server keeps encrypted;
    `inside` the names of what is in a package, at the moment."""

    kind: Kind
    name: str
    fields: Fields = field(repr=False)
    mark: Mark | None = None
    hidden: frozenset[str] = frozenset()
    inside: tuple[str, ...] = ()
    raw: Action | Package | Trigger | Rule | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Listed:
    """One row of the lists, which may lag: enough to know whose it is."""

    kind: Kind
    name: str
    mark: Mark | None


async def look_all(
    client: Client, asked: Iterable[tuple[Kind, str]], *, concurrency: int, code: bool = True
) -> dict[tuple[Kind, str], Present]:
    """Those of these entities that are there. Each is asked for by its name, for lists lag."""
    found: dict[tuple[Kind, str], Present] = {}
    slots = anyio.Semaphore(concurrency)
    failures: list[Exception] = []

    async def one(kind: Kind, name: str) -> None:
        async with slots:
            try:
                present = await look(client, kind, name, code=code)
            except Exception as error:  # noqa: BLE001  raised below, by itself
                failures.append(error)
                group.cancel_scope.cancel()
                return
        if present is not None:
            found[kind, name] = present

    async with anyio.create_task_group() as group:
        for kind, name in asked:
            group.start_soon(one, kind, name)
    if failures:
        raise failures[0]
    return found


async def look(client: Client, kind: Kind, name: str, *, code: bool = True) -> Present | None:
    """One entity by its name, None where it is not there; raises DeployError where something of
    another kind has that name."""
    try:
        if kind in (Kind.PACKAGE, Kind.BINDING):
            return _package(await client.packages.get(name))
        if kind in (Kind.ACTION, Kind.SEQUENCE):
            action = await client.actions.get(name, code=code)
            return await anyio.to_thread.run_sync(_action, action, name)
        if kind is Kind.TRIGGER:
            return _trigger(await client.triggers.get(name))
        return _rule(await client.rules.get(name))
    except NotFound:
        return None
    except Rejected as error:
        if error.status != 409:
            raise
        raise DeployError(
            f"{kind.value} {name!r} cannot be made: something of another kind has its name; "
            "rename one of them",
        ) from error


async def listed(client: Client) -> AsyncIterator[Listed]:
    """Everything in the namespace, as far as the lists know."""
    async for package in client.packages.list():
        kind = Kind.BINDING if package.binding else Kind.PACKAGE
        yield Listed(kind, package.name, _mark(package.annotations))
    async for action in client.actions.list():
        kind = Kind.SEQUENCE if action.kind == "sequence" else Kind.ACTION
        yield Listed(kind, full_name(action), _mark(action.annotations))
    async for trigger in client.triggers.list():
        yield Listed(Kind.TRIGGER, trigger.name, _mark(trigger.annotations))
    async for rule in client.rules.list():
        yield Listed(Kind.RULE, rule.name, _mark(rule.annotations))


def full_name(action: Action) -> str:
    """ "package/name" or "name"."""
    package = action.namespace.partition("/")[2]
    return f"{package}/{action.name}" if package else action.name


def _action(action: Action, name: str) -> Present:
    code = action.code
    fields = _annotations(action.annotations)
    if action.kind == "sequence":
        fields["components"] = list(code.components)
        return Present(Kind.SEQUENCE, name, fields, _mark(action.annotations), raw=action)
    fields |= {"kind": action.kind, "image": code.container, "main": code.main}
    if code.text:
        fields["code"] = digest(code.text, binary=code.binary)
    limits = action.raw.get("limits")
    fields |= {f"limits.{key}": one for key, one in (limits or {}).items()}
    fields |= {f"parameters.{key}": one for key, one in action.parameters.items()}
    fields |= {f"init.{key}": one for key, one in action.init_parameters.items()}
    return Present(
        Kind.ACTION,
        name,
        {path: value for path, value in fields.items() if value is not None or "." in path},
        _mark(action.annotations),
        _hidden(action.raw),
        raw=action,
    )


def _package(package: Package) -> Present:
    fields = _annotations(package.annotations) | {
        f"parameters.{key}": one for key, one in package.parameters.items()
    }
    mark, hidden = _mark(package.annotations), _hidden(package.raw)
    if package.binding:
        fields["binding"] = package.binding
        return Present(Kind.BINDING, package.name, fields, mark, hidden, raw=package)
    fields["publish"] = package.publish
    return Present(Kind.PACKAGE, package.name, fields, mark, hidden, package.actions, raw=package)


def _trigger(trigger: Trigger) -> Present:
    fields = _annotations(trigger.annotations) | {
        f"parameters.{key}": one for key, one in trigger.parameters.items()
    }
    mark, hidden = _mark(trigger.annotations), _hidden(trigger.raw)
    return Present(Kind.TRIGGER, trigger.name, fields, mark, hidden, raw=trigger)


def _rule(rule: Rule) -> Present:
    fields = _annotations(rule.annotations) | {
        "trigger": rule.trigger,
        "action": rule.action,
        "status": rule.status.value if rule.status else None,
    }
    return Present(Kind.RULE, rule.name, fields, _mark(rule.annotations), raw=rule)


def _annotations(annotations: Mapping[str, JSON]) -> dict[str, JSON]:
    return {
        f"annotations.{key}": value
        for key, value in annotations.items()
        if key not in _OWN and not is_default(key, value)
    }


def _mark(annotations: Mapping[str, JSON]) -> Mark | None:
    return Mark.from_json(annotations.get(MARK))


def _hidden(raw: Mapping[str, JSON]) -> frozenset[str]:
    rows = raw.get("parameters") or ()
    return frozenset(str(row["key"]) for row in rows if row.get("encryption"))
