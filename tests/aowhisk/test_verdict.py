"""The verdict on an activation."""

from typing import Any

import pytest

from aowhisk.errors import (
    ActionError,
    ActivationFailed,
    DeveloperError,
    MissingObject,
    OutOfMemory,
    PlatformError,
    ResultTooLarge,
    TimedOut,
)
from aowhisk.models import Activation, Status
from aowhisk.retry import ErrorClass, classify
from aowhisk.verdict import fault

ID = "a" * 32


def record(status: str, error: object, **annotations: object) -> Activation:
    """A record as the API gives it."""
    return Activation.from_json(
        {
            "activationId": ID,
            "name": "split",
            "response": {"status": status, "success": False, "result": {"error": error}},
            "annotations": [{"key": k, "value": v} for k, v in annotations.items()],
        }
    )


def verdict(status: str, error: object, **annotations: object) -> Any:
    found = fault(record(status, error, **annotations), action="split", call="t.3", attempts=2)
    assert found is not None
    return found


def test_a_success_is_no_fault() -> None:
    done = Activation(id=ID, name="split", status=Status.SUCCESS, result={"error_count": 0})
    assert fault(done, action="split") is None


@pytest.mark.parametrize("result", [None, {}, [], "text", {"error": None}, {"error": ""}])
def test_a_failed_record_of_any_shape_is_a_fault(result: object) -> None:
    for status in (Status.APPLICATION_ERROR, Status.DEVELOPER_ERROR, Status.WHISK_ERROR):
        found = fault(Activation(id=ID, name="a", status=status, result=result), action="a")
        assert isinstance(found, ActivationFailed)


def test_a_fault_names_action_call_activation_and_try() -> None:
    found = verdict("application error", "no such film")
    assert str(found) == (f"action 'split' (call 't.3'): no such film [activation {ID}, try 2]")
    assert (found.action, found.call, found.attempts) == ("split", "t.3", 2)
    assert found.activation.id == ID


def test_a_returned_error_keeps_its_code_and_facts() -> None:
    found = verdict(
        "application error", {"code": "BadFilm", "message": "no video", "meta": {"retry": False}}
    )
    assert type(found) is ActionError
    assert (found.code, found.meta) == ("BadFilm", {"retry": False})
    assert "BadFilm: no video" in str(found)


def test_no_such_key_with_its_keys_is_a_missing_object() -> None:
    found = verdict(
        "application error",
        {"code": "NoSuchKey", "message": "gone", "meta": {"key": "b/1", "keys": ["b/1", "b/2"]}},
    )
    assert type(found) is MissingObject
    assert found.keys == ("b/1", "b/2")
    assert classify(found) is ErrorClass.MISSING


def test_no_such_key_that_names_none_is_an_ordinary_error() -> None:
    assert type(verdict("application error", {"code": "NoSuchKey", "message": "?"})) is ActionError


def test_a_malformed_io_does_not_hide_the_error() -> None:
    found = verdict("application error", {"code": "E", "message": "m", "io": {"v": 99}})
    assert type(found) is ActionError
    assert found.code == "E"


@pytest.mark.parametrize("where", ["", " during initialization"])
def test_the_time_limit_is_known_by_its_text(where: str) -> None:
    text = f"The action exceeded its time limits of 60000 milliseconds{where}."
    assert type(verdict("action developer error", text)) is TimedOut


def test_the_time_limit_is_known_by_its_annotation() -> None:
    assert type(verdict("action developer error", None, timeout=True)) is TimedOut


def test_the_memory_limit_is_known_by_its_text() -> None:
    found = verdict(
        "action developer error",
        "The action exhausted its memory and was aborted.",
        limits={"memory": 256},
    )
    assert type(found) is OutOfMemory
    assert "256 MB" in str(found)


def test_a_crash_is_a_developer_error_that_hints_at_memory() -> None:
    found = verdict(
        "action developer error",
        "The action did not produce a valid response and exited unexpectedly.",
        limits={"memory": 256},
    )
    assert type(found) is DeveloperError
    assert "running out of memory looks the same (its limit is 256 MB)" in str(found)


def test_another_developer_error_has_no_hint() -> None:
    found = verdict("action developer error", "The action failed during initialization: boom")
    assert type(found) is DeveloperError
    assert "memory" not in str(found)


def test_a_cut_result_is_too_large_and_not_repeated_in_the_message() -> None:
    text = (
        "The action produced a response that exceeded the allowed length: 2000000 > 1048576 bytes. "
        "The truncated response was: " + "x" * 1_000_000
    )
    found = verdict("application error", text)
    assert type(found) is ResultTooLarge
    assert "2000000 > 1048576 bytes" in str(found)
    assert len(str(found)) < 500


@pytest.mark.parametrize("status", ["action developer error", "whisk internal error"])
def test_a_refusal_by_the_scheduler_is_throttling(status: str) -> None:
    found = verdict(status, "Too many concurrent requests in flight.")
    assert type(found) is PlatformError
    assert found.throttled
    assert classify(found) is ErrorClass.THROTTLED


def test_an_action_that_returns_that_text_is_not_throttled() -> None:
    found = verdict("application error", "Too many concurrent requests in flight.")
    assert type(found) is ActionError


def test_a_whisk_error_is_the_platforms() -> None:
    found = verdict("whisk internal error", "Failed to pull container image 'X'.")
    assert type(found) is PlatformError
    assert not found.throttled
    assert classify(found) is ErrorClass.PLATFORM
