"""The verdict on an activation: whether it failed, and why, as exactly as its record says.

Texts are those of OpenWhisk's common/scala/.../http/ErrorResponse.scala: records carry no codes, so
that texts have to be compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
from aowhisk.models import JSON, Activation, Status
from object_store.wire import Failure

__all__ = ["fault"]

_TIME = "The action exceeded its time limits of"
_MEMORY = "The action exhausted its memory and was aborted."
_LENGTH = "The action produced a response that exceeded the allowed length"
_TRUNCATED = "The truncated response was"
_THROTTLED = "Too many concurrent requests in flight."
_CRASHES = (
    "The action did not produce a valid response and exited unexpectedly.",
    "The action did not initialize and exited unexpectedly.",
)
_LONGEST = 2000


def fault(
    activation: Activation,
    *,
    action: str,
    call: str | None = None,
    attempts: int = 1,
) -> ActivationFailed | None:
    """The error that an activation ended with, None where it succeeded.

    An error returned by the action becomes ActionError, or MissingObject where it names the keys
    that were gone. A time limit, a memory limit, a result that was cut and a refusal by the
    scheduler are recognised by annotation or text.
    """
    if activation.status in (None, Status.SUCCESS):
        return None
    facts: dict[str, Any] = {
        "action": action,
        "call": call,
        "activation": activation,
        "attempts": attempts,
    }
    raw = _error(activation.result)
    text = raw if isinstance(raw, str) else ""
    if text.startswith(_LENGTH):
        text = text.partition(_TRUNCATED)[0].strip()
        return ResultTooLarge(
            _say(facts, f"{text} Put large results into the store and return their keys."), **facts
        )
    if activation.status is Status.APPLICATION_ERROR:
        return _returned(raw, facts)
    if activation.timed_out or text.startswith(_TIME):
        reason = text or "The action exceeded its time limit."
        return TimedOut(_say(facts, f"{reason} Raise the action's timeout, or do less."), **facts)
    if text == _MEMORY:
        return OutOfMemory(_say(facts, f"{text} Raise its memory{_limit(activation)}."), **facts)
    if text == _THROTTLED:
        return PlatformError(
            _say(facts, f"refused by the scheduler: {text}"), throttled=True, **facts
        )
    reason = text or ("no reason given" if raw is None else repr(raw))
    if activation.status is Status.WHISK_ERROR:
        return PlatformError(_say(facts, f"OpenWhisk failed it: {reason}"), **facts)
    return DeveloperError(_say(facts, reason + _hint(text, activation)), **facts)


def _error(result: JSON) -> JSON:
    return result.get("error") if isinstance(result, Mapping) else result


def _returned(raw: JSON, facts: Mapping[str, Any]) -> ActionError:
    # `io` is read elsewhere; malformed, it must not hide the error.
    known = {k: v for k, v in raw.items() if k != "io"} if isinstance(raw, Mapping) else raw
    failure = Failure.from_json(known)
    code = "" if failure.code == "Error" else f"{failure.code}: "
    message = _say(facts, f"{code}{failure.message}")
    if failure.missing:
        return MissingObject(
            message, keys=failure.missing, code=failure.code, meta=failure.meta, **facts
        )
    return ActionError(message, code=failure.code, meta=failure.meta, **facts)


def _say(facts: Mapping[str, Any], reason: str) -> str:
    call = f" (call {facts['call']!r})" if facts["call"] else ""
    tries = f", try {facts['attempts']}" if facts["attempts"] > 1 else ""
    short = reason if len(reason) <= _LONGEST else reason[:_LONGEST] + "..."
    return f"action {facts['action']!r}{call}: {short} [activation {facts['activation'].id}{tries}]"


def _hint(text: str, activation: Activation) -> str:
    if text not in _CRASHES:
        return ""
    return f" On Kubernetes, running out of memory looks the same{_limit(activation)}."


def _limit(activation: Activation) -> str:
    limits = activation.annotations.get("limits")
    memory = limits.get("memory") if isinstance(limits, Mapping) else None
    return f" (its limit is {memory} MB)" if memory is not None else ""
