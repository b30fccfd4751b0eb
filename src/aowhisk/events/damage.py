"""A damaged SQLite journal: how that is said, found out, and moved out of the way.

Nothing of a damaged file is changed unless somebody says so, and then it is kept under another
name, with what SQLite has beside it.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from aowhisk.errors import ConfigError

try:
    import fcntl
except ImportError:  # Windows renames no file that is open
    fcntl = None  # type: ignore[assignment]

__all__ = ["damages", "move_aside", "reason"]

_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_MOST = 10  # damages that are told
_BESIDE = ("-wal", "-shm", "-journal")


def reason(path: Path, error: sqlite3.Error) -> str:
    """Why a journal cannot be used, and what to do where it is damaged."""
    if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DAMAGE:
        return f"the journal {path} cannot be used: {error}"
    return (
        f"the journal {path} is damaged, or is not a usable SQLite file ({error}); it is left as "
        f"it is. Bring back a copy of it, name another journal, or let `python -m aowhisk journal "
        f"repair --journal sqlite://{quote(str(path))}` look at it and move it aside"
    )


def damages(path: Path) -> list[str]:
    """What is wrong with a file, as SQLite says; empty where it is sound. Reads all of it. Raises
    ConfigError where there is none, or none that can be opened now."""
    if not path.is_file():
        raise ConfigError(f"there is no journal at {path}")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            rows = connection.execute(f"PRAGMA integrity_check({_MOST})").fetchall()
    except sqlite3.OperationalError as error:
        raise ConfigError(f"the journal {path} cannot be looked at now: {error}") from error
    except sqlite3.DatabaseError as error:
        return [str(error)]
    lines = [line for (text,) in rows for line in str(text).splitlines()]
    return [] if lines == ["ok"] else [line for line in lines if not line.startswith("***")]


def move_aside(path: Path) -> Path:
    """Rename a file, and what SQLite has beside it; gives its new name. Raises ConfigError where
    another process is using it; this one must not."""
    _check_unused(path)
    aside = path.with_name(f"{path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}")
    path.rename(aside)
    for suffix in _BESIDE:
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            beside.rename(aside.with_name(aside.name + suffix))
    return aside


def _check_unused(path: Path) -> None:
    """Raise ConfigError where another process has the file open: it would go on writing to the
    renamed one. SQLite holds a shared lock on these bytes as long as it has a file in WAL mode open
    (its `os.h`, "SHARED_FIRST"). Asked by SQLite itself, it would move the log into the file."""
    if fcntl is None:
        return
    with path.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 510, 0x40000002)
        except OSError as error:
            raise ConfigError(
                f"the journal {path} is in use; end the processes that have it open first"
            ) from error
