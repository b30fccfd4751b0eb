"""Where the time of one attempt went."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from aowhisk.events.model import Cause, Ended
from aowhisk.models import Activation
from object_store.wire import IORecord

__all__ = ["AttemptTelemetry", "Transfer"]


@dataclass(frozen=True, slots=True)
class Transfer:
    """An object that an attempt read or wrote: `size` in bytes, `seconds` as the action took it."""

    key: str
    size: int
    seconds: float

    @property
    def bytes_per_second(self) -> float:
        """The speed of it; 0 where it took no time that the clock could tell."""
        return self.size / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class AttemptTelemetry:
    """One attempt that ended; everything in seconds, to the microsecond.

    The parts follow one another and their sum is `wall`, the time from being ready to our knowing
    the outcome: `queued` until its intent (for one of our slots, and for the namespace's limits),
    `held` from the intent to the POST that was taken (journal, earlier refusals), `network` from
    the POST to OpenWhisk, `waited` in OpenWhisk's queue (waitTime), `init` of a cold start
    (initTime), `ran` in the action, `lag` from the action's end to our knowing.

    `waited`, `init` and `ran` are OpenWhisk's own durations; `network + lag` is what they leave of
    our time since the POST. How that is split is told by OpenWhisk's clock against ours: `network`
    is kept between 0 and all of it, and `skew` is by how much the clocks would have had it outside
    (0 where they agree). `lag` is negative only where OpenWhisk's durations exceed our time: by the
    resolution of the clocks, or because ours was set. Without a record of the activation, all after
    the POST is `lag`. What passes between the components of a sequence is `lag` as well.
    """

    run: str
    call: str
    action: str
    attempt: str
    cause: Cause
    ended: float
    """Epoch seconds."""
    wall: float
    queued: float
    held: float
    network: float
    waited: float
    init: float
    ran: float
    lag: float
    skew: float = 0.0
    activation: str | None = None
    start: datetime | None = None
    """When OpenWhisk started it, by its own clock."""
    is_cold: bool = False
    memory: int | None = None
    """MB that the action may use, None where the record does not say."""
    error_class: str | None = None
    is_final: bool = True
    reads: tuple[Transfer, ...] = ()
    writes: tuple[Transfer, ...] = ()

    @classmethod
    def of(cls, ended: Ended, intended: float | None) -> AttemptTelemetry:
        """The attempt that ended so; `intended` is epoch seconds of its intent, None where that is
        not known."""
        activation = ended.activation
        limits = activation.annotations.get("limits") if activation else None
        memory = limits.get("memory") if isinstance(limits, dict) else None
        return cls(
            run=ended.of,
            call=ended.call,
            action=ended.action,
            attempt=ended.attempt,
            cause=ended.cause,
            ended=ended.at,
            **_parts(ended, intended),
            activation=activation.id if activation else None,
            start=activation.start if activation else None,
            is_cold=activation is not None and activation.init_time is not None,
            memory=memory if isinstance(memory, int) else None,
            error_class=ended.error_class if ended.error is not None else None,
            is_final=ended.final,
            reads=_transfers(ended.reads),
            writes=_transfers(w for w in ended.writes if not w.kept),
        )

    @property
    def parts(self) -> dict[str, float]:
        """The parts by name, in their order."""
        return {name: getattr(self, name) for name in _PARTS}

    @property
    def billed(self) -> float:
        """Seconds that OpenWhisk counts: cold start and run."""
        return round(self.init + self.ran, 6)

    @property
    def gb_seconds(self) -> float | None:
        """Memory limit (GB of 1024 MB) times billed seconds; None where the limit is not known."""
        return None if self.memory is None else self.memory / 1024 * self.billed

    @property
    def bytes_read(self) -> int:
        """The sum over what it read."""
        return sum(each.size for each in self.reads)

    @property
    def bytes_written(self) -> int:
        """The sum over what it wrote."""
        return sum(each.size for each in self.writes)


_PARTS = ("queued", "held", "network", "waited", "init", "ran", "lag")


def _transfers(records: Iterable[IORecord]) -> tuple[Transfer, ...]:
    return tuple(Transfer(r.key, r.size, r.ms / 1000) for r in records)


def _parts(ended: Ended, intended: float | None) -> dict[str, float]:
    """In whole microseconds, so that nothing is lost in sums."""
    end, queued = _us(ended.at), max(0, _us(ended.queued))
    sent = _us(ended.sent) if ended.sent else None
    begun = _us(intended) if intended is not None else end if sent is None else sent
    span = max(0, end - begun)
    held = 0 if sent is None else min(max(0, sent - begun), span)
    waited, init, ran = _durations(ended.activation)
    rest = span - held - waited - init - ran
    network = measured = 0
    start = ended.activation.start if ended.activation else None
    if start is not None and sent is not None:
        measured = _us(start.timestamp()) - waited - sent
        network = min(max(0, measured), max(0, rest))
    found = {
        "wall": queued + span,
        "queued": queued,
        "held": held,
        "network": network,
        "waited": waited,
        "init": init,
        "ran": ran,
        "lag": rest - network,
        "skew": measured - network,
    }
    return {name: value / 1_000_000 for name, value in found.items()}


def _durations(activation: Activation | None) -> tuple[int, int, int]:
    """Wait, cold start and run in microseconds."""
    if activation is None:
        return 0, 0, 0
    duration = activation.duration
    if duration is None and activation.start is not None and activation.end is not None:
        duration = (activation.end - activation.start).total_seconds()
    total = max(0, _us(duration or 0.0))
    init = min(max(0, _us(activation.init_time or 0.0)), total)
    return max(0, _us(activation.wait_time or 0.0)), init, total - init


def _us(seconds: float) -> int:
    return round(seconds * 1_000_000)
