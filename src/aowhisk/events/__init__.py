"""Events: the facts of a run, and everything that receives them."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote

from aowhisk.errors import ConfigError
from aowhisk.events.memory import MemoryJournal
from aowhisk.events.model import Event, RunState
from aowhisk.events.sink import Journal, Recorder, Sink, Written
from aowhisk.events.spool import Spool

__all__ = [
    "Event",
    "Journal",
    "MemoryJournal",
    "Recorder",
    "RunState",
    "Sink",
    "Written",
    "open_journal",
    "take_in_spool",
]


async def take_in_spool(url: str) -> None:
    """Let the journal of a URL have what earlier processes could not write to it, if there is
    anything. Who opens a journal need not ask for it; this is for those who only read. Raises what
    opening it raises."""
    journal = open_journal(url)
    spool = getattr(journal, "spool", None)  # one in memory has none
    if isinstance(spool, Spool) and spool.files():
        await journal.open()
        await journal.close()


def open_journal(where: Journal | str) -> Journal:
    """The journal that a URL names; a Journal is given back as it is. Raises ConfigError.

    `memory:` keeps events as long as the process lives. `sqlite:///absolute/path` (or
    `sqlite:relative/path`) keeps them in a file; `?sync=full` makes it survive a loss of power, not
    only of the process. `mongodb://user:password@host/database` shares them among any number of
    processes.
    """
    if not isinstance(where, str):
        return where
    if where in ("memory:", "memory://"):
        return MemoryJournal()
    scheme, _, rest = where.partition(":")
    if scheme == "sqlite":
        from aowhisk.events.sqlite import SqliteJournal

        path, _, query = rest.removeprefix("//").partition("?")
        options = dict(parse_qsl(query, keep_blank_values=True))
        if not path.strip("/") or set(options) - {"sync"}:
            raise ConfigError(
                f"{where!r} names no journal; write sqlite:///absolute/path or "
                "sqlite:///absolute/path?sync=full"
            )
        if path.startswith("//"):  # sqlite:////path, as others write it; SQLite takes it for a host
            path = f"/{path.lstrip('/')}"
        return SqliteJournal(unquote(path), **options)
    if scheme in ("mongodb", "mongodb+srv"):
        try:
            from aowhisk.events.mongo import MongoJournal
        except ImportError as error:
            raise ConfigError(
                "a journal in MongoDB needs motor or pymongo; pip install 'aowhisk[mongo]'"
            ) from error
        return MongoJournal(where)
    raise ConfigError(
        f"no journal for {scheme}: URLs; there are memory:, sqlite:///path and "
        "mongodb://user:password@host/database"
    )
