"""Answers over ASGI 3, refusals among them, and JSON, as OpenWhisk's controller writes them."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

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
    "parse_json",
    "to_json",
]

ASGIScope: TypeAlias = MutableMapping[str, Any]
ASGIReceive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
ASGISend: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

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
        self.plain = False

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
    def unread(cls, status: int, text: str) -> Refusal:
        """The request itself could not be taken. That is told by the HTTP server below the
        controller: in plain text and without an id; and the connection ends."""
        refusal = cls(status, text, headers={"connection": "close"}, cors=False)
        refusal.plain = True
        return refusal

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
    place. One of who stands before the controller (`is_below`) has no header of ours."""

    body: JSON
    status: int = 200
    activation: str | None = None
    plain: bool = False
    headers: Sequence[tuple[str, str]] = ()
    cors: bool = True
    dropped: bool = False
    content: Content | None = None
    is_below: bool = False

    def to_content(self) -> Content:
        """What is sent."""
        if self.content is not None:
            return self.content
        if self.plain:
            return Content(self.body.encode("utf-8", "replace"), _TEXT_TYPE)
        return Content(to_json(self.body), _JSON_TYPE)


async def send_reply(send: ASGISend, reply: Reply, *, asked: str, method: str) -> None:
    """Write `reply` to the request with the id `asked`."""
    content = reply.to_content()
    headers = [] if reply.is_below else [(b"x-request-id", asked.encode("latin-1"))]
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
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else content.data})


def refused(refusal: Refusal, asked: str) -> Reply:
    """The answer that tells of a refusal of the request with the id `asked`."""
    if refusal.plain:
        return Reply(
            refusal.text,
            refusal.status,
            plain=True,
            headers=tuple(refusal.headers.items()),
            cors=False,
            is_below=True,
        )
    return Reply(
        {"error": refusal.text, "code": asked},
        refusal.status,
        headers=tuple(refusal.headers.items()),
        cors=refusal.cors,
    )


def to_json(value: JSON) -> bytes:
    """Compact JSON. Half of a surrogate pair, which no UTF-8 holds, becomes a question mark as on
    the JVM; a number beyond all floats is written as one."""
    text = _ENCODER.encode(value)
    if "Infinity" in text:
        text = _OR_BEYOND.sub(lambda m: "1E+400" if m[0] == "Infinity" else m[0], text)
    return text.encode("utf-8", "replace")


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


def _constant(name: str) -> JSON:
    raise ValueError(f"{name} is not JSON")


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_DECODER = json.JSONDecoder(parse_constant=_constant)
_OR_BEYOND = re.compile(r'"(?:[^"\\]|\\.)*"|Infinity')


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
