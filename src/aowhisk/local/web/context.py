"""What a web action is told of a request, as arguments: parameters of the query and of the body,
and `__ow_...`."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, quote_plus, unquote_plus

from aowhisk.local.http import Refusal, parse_json
from aowhisk.local.media import Form, MediaType
from aowhisk.local.request import Request
from aowhisk.models import JSON

__all__ = ["RESERVED", "Body", "Context"]

RESERVED = frozenset(
    {"__ow_method", "__ow_headers", "__ow_path", "__ow_user", "__ow_query", "__ow_body"}
)
"""What a request may not name."""
_FORM = "application/x-www-form-urlencoded"
_NOT_SHOWN = frozenset({"content-length", "transfer-encoding", "x-ow-extra-logging"})
_LISTS = frozenset({"accept", "accept-charset", "accept-encoding", "accept-language"})
_IN_PATH = "!$&'()*+,;=:@-._~"
_IN_QUERY = "!$'()*,:@/?-._~"
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Body:
    """The body of a request: an object's fields are arguments, anything else is `__ow_body`."""

    value: JSON


@dataclass(frozen=True, slots=True)
class Context:
    """A request to a web action. `path` is what follows the action's name; `query` keeps its order,
    a value is None where there was no `=`."""

    method: str
    headers: Mapping[str, str]
    path: str
    query: tuple[tuple[str, str | None], ...]
    media: MediaType | None

    @classmethod
    def of(cls, request: Request, rest: Iterable[str]) -> Context:
        """The context of `request`, of whose path `rest` is left."""
        headers = {
            name: _shown(name, value.decode("latin-1"))
            for raw, value in request.headers.items()
            if (name := raw.decode("latin-1")) not in _NOT_SHOWN
        }
        media = MediaType.parse(headers.get("content-type", ""))
        if media is not None:
            headers["content-type"] = media.content_type
        path = "".join("/" + quote(part, safe=_IN_PATH) for part in rest)
        return cls(request.method, headers, path, _pairs(request.raw_query), media)

    def with_data(self, data: bytes) -> Context:
        """The same for a request with a body; one of no type is octets."""
        if self.media is not None or not data:
            return self
        media = MediaType("application", "octet-stream")
        headers = {**self.headers, "content-type": media.content_type}
        return Context(self.method, headers, self.path, self.query, media)

    def read(self, data: bytes, *, raw: bool) -> Body | None:
        """The body, None where there is none; raises Refusal where it is not what it is said to
        be."""
        media = self.media
        if media is None:
            return None
        if media.is_json_family and not raw:
            return Body(parse_json(data)) if data else None
        if media.value == _FORM and not raw:
            return Body(dict(_form(data)))
        if media.form is Form.BINARY or media.is_json:
            return Body(base64.b64encode(data).decode())
        return Body(data.decode("utf-8", "replace"))

    def names(self, body: Body | None) -> set[str]:
        """The arguments that the caller names."""
        fields = body.value if body is not None and isinstance(body.value, dict) else {}
        return {name for name, _ in self.query} | set(fields)

    def arguments(self, body: Body | None, *, raw: bool, user: str | None) -> dict[str, JSON]:
        """What the action gets; `user` is the namespace of a caller with credentials."""
        found: dict[str, JSON] = {
            "__ow_method": self.method.lower(),
            "__ow_headers": dict(self.headers),
            "__ow_path": self.path,
        }
        if user is not None:
            found["__ow_user"] = user
        if raw:
            text = "" if body is None else body.value
            return found | {"__ow_query": _written(self.query), "__ow_body": text}
        found |= {name: value or "" for name, value in self.query}
        if body is None:
            return found
        return found | (body.value if isinstance(body.value, dict) else {"__ow_body": body.value})


def _shown(name: str, value: str) -> str:
    return ", ".join(part.strip() for part in value.split(",")) if name in _LISTS else value


def _pairs(text: str) -> tuple[tuple[str, str | None], ...]:
    if not text:
        return ()
    found: list[tuple[str, str | None]] = []
    for part in text.split("&"):
        name, equals, value = part.partition("=")
        found.append((unquote_plus(name), unquote_plus(value) if equals else None))
    return tuple(found)


def _form(data: bytes) -> Iterable[tuple[str, str]]:
    text = data.decode("utf-8", "replace")
    if broken := _BROKEN_ESCAPE.search(text):
        raise Refusal(
            400,
            f"Illegal form content: Invalid escape {text[broken.start() : broken.start() + 3]!r}",
        )
    return ((name, value or "") for name, value in _pairs(text))


def _written(query: Iterable[tuple[str, str | None]]) -> str:
    """As pekko-http renders a query: no `+` and no `&` but its own."""
    return "&".join(
        quote_plus(name, safe=_IN_QUERY)
        + ("" if value is None else "=" + quote_plus(value, safe=_IN_QUERY))
        for name, value in query
    )
