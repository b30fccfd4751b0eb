"""A laptop-sized OpenWhisk: enter a `LocalOpenWhisk`, and its `app` answers as OpenWhisk does."""

from aowhisk.local.accounts import Account, load_accounts
from aowhisk.local.fault_file import load_faults
from aowhisk.local.faults import (
    ClockSkew,
    Crash,
    Delay,
    DelayRecord,
    DropReply,
    Fail,
    Fault,
    FaultPlan,
    GatewayTimeout,
    Lose,
    LoseRecord,
    SlowList,
    Throttle,
    Unavailable,
)
from aowhisk.local.limits import Limits
from aowhisk.local.server import GUEST, LocalOpenWhisk

__all__ = [
    "GUEST",
    "Account",
    "ClockSkew",
    "Crash",
    "Delay",
    "DelayRecord",
    "DropReply",
    "Fail",
    "Fault",
    "FaultPlan",
    "GatewayTimeout",
    "Limits",
    "LocalOpenWhisk",
    "Lose",
    "LoseRecord",
    "SlowList",
    "Throttle",
    "Unavailable",
    "load_accounts",
    "load_faults",
]
