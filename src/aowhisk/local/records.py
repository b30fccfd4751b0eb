"""The records of activations that have ended, newest first."""

from __future__ import annotations

import bisect
import itertools
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from aowhisk.models import JSON, Status

__all__ = ["Record", "Records"]

_CODES = {status: code for code, status in enumerate(Status)}


@dataclass(frozen=True, slots=True)
class Record:
    """One record. `source` is the JSON of GET by id, or the text of it; `path` is
    `namespace/[package/]name` of the action or the trigger; who reads finds it from `readable`
    (monotonic) on."""

    id: str
    namespace: str
    path: str
    start: int
    status: Status
    source: dict[str, JSON] | str
    readable: float = 0.0

    @property
    def document(self) -> dict[str, JSON]:
        """The JSON of GET by id; what was read from disk is parsed when someone asks."""
        if isinstance(self.source, str):
            object.__setattr__(self, "source", json.loads(self.source))
        assert isinstance(self.source, dict)
        return self.source

    @property
    def is_late(self) -> bool:
        """Whether it cannot be read yet."""
        return self.readable > 0.0 and time.monotonic() < self.readable

    @property
    def response(self) -> dict[str, JSON]:
        """Its `response`."""
        answer: dict[str, JSON] = self.document["response"]
        return answer

    def to_summary(self) -> dict[str, JSON]:
        """As lists without `docs` show it."""
        full = self.document
        kept = (
            "namespace",
            "name",
            "version",
            "publish",
            "annotations",
            "activationId",
            "start",
            "end",
            "cause",
        )
        shown = {name: full[name] for name in kept if name in full}
        if "end" in full:  # not in the record of a trigger
            shown["duration"] = full["end"] - full["start"]
        return shown | {"statusCode": _CODES[self.status]}


class Records:
    """Keeps the newest `capacity` records, none of the namespaces `unkept`. `watch`, where it is
    set, hears of each that is added."""

    def __init__(self, capacity: int = 100_000, *, unkept: Iterable[str] = ()) -> None:
        self._capacity = capacity
        self._unkept = frozenset(unkept)
        self.watch: Callable[[Record], None] | None = None
        self._by_id: dict[str, Record] = {}
        self._by_start: list[tuple[int, int, str]] = []
        self._numbers = itertools.count()

    def add(self, record: Record) -> None:
        """Store one."""
        if record.namespace in self._unkept:
            return
        if self.watch is not None:
            self.watch(record)
        self._insert(record)

    def restore(self, records: Iterable[Record]) -> None:
        """Take in what was stored before."""
        for record in records:
            if record.id not in self._by_id:
                self._insert(record)

    def _insert(self, record: Record) -> None:
        self._by_id[record.id] = record
        bisect.insort(self._by_start, (record.start, next(self._numbers), record.id))
        if len(self._by_start) > self._capacity:
            surplus = max(1, self._capacity // 100)
            for _, _, oldest in self._by_start[:surplus]:
                del self._by_id[oldest]
            del self._by_start[:surplus]

    def get(self, namespace: str, activation_id: str) -> Record | None:
        """One by its id."""
        found = self._by_id.get(activation_id)
        if found is None or found.namespace != namespace or found.is_late:
            return None
        return found

    def find(
        self,
        namespace: str,
        *,
        name: str | None = None,
        since: int | None = None,
        upto: int | None = None,
    ) -> Iterator[Record]:
        """Newest first; `name` is `[package/]action`, `since` and `upto` are epoch ms and
        inclusive."""
        low = 0 if since is None else bisect.bisect_left(self._by_start, (since, -1, ""))
        high = (
            len(self._by_start)
            if upto is None
            else bisect.bisect_left(self._by_start, (upto + 1, -1, ""))
        )
        wanted = None if name is None else f"/{name}"
        for _, _, activation_id in reversed(self._by_start[low:high]):
            record = self._by_id[activation_id]
            is_wanted = wanted is None or "/" + record.path.partition("/")[2] == wanted
            if is_wanted and record.namespace == namespace and not record.is_late:
                yield record

    def __iter__(self) -> Iterator[Record]:
        return (self._by_id[activation_id] for _, _, activation_id in self._by_start)
