"""The stand-in's REST API: invocations, records, limits, and objects beside them."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import parse_qsl

from bench.standin.door import Reply
from bench.standin.objects import Objects, Work
from bench.standin.records import Record, Records

__all__ = ["Whisk"]

_API = "/api/v1/namespaces/_/"
_PLENTY = 10**9
_ABSENT = '{"error":"The requested resource does not exist.","code":"1"}'


class _Target(NamedTuple):
    """A request's target, taken apart; `wait` is seconds of a blocking wait, 0 for none."""

    kind: str
    name: str
    query: dict[str, str]
    wait: float


@dataclass
class _Count:
    invokes: int = 0
    gets: int = 0
    lists: int = 0
    refused: int = 0


class Whisk:
    """Answers requests. `concurrent` is the namespace's limit of invocations in flight, enforced;
    None for none."""

    def __init__(self, *, concurrent: int | None = None) -> None:
        self._concurrent = concurrent
        self._records = Records()
        self._objects = Objects()
        self._targets: dict[bytes, _Target] = {}
        self._count = _Count()
        self._flying = 0
        self._loop = asyncio.get_running_loop()

    def __call__(self, method: bytes, target: bytes, body: bytes, reply: Reply) -> None:
        """Answer one request."""
        to = self._targets.get(target) or self._take_apart(target)
        if method == b"POST" and to.kind == "actions":
            self._invoke(to, body, reply)
        elif to.kind == "actions":
            reply(200, _action(to.name), "")
        elif to.kind == "activations":
            self._show(to, reply)
        elif to.kind == "limits":
            limit = _PLENTY if self._concurrent is None else self._concurrent
            text = f'{{"concurrentInvocations":{limit},"invocationsPerMinute":{_PLENTY}}}'
            reply(200, text, "")
        elif to.kind == "objects":
            self._object(method, to.name, reply)
        elif to.kind == "spent":
            reply(200, json.dumps({"cpu": time.process_time(), **vars(self._count)}), "")
        else:
            reply(404, _ABSENT, "")

    def _take_apart(self, target: bytes) -> _Target:
        path, _, text = target.decode().partition("?")
        query = dict(parse_qsl(text))
        kind, _, name = path.removeprefix(_API).lstrip("/").partition("/")
        blocking = query.get("blocking") == "true"
        wait = int(query.get("timeout", 60_000)) / 1000 if blocking else 0.0
        found = _Target(kind, name, query, wait)
        if kind == "actions" and len(self._targets) < 1000:
            self._targets[target] = found
        return found

    def _invoke(self, to: _Target, body: bytes, reply: Reply) -> None:
        self._count.invokes += 1
        if self._concurrent is not None and self._flying >= self._concurrent:
            self._count.refused += 1
            text = (
                '{"error":"Too many concurrent requests in flight (count: '
                f'{self._flying + 1}, allowed: {self._concurrent}).","code":"1"}}'
            )
            reply(429, text, "")
            return
        id, start = self._records.new_id(), int(time.time() * 1000)
        if to.name == "noop":
            if to.wait:
                record = Record(id, "noop", start, start)
                self._records.add(record)
                reply(200, record.whole(), id)
                return
            seconds, work = 0.0, None
        elif to.name == "objects":
            work = Work.of(json.loads(body))
            failed = self._objects.missing(work)
            if failed is not None:
                record = Record(id, to.name, start, start, failed, "application error")
                self._records.add(record)
                reply(502, record.whole(), id)
                return
            seconds = work.ms / 1000
        else:
            seconds, work = int(to.name.rpartition("-")[2]) / 1000, None
        self._flying += 1
        if seconds > to.wait:
            self._loop.call_later(to.wait, reply, 202, f'{{"activationId":"{id}"}}', id)
            self._loop.call_later(seconds, self._end, to, id, start, work, None)
        else:
            self._loop.call_later(seconds, self._end, to, id, start, work, reply)

    def _end(
        self, to: _Target, id: str, start: int, work: Work | None, reply: Reply | None
    ) -> None:
        self._flying -= 1
        result = "{}" if work is None else self._objects.write(work)
        record = Record(id, to.name, start, int(time.time() * 1000), result)
        self._records.add(record)
        if reply is not None:
            reply(200, record.whole(), id)

    def _show(self, to: _Target, reply: Reply) -> None:
        if not to.name:
            self._count.lists += 1
            reply(200, self._records.page(to.query), "")
            return
        self._count.gets += 1
        record = self._records.get(to.name)
        if record is None:
            reply(404, _ABSENT, "")
        else:
            reply(200, record.whole(), "")

    def _object(self, method: bytes, key: str, reply: Reply) -> None:
        if method == b"DELETE":
            self._objects.writers.pop(key, None)
        found = self._objects.seen(key)
        reply(200 if found else 404, found or _ABSENT, "")


def _action(name: str) -> str:
    timeout = 1_000 if name == "objects" else 60_000
    return (
        f'{{"name":"{name}","namespace":"guest","version":"0.0.1","publish":false,"exec":'
        '{"kind":"python:3","binary":false},"limits":{"concurrency":1,"logs":10,"memory":256,'
        f'"timeout":{timeout}}},"parameters":[],"annotations":[]}}'
    )
