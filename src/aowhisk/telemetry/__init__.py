"""Telemetry: what a run's time, requests and money went into. Pure arithmetic over its events."""

from __future__ import annotations

from aowhisk.telemetry.attempt import AttemptTelemetry, Transfer
from aowhisk.telemetry.bound import Bound
from aowhisk.telemetry.run import Meter, Tape, Telemetry
from aowhisk.telemetry.summary import ActionTelemetry, RecoveryShare, Spread

__all__ = [
    "ActionTelemetry",
    "AttemptTelemetry",
    "Bound",
    "Meter",
    "RecoveryShare",
    "Spread",
    "Tape",
    "Telemetry",
    "Transfer",
]
