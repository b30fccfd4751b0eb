"""One request over ASGI 3, as OpenWhisk's controller reads it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import parse_qsl, unquote_to_bytes

from aowhisk.local.http import ASGIReceive, ASGIScope, Refusal, parse_json
from aowhisk.local.media import MediaType, accepts
from aowhisk.local.patience import Patience
from aowhisk.models import JSON

__all__ = ["Request"]

MAX_REQUEST = 50 * 1024 * 1024
MAX_TARGET = 8192
TOO_LARGE = "Request too large"
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_JSON_TYPE = "application/json"
_TEXT_TYPE = "text/plain; charset=UTF-8"


class Request:
    """One HTTP request. `parts` are the decoded segments of the path, an empty last one where it
    ends with a slash; `patience` says how long its body may take, None: for ever."""

    __slots__ = ("_patience", "_query", "_receive", "_scope", "headers", "id", "method", "parts")

    def __init__(
        self, scope: ASGIScope, receive: ASGIReceive, patience: Patience | None = None
    ) -> None:
        self._patience = patience
        self._scope = scope
        self._receive = receive
        self._query: Mapping[str, str] | None = None
        self.method: str = scope["method"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.parts = _parts(scope)
        given = self.headers.get(b"x-request-id", b"").decode("latin-1")
        self.id = given if given and not given.startswith("sid_") else secrets.token_hex(16)

    @property
    def raw_query(self) -> str:
        """The query as it came."""
        return str(self._scope.get("query_string", b"").decode("latin-1"))

    @property
    def query(self) -> Mapping[str, str]:
        """The query's parameters; of a repeated one the first counts."""
        if self._query is None:
            self._query = _query_of(self.raw_query)
        return self._query

    def header(self, name: str) -> str | None:
        """The value of a header, None where there is none; `name` in lower case."""
        value = self.headers.get(name.encode())
        return None if value is None else value.decode("latin-1")

    def flag(self, name: str, default: bool = False) -> bool:
        """A boolean of the query, read as pekko-http does."""
        value = self.query.get(name, "").lower()
        if not value:
            return default
        if value not in _TRUE and value not in _FALSE:
            raise Refusal.query(name, f"'{self.query[name]}' is not a valid Boolean value")
        return value in _TRUE

    @property
    def is_local(self) -> bool:
        """Whether it comes from this machine, or from this process."""
        client = self._scope.get("client")
        return client is None or client[0] == "::1" or str(client[0]).startswith("127.")

    @property
    def length(self) -> int:
        """Content-Length, 0 where there is none."""
        return int(self.headers.get(b"content-length", b"0") or 0)

    def check_size(self) -> None:
        """Refuse what is not read at all: a target or a body that is too long."""
        target = len(self._scope.get("raw_path") or b"") + len(self.raw_query)
        if target > MAX_TARGET:
            text = f"URI length exceeds the configured limit of {MAX_TARGET} characters"
            raise Refusal.unread(414, text)
        if self.length > MAX_REQUEST:
            raise Refusal.unread(400, TOO_LARGE)

    async def body(self) -> bytes:
        """The whole body; 408 where it does not come in time."""
        if self._patience is None:
            return await self._body()
        try:
            with self._patience:
                return await self._body()
        except TimeoutError:
            seconds = self._patience.seconds
            text = f"Request timed out after {seconds} seconds while waiting for entity data"
            raise Refusal.unread(408, text) from None

    async def _body(self) -> bytes:
        chunks: list[bytes] = []
        size, more = 0, True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Refusal.unread(400, "Entity stream truncation")  # nobody hears it
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > MAX_REQUEST:
                raise Refusal.unread(400, TOO_LARGE)
            more = message.get("more_body", False)
        return b"".join(chunks)

    async def json(self) -> JSON:
        """The body as JSON."""
        return self.parse(await self.body())

    def parse(self, data: bytes) -> JSON:
        """`data`, which is the body, as JSON; 415 where it is said to be something else."""
        self._check_type(data)
        return parse_json(data)

    def parse_object(self, data: bytes) -> dict[str, JSON]:
        """The same of a body that has to be an object, or nothing, which is an empty one."""
        self._check_type(data)
        found = parse_json(data) if data else {}
        if not isinstance(found, dict):
            raise Refusal.malformed("JSON object expected")
        return found

    def _check_type(self, data: bytes) -> None:
        given = self.headers.get(b"content-type", b"")
        if given == b"application/json" or (not given and not data):
            return
        media = MediaType.parse(given.decode("latin-1"))
        if media is None and not data:
            return
        if media is None or (media.main, media.sub) != ("application", "json"):
            kind = "application/octet-stream" if media is None else media.content_type
            raise Refusal(
                415,
                f"The request's Content-Type [{kind}] is not supported. "
                "Expected:\napplication/json",
            )

    @property
    def accepts_json(self) -> bool:
        """Whether the client takes JSON."""
        accept = self.header("accept")
        return accept in (None, "*/*", _JSON_TYPE) or accepts(accept, _JSON_TYPE)

    @property
    def accepts_text(self) -> bool:
        """Whether the client takes plain text."""
        return accepts(self.header("accept"), _TEXT_TYPE)


@lru_cache(256)
def _query_of(raw: str) -> Mapping[str, str]:
    return dict(reversed(parse_qsl(raw, keep_blank_values=True))) if raw else {}


def _parts(scope: ASGIScope) -> list[str]:
    raw: bytes | None = scope.get("raw_path")
    if raw is None:
        return str(scope["path"]).split("/")[1:]
    raw = raw.partition(b"?")[0]
    if not raw.startswith(b"/"):  # a whole URL is a path, too (RFC 9112, 3.2.2)
        raw = b"/" + raw.partition(b"://")[2].partition(b"/")[2]
    if b"%" not in raw:
        return raw.decode("utf-8", "replace").split("/")[1:]
    return [unquote_to_bytes(part).decode("utf-8", "replace") for part in raw.split(b"/")][1:]
