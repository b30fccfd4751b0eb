"""Spool files: events that a journal could not take before its process ended.

One file has the events of one run, by one owner, for one journal. It is JSON lines: a head that
says whose they are, the events, and a foot with the digest of all before it. Files and their
folders are their owner's only. The name has a digest of where the journal is, so that the next
process with that journal finds the file, and tells nobody more.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aowhisk.config import state_folder
from aowhisk.errors import JournalError
from aowhisk.events.codec import dumps, from_json, to_json
from aowhisk.events.model import Event

try:
    import fcntl
except ImportError:  # Windows: the numbers of events alone keep two processes apart
    fcntl = None  # type: ignore[assignment]

__all__ = ["Damaged", "Spool", "Spooled", "set_aside"]

_VERSION = 1
_SUFFIX = ".spool"


class Damaged(Exception):
    """A spool file that was cut short or changed."""


@dataclass(frozen=True, slots=True)
class Spooled:
    """Events of a run that `owner` had put; the first has the number `base`."""

    run: str
    owner: str
    base: int
    events: tuple[Event, ...]


class Spool:
    """The spool files of the journal that is at `place`, which names no credentials.

    They are written to `beside`, where that is given and can be written, else to the user's folder
    for state, else to the one for temporary files, and looked for in all of them.
    """

    def __init__(self, place: str, *, beside: Path | None = None) -> None:
        self._place = place
        self._prefix = sha256(place.encode()).hexdigest()[:16]
        self._beside = beside

    def folders(self) -> list[Path]:
        """Where spool files may be, the best place first."""
        user = os.geteuid() if hasattr(os, "geteuid") else "user"
        common = [state_folder() / "spool", Path(tempfile.gettempdir()) / f"aowhisk-spool-{user}"]
        return common if self._beside is None else [self._beside, *common]

    def files(self) -> list[Path]:
        """The spool files of this journal that are ours to read, in a fixed order."""
        found: list[Path] = []
        for folder in self.folders():
            with suppress(OSError):
                found += (
                    path
                    for path in sorted(folder.glob(f"{self._prefix}.*{_SUFFIX}"))
                    if _is_ours(path.lstat())
                )
        return found

    def keep(self, spooled: Spooled) -> Path:
        """Write a file, durably; gives where it is. Raises OSError where there is no place for
        it."""
        data = _encode(spooled, self._place)
        token = spooled.owner.rpartition(":")[2]
        name = f"{self._prefix}.{token}.{quote(spooled.run, safe='')[:100]}{_SUFFIX}"
        failures: list[OSError] = []
        for folder in self.folders():
            try:
                _make_private(folder)
                _write_whole(folder / name, data)
            except OSError as error:
                failures.append(error)
            else:
                return folder / name
        raise failures[-1]

    @contextmanager
    def claim(self, path: Path) -> Iterator[Spooled | None]:
        """What is in a file, for this process alone until the block ends; None where another one
        has it, or has taken it in. Raises Damaged, and JournalError for a file that a newer aowhisk
        wrote."""
        try:
            file = path.open("rb")
        except OSError:
            yield None
            return
        with file:
            if fcntl is not None:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    yield None
                    return
            yield _decode(file.read()) if path.exists() else None


def set_aside(path: Path, why: str) -> Path:
    """Rename a spool file so that it is kept and not read again; gives its new name."""
    aside = path.with_name(f"{path.name}.{why}")
    with suppress(FileNotFoundError):  # another process has done it
        path.rename(aside)
    return aside


def _encode(spooled: Spooled, place: str) -> bytes:
    head = {"v": _VERSION, "journal": place, "run": spooled.run, "owner": spooled.owner}
    lines = [dumps({**head, "base": spooled.base, "count": len(spooled.events)})]
    lines += (
        dumps({"kind": each.kind, "at": each.at, "body": to_json(each)}) for each in spooled.events
    )
    data = "".join(f"{line}\n" for line in lines).encode()
    return data + f"{dumps({'sha256': sha256(data).hexdigest()})}\n".encode()


def _decode(data: bytes) -> Spooled:
    above, newline, foot = data.removesuffix(b"\n").rpartition(b"\n")
    above += newline
    try:
        if json.loads(foot) != {"sha256": sha256(above).hexdigest()}:
            raise Damaged("it is not what was written")
        head, *lines = (json.loads(line) for line in above.splitlines())
    except ValueError as error:
        raise Damaged("it was cut short") from error
    if head["v"] > _VERSION:
        raise JournalError("a newer aowhisk wrote it")
    events = tuple(_event(head["run"], each) for each in lines)
    return Spooled(head["run"], head["owner"], head["base"], events)


def _event(run: str, line: dict[str, Any]) -> Event:
    return from_json(line["kind"], run, line["at"], line["body"])


def _make_private(folder: Path) -> None:
    """Make a folder that is ours alone. Raises OSError where another user has made it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or not _is_ours(found):
        raise PermissionError(f"{folder} is not a folder of ours")
    if stat.S_IMODE(found.st_mode) & 0o077:
        folder.chmod(0o700)


def _is_ours(found: os.stat_result) -> bool:
    return not hasattr(os, "geteuid") or found.st_uid == os.geteuid()


def _write_whole(path: Path, data: bytes) -> None:
    """Write a file that is there as a whole, on the disk, or not at all."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    number = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(number, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # not every system can
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
