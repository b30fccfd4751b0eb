"""What goes back for an exception, or for an error that the function returned: wire.Failure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from object_store.errors import NoSuchKey, StoreError
from object_store.wire import IO, Failure

__all__ = ["BadResult", "NoParams", "failure_of", "with_io"]

MESSAGE = 16 * 1024
"""Characters of a message that go back."""
META = 64 * 1024
"""Bytes of JSON of `meta` that go back; above it only whether to retry."""
KEYS = 500
"""Missing objects that are named; the orchestrator looks for the others itself."""


class BadResult(Exception):
    """The function returned what no action may return."""

    code = "BadResult"
    retryable = False


class NoParams(StoreError):
    """The params were too large to send, and are not where the call says that they lie."""

    code = "NoParams"

    def __init__(self, key: str, url: str) -> None:
        super().__init__(
            f"the call's params should lie in the store as {key!r}, and {url} has no such object; "
            "give the action (OBJECT_STORE_URL) and its caller (AOWHISK_STORE) the same store"
        )


def failure_of(error: BaseException, *, store_url: str) -> Failure:
    """What goes back for an exception. Of a group the missing objects count, else its first."""
    leaves = list(_leaves(error))
    missing = [leaf for leaf in leaves if isinstance(leaf, NoSuchKey)]
    if missing:
        keys = list(dict.fromkeys(leaf.key for leaf in missing))[:KEYS]
        several = {"keys": keys} if keys[1:] else {}
        return Failure(
            NoSuchKey.code, str(missing[0]), {"key": keys[0], **several, "store": store_url}
        )
    one = leaves[0]
    if isinstance(one, SystemExit):  # its `code` is the exit status, or a text
        return Failure("SystemExit", _clean(f"the action called sys.exit({one.code!r})"))
    name, code, facts = type(one).__name__, getattr(one, "code", None), getattr(one, "meta", None)
    meta = _plain(facts) if isinstance(facts, Mapping) else {}
    if getattr(one, "retryable", None) is False:
        meta["retry"] = False
    return Failure(_clean(code) if isinstance(code, str) else name, _clean(str(one)) or name, meta)


def with_io(error: object, io: IO) -> dict[str, Any]:
    """An `error` with the IO in it: its own fields where it is an object and not too large."""
    if not isinstance(error, Mapping):
        return Failure("Error", _clean(Failure.from_json(error).message), io=io).to_json()
    own = {name: value for name, value in error.items() if name != "io"}
    if len(json.dumps(own)) > META + MESSAGE:
        short = Failure.from_json(own)
        meta = {"retry": False} if short.meta.get("retry") is False else {}
        own = Failure(_clean(short.code), _clean(short.message), meta).to_json()
    return {**own, "io": io.to_json()}


def _leaves(error: BaseException) -> Iterator[BaseException]:
    inner = getattr(error, "exceptions", None)
    if isinstance(inner, tuple) and inner and isinstance(inner[0], BaseException):
        for each in inner:
            yield from _leaves(each)
    else:
        yield error


def _plain(facts: Mapping[Any, Any]) -> dict[str, Any]:
    """The facts as JSON that every reader takes."""
    try:
        text = json.dumps(dict(facts), default=str, allow_nan=False, skipkeys=True)
    except (TypeError, ValueError, RecursionError):  # NaN, or it holds itself
        return {}
    kept = dict(facts) if len(text) <= META else {"retry": facts.get("retry")}
    plain: dict[str, Any] = json.loads(json.dumps(kept, default=str, skipkeys=True))
    return plain


def _clean(text: str) -> str:
    """Text that can be sent: no half characters (of file names), and not without end."""
    short = text if len(text) <= MESSAGE else text[:MESSAGE] + "..."
    return short.encode(errors="backslashreplace").decode()
