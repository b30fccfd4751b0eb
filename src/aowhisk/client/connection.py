"""One host and one key: sends requests below `/api/v1` and turns answers into values or errors."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

from aowhisk.client.faults import fault, value_of
from aowhisk.client.transport import Headers, Reply, Transport, exchange
from aowhisk.errors import ServerFault, TooLarge, Unreachable

__all__ = ["ACTIVATION_HEADER", "Connection", "to_bytes"]

ACTIVATION_HEADER = "x-openwhisk-activation-id"
READ = 75.0
"""Seconds to wait for an answer: OpenWhisk's own gateway gives up after 75 s."""
UPLOAD_LIMIT = 50 * 1024 * 1024
"""Bytes of a request above which the server hangs up without an answer (pekko, nginx)."""


class Connection:
    """Where requests go and with which key; the key shows in no repr and no error."""

    def __init__(self, *, base: str, auth: str, namespace: str) -> None:
        self.transport: Transport | None = None
        self._base = base
        self._api = base + "/api/v1"
        self.namespace = namespace
        self.page_size = 200
        token = base64.b64encode(auth.encode()).decode("ascii")
        common = {
            "accept": "application/json",
            "accept-encoding": "identity",
            "user-agent": "aowhisk",
        }
        self._public = Headers(common)
        self._headers = Headers({**common, "authorization": f"Basic {token}"})
        # storing a success may be switched off by the operator; this asks for it
        self._posting = Headers(
            {
                **self._headers,
                "content-type": "application/json",
                "x-ow-extra-logging": "on",
            }
        )

    def __repr__(self) -> str:
        return f"Connection({self._base!r}, namespace={self.namespace!r})"

    async def request(
        self,
        method: str,
        path: str,
        *,
        about: str,
        missing: str = "",
        query: Mapping[str, str | int] | None = None,
        body: bytes | None = None,
    ) -> Any:
        """Send one request and give the JSON of its answer, None where that has none."""
        value, _ = await self.sized(
            method, path, about=about, missing=missing, query=query, body=body
        )
        return value

    async def sized(
        self,
        method: str,
        path: str,
        *,
        about: str,
        missing: str = "",
        query: Mapping[str, str | int] | None = None,
        body: bytes | None = None,
    ) -> tuple[Any, int]:
        """As `request`, with the bytes of the answer's body."""
        target = f"{path}?{urlencode(query)}" if query else path
        reply = await self.send(method, target, body=body)
        label = f"{method} /api/v1{path}"
        if reply.status >= 300:
            raise fault(reply, request=label, about=about, missing=missing)
        value = value_of(reply)
        if not reply.complete:
            raise Unreachable(f"{label}: the answer broke off", request=label, sent=True)
        if value is None and method == "GET":
            raise ServerFault(
                f"{label}: the answer is not JSON; does apihost name an OpenWhisk?",
                request=label,
                status=reply.status,
                accepted=None,
            )
        return value, len(reply.body)

    async def send(
        self, method: str, target: str, *, body: bytes | None = None, read_timeout: float = READ
    ) -> Reply:
        """Send one request below `/api/v1`, whatever its answer."""
        if body is not None and len(body) > UPLOAD_LIMIT:
            label = f"{method} {target.partition('?')[0]}"
            raise TooLarge(
                f"{label}: {len(body)} bytes are over the {UPLOAD_LIMIT} that OpenWhisk takes in "
                "one request; nothing was sent",
                request=label,
            )
        headers = self._headers if body is None else self._posting
        return await self._exchange(method, self._api + target, headers, body, read_timeout)

    async def root(self) -> Any:
        """The JSON of `GET /`, the only page outside `/api/v1`; it needs no key."""
        reply = await self._exchange("GET", self._base + "/", self._public, None, READ)
        if reply.status >= 300:
            raise fault(reply, request="GET /", about="the server's description")
        value = value_of(reply)
        if not isinstance(value, dict):
            raise ServerFault(
                "GET /: the answer is not JSON; does apihost name an OpenWhisk?",
                request="GET /",
                status=reply.status,
                accepted=None,
            )
        return value

    async def date(self) -> datetime | None:
        """The server's clock as the headers of `GET /` tell it, to the second; None where they do
        not."""
        reply = await self._exchange("GET", self._base + "/", self._public, None, READ)
        try:
            return parsedate_to_datetime(reply.headers.get("date", ""))
        except ValueError:
            return None

    async def _exchange(
        self, method: str, url: str, headers: Headers, body: bytes | None, read_timeout: float
    ) -> Reply:
        if self.transport is None:
            raise RuntimeError(f"{self!r} is not open: use the client inside `async with`")
        return await exchange(
            self.transport, method, url, headers=headers, body=body, read_timeout=read_timeout
        )


_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def to_bytes(value: object, *, about: str) -> bytes:
    """JSON, compact; raises TypeError naming what is not JSON."""
    try:
        return _encode(value).encode()
    except (TypeError, ValueError) as error:
        raise TypeError(f"{about}: the value is not JSON: {error}") from error
