"""The names of entities: what may be one, and where it lies in a URL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote

from aowhisk.errors import Rejected

__all__ = ["Name", "activation_path", "collection_path", "parse"]

_SEGMENT = re.compile(r"\w(?:[\w@ .&-]{0,254}[\w@.&-])?", re.ASCII)  # ENT/EntityPath.scala
_ACTIVATION = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Name:
    """A parsed name; `namespace` None means the client's own, `package` None the default one."""

    name: str
    package: str | None = None
    namespace: str | None = None

    def __str__(self) -> str:
        return self.name if self.package is None else f"{self.package}/{self.name}"

    def qualified(self, namespace: str) -> str:
        """`/namespace/[package/]name`, as rules and sequences name actions."""
        return f"/{self.namespace or namespace}/{self}"

    def path(self, collection: str, namespace: str) -> str:
        """The URL's path below `/api/v1`, each segment encoded by itself."""
        parts = [self.namespace or namespace, collection]
        parts += [self.name] if self.package is None else [self.package, self.name]
        return "/namespaces/" + "/".join(quote(part, safe="") for part in parts)


def collection_path(collection: str, namespace: str) -> str:
    """The URL's path of a whole collection below `/api/v1`."""
    return f"/namespaces/{quote(namespace, safe='')}/{collection}"


@lru_cache(maxsize=4096)
def parse(text: str, *, kind: str, packaged: bool = False) -> Name:
    """Read "name", "package/name" (where `packaged`), or either with "/namespace/" in front.

    Raises Rejected for what OpenWhisk would refuse as a name; `kind` says what it names.
    """
    parts = text.split("/")
    namespace = None
    if text.startswith("/"):
        namespace, parts = (parts[1] if len(parts) > 2 else ""), parts[2:]
    if not 1 <= len(parts) <= (2 if packaged else 1):
        form = "name, package/name or /namespace/package/name" if packaged else "name"
        raise _refused(kind, text, f"write {form}")
    for part in parts if namespace is None else [namespace, *parts]:
        if not _SEGMENT.fullmatch(part):
            raise _refused(
                kind,
                text,
                f"{part!r} must be 1 to 256 letters, digits or _ @ . & - or blanks, "
                "start with a letter, digit or _ and not end with a blank",
            )
    return Name(parts[-1], parts[0] if len(parts) == 2 else None, namespace)


def activation_path(activation_id: str) -> str:
    """The id itself, once it can be one: 32 lowercase hexadecimal digits; raises Rejected."""
    if not _ACTIVATION.fullmatch(activation_id):
        raise _refused("activation", activation_id, "an id is 32 lowercase hexadecimal digits")
    return activation_id


def _refused(kind: str, text: str, why: str) -> Rejected:
    return Rejected(
        f"{text!r} is no name of an OpenWhisk {kind}: {why}; nothing was sent",
        request=f"name {kind}",
    )
