"""Small documents that all processes of a journal share, changed by one at a time."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:  # SQLite needs none of MongoDB's libraries
    from aowhisk.events.mongo_database import Database

__all__ = ["Change", "amend_mongo", "amend_sqlite"]

T = TypeVar("T")
Change: TypeAlias = Callable[[Mapping[str, Any]], tuple[Mapping[str, Any], T]]
"""From what a document says to what it shall say, and an answer for whoever asked. It may be called
more than once."""


def amend_sqlite(connection: sqlite3.Connection, name: str, change: Change[T]) -> T:
    """Change the document `name`, empty if it is new, in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = connection.execute("SELECT body FROM shared WHERE name = ?", (name,)).fetchone()
        changed, answer = change(json.loads(found[0]) if found else {})
        row = (name, json.dumps(changed))
        connection.execute("INSERT OR REPLACE INTO shared VALUES (?, ?)", row)
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    return answer


async def amend_mongo(database: Database, name: str, change: Change[T]) -> T:
    """The same in MongoDB: of several that change the same version, one succeeds; the others look
    again."""
    while True:
        found = await database.find("shared", {"_id": name})
        if not found:
            await database.insert("shared", [{"_id": name, "version": 0, "body": "{}"}])
            continue
        version = found[0]["version"]
        changed, answer = change(json.loads(found[0]["body"]))
        seen = {"_id": name, "version": version}
        after = {"$set": {"version": version + 1, "body": json.dumps(changed)}}
        if await database.change("shared", seen, after):
            return answer
