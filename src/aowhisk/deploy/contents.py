"""What lies in an action's code: the files of a zip, the imports of a source, a digest of it."""

from __future__ import annotations

import ast
import base64
import binascii
import hashlib
import io
import zipfile
from collections.abc import Iterator, Mapping

__all__ = ["Entries", "digest", "files_of", "imports"]

Entries = Mapping[str, tuple[bytes, bool]]
"""Files by their names inside a zip: contents, and whether executable."""


def files_of(code: str) -> dict[str, tuple[bytes, bool]] | None:
    """The files of a zip in base64; None where it is none."""
    try:
        with zipfile.ZipFile(io.BytesIO(base64.b64decode(code))) as archive:
            return {
                entry.filename: (archive.read(entry), bool(entry.external_attr >> 16 & 0o111))
                for entry in archive.infolist()
                if not entry.is_dir()
            }
    except (binascii.Error, ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError):
        return None


def digest(code: str, *, binary: bool) -> str:
    """A digest of the code; for a zip of its files, for zlib packs differently from place to
    place."""
    files = files_of(code) if binary else None
    if files is None:
        return hashlib.sha256(code.encode()).hexdigest()
    total = hashlib.sha256()
    for part in _parts(files):
        total.update(b"%d:" % len(part))
        total.update(part)
    return total.hexdigest()


def _parts(files: Entries) -> Iterator[bytes]:
    for name, (data, executable) in sorted(files.items()):
        yield name.encode()
        yield b"x" if executable else b"-"
        yield hashlib.sha256(data).digest()


def imports(source: str | bytes) -> set[str]:
    """The top-level modules that a Python source imports, wherever in it; none where it is not
    Python."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return set()
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found
