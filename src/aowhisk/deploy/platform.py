"""What the server can do, and what it would refuse: asked before anything is sent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from aowhisk.client import Client, Limits
from aowhisk.deploy.bundle import OLDEST, is_python
from aowhisk.deploy.project import Project
from aowhisk.errors import OpenWhiskError
from aowhisk.manifest import ActionSpec
from aowhisk.models import JSON
from object_store.wire import STORE_URL

__all__ = ["Platform", "Runtime"]

IMAGE = "openwhisk/action-python-v3.11:nightly"
"""The image of `python:3.11` in OpenWhisk's own ansible/files/runtimes.json."""
_MB = 1024 * 1024
_VERSION = re.compile(r"3\.(\d+)")


@dataclass(frozen=True, slots=True)
class Runtime:
    """One kind of the server's; `image` "local" is that of aowhisk serve."""

    kind: str
    image: str
    is_default: bool
    is_deprecated: bool

    @property
    def python(self) -> tuple[int, int] | None:
        """Its Python, as far as the names tell: `python:3` says it in that of its image."""
        for text in (self.kind, self.image):
            if found := _VERSION.search(text):
                return 3, int(found[1])
        return None


@dataclass(frozen=True, slots=True)
class Platform:
    """A namespace's own name and its limits; the server's kinds, none where it does not say."""

    namespace: str
    limits: Limits
    runtimes: Mapping[str, Runtime] = field(default_factory=dict)

    @classmethod
    async def of(cls, client: Client) -> Platform:
        """Ask the server."""
        namespace = client.namespace
        if namespace == "_":
            names = await client.namespaces.list()
            namespace = names[0] if names else "_"
        limits = await client.limits.get()
        try:
            info = await client.info()
        except OpenWhiskError:  # a gateway may show nothing but the API
            info = {}
        return cls(namespace, _filled(limits, info.get("limits")), _runtimes(info.get("runtimes")))

    def resolved(self, kind: str) -> str | None:
        """The kind that `family:default` stands for; None where it is not known."""
        family, _, version = kind.partition(":")
        if version != "default":
            return kind
        return next(
            (one.kind for one in self._family(family) if one.is_default and not one.is_deprecated),
            None,
        )

    def problems(self, project: Project) -> Iterator[str]:
        """What the server would refuse, each with what to do."""
        for action in project.manifest.actions.values():
            about = f"action {action.name!r}"
            yield from (f"{about}: {one}" for one in self._limit_problems(action))
            if action.image is None:
                yield from (f"{about}: {one}" for one in self._kind_problems(action, project))
            init = project.init_of(action.name)
            yield from self._size_problems(about, {**action.parameters, **init})
        for package in project.manifest.packages:
            yield from self._size_problems(f"package {package.name!r}", package.parameters)
        for trigger in project.manifest.triggers.values():
            yield from self._size_problems(f"trigger {trigger.name!r}", trigger.parameters)

    def notes(self, project: Project) -> Iterator[str]:
        """What is no mistake, but worth saying."""
        store = project.init.get(STORE_URL, "")
        remote = {
            action.name: action
            for action in project.manifest.actions.values()
            if action.name in project.uses_store and not self._is_local(action.kind)
        }
        plain = [name for name, action in remote.items() if action.image is None]
        if plain and store.startswith("s3"):
            yield (
                f"{', '.join(plain)}: the store at s3:// needs aioboto3, which OpenWhisk's own "
                "images do not have; name one that has it with --image"
            )
        if remote and _is_here(store):
            yield (
                f"{', '.join(remote)}: in a container, the store's host is the container itself, "
                "or its own folders; give --store as the actions reach it"
            )

    def _family(self, family: str) -> list[Runtime]:
        return [one for one in self.runtimes.values() if one.kind.partition(":")[0] == family]

    def _others(self, kind: str) -> str:
        """The kinds of the same family, else the families there are."""
        family = kind.partition(":")[0]
        kinds = {one.kind for one in self._family(family) if not one.is_deprecated} - {kind}
        if kinds:
            return ", ".join(sorted(kinds))
        families = {one.partition(":")[0] for one in self.runtimes} - {family}
        return f"kinds of {', '.join(sorted(families))}"

    def _is_local(self, kind: str) -> bool:
        found = self.runtimes.get(self.resolved(kind) or kind)
        return found is not None and found.image == "local"

    def _kind_problems(self, action: ActionSpec, project: Project) -> Iterator[str]:
        allowed = self.limits.allowed_kinds
        kind = self.resolved(action.kind) if self.runtimes else action.kind
        if kind is None or (self.runtimes and kind not in self.runtimes):
            yield f"this server has no kind {action.kind!r}; it has {self._others(action.kind)}"
            return
        if self.runtimes and self.runtimes[kind].is_deprecated:
            yield f"the kind {kind!r} is no longer supported; it has {self._others(kind)}"
        if allowed is not None and kind not in allowed:
            yield f"the kind {kind!r} is not allowed here; allowed are {', '.join(allowed)}"
        if action.name in project.uses_store and is_python(action) and kind in self.runtimes:
            yield from self._age_problems(self.runtimes[kind])

    def _age_problems(self, runtime: Runtime) -> Iterator[str]:
        """What is wrong where object_store is to run."""
        version = runtime.python
        if runtime.image == "local" or (version is not None and version >= OLDEST):
            return
        newer = [
            one.kind
            for one in self._family("python")
            if one.python and one.python >= OLDEST and not one.is_deprecated
        ]
        has = f"{runtime.kind} here is " + (
            "Python {}.{}".format(*version) if version else f"an unknown Python ({runtime.image})"
        )
        way = (
            f"write `runtime: {sorted(newer)[-1]}` in the manifest"
            if newer
            else "this server has no newer one, so let it run in an image: "
            f"--image {IMAGE}, or `docker:` in the manifest"
        )
        yield f"object_store needs Python {OLDEST[0]}.{OLDEST[1]}, and {has}; {way}"

    def _limit_problems(self, action: ActionSpec) -> Iterator[str]:
        limits, asked = self.limits, action.limits
        for name, value, low, high, unit in (
            ("timeout", asked.timeout_ms, _ms(limits.min_timeout), _ms(limits.max_timeout), "ms"),
            ("memorySize", asked.memory_mb, limits.min_memory_mb, limits.max_memory_mb, "MB"),
            ("logSize", asked.logs_mb, limits.min_logs_mb, limits.max_logs_mb, "MB"),
            ("concurrentActivations", asked.concurrency, 1, limits.max_concurrency, "at once"),
        ):
            if value is not None and high is not None and value > high:
                yield f"limits.{name} is {value} {unit}; this namespace allows {high} at most"
            if value is not None and low is not None and value < low:
                yield f"limits.{name} is {value} {unit}; this namespace asks for {low} at least"

    def _size_problems(self, about: str, parameters: Mapping[str, JSON]) -> Iterator[str]:
        most = self.limits.max_parameter_size or _MB
        size = sum(
            len(key.encode()) + len(json.dumps(value, separators=(",", ":")).encode())
            for key, value in parameters.items()
        )
        if size > most:
            yield f"{about}: its parameters are {size} bytes; this namespace allows {most}"


def _is_here(store: str) -> bool:
    """Whether a store's URL means this machine only."""
    try:
        host = urlsplit(store).hostname
    except ValueError:
        return False
    return store.startswith("folder:") or host in ("localhost", "127.0.0.1", "::1")


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def _filled(limits: Limits, public: Any) -> Limits:
    """The namespace's limits; what an older server does not tell there stands in `GET /`."""
    found = public if isinstance(public, dict) else {}

    def number(name: str, unit: int) -> int | None:
        value = found.get(name)
        return int(value // unit) if isinstance(value, int | float) else None

    raw = {
        "minActionTimeout": number("min_action_duration", 1),
        "maxActionTimeout": number("max_action_duration", 1),
        "minActionMemory": number("min_action_memory", _MB),
        "maxActionMemory": number("max_action_memory", _MB),
        "minActionLogs": number("min_action_logs", _MB),
        "maxActionLogs": number("max_action_logs", _MB),
    }
    return Limits.from_json({k: v for k, v in raw.items() if v is not None} | dict(limits.raw))


def _runtimes(value: Any) -> dict[str, Runtime]:
    rows = [row for family in value.values() for row in family] if isinstance(value, dict) else []
    return {
        str(row["kind"]): Runtime(
            str(row["kind"]),
            str(row.get("image", "")),
            bool(row.get("default")),
            bool(row.get("deprecated")),
        )
        for row in rows
        if isinstance(row, dict) and "kind" in row
    }
