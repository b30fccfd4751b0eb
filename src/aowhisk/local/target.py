"""An action as it was found, and what becomes of its parameters and a payload."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aowhisk.local.entities import Action, Parameters, merged
from aowhisk.local.http import to_json
from aowhisk.local.store import Store
from aowhisk.models import JSON

__all__ = ["Target"]


@dataclass(frozen=True, slots=True)
class Target:
    """An action that was found at a path: `stored` are its parameters over those of its package
    and of the `binding` (a path) that it was found through."""

    action: Action
    stored: Parameters
    binding: str | None

    @classmethod
    def at(cls, store: Store, path: str) -> Target:
        """What is at `path`; 404 where nothing is."""
        package_path, _, name = path.rpartition("/")
        if "/" not in package_path:
            action = store.get(Action, path)
            return cls(action, action.parameters, None)
        package, inherited = store.package_of(package_path)
        action = store.get(Action, f"{package.path}/{name}")
        binding = None if package.path == package_path else package_path
        return cls(action, merged(inherited, action.parameters), binding)

    @property
    def final(self) -> frozenset[str]:
        """The parameters that no payload may override."""
        if self.action.annotations.get("final") is not True:
            return frozenset()
        return frozenset(key for key, one in self.stored.items() if one.value is not None)

    def arguments(
        self, payload: Mapping[str, JSON] | list[JSON]
    ) -> tuple[dict[str, JSON] | list[JSON], dict[str, str]]:
        """What `payload` makes of them: the arguments, and the init parameters as environment.
        An array takes the place of them all."""
        if isinstance(payload, list):
            return payload, {}
        given = {key: one.value for key, one in self.stored.items()} | dict(payload)
        init = {key for key, one in self.stored.items() if one.init}
        if not init:
            return given, {}
        return (
            {key: value for key, value in given.items() if key not in init},
            _environment({key: given[key] for key in init}),
        )


def _environment(parameters: Mapping[str, JSON]) -> dict[str, str]:
    """Init parameters as an action finds them: what is no text is JSON, and null is empty
    (ENT/WhiskAction.scala, containerInitializer)."""
    return {key: _variable(value) for key, value in parameters.items()}


def _variable(value: JSON) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else to_json(value).decode()
