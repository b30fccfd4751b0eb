"""What is to be deployed: a manifest whose actions have all they need, and where the store is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from aowhisk.client import Code
from aowhisk.deploy.bundle import bundle, is_python
from aowhisk.errors import ConfigError
from aowhisk.manifest import ActionSpec, Manifest
from object_store.wire import STORE_URL

__all__ = ["Project"]

_AWS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL",
)
"""What a store at s3:// asks the environment for, unless its URL says so."""


@dataclass(frozen=True, slots=True)
class Project:
    """A manifest, read and made ready to be sent. `name` marks everything that it deploys.

    `uses_store` are the names of the actions that get `init` as init parameters, which reach them
    as their environment; these values are in no repr.
    """

    name: str
    manifest: Manifest
    uses_store: frozenset[str] = frozenset()
    init: Mapping[str, str] = field(default_factory=dict, repr=False)
    notes: tuple[str, ...] = ()

    @classmethod
    def load(
        cls,
        manifest: Manifest | str | Path,
        *,
        name: str | None = None,
        store: str | None = None,
        image: str | None = None,
        requirements: bool = True,
        environ: Mapping[str, str] | None = None,
    ) -> Project:
        """Read everything there is to read, and check what can be checked without a server.

        `name` is the project's, by default the manifest's own, else its folder's. `store` is the
        URL of the actions' object store; `image` a container image for the Python actions that name
        none; `requirements` False leaves those to the runtime. The credentials of a store at s3://
        are taken from `environ`, by default the process's, where the URL has none. Raises
        ConfigError; TooLarge for code above OpenWhisk's 48 MB.
        """
        found = manifest if isinstance(manifest, Manifest) else Manifest.load(manifest)
        folder = found.path.resolve().parent
        notes = list(found.notes)
        uses_store: set[str] = set()

        def ready(action: ActionSpec) -> ActionSpec:
            if image is not None and is_python(action) and action.image is None:
                action = replace(action, image=image)
            done = bundle(action, folder, requirements=requirements)
            notes.extend([done.note] if done.note else [])
            uses_store.update([action.name] if done.uses_store else [])
            Code(done.action.kind, done.action.code, binary=done.action.binary).check(action.name)
            return done.action

        packages = tuple(
            replace(package, actions=tuple(map(ready, package.actions)))
            for package in found.packages
        )
        if uses_store and store is None:
            notes.append(
                f"{_listed(uses_store)}: no store is given (--store), so callers "
                "have to name one in object_store_url"
            )
        return cls(
            name or found.project or folder.name or "root",
            replace(found, packages=packages),
            frozenset(uses_store),
            _init(store, os.environ if environ is None else environ) if uses_store else {},
            tuple(notes),
        )

    def init_of(self, action: str) -> Mapping[str, str]:
        """The init parameters of an action."""
        return self.init if action in self.uses_store else {}


def _init(store: str | None, environ: Mapping[str, str]) -> dict[str, str]:
    if store is None:
        return {}
    if store.startswith("memory:"):
        raise ConfigError(
            "the store memory: is gone with the process that has it; name one that actions can "
            "reach, such as s3://host"
        )
    found = {STORE_URL: store}
    if store.startswith("s3"):
        try:
            parts = urlsplit(store)
            own = {"AWS_ACCESS_KEY_ID"} if parts.username else set()
            own |= {"AWS_ENDPOINT_URL_S3"} if parts.hostname else set()
        except ValueError:
            raise ConfigError("the store's URL cannot be read as one") from None
        groups = (_AWS[:3], _AWS[3:5], _AWS[5:])
        for group in groups:
            if own.isdisjoint(group):
                found |= {key: environ[key] for key in group if environ.get(key)}
    return found


def _listed(names: set[str]) -> str:
    shown = sorted(names)
    return ", ".join(shown[:5]) + (f" and {len(shown) - 5} more" if len(shown) > 5 else "")
