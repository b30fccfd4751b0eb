"""What an action runs."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aowhisk.client.names import parse
from aowhisk.errors import Rejected, TooLarge
from aowhisk.models import JSON

__all__ = ["Code"]

LIMIT = 48 * 1024 * 1024
"""Characters of code as sent, that is of base64 for a zip (ENT/Exec.scala)."""
_BASE64 = re.compile(  # what ENT/Exec.scala takes for binary, after trimming
    r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})"
)


@dataclass(frozen=True, slots=True)
class Code:
    """What an action runs; build it with `source`, `archive`, `image` or `sequence`.

    `python:default` is the one Python kind that every OpenWhisk has: `python:3` is gone from 2.0
    on and the only one before.
    """

    kind: str = "python:default"
    text: str | None = field(default=None, repr=False)
    main: str | None = None
    container: str | None = None
    components: tuple[str, ...] = ()
    binary: bool = False

    @classmethod
    def source(cls, text: str, *, kind: str = "python:default", main: str | None = None) -> Code:
        """One source file."""
        return cls(kind, text, main)

    @classmethod
    def archive(cls, data: bytes, *, kind: str = "python:default", main: str | None = None) -> Code:
        """The bytes of a zip; for Python with a `__main__.py` at its root."""
        # in one line: base64 with line breaks would be taken for source
        return cls(kind, base64.b64encode(data).decode("ascii"), main, binary=True)

    @classmethod
    def image(cls, container: str, *, text: str | None = None, main: str | None = None) -> Code:
        """A container image, with or without a source for it."""
        return cls("blackbox", text, main, container)

    @classmethod
    def sequence(cls, *components: str) -> Code:
        """Actions run one after the other, each given the result of the one before."""
        return cls("sequence", components=components)

    def check(self, action: str) -> None:
        """Raise TooLarge or Rejected for what OpenWhisk would refuse or take for something else."""
        text = self.text or ""
        request = f"PUT actions/{action}"
        if len(text) > LIMIT:
            grown = " (a third more than the zip: it travels as base64)" if self.binary else ""
            raise TooLarge(
                f"the code of action '{action}' is {len(text)} characters{grown}, over OpenWhisk's "
                f"{LIMIT}; move libraries into an image. Nothing was sent",
                request=request,
            )
        if text and not self.binary and _BASE64.fullmatch(text.strip()):
            raise Rejected(
                f"the source of action '{action}' would be taken for a zip: it consists of base64 "
                "characters only; add a comment line. Nothing was sent",
                request=request,
            )

    def to_json(self, namespace: str = "_") -> dict[str, JSON]:
        """The `exec` of a PUT; components without a namespace are taken from `namespace`."""
        given = {"code": self.text, "main": self.main, "image": self.container}
        out: dict[str, JSON] = {"kind": self.kind}
        out.update({key: value for key, value in given.items() if value is not None})
        if self.components:
            out["components"] = [
                parse(part, kind="action", packaged=True).qualified(namespace)
                for part in self.components
            ]
        return out

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Code:
        """Read an `exec`; in lists it has no kind and no code."""
        return cls(
            kind=str(data.get("kind", "")),
            text=data.get("code"),
            main=data.get("main"),
            container=data.get("image"),
            components=tuple(data.get("components") or ()),
            binary=bool(data.get("binary", False)),
        )
