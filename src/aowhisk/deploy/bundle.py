"""Actions as they are sent: object_store and requirements in the zip, where they are needed."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import object_store
from aowhisk.deploy.contents import Entries, files_of, imports
from aowhisk.deploy.requirements import ACTIVATE, wanted_lines, wheel_files
from aowhisk.errors import ConfigError
from aowhisk.manifest import ActionSpec
from aowhisk.manifest.code import pack

__all__ = ["Bundle", "bundle", "is_python"]

_STORE = "object_store"
OLDEST = (3, 10)
"""The oldest Python that object_store runs on."""
_VERSION = re.compile(r"python:3\.(\d+)")


@dataclass(frozen=True, slots=True)
class Bundle:
    """`action` as it is sent; `uses_store`: it imports object_store, so it has to be told where the
    store is; `note` is what whoever deploys it should know."""

    action: ActionSpec
    uses_store: bool
    note: str | None = None


def is_python(action: ActionSpec) -> bool:
    """Whether it is source in Python, whatever image that runs in."""
    return action.kind.partition(":")[0] == "python" and bool(action.code)


def bundle(action: ActionSpec, folder: Path, *, requirements: bool = True) -> Bundle:
    """Put into the action's zip what it needs: object_store where it imports that, and its
    requirements. A zip that was given is sent as it is. `folder` is the manifest's.

    Raises ConfigError for requirements that are not pure Python, unless an image is named, which
    may have them.
    """
    if not is_python(action):
        return Bundle(action, uses_store=False)
    files = _files(action)
    uses_store = any(
        _STORE in imports(data) for name, (data, _) in files.items() if name.endswith(".py")
    )
    if action.source is not None and action.source.is_file() and action.binary:
        return Bundle(action, uses_store)
    added: dict[str, tuple[bytes, bool]] = {}
    if uses_store and not any(name.startswith(f"{_STORE}/") for name in files):
        added |= _store_files()
    note = None
    lines, beside = _requirements(action, folder) if requirements else ([], folder)
    if lines:
        try:
            wheels = wheel_files(lines, beside, python=_version(action), action=action.name)
            added |= {"virtualenv/bin/activate_this.py": (ACTIVATE, False), **wheels}
        except ConfigError:
            if action.image is None:
                raise
            note = f"action {action.name!r}: its requirements are left to the image {action.image}"
    if not added:
        return Bundle(action, uses_store, note)
    code = base64.b64encode(pack({**added, **files})).decode()
    return Bundle(replace(action, code=code, binary=True), uses_store, note)


def _files(action: ActionSpec) -> dict[str, tuple[bytes, bool]]:
    if not action.binary:
        return {"__main__.py": (action.code.encode(), False)}
    return files_of(action.code) or {}


def _requirements(action: ActionSpec, folder: Path) -> tuple[list[str], Path]:
    """The lines, and the folder that paths in them are relative to."""
    if action.requirements is not None:
        return wanted_lines(action.requirements), folder
    if action.source is None:
        return [], folder
    beside = action.source if action.source.is_dir() else action.source.parent
    try:
        text = (beside / "requirements.txt").read_text(encoding="utf-8")
    except FileNotFoundError:
        return [], beside
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigError(f"cannot read {beside / 'requirements.txt'}: {problem}") from problem
    return wanted_lines(text.splitlines()), beside


def _version(action: ActionSpec) -> str:
    """The Python that requirements are chosen for; the oldest that we support where it is not
    said."""
    found = _VERSION.match(action.kind)
    minor = max(int(found[1]), 7) if found else OLDEST[1]
    return f"3.{minor}"


@lru_cache(maxsize=1)
def _store_files() -> Entries:
    """The package object_store, as it runs here."""
    folder = Path(object_store.__file__).parent
    return {
        f"{_STORE}/{file.relative_to(folder).as_posix()}": (file.read_bytes(), False)
        for file in folder.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
