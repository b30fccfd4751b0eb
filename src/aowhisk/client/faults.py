"""Which error an answer is. Every text of OpenWhisk's that matters to a client is read here."""

from __future__ import annotations

import json
import re
from typing import Any

from aowhisk.client.transport import Reply
from aowhisk.errors import (
    Forbidden,
    NotFound,
    OpenWhiskError,
    Rejected,
    ServerFault,
    Throttled,
    TooLarge,
    Unauthorized,
)

__all__ = ["fault", "page_limit", "value_of"]

_COUNTED = re.compile(r"count: (\d+), allowed: (\d+)")
_RANGE = re.compile(r"range of \d+ to (\d+)")
_TAGS = re.compile(r"<[^>]*>")
_HINTS = {
    "resource already exists": "pass overwrite=True to replace it",
    "Concurrent modification to resource detected.": "someone else wrote it just now; try again",
}


def value_of(reply: Reply) -> Any:
    """The JSON of an answer, None where it is not JSON (`OK`, a gateway's page, nothing), or
    nested deeper than Python reads."""
    try:
        return json.loads(reply.body)
    except (ValueError, RecursionError):
        return None


def fault(reply: Reply, *, request: str, about: str, missing: str = "") -> OpenWhiskError:
    """The error that an answer of 3xx, 4xx or 5xx is.

    `about` names what the request was about ("action 'split'"), `missing` says what to do where it
    does not exist.
    """
    status = reply.status
    text, code = _text(reply)
    facts: dict[str, Any] = {"request": request, "status": status, "code": code}
    if status == 429:
        return _throttled(text, request, code)
    if status >= 500:
        return _server_fault(text, request, status, code)
    if status == 401:
        hint = "check AOWHISK_AUTH (user:secret) and that it belongs to this host"
        return Unauthorized(f"{about}: the API key was refused: {text}; {hint}", **facts)
    if status == 403:
        return Forbidden(f"{about}: not allowed with this API key: {text}", **facts)
    if status == 404:
        return NotFound(f"{about} {missing or 'not found'} ({text})", **facts)
    if status == 413 or text.startswith("Request too large"):
        hint = "put large values into the object store and pass their key"
        return TooLarge(f"{about}: {text}; {hint}", **facts)
    if 300 <= status < 400:
        where = reply.headers.get("location", "elsewhere")
        return Rejected(f"{about}: redirected to {where}; check apihost and its scheme", **facts)
    known = _HINTS.get(text)
    return Rejected(f"{about}: {text}" + (f"; {known}" if known else ""), **facts)


def page_limit(error: Rejected) -> int | None:
    """The greatest `limit` of lists that a provider allows, from its refusal; None if not that."""
    found = _RANGE.search(str(error)) if "'limit'" in str(error) else None
    return int(found[1]) if found else None


def _throttled(text: str, request: str, code: str | None) -> Throttled:
    counted = _COUNTED.search(text)
    per_minute = "last minute" in text
    hint = "wait for the next minute" if per_minute else "wait for running activations to end"
    return Throttled(
        f"{request}: throttled: {text}; {hint}",
        request=request,
        per_minute=per_minute,
        count=int(counted[1]) if counted else None,
        allowed=int(counted[2]) if counted else None,
        code=code,
    )


def _server_fault(text: str, request: str, status: int, code: str | None) -> ServerFault:
    accepted = False if status == 503 else None
    hint = "nothing was accepted; try again" if status == 503 else "it may have been carried out"
    return ServerFault(
        f"{request}: the server answered {status}: {text}; {hint}",
        request=request,
        status=status,
        accepted=accepted,
        code=code,
    )


def _text(reply: Reply) -> tuple[str, str | None]:
    """What the answer says, and OpenWhisk's transaction id; gateways answer pages."""
    data = value_of(reply)
    if isinstance(data, dict) and isinstance(data.get("error"), str):
        code = data.get("code")
        return data["error"].strip(), None if code is None else str(code)
    raw = reply.body.decode("utf-8", "replace")
    if "html" in reply.headers.get("content-type", "") or raw.lstrip().startswith("<"):
        page = " ".join(_TAGS.sub(" ", raw).split())[:200] or "no text"
        return f"a gateway's page, not OpenWhisk ({page})", None
    return " ".join(raw.split())[:500] or "no text", reply.headers.get("x-request-id")
