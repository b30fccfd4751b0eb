"""What can go wrong with an object.

StoreError
├── NoSuchKey          the object is not there (.key)
├── InvalidKey         the key can never name an object (.key, .reason)
└── StoreUnavailable   the store cannot be reached, or refuses us
"""

from __future__ import annotations

__all__ = ["InvalidKey", "NoSuchKey", "StoreError", "StoreUnavailable"]


class StoreError(Exception):
    """Anything that an object store answers other than success."""

    code = "StoreError"


class NoSuchKey(StoreError):
    """The object `key` ("bucket/name") does not exist."""

    code = "NoSuchKey"

    def __init__(self, key: str) -> None:
        """`key` is "bucket/name"."""
        super().__init__(f"object {key!r} does not exist")
        self.key = key

    def __reduce__(self) -> tuple[type[NoSuchKey], tuple[str]]:
        return type(self), (self.key,)


class InvalidKey(StoreError, ValueError):
    """`key` cannot name an object; nothing was read or written."""

    code = "InvalidKey"
    retryable = False

    def __init__(self, key: str, reason: str) -> None:
        """`reason` completes the sentence "the key ... is not valid: "."""
        super().__init__(f"the key {key!r} is not valid: {reason}")
        self.key = key
        self.reason = reason

    def __reduce__(self) -> tuple[type[InvalidKey], tuple[str, str]]:
        return type(self), (self.key, self.reason)


class StoreUnavailable(StoreError):
    """The store could not be reached or refused us; another try may help."""

    code = "StoreUnavailable"
