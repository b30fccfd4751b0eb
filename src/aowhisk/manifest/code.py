"""Reads what an action runs: a source, a folder, a zip, an image."""

from __future__ import annotations

import base64
import io
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import takewhile
from pathlib import Path
from typing import Any

from aowhisk.manifest.spec import DEFAULT_KIND
from aowhisk.manifest.values import Values

__all__ = ["Code", "CodeReader", "pack"]

NATIVE_IMAGE = "openwhisk/dockerskeleton"
"""What `native: true` stands for, as in wsk and wskdeploy."""
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_REMOTE = re.compile(r"https?://|github\.com/")
_FAMILIES = {
    ".py": "python",
    ".js": "nodejs",
    ".java": "java",
    ".jar": "java",
    ".php": "php",
    ".rb": "ruby",
    ".go": "go",
    ".swift": "swift",
    ".rs": "rust",
}
_BINARY = {".zip", ".jar"}
_PATTERN = re.compile(r"[*?\[]")
_KIND = re.compile(r"[a-z]+(?::[\w.-]+)?")


@dataclass(frozen=True, slots=True)
class Code:
    """`text` is the source, or base64 where `binary`; `family` what its file looks like."""

    text: str
    binary: bool = False
    source: Path | None = None
    family: str | None = None


class CodeReader(Values):
    """Reads `function`, `code`, `runtime`, `docker` and what belongs to them."""

    def code(self, body: Mapping[str, Any], where: str) -> Code:
        """The code of an action."""
        function = body.get("function") or body.get("location")
        if function and body.get("code"):
            raise self.error(
                where, "give either `function` (a file, folder or zip) or `code` (the source)"
            )
        if function:
            field = "function" if body.get("function") else "location"
            try:
                return self._function(function, body, f"{where}.{field}")
            except (OSError, ValueError) as problem:  # a text may be what no path or pattern can be
                path = self._file.parent / str(function)
                raise self.error(f"{where}.{field}", f"cannot read {path}: {problem}") from problem
        if body.get("include") or body.get("exclude"):
            raise self.error(where, "`include` and `exclude` need a folder as `function`")
        if "code" in body:
            code = body["code"]
            if not isinstance(code, str) or not code.strip():
                raise self.error(f"{where}.code", "is empty; write the source under `code: |`")
            return Code(self._readable(code, f"{where}.code"))
        if body.get("docker") or body.get("native"):
            return Code("")
        raise self.error(
            where, "give either `function` (a file, folder or zip) or `code` (the source)"
        )

    def kind(self, body: Mapping[str, Any], code: Code, where: str) -> str:
        """The kind that is asked for, else the default one for such a file."""
        field = "runtime" if body.get("runtime") else "kind"
        written = body.get(field)
        if not written or written == "language:default":
            if (
                code.family is None
                and code.source
                and not (body.get("docker") or body.get("native"))
            ):
                raise self.error(where, f"write its `runtime`: {code.source} does not tell")
            return f"{code.family}:default" if code.family else DEFAULT_KIND
        kind = self.text(written, f"{where}.{field}").replace("@", ":")
        if not _KIND.fullmatch(kind):
            raise self.error(
                f"{where}.{field}", f"is {kind!r}; write a kind, such as python:3.11 or nodejs"
            )
        if code.family not in (None, kind.partition(":")[0]):
            self.notes.append(
                f"{where}.{field} is {kind}, and {code.source} looks like {code.family}"
            )
        return kind if ":" in kind else f"{kind}:default"

    def image(self, body: Mapping[str, Any], where: str) -> str | None:
        """The container image, if there is one."""
        docker, native = body.get("docker"), self.boolean(body.get("native", False), where)
        if docker and native:
            raise self.error(f"{where}.native", "is another word for an image; keep one of them")
        if native:
            return NATIVE_IMAGE
        return self.text(docker, f"{where}.docker") if docker else None

    def _function(self, written: object, body: Mapping[str, Any], where: str) -> Code:
        name = self.text(written, where)
        if _REMOTE.match(name):
            raise self.error(where, f"is {name}; fetch it and name the file: nothing is downloaded")
        path = self._file.parent / name
        if path.is_dir():
            return self._folder(path, body, where)
        if body.get("include") or body.get("exclude"):
            raise self.error(where, f"{path} is no folder, as `include` and `exclude` need it")
        family = _FAMILIES.get(path.suffix)
        if path.suffix in _BINARY or _is_program(path):
            data = path.read_bytes()
            if path.suffix == ".zip" and not (body.get("docker") or body.get("native")):
                family = self._family(data, path, where)
            return Code(base64.b64encode(data).decode(), True, path, family)
        text = path.read_text(encoding="utf-8")
        return Code(self._readable(text, where), source=path, family=family)

    def _family(self, data: bytes, path: Path, where: str) -> str | None:
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                return _family_of(archive.namelist())
        except zipfile.BadZipFile as problem:
            raise self.error(where, f"{path} is no zip: {problem}") from problem

    def _readable(self, code: str, where: str) -> str:
        """`code`, unless OpenWhisk would take it for base64."""
        if _BASE64.fullmatch(code.strip()):
            raise self.error(
                where, "OpenWhisk would take this source for base64 of a zip; add a comment line"
            )
        return code

    def _folder(self, path: Path, body: Mapping[str, Any], where: str) -> Code:
        """A zip of the folder, in base64; the same files give the same bytes."""
        files = {file.relative_to(path).as_posix(): file for file in _files(path)}
        place = where.rpartition(".")[0]
        left_out = self._excluded(path, files, body.get("exclude"), f"{place}.exclude")
        files = {name: file for name, file in files.items() if name not in left_out}
        files |= self._included(body.get("include"), place)
        family = _family_of(files)
        asked = body.get("runtime") or body.get("kind") or "python"
        is_python = str(asked).startswith("python") and family != "nodejs"
        if is_python and not (body.get("docker") or body.get("native") or "__main__.py" in files):
            raise self.error(
                where,
                f"the folder {path} has no __main__.py, where OpenWhisk looks for the function",
            )
        entries = {
            name: (file.read_bytes(), bool(file.stat().st_mode & 0o111))
            for name, file in files.items()
        }
        return Code(base64.b64encode(pack(entries)).decode(), True, path, family)

    def _excluded(
        self, folder: Path, files: Mapping[str, Path], value: object, where: str
    ) -> set[str]:
        """Names of the folder's files that are left out: by paths beside the manifest, possibly
        patterns, as in wskdeploy; one that is nothing of the folder's there, by name inside it."""
        inside = {file.resolve(): name for name, file in files.items()}
        found: set[str] = set()
        for number, entry in enumerate(self._list(value, where)):
            pattern = self.text(entry, f"{where}.{number}")
            if Path(pattern).is_absolute():
                raise self.error(f"{where}.{number}", "is no path beside the manifest")
            matches = self._file.parent.glob(pattern)
            matched = {
                inside[file.resolve()]
                for match in matches
                for file in (_files(match) if match.is_dir() else [match])
                if file.resolve() in inside
            } or {name for name in files if fnmatch(name, pattern)}
            if not matched:
                self.notes.append(f"{where}.{number} leaves out nothing of {folder}: {pattern}")
            found |= matched
        return found

    def _included(self, value: object, where: str) -> dict[str, Path]:
        """More files for the zip, also such as are left out: [source] or [source, destination],
        the source beside the manifest and possibly a pattern. An empty entry says nothing."""
        found: dict[str, Path] = {}
        for number, entry in enumerate(self._list(value, f"{where}.include")):
            place = f"{where}.include.{number}"
            parts = [self.text(part, place) for part in self._list(entry, place)]
            if not parts:
                continue
            if len(parts) > 2 or Path(parts[0]).is_absolute():
                raise self.error(
                    place, "is neither [source] nor [source, destination], beside the manifest"
                )
            matches = sorted(self._file.parent.glob(parts[0]))
            if not matches:
                raise self.error(place, f"there is no {self._file.parent / parts[0]}")
            for match in matches:
                target = self._target(match, *parts)
                for file in _files(match) if match.is_dir() else [match]:
                    name = Path(target, file.relative_to(match)).as_posix()
                    found[name] = file
        return found

    def _target(self, match: Path, source: str, destination: str | None = None) -> str:
        """Where a file or folder that was found for `source` goes: to the same path, or to
        `destination`, which is a folder for a pattern, and for a file with a slash at its end."""
        fixed = Path(*takewhile(lambda part: not _PATTERN.search(part), Path(source).parts))
        inside = match.relative_to(self._file.parent / fixed)
        if destination is None:
            target = Path(*(part for part in Path(fixed, inside).parts if part != ".."))
        elif fixed != Path(source):
            target = Path(destination.partition("*")[0], inside)
        elif destination.endswith("/") and match.is_file():
            target = Path(destination, match.name)
        else:
            target = Path(destination)
        return "/".join(part for part in target.parts if part not in ("/", ".."))

    def _list(self, value: object, where: str) -> list[Any]:
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.error(where, f"is {value!r}, not a list")
        return value


def pack(entries: Mapping[str, tuple[bytes, bool]]) -> bytes:
    """A zip of these files (contents, and whether executable): without times and in order, so that
    the same files give the same bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, (data, executable) in sorted(entries.items()):
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o755 if executable else 0o644) << 16
            archive.writestr(entry, data)
    return packed.getvalue()


def _family_of(names: Iterable[str]) -> str | None:
    """What a zip of these files is for, where that can be told."""
    found = set(names)
    if "__main__.py" in found:
        return "python"
    return "nodejs" if found & {"package.json", "index.js"} else None


def _files(folder: Path) -> Iterator[Path]:
    return (p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts)


def _is_program(path: Path) -> bool:
    """Whether it is machine code (ELF, Mach-O)."""
    with path.open("rb") as file:
        return file.read(4) in (b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xfe\xed\xfa\xcf")
