"""Requirements in pure Python, as the files of a virtual environment that lies in the zip."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from aowhisk.deploy.contents import Entries
from aowhisk.errors import ConfigError

__all__ = ["ACTIVATE", "wanted_lines", "wheel_files"]

_OWN = re.compile(r"aowhisk[-_.]object[-_.]store\b", re.IGNORECASE)
_NATIVE = (".so", ".pyd", ".dylib", ".dll")
_SITE = "virtualenv/lib/site-packages"
ACTIVATE = b'''"""Puts the packages beside it first in the search for modules."""
import os
import sys

base = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(base, "lib", "site-packages"))
'''
"""`virtualenv/bin/activate_this.py`, which the runtime executes before it loads the action. Ours
does not depend on the version of Python that made it, as virtualenv's does."""


def wanted_lines(lines: Sequence[str]) -> list[str]:
    """The lines that ask for something; object_store is zipped in anyhow."""
    stripped = (line.strip() for line in lines)
    return [line for line in stripped if line and line[0] != "#" and not _OWN.match(line)]


def wheel_files(lines: Sequence[str], folder: Path, *, python: str, action: str) -> Entries:
    """What the requirements and all that they need put into a virtual environment, by name in the
    zip; paths in `lines` are relative to `folder`, `python` is the version that it is for.

    Raises ConfigError where there is no wheel in pure Python: nothing is built, and nothing native
    can be taken along.
    """
    with tempfile.TemporaryDirectory(prefix="aowhisk-wheels-") as target:
        listed = Path(target, "requirements.txt")
        listed.write_text("\n".join(lines) + "\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input"]
        command += ["--disable-pip-version-check", "--only-binary=:all:", "--platform", "any"]
        command += ["--implementation", "py", "--abi", "none", "--python-version", python]
        command += ["--dest", target, "--requirement", str(listed)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise _failure(action, done.stderr, python)
        found: dict[str, tuple[bytes, bool]] = {}
        for wheel in sorted(Path(target).glob("*.whl")):
            found |= _unpacked(wheel, action)
    return found


def _unpacked(wheel: Path, action: str) -> dict[str, tuple[bytes, bool]]:
    """The modules of one wheel. What depends on where it is installed (scripts, RECORD) is left
    out, so that the same requirements give the same bytes."""
    found: dict[str, tuple[bytes, bool]] = {}
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        native = [name for name in names if name.endswith(_NATIVE)]
        if native or not wheel.name.endswith("-none-any.whl"):
            raise ConfigError(
                f"action {action!r}: the requirement {wheel.name} is not pure Python"
                f"{f' (it has {native[0]})' if native else ''}; {_IMAGE}"
            )
        for name in names:
            place = _place(name)
            if place is not None:
                found[f"{_SITE}/{place}"] = (archive.read(name), False)
    return found


def _place(name: str) -> str | None:
    """Where a wheel's file goes among the modules (PEP 427); None for what does not go there."""
    if name.endswith(".dist-info/RECORD"):
        return None
    first, _, rest = name.partition("/")
    if not first.endswith(".data"):
        return name
    scheme, _, rest = rest.partition("/")
    return rest if scheme in ("purelib", "platlib") else None


_IMAGE = (
    "build an image with it and name that with `docker:` in the manifest or --image; "
    "or leave the requirements to the runtime with --no-requirements"
)


def _failure(action: str, output: str, python: str) -> ConfigError:
    lines = [line.removeprefix("ERROR: ") for line in output.splitlines() if "ERROR" in line]
    if "No module named pip" in output:
        return ConfigError(
            f"action {action!r} has requirements, which pip has to fetch, and {sys.executable} "
            "has no pip; install it there, or use --no-requirements"
        )
    if missing := re.search(r"No matching distribution found for (.+)", output):
        return ConfigError(
            f"action {action!r}: there is no wheel in pure Python (for {python}) of the "
            f"requirement {missing[1].strip()}; {_IMAGE}"
        )
    last = output.strip().rpartition("\n")[2]
    said = "; ".join(line for line in lines if line != "Exception:") or last[-500:]
    return ConfigError(f"action {action!r}: pip cannot fetch its requirements: {said}")
