"""The words that an action and its orchestrator exchange: protocol 1.

An action is given its params plus `_aowhisk`, a `Context`; it answers its result plus `_io`, an
`IO`, or `{"error": Failure}`. Everything here is a plain value that goes to JSON and back; actions
in other languages speak the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "CONTEXT",
    "IO",
    "IO_KEY",
    "IO_LIMIT",
    "PROTOCOL",
    "RECEIPT_AFTER",
    "RESULT_LIMIT",
    "SMALL_RESULT",
    "STORE_URL",
    "STORE_URL_PARAM",
    "Context",
    "Failure",
    "IORecord",
    "WireError",
    "params_key",
    "receipt_key",
]

PROTOCOL = 1
CONTEXT = "_aowhisk"
"""Reserved param: the call's `Context`."""
IO_KEY = "_io"
"""Reserved key of a result: the call's `IO`."""
STORE_URL = "OBJECT_STORE_URL"
"""Environment variable (an init parameter of the action) that says where the store is."""
STORE_URL_PARAM = "object_store_url"
"""Plain param that says the same, for URLs without credentials."""
RECEIPT_AFTER = 1.0
"""Seconds a call may run before it must leave a receipt."""
SMALL_RESULT = 64 * 1024
"""Bytes of JSON above which a result or an IO leaves a receipt."""
RESULT_LIMIT = 512 * 1024
"""Bytes of JSON above which a result is named (by its receipt) instead of sent."""
IO_LIMIT = 64 * 1024
"""Bytes of JSON above which an IO is named (by its receipt) instead of sent."""

_LARGEST = (1 << 53) - 1  # of whole numbers that every reader of JSON has exactly (RFC 7493, 2.2)


class WireError(ValueError):
    """A message is not protocol 1; says which field and why."""

    retryable = False


def receipt_key(run: str, call: str, attempt: str) -> str:
    """The key of the receipt of one attempt."""
    return f"aowhisk/receipts/{run}/{call}/{attempt}.json"


def params_key(run: str, call: str, attempt: str) -> str:
    """The key of the params of one attempt that were too large to send."""
    return f"aowhisk/params/{run}/{call}/{attempt}.json"


@dataclass(frozen=True)
class Context:
    """Who is calling: the run, the call, the attempt.

    `restore` names the only keys ("bucket/name") that a recovery attempt has to write again, None
    means all; `params` is the key of an object that holds the real params as JSON.
    """

    run: str
    call: str
    attempt: str
    try_: int = 1
    restore: tuple[str, ...] | None = None
    params: str | None = None

    @property
    def by(self) -> str:
        """`run/call/attempt`, as it stands in the metadata of objects."""
        return f"{self.run}/{self.call}/{self.attempt}"

    def to_json(self) -> dict[str, Any]:
        """The value of `_aowhisk`."""
        out: dict[str, Any] = {
            "v": PROTOCOL,
            "run": self.run,
            "call": self.call,
            "attempt": self.attempt,
            "try": self.try_,
        }
        if self.restore is not None:
            out["restore"] = list(self.restore)
        if self.params is not None:
            out["params"] = self.params
        return out

    @classmethod
    def from_json(cls, value: object) -> Context:
        """Read `_aowhisk`; raises WireError."""
        data = _object(value, CONTEXT)
        _version(data, CONTEXT)
        restore = data.get("restore")
        return cls(
            run=_text(data, "run", CONTEXT),
            call=_text(data, "call", CONTEXT),
            attempt=_text(data, "attempt", CONTEXT),
            try_=_integer(data, "try", CONTEXT, default=1),
            restore=None if restore is None else _texts(restore, f"{CONTEXT}.restore"),
            params=_maybe_text(data, "params", CONTEXT),
        )


@dataclass(frozen=True)
class IORecord:
    """One object read or written: `size` in bytes, begun `at` epoch ms, lasting `ms`.

    `by` of a read is the writer it saw ("run/call/attempt", from the object's metadata), None where
    the metadata name none. A write that is `kept` was left as it stood, because a recovery attempt
    was not asked to restore it: `size`, `etag` and `by` are those of the version that is there. Any
    other write is this attempt's own and carries no `by`.
    """

    key: str
    size: int
    etag: str
    sha256: str | None = None
    by: str | None = None
    at: int = 0
    ms: int = 0
    kept: bool = False

    def to_json(self) -> dict[str, Any]:
        """The record as it crosses; fields that are None are left out."""
        out: dict[str, Any] = {"key": self.key, "size": self.size, "etag": self.etag}
        if self.sha256 is not None:
            out["sha256"] = self.sha256
        if self.by is not None:
            out["by"] = self.by
        out["at"] = self.at
        out["ms"] = self.ms
        if self.kept:
            out["kept"] = True
        return out

    @classmethod
    def from_json(cls, value: object) -> IORecord:
        """Read one record; raises WireError."""
        data = _object(value, "a record")
        return cls(
            key=_text(data, "key", "a record"),
            size=_integer(data, "size", "a record"),
            etag=_text(data, "etag", "a record"),
            sha256=_maybe_text(data, "sha256", "a record"),
            by=_maybe_text(data, "by", "a record"),
            at=_integer(data, "at", "a record", default=0),
            ms=_integer(data, "ms", "a record", default=0),
            kept=data.get("kept") is True,
        )


@dataclass(frozen=True)
class IO:
    """What one attempt read and wrote, or (`receipt`) the key of the receipt that says it.

    `context` is the call's own, so that the next component of a sequence, which is given `_io` and
    no `_aowhisk`, knows for whom it works.
    """

    attempt: str
    reads: tuple[IORecord, ...] = ()
    writes: tuple[IORecord, ...] = ()
    receipt: str | None = None
    context: Context | None = None

    def to_json(self) -> dict[str, Any]:
        """The value of `_io`."""
        out: dict[str, Any] = {"v": PROTOCOL, "attempt": self.attempt}
        if self.context is not None:
            out["context"] = self.context.to_json()
        if self.receipt is not None:
            out["receipt"] = self.receipt
            return out
        out["reads"] = [r.to_json() for r in self.reads]
        out["writes"] = [w.to_json() for w in self.writes]
        return out

    @classmethod
    def from_json(cls, value: object) -> IO:
        """Read `_io`; raises WireError."""
        data = _object(value, IO_KEY)
        _version(data, IO_KEY)
        return cls(
            attempt=_text(data, "attempt", IO_KEY),
            reads=tuple(IORecord.from_json(r) for r in _array(data.get("reads", []), "reads")),
            writes=tuple(IORecord.from_json(w) for w in _array(data.get("writes", []), "writes")),
            receipt=_maybe_text(data, "receipt", IO_KEY),
            context=None if data.get("context") is None else Context.from_json(data["context"]),
        )


@dataclass(frozen=True)
class Failure:
    """The `error` of a failed call.

    `meta` holds facts for machines: `key` or `keys` of missing objects, `store` (the store's URL
    without credentials), `retry: false` where another try cannot help.
    """

    code: str
    message: str
    meta: Mapping[str, Any] = field(default_factory=dict)
    io: IO | None = None

    @property
    def missing(self) -> tuple[str, ...]:
        """The keys of missing objects; empty unless `code` is NoSuchKey."""
        if self.code != "NoSuchKey":
            return ()
        keys = self.meta.get("keys")
        several = [k for k in keys if isinstance(k, str)] if isinstance(keys, list) else []
        one = self.meta.get("key")
        return tuple(dict.fromkeys(([one] if isinstance(one, str) else []) + several))

    def to_json(self) -> dict[str, Any]:
        """The value of `error`."""
        out: dict[str, Any] = {
            "code": self.code,
            "message": self.message,
            "meta": dict(self.meta),
        }
        if self.io is not None:
            out["io"] = self.io.to_json()
        return out

    @classmethod
    def from_json(cls, value: object) -> Failure:
        """Read the `error` of any action, also of one that knows no protocol."""
        if not isinstance(value, Mapping):
            return cls("Error", value if isinstance(value, str) else repr(value))
        meta, io = value.get("meta"), value.get("io")
        message = value.get("message")
        return cls(
            code=str(value.get("code", "Error")),
            message=message if isinstance(message, str) else repr(dict(value)),
            meta=meta if isinstance(meta, Mapping) else {},
            io=None if io is None else IO.from_json(io),
        )


def _object(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise WireError(f"{where} is {type(value).__name__}, not an object")
    return value


def _version(data: Mapping[str, Any], where: str) -> None:
    if data.get("v") != PROTOCOL:
        raise WireError(
            f"{where}.v is {data.get('v')!r}; this side speaks protocol {PROTOCOL}: "
            "install the same version of aowhisk-object-store in the action"
        )


def _text(data: Mapping[str, Any], name: str, where: str) -> str:
    value = data.get(name)
    if not isinstance(value, str):
        raise WireError(f"{where}.{name} is {value!r}, not a string")
    return _unicode(value, f"{where}.{name}")


def _unicode(value: str, what: str) -> str:
    """The text, if UTF-8 has bytes for it: JSON can name half of a surrogate pair (RFC 8259, 8.2),
    which no store and no database takes."""
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise WireError(f"{what} is {value!r}, which is not valid Unicode") from None
    return value


def _maybe_text(data: Mapping[str, Any], name: str, where: str) -> str | None:
    return None if data.get(name) is None else _text(data, name, where)


def _integer(data: Mapping[str, Any], name: str, where: str, default: int | None = None) -> int:
    value = data.get(name, default)
    if isinstance(value, float) and value.is_integer():  # as some languages write whole numbers
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise WireError(f"{where}.{name} is {value!r}, not a whole number")
    if abs(value) > _LARGEST:
        raise WireError(f"{where}.{name} is {value:.3g}, larger than any reader of JSON can hold")
    return value


def _array(value: object, where: str) -> Sequence[Any]:
    if not isinstance(value, list):
        raise WireError(f"{where} is {type(value).__name__}, not an array")
    return value


def _texts(value: object, where: str) -> tuple[str, ...]:
    items = _array(value, where)
    for item in items:
        if not isinstance(item, str):
            raise WireError(f"{where} holds {item!r}, not a string")
        _unicode(item, where)
    return tuple(items)
