"""What is sent along to an action or a trigger: one JSON object of limited length."""

from __future__ import annotations

from aowhisk.local.http import Refusal
from aowhisk.local.limits import LARGEST_PAYLOAD
from aowhisk.local.request import Request
from aowhisk.models import JSON

__all__ = ["check_length", "headers_of"]

_OF_THE_BODY = frozenset({b"content-type", b"content-length", b"transfer-encoding"})


def check_length(length: int) -> None:
    """Refuse (413) what is longer than a payload may be."""
    if length > LARGEST_PAYLOAD:
        raise Refusal(413, f"Request larger than allowed: {length} > {LARGEST_PAYLOAD} bytes.")


def headers_of(request: Request) -> dict[str, JSON]:
    """The request's headers as an action gets them; those about the body are not among them."""
    return {
        name.decode("latin-1").lower(): value.decode("latin-1")
        for name, value in request.headers.items()
        if name not in _OF_THE_BODY
    }
