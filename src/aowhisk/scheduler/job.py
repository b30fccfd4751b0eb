"""A job: something to be attempted until it ends, a call of the run or a writer run again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from aowhisk.events.model import Cause
from aowhisk.lineage import CallRecord, CallRef
from aowhisk.models import Outcome
from aowhisk.replay import History, Pending
from aowhisk.retry import Terms
from aowhisk.scheduler.flights import Flight
from aowhisk.scheduler.queue import Limit

__all__ = ["Gate", "Job"]


class Gate:
    """Whether calls of a node may still start; `why` says what shut it."""

    __slots__ = ("why",)

    def __init__(self) -> None:
        self.why: str | None = None


@dataclass(slots=True, eq=False)
class Job:
    """`inputs` gives the keys written by the calls that the params come from. `ended` is told
    the outcome, once. Times are seconds of the scheduler's clock; `mark` is the lineage's clock
    when the last attempt was sent."""

    record: CallRecord
    flight: Flight
    ended: Callable[[Job, Outcome], None]
    priority: float = 0.0
    limits: tuple[Limit, ...] = ()
    gate: Gate | None = None
    inputs: Callable[[], Iterable[str]] = tuple
    restore: tuple[str, ...] | None = None
    cause: Cause = Cause.FIRST
    tries: int = 0
    failures: int = 0
    resent: int = 0
    first_sent: float | None = None
    ready_at: float = 0.0
    mark: int = 0
    phantoms: Counter[str] = field(default_factory=Counter)
    pending: Pending | None = None

    def take_up(self, history: History) -> None:
        """Go on where an earlier process ended: with its attempt, if that may still be running."""
        self.tries = history.tries[self.ref]
        self.failures = history.failures[self.ref]
        self.pending = history.pending.get(self.ref)
        if self.tries and self.pending is None:
            self.cause = Cause.RETRY

    @property
    def ref(self) -> CallRef:
        """Run and call."""
        return self.record.ref

    @property
    def terms(self) -> Terms:
        """How it is to be tried, also when it is run again for others."""
        return self.record.terms

    @property
    def is_repair(self) -> bool:
        """Whether it runs a writer again, for the sake of others."""
        return self.restore is not None
