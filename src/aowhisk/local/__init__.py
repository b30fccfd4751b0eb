"""A laptop-sized OpenWhisk: enter a `LocalOpenWhisk`, and its `app` answers as OpenWhisk does."""

from aowhisk.local.accounts import Account, load_accounts
from aowhisk.local.faults import (
    Delay,
    DropReply,
    Fail,
    Fault,
    Lose,
    LoseRecord,
    Throttle,
    Unavailable,
)
from aowhisk.local.limits import Limits
from aowhisk.local.server import GUEST, LocalOpenWhisk

__all__ = [
    "GUEST",
    "Account",
    "Delay",
    "DropReply",
    "Fail",
    "Fault",
    "Limits",
    "LocalOpenWhisk",
    "Lose",
    "LoseRecord",
    "Throttle",
    "Unavailable",
    "load_accounts",
]
