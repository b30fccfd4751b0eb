"""Pacing: how long to wait before the next invocation, so that OpenWhisk need not refuse it, and
how several processes divide what a namespace allows."""

from aowhisk.pacing.pacer import Pacer
from aowhisk.pacing.shares import Claim, Shares, split

__all__ = ["Claim", "Pacer", "Shares", "split"]
