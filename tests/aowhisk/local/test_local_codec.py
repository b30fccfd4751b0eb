"""Entities to JSON and back."""

import json
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aowhisk.local.codec import Codec


class Colour(Enum):
    RED = "red"


@dataclass(frozen=True, slots=True)
class Inner:
    value: Any


@dataclass(frozen=True, slots=True)
class Outer:
    name: str
    inner: dict[str, Inner] = field(default_factory=dict)
    parts: tuple[str, ...] = ()
    colour: Colour | None = None
    later: int = 7


CODEC = Codec(Outer, Inner, Colour)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["$type", "$map"]), inner)
    ),
)


@given(VALUES)
def test_whatever_a_user_stores_comes_back(value: Any) -> None:
    whole = Outer("a", {"$x": Inner(value)}, ("b", "c"), Colour.RED)

    assert CODEC.decode(json.loads(json.dumps(CODEC.encode(whole)))) == whole


def test_a_field_that_was_not_there_yet_has_its_default() -> None:
    encoded = CODEC.encode(Outer("a", later=1))
    del encoded["fields"]["later"]

    assert CODEC.decode(encoded) == Outer("a", later=7)


@pytest.mark.parametrize(
    "encoded",
    [
        {"$type": "Stranger", "fields": {}},
        {"$type": "Outer", "fields": {"name": "a", "unknown": 1}},
        {"$type": "Outer", "fields": {}},
        {"$enum": "Colour", "value": "blue"},
    ],
)
def test_what_these_types_never_were_is_a_value_error(encoded: Any) -> None:
    with pytest.raises(ValueError, match=r"Stranger|Outer|Colour"):
        CODEC.decode(encoded)


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", object()])
def test_what_it_does_not_know_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError, match="cannot be stored"):
        CODEC.encode(value)


def test_a_class_of_the_same_name_is_not_the_class() -> None:
    @dataclass
    class Inner:
        value: int

    with pytest.raises(TypeError, match="Inner cannot be stored"):
        CODEC.encode(Inner(1))
