"""History: questions to a journal, of runs, calls, objects, failures and durations."""

from __future__ import annotations

from aowhisk.history.history import History
from aowhisk.history.values import (
    CallState,
    CallSummary,
    FailureClass,
    FailureExample,
    ObjectUse,
    RunSummary,
    Sample,
)

__all__ = [
    "CallState",
    "CallSummary",
    "FailureClass",
    "FailureExample",
    "History",
    "ObjectUse",
    "RunSummary",
    "Sample",
]
