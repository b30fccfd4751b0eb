"""One request and one answer over ASGI 3, as OpenWhisk's controller reads and writes them."""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, unquote_to_bytes

from aowhisk.local.media import accepts
from aowhisk.models import JSON

__all__ = [
    "CORS_HEADERS",
    "NO_CONTENT",
    "OVERLOADED",
    "ASGIReceive",
    "ASGIScope",
    "ASGISend",
    "Content",
    "Refusal",
    "Reply",
    "Request",
    "parse_json",
    "to_json",
]

ASGIScope: TypeAlias = MutableMapping[str, Any]
ASGIReceive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
ASGISend: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MAX_REQUEST = 50 * 1024 * 1024
MAX_DEPTH = 1000
OVERLOADED = (
    "The server is currently unavailable (because it is overloaded or down for maintenance)."
)
CORS_HEADERS = "Authorization, Origin, X-Requested-With, Content-Type, Accept, User-Agent"
CORS = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET, DELETE, POST, PUT, HEAD"),
    (b"access-control-allow-headers", CORS_HEADERS.encode()),
)
_JSON_TYPE = "application/json"
_TEXT_TYPE = "text/plain; charset=UTF-8"
_BODILESS = frozenset({204, 304})
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})


class Refusal(Exception):
    """The request is refused with `status` and the text that OpenWhisk would give."""

    def __init__(
        self, status: int, text: str, *, headers: Mapping[str, str] | None = None, cors: bool = True
    ) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = dict(headers or {})
        self.cors = cors

    @classmethod
    def malformed(cls, text: str) -> Refusal:
        """400: the body is not what was expected."""
        return cls(400, f"The request content was malformed:\n{text}")

    @classmethod
    def query(cls, name: str, text: str) -> Refusal:
        """400: a query parameter is not what was expected."""
        return cls(400, f"The query parameter '{name}' was malformed:\n{text}")

    @classmethod
    def no_route(cls) -> Refusal:
        """404: no such route; also what a wrong method gets."""
        return cls(404, "The requested resource could not be found.", cors=False)

    @classmethod
    def no_entity(cls) -> Refusal:
        """404: no such entity."""
        return cls(404, "The requested resource does not exist.")

    @classmethod
    def unacceptable(cls, offer: str) -> Refusal:
        """406: the client accepts no `offer`, which is all there is."""
        text = f"Resource representation is only available with these types:\n{offer}"
        return cls(406, text, cors=False)


@dataclass(frozen=True, slots=True)
class Content:
    """A body as bytes, and its content type; "" for none."""

    data: bytes
    type: str


NO_CONTENT = Content(b"", "")


@dataclass(slots=True)
class Reply:
    """An answer; `body` is JSON, or a text for text/plain; `content`, where given, is sent in its
    place. One of a gateway (`is_gateway`) has no header of ours."""

    body: JSON
    status: int = 200
    activation: str | None = None
    plain: bool = False
    headers: Sequence[tuple[str, str]] = ()
    cors: bool = True
    dropped: bool = False
    content: Content | None = None
    is_gateway: bool = False

    def to_content(self) -> Content:
        """What is sent."""
        if self.content is not None:
            return self.content
        if self.plain:
            return Content(self.body.encode("utf-8", "replace"), _TEXT_TYPE)
        return Content(to_json(self.body), _JSON_TYPE)


class Request:
    """One HTTP request. `parts` are the decoded segments of the path, an empty last one where it
    ends with a slash."""

    __slots__ = ("_query", "_receive", "_scope", "headers", "id", "method", "parts")

    def __init__(self, scope: ASGIScope, receive: ASGIReceive) -> None:
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

    async def body(self) -> bytes:
        """The whole body."""
        if self.length > MAX_REQUEST:
            raise Refusal(400, "Request too large")
        message = await self._receive()
        first: bytes = message.get("body", b"")
        if not message.get("more_body", False):
            return first
        chunks, size = [first], len(first)
        while message.get("more_body", False):
            message = await self._receive()
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > MAX_REQUEST:
                raise Refusal(400, "Request too large")
        return b"".join(chunks)

    async def json(self) -> JSON:
        """The body as JSON."""
        return self.parse(await self.body())

    def parse(self, data: bytes) -> JSON:
        """`data`, which is the body, as JSON; 415 where it is said to be something else."""
        kind = self.headers.get(b"content-type", b"application/octet-stream").decode("latin-1")
        kind = kind.partition(";")[0].strip()
        if data and kind.lower() != "application/json":
            raise Refusal(
                415,
                f"The request's Content-Type [{kind}] is not supported. "
                "Expected:\napplication/json",
            )
        return parse_json(data)

    @property
    def accepts_json(self) -> bool:
        """Whether the client takes JSON."""
        accept = self.header("accept")
        return accept in (None, "*/*", _JSON_TYPE) or accepts(accept, _JSON_TYPE)

    @property
    def accepts_text(self) -> bool:
        """Whether the client takes plain text."""
        return accepts(self.header("accept"), _TEXT_TYPE)


async def send_reply(send: ASGISend, request: Request, reply: Reply) -> None:
    """Write `reply`."""
    content = reply.to_content()
    headers = [] if reply.is_gateway else [(b"x-request-id", request.id.encode("latin-1"))]
    if content.type:
        headers.append((b"content-type", content.type.encode()))
    if reply.status not in _BODILESS:
        headers.append((b"content-length", str(len(content.data)).encode()))
    if reply.cors:
        headers += CORS
    if reply.activation is not None:
        headers.append((b"x-openwhisk-activation-id", reply.activation.encode()))
    headers += [
        (name.lower().encode(), value.encode("latin-1", "replace")) for name, value in reply.headers
    ]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    if reply.dropped:
        raise ConnectionResetError("the reply was dropped on purpose")
    await send(
        {"type": "http.response.body", "body": b"" if request.method == "HEAD" else content.data}
    )


def refused(request: Request, refusal: Refusal) -> Reply:
    """The answer that tells of a refusal."""
    return Reply(
        {"error": refusal.text, "code": request.id},
        refusal.status,
        headers=tuple(refusal.headers.items()),
        cors=refusal.cors,
    )


def to_json(value: JSON) -> bytes:
    """Compact JSON. Half of a surrogate pair, which no UTF-8 holds, becomes a question mark as on
    the JVM."""
    return _ENCODER.encode(value).encode("utf-8", "replace")


def parse_json(data: bytes) -> JSON:
    """JSON as the controller takes it: bytes that are no UTF-8 are replaced, no NaN, at most
    1000 levels; else Refusal."""
    text = data.decode("utf-8", "replace")
    try:
        if text.count("[") + text.count("{") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
            raise Refusal.malformed("JSON input nested too deeply")
        return _DECODER.decode(text)
    except RecursionError:
        raise Refusal.malformed("JSON input nested too deeply") from None
    except ValueError as problem:
        raise Refusal.malformed(f"{problem}") from None


@lru_cache(256)
def _query_of(raw: str) -> Mapping[str, str]:
    return dict(reversed(parse_qsl(raw, keep_blank_values=True))) if raw else {}


def _constant(name: str) -> JSON:
    raise ValueError(f"{name} is not JSON")


def _float(text: str) -> float:
    number = float(text)
    if number in (math.inf, -math.inf):
        raise ValueError(f"the number {text[:20]} is too large")
    return number


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_DECODER = json.JSONDecoder(parse_constant=_constant, parse_float=_float)


def _depth(text: str) -> int:
    """The deepest nesting; brackets inside texts do not count."""
    depth = deepest = 0
    quoted = escaped = False
    for sign in text:
        if quoted:
            quoted, escaped = escaped or sign != '"', sign == "\\" and not escaped
        elif sign == '"':
            quoted = True
        elif sign in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif sign in "]}":
            depth -= 1
    return deepest


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
