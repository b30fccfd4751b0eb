"""Retry policies."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aowhisk.errors import (
    ActionError,
    AowhiskError,
    DeveloperError,
    GraphError,
    Lost,
    MissingObject,
    NotFound,
    OutOfMemory,
    PlatformError,
    RecoveryFailed,
    ResultTooLarge,
    ServerFault,
    Throttled,
    TimedOut,
    Unreachable,
)
from aowhisk.retry import ErrorClass, RetryPolicy, classify, next_delay

HOPEFUL = [
    ErrorClass.PLATFORM,
    ErrorClass.THROTTLED,
    ErrorClass.APPLICATION,
    ErrorClass.DEVELOPER,
    ErrorClass.TIMEOUT,
    ErrorClass.MEMORY,
    ErrorClass.RESULT,
]
ERRORS: list[tuple[AowhiskError, ErrorClass, bool]] = [
    (ActionError("m", action="a"), ErrorClass.APPLICATION, True),
    (MissingObject("m", keys=["b/k"], action="a"), ErrorClass.MISSING, False),
    (DeveloperError("m", action="a"), ErrorClass.DEVELOPER, True),
    (PlatformError("m", action="a"), ErrorClass.PLATFORM, True),
    (PlatformError("m", throttled=True, action="a"), ErrorClass.THROTTLED, True),
    (TimedOut("m", action="a"), ErrorClass.TIMEOUT, True),
    (OutOfMemory("m", action="a"), ErrorClass.MEMORY, False),
    (ResultTooLarge("m", action="a"), ErrorClass.RESULT, False),
    (Lost("m", action="a"), ErrorClass.LOST, False),
    (Throttled("m", request="POST /", per_minute=True), ErrorClass.THROTTLED, True),
    (Unreachable("m", request="POST /", sent=False), ErrorClass.PLATFORM, True),
    (ServerFault("m", request="POST /", status=503, accepted=False), ErrorClass.PLATFORM, True),
    (NotFound("m", request="POST /", status=404), ErrorClass.REQUEST, False),
    (RecoveryFailed("m", key="b/k", reason="budget"), ErrorClass.OTHER, False),
]
FAILED = ActionError("m", action="a")

policies = st.builds(
    RetryPolicy,
    retries=st.integers(0, 10**6),
    first=st.floats(0, 1e6),
    factor=st.floats(1, 1e6),
    longest=st.floats(0, 1e6),
    elapsed=st.none() | st.floats(0, 1e6),
    on=st.none() | st.frozensets(st.sampled_from(HOPEFUL)),
)


def delay(policy: RetryPolicy, error: BaseException = FAILED, **given: Any) -> float | None:
    facts: dict[str, Any] = {"tries": 1, "elapsed": 0.0, "random": lambda: 1.0, **given}
    return next_delay(policy, error, **facts)


@pytest.mark.parametrize(("error", "kind", "hope"), ERRORS, ids=lambda each: str(each)[:20])
def test_an_error_has_one_class_and_is_retried_by_default_only_where_that_can_help(
    error: AowhiskError, kind: ErrorClass, hope: bool
) -> None:
    assert classify(error) is kind
    assert (delay(RetryPolicy(), error) is not None) is hope


def test_waits_double_up_to_the_longest() -> None:
    policy = RetryPolicy(retries=6, first=0.5, factor=2, longest=5)
    assert [delay(policy, tries=n) for n in range(1, 8)] == [0.5, 1, 2, 4, 5, 5, None]


def test_jitter_is_full() -> None:
    policy = RetryPolicy(first=8)
    assert [delay(policy, random=lambda r=r: r) for r in (0.0, 0.25, 0.999)] == [0, 2, 8 * 0.999]


def test_no_retries_means_one_try() -> None:
    assert delay(RetryPolicy(retries=0)) is None


def test_a_try_starts_at_the_latest_when_the_time_is_up() -> None:
    policy = RetryPolicy(first=10, elapsed=60)
    assert delay(policy, elapsed=55.0) == 5
    assert delay(policy, elapsed=60.0) is None


def test_the_action_may_say_that_another_try_is_no_use() -> None:
    error = ActionError("m", action="a", meta={"retry": False})
    assert delay(RetryPolicy(), error) is None
    assert delay(RetryPolicy(on=frozenset({ErrorClass.APPLICATION})), error) is None


def test_named_classes_replace_the_default() -> None:
    policy = RetryPolicy(on=frozenset({ErrorClass.MEMORY}))
    assert delay(policy, OutOfMemory("m", action="a")) is not None
    assert delay(policy, FAILED) is None


def test_a_missing_object_is_never_retried() -> None:
    missing = MissingObject("m", keys=["b/k"], action="a")
    assert delay(RetryPolicy(on=frozenset({ErrorClass.APPLICATION})), missing) is None


@given(policies, st.integers(1, 10**6), st.floats(0, 1e6), st.floats(0, 1, exclude_max=True))
def test_a_delay_is_within_its_bounds(
    policy: RetryPolicy, tries: int, elapsed: float, chance: float
) -> None:
    found = delay(policy, tries=tries, elapsed=elapsed, random=lambda: chance)
    if found is not None:
        assert tries <= policy.retries
        assert 0 <= found <= policy.longest
        assert policy.elapsed is None or elapsed + found <= policy.elapsed * (1 + 1e-9)


@given(policies)
def test_a_policy_survives_json(policy: RetryPolicy) -> None:
    assert RetryPolicy.from_json(json.loads(json.dumps(policy.to_json()))) == policy


def test_the_default_policy_is_an_empty_object() -> None:
    assert RetryPolicy().to_json() == {}


@pytest.mark.parametrize(
    "wrong",
    [
        {"retries": -1},
        {"retries": 1.5},
        {"retries": True},
        {"first": -0.1},
        {"first": "1"},
        {"factor": 0.5},
        {"longest": float("inf")},
        {"elapsed": float("nan")},
        {"on": "platform"},
        {"on": ["weather"]},
        {"on": ["missing"]},
    ],
    ids=str,
)
def test_a_wrong_policy_is_refused_with_the_name_of_the_field(wrong: dict[str, Any]) -> None:
    with pytest.raises(GraphError, match=next(iter(wrong))):
        RetryPolicy(**wrong)


@pytest.mark.parametrize("value", [None, [], 3, {"tries": 2}])
def test_json_that_is_no_policy_is_refused(value: object) -> None:
    with pytest.raises(GraphError, match="retry"):
        RetryPolicy.from_json(value)
