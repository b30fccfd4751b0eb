"""The files under a folder store's root: where they are, and how they change."""

from __future__ import annotations

import json
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from object_store.errors import InvalidKey
from object_store.keys import SEGMENT_LIMIT, Key, is_valid_name

try:
    import fcntl
except ImportError:  # Windows: one process at a time
    fcntl = None  # type: ignore[assignment]

__all__ = ["Files", "Metadata", "Opened"]

PRIVATE = ".aowhisk"
"""Where everything lies that is not an object; no bucket can be called so."""


@dataclass(frozen=True)
class Metadata:
    """What is kept about one file, valid as long as the file is the very same."""

    etag: str
    metadata: Mapping[str, str]


@dataclass(frozen=True)
class Opened:
    """A file open for reading, its state, and what is kept about it; `kept` None means nothing."""

    file: BinaryIO
    stat: os.stat_result
    kept: Metadata | None


class Files:
    """The files of one root. Everything here blocks and raises OSError; keys are valid."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._private = root / PRIVATE
        self._temporary = self._private / ".tmp"
        self._real: str | None = None
        self._folds_case: bool | None = None

    def path(self, key: Key) -> Path:
        """Where the object is; InvalidKey where a symbolic link leads out of the root."""
        path = self.root / key.bucket / key.name
        if self._real is None:
            self._real = os.path.realpath(self.root)
        real = os.path.realpath(path)
        inside = os.path.relpath(real, self._real)
        if inside.split(os.sep, 1)[0] in (os.pardir, PRIVATE):
            raise InvalidKey(str(key), "a symbolic link on its path leads out of the store")
        return path

    def open(self, key: Key) -> Opened:
        """Open an object for reading, with what is kept about this very file."""
        opened = self._open(key)
        if opened.kept is not None or not self._private.is_dir():
            return opened
        opened.file.close()
        with self._locked(shared=True):  # a writer may have been between its two renames
            return self._open(key)

    def _open(self, key: Key) -> Opened:
        # O_NONBLOCK: a pipe that someone left here must not hold us for ever
        number = os.open(self.path(key), os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        try:
            now = os.fstat(number)
            if not stat.S_ISREG(now.st_mode):
                raise IsADirectoryError(f"{key} is no regular file")
            return Opened(os.fdopen(number, "rb"), now, self._kept(key, now))
        except BaseException:
            os.close(number)
            raise

    def refuse_clash(self, key: Key) -> None:
        """Raise InvalidKey where the object cannot be beside what is there."""
        path = self.path(key)
        if path.is_dir():
            raise InvalidKey(str(key), "it is a folder of other objects")
        for parent in key.parents:
            if self.path(parent).is_file():
                raise InvalidKey(str(key), f"'{parent}' is an object, so it cannot be a folder")
        if self._folds():
            self._refuse_other_case(key)

    @contextmanager
    def temporary(self) -> Iterator[BinaryIO]:
        """A new file on the same file system; removed afterwards unless it was placed."""
        self._temporary.mkdir(parents=True, exist_ok=True)
        path = self._temporary / secrets.token_hex(12)
        try:
            with path.open("xb") as file:
                yield file
        finally:
            with suppress(FileNotFoundError):
                path.unlink()

    def place(self, key: Key, temporary: Path, written: Opened) -> None:
        """Make `temporary`, which was just `written`, the object, with its metadata."""
        path = self.path(key)
        with self._locked():
            self.refuse_clash(key)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._keep(key, written)
            temporary.replace(path)

    def remove(self, key: Key) -> None:
        """Remove an object, its metadata and the folders that are then empty; none is no error."""
        path = self.path(key)
        if not self._private.is_dir() and not path.exists():
            return
        self._private.mkdir(exist_ok=True)
        with self._locked():
            if path.is_file():
                path.unlink()
                self._prune(path.parent, self.root)
            if path.is_dir():
                return
            for kept in self._places(key):
                with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
                    kept.unlink()
                    self._prune(kept.parent, self._private)

    def keys(self, prefix: Key) -> list[Key]:
        """The keys of a bucket whose names start so, in the order of their bytes."""
        bucket = self.root / prefix.bucket
        folder, _, _ = prefix.name.rpartition("/")
        found = []
        for base, _, names in os.walk(bucket / folder):
            inside = os.path.relpath(base, bucket).replace(os.sep, "/")
            start = "" if inside == "." else inside + "/"
            found += [start + name for name in names if (start + name).startswith(prefix.name)]
        names = sorted(name for name in found if is_valid_name(name))
        return [Key(prefix.bucket, name) for name in names]

    def _kept(self, key: Key, now: os.stat_result) -> Metadata | None:
        for place in self._places(key):
            try:
                data = json.loads(place.read_bytes())
                same = (data["size"], data["mtime_ns"], data["inode"])
                kept = Metadata(data["etag"], data["metadata"])
            except (OSError, ValueError, LookupError, TypeError):
                continue
            if same == (now.st_size, now.st_mtime_ns, now.st_ino):
                return kept
        return None

    def _keep(self, key: Key, written: Opened) -> None:
        assert written.kept is not None
        value = {
            "etag": written.kept.etag,
            "size": written.stat.st_size,
            "mtime_ns": written.stat.st_mtime_ns,
            "inode": written.stat.st_ino,
            "metadata": dict(written.kept.metadata),
        }
        temporary = self._temporary / secrets.token_hex(12)
        temporary.write_text(json.dumps(value))
        for place in self._places(key):
            # the metadata of a/b.json/c and of a/b want the same name: then the other place
            with suppress(NotADirectoryError, IsADirectoryError, FileExistsError):
                place.parent.mkdir(parents=True, exist_ok=True)
                temporary.replace(place)
                return
        temporary.unlink()

    def _places(self, key: Key) -> tuple[Path, ...]:
        """Where metadata are: by name, else by a digest where the name is too long or taken."""
        digest = sha256(str(key).encode()).hexdigest()
        by_digest = self._private / ".names" / f"{digest}.json"
        name = key.name.rpartition("/")[2] + ".json"
        if len(name.encode()) > SEGMENT_LIMIT:
            return (by_digest,)
        return (self._private / key.bucket / f"{key.name}.json", by_digest)

    @contextmanager
    def _locked(self, *, shared: bool = False) -> Iterator[None]:
        """Hold the root's lock, which is one file; for two renames, never for a transfer."""
        if fcntl is None:
            yield
            return
        try:
            number = os.open(self._private / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
        except OSError:
            if not shared:
                raise
            yield  # a store that we may only read
            return
        try:
            fcntl.flock(number, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
            yield
        finally:
            os.close(number)

    def _prune(self, folder: Path, top: Path) -> None:
        while folder != top:
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent

    def _folds(self) -> bool:
        if self._folds_case is None and self._private.is_dir():
            self._folds_case = (self.root / PRIVATE.upper()).is_dir()
        return bool(self._folds_case)

    def _refuse_other_case(self, key: Key) -> None:
        folder = self.root / key.bucket
        for part in key.name.split("/"):
            try:
                names = os.listdir(folder)
            except OSError:
                return
            for name in names:
                if name != part and name.casefold() == part.casefold():
                    raise InvalidKey(
                        str(key), f"this file system does not tell {part!r} from {name!r}"
                    )
            folder = folder / part
