"""Which names are legal."""

from __future__ import annotations

import re
from functools import lru_cache

from aowhisk.local.http import Refusal

__all__ = ["check_activation_id", "check_name", "check_namespace", "is_name"]

LONGEST = 256
_SEGMENT = re.compile(r"\w|\w[\w@.& -]*[\w@.&-]", re.ASCII)
_HEX = re.compile(r"[0-9a-f]*")


def check_name(name: str) -> None:
    """Refuse what is no name of an entity."""
    _check(name, "Name segement", "The name of the entity contains illegal characters.")  # sic


@lru_cache(1024)
def is_name(name: str) -> bool:
    """Whether it can be the name of an entity, or a part of its path."""
    return len(name) <= LONGEST and _SEGMENT.fullmatch(name) is not None


def check_namespace(name: str) -> None:
    """Refuse what is no name of a namespace."""
    _check(name, "Namespace", "The namespace contains illegal characters.")


def check_activation_id(activation_id: str) -> None:
    """Refuse what is no activation id."""
    if len(activation_id) != 32:
        raise Refusal(400, f"Activation id length is {len(activation_id)} but must be 32.")
    if not _HEX.fullmatch(activation_id):
        raise Refusal(400, "The activation id is not valid.")


def _check(name: str, what: str, illegal: str) -> None:
    if len(name) > LONGEST:
        raise Refusal(400, f"{what} longer than allowed: {len(name)} > {LONGEST}.")
    if not is_name(name):
        raise Refusal(400, illegal)
