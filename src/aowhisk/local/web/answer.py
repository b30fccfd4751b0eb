"""What a web action's result is as an HTTP answer: status, headers, body."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aowhisk.local.http import Content, to_json
from aowhisk.local.media import Form, MediaType
from aowhisk.models import JSON

__all__ = ["EXTENSIONS", "Answer", "Unfit", "to_answer"]

PROPERTY_NOT_FOUND = "Response does not include requested property."
UNKNOWN_CONTENT_TYPE = "Response did not specify a known content-type."
WRONG_CONTENT_TYPE = "Response type in header did not match generated content type."
_HTML = MediaType("text", "html", charset="UTF-8")
_PLAIN = MediaType("text", "plain", charset="UTF-8")
_JSON = MediaType("application", "json")
_SVG = MediaType("image", "svg+xml")
_STATUSES = frozenset(
    {*range(100, 104), *range(200, 209), 226, *range(300, 306), 307, 308}
    | {*range(400, 419), *range(420, 427), 428, 429, 431, 449, 450, 451}
    | {*range(500, 512), 598, 599}
)
_BODILESS = frozenset({204, 205, 304})
_INTEGER = re.compile(r"[+-]?\d+")
_BASE64 = re.compile(
    r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)"
)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_OURS = frozenset({"connection", "content-length", "date", "server", "transfer-encoding"})


class Unfit(Exception):
    """The result does not fit what was asked for: `status` and `text` say how."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status
        self.text = text

    @classmethod
    def media(cls, kind: str) -> Unfit:
        """400: it cannot be shown as this media type."""
        return cls(f"Response is not valid '{kind}'.")


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer. `content` is None where there is no body; `offer` is what a client that does
    not accept it is told, None where nobody is asked."""

    content: Content | None
    offer: str | None = None
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


def to_answer(extension: str, result: JSON) -> Answer:
    """The answer that `result` makes for `.http`, `.json`, ...; raises Unfit."""
    return EXTENSIONS[extension](result)


def _as_http(result: JSON) -> Answer:
    if not isinstance(result, dict):
        raise Unfit.media("message/http")
    headers = _headers(result["headers"]) if "headers" in result else []
    status = _status(result["statusCode"]) if "statusCode" in result else None
    body = result.get("body")
    given = next((value for name, value in headers if name.lower() == "content-type"), None)
    kept = tuple((name, value) for name, value in headers if name.lower() != "content-type")
    if body is None or body == "":
        return Answer(None, None, 204 if status is None else status, _sendable(kept))
    content, offer = _text(body, given) if isinstance(body, str) else _json(body, given)
    status = 200 if status is None else status
    shown = None if status in _BODILESS else content
    return Answer(shown, offer if status < 400 else None, status, _sendable(kept))


def _text(body: str, given: str | None) -> tuple[Content, str]:
    media = _HTML if given is None else MediaType.parse(given)
    if media is None:
        raise Unfit(UNKNOWN_CONTENT_TYPE)
    is_code = media.is_json_family and _BASE64.fullmatch(body.strip()) is not None
    form = media.form
    shown = MediaType(
        media.main, media.sub, media.parameters, "UTF-8" if form is Form.OPEN else None
    )
    data = _decoded(body) if form is Form.BINARY or is_code else body.encode("utf-8", "replace")
    return Content(data, shown.content_type), shown.content_type


def _json(body: JSON, given: str | None) -> tuple[Content, str]:
    media = _JSON if given is None else MediaType.parse(given)
    if media is None or not media.is_json_family:
        raise Unfit(WRONG_CONTENT_TYPE)
    kind = f"{media.main}/{media.sub}"
    return Content(pretty(body).encode("utf-8", "replace"), kind), kind


def _decoded(text: str) -> bytes:
    """As Java's basic decoder: padding may be left out, nothing else may be in it."""
    missing = -len(text) % 4 if "=" not in text else 0
    try:
        return base64.b64decode(text + "=" * missing, validate=True)
    except (binascii.Error, ValueError):
        raise Unfit(WRONG_CONTENT_TYPE) from None


def _status(value: JSON) -> int:
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        code = int(value) if len(value) < 12 else 0
    elif isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1:
        code = int(value)
    else:
        code = 0
    if code not in _STATUSES:
        raise Unfit.media("message/http")
    return code


def _headers(value: JSON) -> list[tuple[str, str]]:
    if not isinstance(value, dict):
        raise Unfit.media("message/http")
    return [pair for name, given in value.items() for pair in _header(name, given)]


def _header(name: str, value: JSON) -> list[tuple[str, str]]:
    match value:
        case str():
            return [(name, value)]
        case bool() | int() | float():
            return [(name, json.dumps(value))]
        case list():
            return [pair for one in value for pair in _header(name, one)]
    raise Unfit.media("message/http")


def _sendable(headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Without those that are the server's own, and those that no HTTP message can hold."""
    return tuple(
        (name, value)
        for name, value in headers
        if name.lower() not in _OURS
        and _HEADER_NAME.fullmatch(name)
        and _HEADER_VALUE.fullmatch(value)
    )


def _as_json(result: JSON) -> Answer:
    if not isinstance(result, dict | list):
        raise Unfit.media("application/json")
    return Answer(_content(pretty(result), _JSON), "application/json")


def _as_html(result: JSON) -> Answer:
    text = _property(result, "html", None)
    if not isinstance(text, str):
        raise Unfit.media("text/html")
    return Answer(_content(text, _HTML), _HTML.content_type)


def _as_svg(result: JSON) -> Answer:
    text = _property(result, "svg", None)
    if not isinstance(text, str):
        raise Unfit.media("image/svg+xml")
    return Answer(_content(text, _SVG), "image/svg+xml")


def _as_text(result: JSON) -> Answer:
    found = _property(result, "text", Unfit(PROPERTY_NOT_FOUND, 404))
    if isinstance(found, Unfit):
        raise found
    return Answer(
        _content(found if isinstance(found, str) else pretty(found), _PLAIN), "text/plain"
    )


def _property(result: JSON, name: str, default: JSON | Unfit) -> JSON | Unfit:
    if not isinstance(result, dict):
        return result
    return result["body"] if "body" in result else result.get(name, default)


def _content(text: str, media: MediaType) -> Content:
    return Content(text.encode("utf-8", "replace"), media.content_type)


def pretty(value: JSON, indent: int = 0) -> str:
    """JSON as the controller prints it here: objects over several lines with their keys in order,
    lists on one."""
    match value:
        case dict():
            inner = " " * (indent + 2)
            members = ",\n".join(
                f"{inner}{json.dumps(name, ensure_ascii=False)}: {pretty(value[name], indent + 2)}"
                for name in sorted(value)
            )
            return "{\n" + members + "\n" + " " * indent + "}"
        case list():
            return "[" + ", ".join(pretty(one, indent) for one in value) + "]"
    return to_json(value).decode()


EXTENSIONS: Mapping[str, Callable[[JSON], Answer]] = {
    ".http": _as_http,
    ".json": _as_json,
    ".html": _as_html,
    ".svg": _as_svg,
    ".text": _as_text,
}
"""How a result is shown, by what the action's name in the path ends with."""
