"""Where the entities are: one space of names for each namespace."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeVar

from aowhisk.local.entities import Entity, Package, Parameters, merged
from aowhisk.local.http import Refusal

__all__ = ["Store"]

E = TypeVar("E", bound=Entity)
IN_ANOTHER_COLLECTION = "Resource by this name exists but is not in this collection."


class Store:
    """Entities by path, `namespace/[package/]name`; actions, packages, triggers and rules share
    the names. `clock` gives epoch seconds; `watch`, where it is set, hears of each change: what is
    at a path now, None for nothing."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self.watch: Callable[[str, Entity | None], None] | None = None
        self._entities: dict[str, Entity] = {}
        self._serials = itertools.count(1)

    def look(self, path: str) -> Entity | None:
        """Whatever is at `path`."""
        return self._entities.get(path)

    def find(self, kind: type[E], path: str) -> E | None:
        """The entity at `path`, None where nothing is; 409 where there is another kind of thing."""
        found = self._entities.get(path)
        if found is None:
            return None
        if not isinstance(found, kind):
            raise Refusal(409, IN_ANOTHER_COLLECTION)
        return found

    def get(self, kind: type[E], path: str) -> E:
        """The entity at `path`; 404 where nothing is."""
        found = self.find(kind, path)
        if found is None:
            raise Refusal.no_entity()
        return found

    def put(self, entity: E) -> E:
        """Store it, with a new time and serial number."""
        stored = replace(entity, updated=round(self._clock() * 1000), serial=next(self._serials))
        if self.watch is not None:
            self.watch(stored.path, stored)
        self._entities[stored.path] = stored
        return stored

    def amend(self, entity: Entity) -> None:
        """Store it in the place of what it was made from; its time and serial number stay."""
        if self.watch is not None:
            self.watch(entity.path, entity)
        self._entities[entity.path] = entity

    def delete(self, path: str) -> None:
        """Take it away."""
        del self._entities[path]
        if self.watch is not None:
            self.watch(path, None)

    def restore(self, entities: Iterable[Entity]) -> None:
        """Take in what was stored before, as it is."""
        for entity in entities:
            self._entities[entity.path] = entity
        last = max((entity.serial for entity in self._entities.values()), default=0)
        self._serials = itertools.count(last + 1)

    def take_out(self, namespace: str) -> list[Entity]:
        """Everything in `namespace`, which is then empty; nobody hears of it."""
        found = [one for one in self._entities.values() if _is_inside(one, namespace)]
        for entity in found:
            del self._entities[entity.path]
        return found

    def all(self, kind: type[E], namespace: str) -> list[E]:
        """Everything of a kind in the namespace or in one package (`namespace/package`), newest
        first."""
        found = [
            entity
            for entity in self._entities.values()
            if isinstance(entity, kind) and _is_inside(entity, namespace)
        ]
        return sorted(found, key=lambda entity: (entity.updated, entity.serial), reverse=True)

    def actual(self, path: str) -> str:
        """The path of the action that `path` means, through its package's binding; 404 where there
        is no such package."""
        package, _, name = path.rpartition("/")
        return path if "/" not in package else f"{self.package_of(package)[0].path}/{name}"

    def package_of(self, path: str) -> tuple[Package, Parameters]:
        """The package that `path` means, through its binding, and the parameters that it gives
        its actions."""
        package = self.get(Package, path)
        own: Parameters = {}
        while package.binding is not None:  # more than once only where packages were made anew
            own = package.parameters
            package = self.get(Package, package.binding.path)
        return package, merged(package.parameters, own)


def _is_inside(entity: Entity, namespace: str) -> bool:
    return (entity.namespace + "/").startswith(namespace + "/")
