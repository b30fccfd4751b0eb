"""A MongoDB database as the journal uses it; the only door to motor and pymongo.

Only what motor and PyMongo's AsyncMongoClient share, and what needs no session: insert, find,
aggregate, update and delete. Every failure comes out as Away (the same again may succeed) or
JournalError; no message carries credentials. What is acknowledged is on the disks of a majority,
and only that is read.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote

import anyio
import bson
from bson.codec_options import CodecOptions
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient, ReadPreference, UpdateOne, WriteConcern
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    InvalidName,
    OperationFailure,
    PyMongoError,
    WriteConcernError,
)
from pymongo.read_concern import ReadConcern

from aowhisk.errors import ConfigError, JournalError
from aowhisk.events.writer import Away

__all__ = ["Client", "Database", "Encoded", "Index", "encode"]

_DUPLICATE = 11000
_NOT_IMPLEMENTED = 238
_PAGE = 1000  # documents that are decoded at once
_CLOSING = 5.0  # seconds for the last words with a server
_PASSING = {  # codes of failures that pass: a primary steps down, a node stops, a disk is full, ...
    *(6, 7, 24, 43, 50, 64, 89, 91, 112, 133, 134, 175, 189, 234, 237, 262, 365),
    *(9001, 10058, 10107, 11600, 11601, 11602, 13435, 13436, 14031),
}
_DEFAULTS = {
    "serverSelectionTimeoutMS": 2000,
    "connectTimeoutMS": 5000,
    "socketTimeoutMS": 20_000,  # a line that is dead without a word
    "appname": "aowhisk",
}


class Client(Protocol):
    """motor's AsyncIOMotorClient or PyMongo's AsyncMongoClient."""

    def get_database(self, name: str | None = None, **options: Any) -> Any:
        """The database of that name."""

    def close(self) -> Any:
        """Let go of the connections."""


@dataclass(frozen=True, slots=True)
class Index:
    """An index: its keys in order, those that begin with "-" downwards; `only` names the field that
    a document must have to be in it."""

    name: str
    keys: tuple[str, ...]
    unique: bool = False
    only: str | None = None


Encoded = RawBSONDocument


def encode(document: Mapping[str, Any]) -> Encoded | None:
    """The document as it is sent; None where BSON cannot hold it."""
    try:
        return RawBSONDocument(bson.encode(document))
    except (BSONError, OverflowError, UnicodeError, RecursionError):
        return None


class Database:
    """The database `name` behind a URL or a client; a client of the caller's is left open.

    Without a `name` it is the one in the URL, else "aowhisk".
    """

    def __init__(self, where: Client | str, name: str | None = None) -> None:
        self._where = where
        hosts, in_url = _parts(where) if isinstance(where, str) else ("...", None)
        self.name = name or in_url or "aowhisk"
        self.label = f"mongodb://{hosts}/{self.name}"
        self._client: Client | None = None
        self._database: Any = None
        self._collections: dict[str, Any] = {}

    @property
    def place(self) -> str:
        """Where it is, without credentials; of a client of the caller's only known when open."""
        if isinstance(self._where, str):
            return self.label
        hosts = sorted(f"{host}:{port}" for host, port in _servers(self._where))
        return f"mongodb://{','.join(hosts)}/{self.name}"

    @property
    def is_open(self) -> bool:
        """Whether it can be used."""
        return self._database is not None

    async def open(self, prepare: Callable[[Database], Awaitable[None]]) -> None:
        """Connect, and let `prepare` see whether it can be used. Raises ConfigError for one that
        cannot be reached or used, and what `prepare` raises; it is closed then."""
        try:
            self._connect()
            await self.ping()
            await prepare(self)
        except Away as error:
            await self.close()
            raise ConfigError(
                f"the journal {self.label} cannot be reached ({error}); is the server running, and "
                "is AOWHISK_JOURNAL right?"
            ) from error
        except JournalError as error:
            await self.close()
            hint = _hint(error.__cause__)
            if hint is None:
                raise
            raise ConfigError(f"{error}; {hint}") from error
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Let go of a client of our own, also when cancelled."""
        client, self._client, self._database = self._client, None, None
        self._collections.clear()
        if client is not None:
            closing = client.close()
            if isawaitable(closing):
                with anyio.move_on_after(_CLOSING, shield=True):
                    await closing

    async def ping(self) -> None:
        """Return if the server is there; raises Away."""
        with self._door():
            await self._database.command("ping")  # `hello` is not known to every server

    async def insert(
        self, collection: str, documents: Sequence[Any], *, ordered: bool = True
    ) -> set[int]:
        """Insert documents; ordered stops at the first that is there already. Gives back the
        positions of those that were found to be there."""
        if not documents:
            return set()
        with self._door():
            try:
                await self._collection(collection).insert_many(documents, ordered=ordered)
            except BulkWriteError as error:
                return _there(error)
        return set()

    async def find(
        self,
        collection: str,
        query: Mapping[str, Any],
        fields: Sequence[str] | None = None,
        *,
        without: Sequence[str] = (),
        sort: Sequence[tuple[str, int]] = (),
        limit: int = 0,
    ) -> list[dict[str, Any]]:
        """The documents that a query finds, with these fields of theirs or all. `without` names
        what is not needed; it may come all the same."""
        shown = dict.fromkeys(without, 0) if without else fields
        with self._door():
            cursor = self._collection(collection).find(query, shown).batch_size(_PAGE)
            if sort:
                cursor = cursor.sort(list(sort))
            if limit:
                cursor = cursor.limit(limit)
            found: list[dict[str, Any]] = await cursor.to_list(None)
            return found

    async def aggregate(
        self, collection: str, pipeline: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        """What a pipeline makes of the documents."""
        with self._door():
            cursor = self._collection(collection).aggregate(list(pipeline))
            if isawaitable(cursor):  # PyMongo's
                cursor = await cursor
            found: list[dict[str, Any]] = await cursor.to_list(None)
            return found

    async def index(self, collection: str, index: Index) -> None:
        """Make an index, unless it is there; a whole one where the server has no partial ones."""
        options: dict[str, Any] = {"unique": True} if index.unique else {}
        partial = {"partialFilterExpression": {index.only: {"$exists": True}}} if index.only else {}
        keys = [(key.removeprefix("-"), -1 if key[0] == "-" else 1) for key in index.keys]
        with self._door():
            there = self._collection(collection)
            try:
                await there.create_index(keys, name=index.name, **options, **partial)
            except OperationFailure as error:
                if not partial or error.code != _NOT_IMPLEMENTED:
                    raise
                await there.create_index(keys, name=index.name, **options)

    async def update(
        self,
        collection: str,
        changes: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]],
        *,
        upsert: bool = False,
    ) -> None:
        """Change the document that each query finds, by its operators."""
        requests: list[Any] = [UpdateOne(query, change, upsert) for query, change in changes]
        with self._door():
            while requests:
                try:
                    await self._collection(collection).bulk_write(requests, ordered=False)
                    return
                except BulkWriteError as error:  # another made the same document just now
                    requests = [requests[n] for n in sorted(_there(error))]

    async def change(
        self, collection: str, query: Mapping[str, Any], change: Mapping[str, Any]
    ) -> bool:
        """Change the one document that the query finds; whether there was one."""
        with self._door():
            result = await self._collection(collection).update_one(query, change)
            return bool(result.matched_count)

    async def delete(self, collection: str, query: Mapping[str, Any]) -> None:
        """Delete the documents that a query finds."""
        with self._door():
            await self._collection(collection).delete_many(query)

    def _collection(self, name: str) -> Any:
        if self._database is None:
            raise JournalError(f"the journal {self.label} is not open")
        found = self._collections.get(name)
        if found is None:  # its making costs as much as a small insert
            found = self._collections[name] = self._database[name]
        return found

    def _connect(self) -> None:
        client = self._where
        if isinstance(client, str):
            self._client = client = _client(client, self.label)
        try:
            self._database = client.get_database(
                self.name,
                codec_options=CodecOptions(document_class=dict),
                read_preference=ReadPreference.PRIMARY,
                write_concern=WriteConcern("majority", j=True),
                read_concern=ReadConcern("majority"),
            )
        except InvalidName as error:
            raise ConfigError(f"the journal {self.label} cannot be: {error}") from error

    @contextlib.contextmanager
    def _door(self) -> Iterator[None]:
        try:
            yield
        except (PyMongoError, BSONError) as error:
            if _passes(error):
                raise Away(_text(error)) from error
            raise JournalError(
                f"the journal {self.label} cannot be used: {_text(error)}"
            ) from error


def _there(error: BulkWriteError) -> set[int]:
    """The positions of the documents that were there already, if nothing else went wrong."""
    errors = error.details.get("writeErrors") or ()
    others = error.details.get("writeConcernErrors") or ()
    if others or not errors or any(each["code"] != _DUPLICATE for each in errors):
        raise error
    return {each["index"] for each in errors}


def _passes(error: Exception) -> bool:
    """Whether the same may succeed later."""
    if isinstance(error, ConnectionFailure | WriteConcernError):
        return True
    if isinstance(error, BulkWriteError):
        codes = [each["code"] for each in error.details.get("writeErrors") or ()]
        return all(code in _PASSING or code == _DUPLICATE for code in codes)
    if isinstance(error, OperationFailure):
        again = error.has_error_label("RetryableWriteError")
        return again or error.code in _PASSING or error.code == _DUPLICATE
    return False


def _hint(cause: BaseException | None) -> str | None:
    """What to look at where a database could not be opened; None where it is not the URL."""
    if isinstance(cause, ConfigurationError):
        return "check the URL in AOWHISK_JOURNAL"
    if isinstance(cause, OperationFailure):
        return (
            "check the user, the password, authSource, and that the user may read and write this "
            "database and make indexes in it"
        )
    return None


def _text(error: Exception) -> str:
    said = re.split(r", full error|, Timeout:| \(configured timeouts", str(error))[0]
    return f"{type(error).__name__}: {said[:300]}"


def _client(url: str, label: str) -> Client:
    """A client of our own; what the URL says wins over our defaults. The reasons of the library are
    kept back, for they may quote a part of the password."""
    given = {name.lower() for name, _ in parse_qsl(url.partition("?")[2], keep_blank_values=True)}
    options = {k: v for k, v in _DEFAULTS.items() if k.lower() not in given}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # an option that is ignored, else
            client: Client = _library()(url, **options)
            return client
    except (ConfigurationError, ValueError, TypeError, OSError, UserWarning) as error:
        raise ConfigError(
            f"the journal {label} has a URL or options that are not valid "
            f"({type(error).__name__}); write mongodb://user:password@host:port/database, with "
            "user and password percent-encoded"
        ) from None


def _servers(client: Any) -> list[tuple[str, int]]:
    return list(client.topology_description.server_descriptions())


def _library() -> Any:
    try:
        from motor.motor_asyncio import AsyncIOMotorClient
    except ImportError:
        return AsyncMongoClient
    return AsyncIOMotorClient


def _parts(url: str) -> tuple[str, str | None]:
    """Hosts and database of a URL, without a trace of credentials or options."""
    rest = url.partition("://")[2].rpartition("@")[2]
    hosts, _, path = rest.partition("?")[0].partition("/")
    return hosts, unquote(path) or None
