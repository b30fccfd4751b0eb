"""How long actions usually take."""

from __future__ import annotations

from aowhisk.invoker.habits import Habits
from aowhisk.models import Activation


def took(seconds: float | None) -> Activation:
    return Activation(id="0" * 32, name="a", duration=seconds)


def test_nothing_is_expected_of_an_action_that_is_not_known() -> None:
    habits = Habits()
    habits.note("other", took(10))
    habits.note("a", took(None))
    assert habits.left("a", 0) == 0


def test_hardly_any_ends_before_it_is_expected() -> None:
    habits = Habits()
    for n in range(20):
        habits.note("a", took(10 + n))
    assert habits.left("a", 2) == 10  # 12 s after it was sent; two of the twenty were quicker
    assert habits.left("a", 50) == 0


def test_only_the_last_count() -> None:
    habits = Habits()
    for seconds in [100] * 50 + [1] * 20:
        habits.note("a", took(seconds))
    assert habits.left("a", 0) == 1
