"""Activation records: kept for a while, given by id and in lists."""

from __future__ import annotations

import itertools
from collections import deque
from typing import NamedTuple

__all__ = ["Record", "Records"]

_KEPT = 50_000
_LARGEST = 200  # of a page

_ANNOTATIONS = (
    '[{"key":"path","value":"guest/%s"},{"key":"waitTime","value":2},'
    '{"key":"kind","value":"python:3"},{"key":"timeout","value":false},{"key":"limits","value":'
    '{"concurrency":1,"logs":10,"memory":256,"timeout":60000}}]'
)


class Record(NamedTuple):
    """An activation that has ended; times are epoch milliseconds, `result` is JSON text."""

    id: str
    name: str
    start: int
    end: int
    result: str = "{}"
    status: str = "success"

    def whole(self) -> str:
        """As GET by id and a blocking invocation answer it."""
        id, name, start, end, result, status = self
        return (
            f'{{"activationId":"{id}","annotations":{_ANNOTATIONS % name},"duration":{end - start},'
            f'"end":{end},"logs":[],"name":"{name}","namespace":"guest","publish":false,'
            f'"response":{{"result":{result},"size":{len(result)},"status":"{status}",'
            f'"success":{"true" if status == "success" else "false"}}},"start":{start},'
            f'"subject":"guest","version":"0.0.1"}}'
        )

    def summary(self) -> str:
        """As a list without `docs` shows it."""
        id, name, start, end, _, status = self
        code = 0 if status == "success" else 1
        return (
            f'{{"activationId":"{id}","annotations":{_ANNOTATIONS % name},"duration":{end - start},'
            f'"end":{end},"name":"{name}","namespace":"guest","publish":false,'
            f'"start":{start},"statusCode":{code},"version":"0.0.1"}}'
        )


class Records:
    """The newest ones."""

    def __init__(self) -> None:
        self._order: deque[Record] = deque()
        self._by_id: dict[str, Record] = {}
        self._numbers = itertools.count(1)

    def new_id(self) -> str:
        """An activation id."""
        return f"{next(self._numbers):032x}"

    def add(self, record: Record) -> None:
        """Keep it, and forget the oldest."""
        if len(self._order) == _KEPT:
            del self._by_id[self._order.popleft().id]
        self._order.append(record)
        self._by_id[record.id] = record

    def get(self, id: str) -> Record | None:
        """The record, None while (or if) there is none."""
        return self._by_id.get(id)

    def page(self, query: dict[str, str]) -> str:
        """A list, newest start first: `name`, `since`, `upto` (inclusive), `skip`, `limit`, `docs`
        as OpenWhisk has them."""
        since, upto = int(query.get("since", 0)), int(query.get("upto", 2**53))
        name = query.get("name", "").rpartition("/")[2]
        found = [r for r in self._order if since <= r.start <= upto and name in ("", r.name)]
        found.sort(key=lambda record: record.start, reverse=True)
        skip, limit = int(query.get("skip", 0)), min(_LARGEST, int(query.get("limit", 30)))
        whole = query.get("docs") == "true"
        rows = (r.whole() if whole else r.summary() for r in found[skip : skip + limit])
        return f"[{','.join(rows)}]"
