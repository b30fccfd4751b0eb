"""One attempt of a call, and how it ended: values."""

from __future__ import annotations

from dataclasses import dataclass

from aowhisk.errors import AowhiskError
from aowhisk.events.model import Cause
from aowhisk.lineage import CallRecord
from aowhisk.models import JSON, Activation
from object_store.wire import Context, IORecord

__all__ = ["Attempt", "AttemptEnd"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of the call `record`. `run` is the run whose events it makes: the record's own, but
    for a writer of an earlier run. `timeout` is seconds from POST until we stop waiting, None for
    what the action's limits imply; `queued` is seconds that it waited for one of our slots."""

    run: str
    record: CallRecord
    id: str
    try_: int = 1
    cause: Cause = Cause.FIRST
    restore: tuple[str, ...] | None = None
    timeout: float | None = None
    queued: float = 0.0

    @property
    def action(self) -> str:
        """The action's name."""
        return self.record.action

    @property
    def call(self) -> str:
        """The call's id."""
        return self.record.ref.call

    def context(self, params: str | None = None) -> Context:
        """What the action is told of itself; `params` is the key of params that lie in the
        store."""
        return Context(
            run=self.record.ref.run,
            call=self.call,
            attempt=self.id,
            try_=self.try_,
            restore=self.restore,
            params=params,
        )


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """How an attempt ended: `result` without protocol keys, or `error`. `reported` says that the
    action told what it read and wrote; `sent` is epoch seconds of the POST, `queued` seconds of
    waiting before its intent: for the action's facts, and for the namespace's limits."""

    result: JSON = None
    error: AowhiskError | None = None
    activation: Activation | None = None
    reads: tuple[IORecord, ...] = ()
    writes: tuple[IORecord, ...] = ()
    reported: bool = False
    sent: float = 0.0
    queued: float = 0.0

    def timed(self, *, sent: float, queued: float = 0.0) -> AttemptEnd:
        """The same end, with these times."""
        how = (self.result, self.error, self.activation, self.reads, self.writes, self.reported)
        return AttemptEnd(*how, sent, queued)
