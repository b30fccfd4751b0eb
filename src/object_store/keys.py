"""The name of an object: "bucket/name", valid on every backend or on none."""

from __future__ import annotations

import re
from typing import NamedTuple

from object_store.errors import InvalidKey

__all__ = ["KEY_LIMIT", "SEGMENT_LIMIT", "Key", "is_valid_name", "parse_key", "parse_prefix"]

KEY_LIMIT = 1024
"""Bytes (UTF-8) of a name, as S3 has it."""
SEGMENT_LIMIT = 255
"""Bytes (UTF-8) between two slashes, as file systems have it."""

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_IP = re.compile(r"\d+\.\d+\.\d+\.\d+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Key(NamedTuple):
    """A valid key."""

    bucket: str
    name: str

    def __str__(self) -> str:
        return f"{self.bucket}/{self.name}"

    @property
    def parents(self) -> tuple[Key, ...]:
        """The keys that cannot exist beside this one where objects are files."""
        parts = self.name.split("/")
        return tuple(Key(self.bucket, "/".join(parts[:n])) for n in range(1, len(parts)))


def parse_key(text: str) -> Key:
    """Read "bucket/name"; raises InvalidKey, which says why."""
    if not isinstance(text, str):
        raise InvalidKey(str(text), f"it is {type(text).__name__}, not text")
    bucket, slash, name = text.partition("/")
    if not slash:
        raise InvalidKey(text, "it names no bucket; write it as bucket/name")
    reason = _bucket_fault(bucket) or _name_fault(name)
    if reason is not None:
        raise InvalidKey(text, reason)
    return Key(bucket, name)


def is_valid_name(name: str) -> bool:
    """Whether `name` can be that of an object in a bucket."""
    return _name_fault(name) is None


def parse_prefix(text: str) -> Key:
    """Read "bucket", "bucket/" or "bucket/start of names"; the name may be empty."""
    bucket, _, start = text.partition("/")
    reason = _bucket_fault(bucket) or _text_fault(start)
    if reason is None and any(part in (".", "..") for part in start.split("/")[:-1]):
        reason = "it has a segment '.' or '..'"
    if reason is not None:
        raise InvalidKey(text, reason)
    return Key(bucket, start)


def _bucket_fault(bucket: str) -> str | None:
    if not bucket:
        return "it begins with a slash, so it names no bucket; write it as bucket/name"
    if _BUCKET.fullmatch(bucket) is None or ".." in bucket or _IP.fullmatch(bucket):
        return (
            f"the bucket {bucket!r} must be 3 to 63 lower-case letters, digits, '-' or '.', "
            "beginning and ending with a letter or a digit, and no IP address"
        )
    return None


def _name_fault(name: str) -> str | None:
    if not name:
        return "the name after the bucket is empty"
    fault = _text_fault(name)
    if fault is not None:
        return fault
    for part in name.split("/"):
        if part == "":
            return "it has an empty segment: a slash at an end, or two together"
        if part in (".", ".."):
            return f"it has a segment {part!r}"
        if len(part.encode()) > SEGMENT_LIMIT:
            return f"a segment of it is longer than {SEGMENT_LIMIT} bytes"
    return None


def _text_fault(name: str) -> str | None:
    if _CONTROL.search(name):
        return "it has a control character (NUL, newline, ...)"
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "it is not valid Unicode"
    if size > KEY_LIMIT:
        return f"its name has {size} bytes, more than {KEY_LIMIT}"
    return None
