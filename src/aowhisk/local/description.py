"""What a server says of its API: what it is, the OpenAPI document, a page that shows it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from aowhisk.local.http import Content, Refusal, Reply
from aowhisk.local.media import accepts
from aowhisk.local.request import Request
from aowhisk.models import JSON

__all__ = ["document", "tell"]

_FOLDER = Path(__file__).parent
_HTML = "text/html; charset=UTF-8"
_PAGE = "docs/index.html?url=/api/v1/api-docs"
_MOVED = (
    f'The request, and all future requests should be repeated using <a href="{_PAGE}">this URI</a>.'
)


@cache
def document() -> JSON:
    """The OpenAPI document (openapi.json)."""
    return json.loads((_FOLDER / "openapi.json").read_text(encoding="utf-8"))


def tell(request: Request, parts: list[str]) -> Reply | None:
    """The answer to a request for `parts` below `/api/v1`, None where it is about something else;
    needs no credentials."""
    if request.method != "GET":
        return None
    match parts:
        case [] | [""]:
            return Reply(_api())
        case ["api-docs"] | ["api-docs", ""]:
            return Reply(document())
        case ["docs"]:
            content = Content(_MOVED.encode(), _HTML)
            return Reply(None, 308, content=content, headers=(("location", _PAGE),))
        case ["docs", "index.html"]:
            if not accepts(request.header("accept"), _HTML):
                raise Refusal.unacceptable(_HTML)
            return Reply(None, content=Content((_FOLDER / "docs.html").read_bytes(), _HTML))
    return None


def _api() -> dict[str, JSON]:
    return {
        "description": "OpenWhisk API",
        "api_version": "1.0.0",
        "api_version_path": "v1",
        "build": "aowhisk",
        "buildno": "local",
        "swagger_paths": {"ui": "/docs", "api-docs": "/api-docs"},
    }
