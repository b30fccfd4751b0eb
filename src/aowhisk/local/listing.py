"""The query parameters that all lists share: limit, skip, count."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from aowhisk.local.http import Refusal, Reply
from aowhisk.local.request import Request
from aowhisk.models import JSON

__all__ = ["Page", "whole"]

T = TypeVar("T")
LARGEST = 200
_WHOLE = re.compile(r"[+-]?[0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is wanted, or only how long it is."""

    collection: str
    limit: int
    skip: int
    count: bool

    @classmethod
    def of(cls, request: Request, collection: str) -> Page:
        """From the query; raises Refusal."""
        skip = _number(request, "skip", 0, collection)
        if skip < 0:
            text = f"The value '{skip}' is not greater than or equal to 0 for {collection}."
            raise Refusal.query("skip", text)
        limit = _number(request, "limit", 30, collection)
        if not 0 <= limit <= LARGEST:
            text = f"The value '{limit}' is not in the range of 0 to {LARGEST} for {collection}."
            raise Refusal.query("limit", text)
        return cls(collection, limit or LARGEST, skip, request.flag("count"))

    def reply(self, items: Iterable[T], show: Callable[[T], JSON]) -> Reply:
        """The answer."""
        if self.count:
            return Reply({self.collection: max(0, sum(1 for _ in items) - self.skip)})
        return Reply([show(item) for item in islice(items, self.skip, self.skip + self.limit)])


def _number(request: Request, name: str, default: int, collection: str) -> int:
    value = request.query.get(name)
    if value is None:
        return default
    number = whole(value, bits=32)
    if number is None:
        raise Refusal.query(name, f"The value '{value}' is not an integer for {collection}.")
    return number


def whole(text: str, *, bits: int) -> int | None:
    """The number that `text` is for the controller, None where it is none of so many bits."""
    if not _WHOLE.fullmatch(text):
        return None
    number = int(text)
    return number if -(1 << (bits - 1)) <= number < 1 << (bits - 1) else None
