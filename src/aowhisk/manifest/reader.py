"""Reads packages and actions, in wskdeploy's format."""

from __future__ import annotations

import base64
import io
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aowhisk.manifest.spec import DEFAULT_KIND, ActionLimits, ActionSpec, PackageSpec
from aowhisk.manifest.values import Values
from aowhisk.models import JSON

__all__ = ["Reader"]

_NAME = re.compile(r"\w([\w@.& -]{0,254}[\w@.&-])?", re.ASCII)
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_WEB: dict[object, tuple[str, ...]] = {
    True: ("web-export", "final"),
    "true": ("web-export", "final"),
    "yes": ("web-export", "final"),
    "raw": ("web-export", "final", "raw-http"),
    False: (),
    "false": (),
    "no": (),
}
_NOTES = ("version", "license", "description", "displayName", "repositories", "outputs")
_PACKAGE = {"actions", "inputs", "annotations", "public", *_NOTES}
_ACTION = {"function", "code", "main", "runtime", "inputs", "limits", "annotations", "web", *_NOTES}
_ACTION |= {"web-export", "conductor"}
_LIMITS = {"timeout", "memorySize", "logSize", "concurrentActivations"}


class Reader(Values):
    """Knows which fields packages and actions have, and what they mean."""

    def name(self, value: str, where: str) -> str:
        """A legal name."""
        name = str(self.filled(value, where))
        if not _NAME.fullmatch(name):
            raise self.error(
                where, f"{name!r} is no name: letters, digits and _ @ . & - inside, at most 256"
            )
        return name

    def package(self, name: str, value: object, where: str) -> PackageSpec:
        """One package and what is in it."""
        body = self.fields(value, where, _PACKAGE)
        name = "" if name == "default" else self.name(name, where)
        if not name and (lost := sorted({"inputs", "annotations", "public"} & set(body))):
            raise self.error(
                f"{where}.{lost[0]}", "the default package is no package and cannot hold this"
            )
        actions = self.mapping(body.get("actions"), f"{where}.actions")
        return PackageSpec(
            name=name,
            actions=tuple(
                self.action(name, str(n), b, f"{where}.actions.{n}") for n, b in actions.items()
            ),
            parameters=self.inputs(body.get("inputs"), f"{where}.inputs"),
            annotations=self.plain(body.get("annotations"), f"{where}.annotations"),
            publish=self.boolean(body.get("public", False), f"{where}.public"),
        )

    def action(self, package: str, name: str, value: object, where: str) -> ActionSpec:
        """One action; its code is read now."""
        body = self.fields(value, where, _ACTION)
        name = self.name(name, where)
        code, binary, source = self.code(body, where)
        main = body.get("main")
        return ActionSpec(
            name=f"{package}/{name}" if package else name,
            code=code,
            binary=binary,
            kind=self.text(body.get("runtime", DEFAULT_KIND), f"{where}.runtime"),
            main=None if main is None else self.text(main, f"{where}.main"),
            parameters=self.inputs(body.get("inputs"), f"{where}.inputs"),
            limits=self.limits(body.get("limits"), f"{where}.limits"),
            annotations=self.annotations(body, where),
            source=source,
        )

    def code(self, body: Mapping[str, Any], where: str) -> tuple[str, bool, Path | None]:
        """The code, whether it is a zip in base64, and where it came from."""
        if ("function" in body) == ("code" in body):
            raise self.error(
                where, "give either `function` (a file, folder or zip) or `code` (the source)"
            )
        if "code" in body:
            code = body["code"]
            if not isinstance(code, str) or not code.strip():
                raise self.error(f"{where}.code", "is empty; write the source under `code: |`")
            return self.readable(code, f"{where}.code"), False, None
        where = f"{where}.function"
        path = self._file.parent / self.text(body["function"], where)
        try:
            if path.is_dir():
                return self.folder(path, where), True, path
            if path.suffix == ".zip":
                return base64.b64encode(path.read_bytes()).decode(), True, path
            return self.readable(path.read_text(encoding="utf-8"), where), False, path
        except (OSError, UnicodeDecodeError) as problem:
            raise self.error(where, f"cannot read {path}: {problem}") from problem

    def readable(self, code: str, where: str) -> str:
        """`code`, unless OpenWhisk would take it for base64."""
        if _BASE64.fullmatch(code.strip()):
            raise self.error(
                where, "OpenWhisk would take this source for base64 of a zip; add a comment line"
            )
        return code

    def folder(self, path: Path, where: str) -> str:
        """A zip of the folder, in base64; the same files give the same bytes."""
        if not (path / "__main__.py").is_file():
            raise self.error(
                where,
                f"the folder {path} has no __main__.py, where OpenWhisk looks for the function",
            )
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(
                p for p in path.rglob("*") if p.is_file() and "__pycache__" not in p.parts
            ):
                entry = zipfile.ZipInfo(
                    file.relative_to(path).as_posix()
                )  # no times: same files, same bytes
                entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                archive.writestr(entry, file.read_bytes())
        return base64.b64encode(packed.getvalue()).decode()

    def annotations(self, body: Mapping[str, Any], where: str) -> dict[str, JSON]:
        """The annotations, with those that `web` and `conductor` stand for."""
        found = self.plain(body.get("annotations"), f"{where}.annotations")
        for name in ("web", "web-export"):
            value = body.get(name, False)
            if not isinstance(value, bool | str) or value not in _WEB:
                raise self.error(
                    f"{where}.{name}", f"is {value!r}; allowed are true, false and raw"
                )
            found |= dict.fromkeys(_WEB[value], True)
        if self.boolean(body.get("conductor", False), f"{where}.conductor"):
            found["conductor"] = True
        return found

    def limits(self, value: object, where: str) -> ActionLimits:
        """The limits of one action."""
        body = self.fields(value, where, _LIMITS)
        for name, limit in body.items():
            if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
                raise self.error(f"{where}.{name}", f"is {limit!r}, not a whole number")
        return ActionLimits(
            body.get("timeout"),
            body.get("memorySize"),
            body.get("logSize"),
            body.get("concurrentActivations"),
        )
