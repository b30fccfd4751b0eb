"""The live line of the runs that are going on."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from aowhisk.events.model import (
    Diverged,
    Ended,
    Event,
    JournalAway,
    JournalBack,
    ObjectsMissing,
    RecoveryPlanned,
    Retrying,
    RunEnded,
    RunInterrupted,
    RunStarted,
    Throttled,
)
from aowhisk.progress.tally import Tally

__all__ = ["Progress"]


class Progress:
    """A sink that shows how runs get on; enter it with `with`.

    On a terminal one line is kept up to date; elsewhere a line is printed at most every `interval`
    seconds. What is out of the ordinary (a lost object, a retry, a refusal) gets a line of its own.
    `console` None means standard error; `clock` gives epoch seconds.
    """

    def __init__(
        self,
        console: Console | None = None,
        *,
        interval: float = 2.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._console = Console(stderr=True) if console is None else console
        self._interval = interval
        self._clock = clock
        self._tallies: dict[str, Tally] = {}
        self._printed = 0.0
        self._live: Live | None = None
        self._waiting: int | None = None  # events, while the journal is away

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(
                get_renderable=self.line,
                console=self._console,
                refresh_per_second=8,
                transient=True,
            )
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def tally(self, run: str) -> Tally:
        """What is known of a run; KeyError for one of which no event was received."""
        return self._tallies[run]

    def receive(self, event: Event) -> None:
        """Take one event."""
        tally = self._tallies.get(event.run)
        if tally is None:
            tally = self._tallies[event.run] = Tally(event.run)
        tally.add(event)
        remark = _remark(event, tally)
        if isinstance(event, JournalAway | JournalBack):
            remark = self._of_journal(event)
        elif self._waiting is not None:
            self._waiting += 1
        if remark is not None:
            self._printed = self._clock()
            self._console.print(escape(remark), highlight=False, soft_wrap=True)
        elif isinstance(event, Ended) and self._live is None:
            self._now_and_then()

    def line(self) -> Text:
        """The line, now."""
        going = [tally for tally in self._tallies.values() if tally.ended is None]
        if not going:
            return Text("")
        now = self._clock()
        text = _standing(going[0], now) if len(going) == 1 else _sum(going)
        if self._waiting is not None:
            text += f"  journal away, {self._waiting} events wait"
        return Text(text, no_wrap=True, overflow="ellipsis")

    def _of_journal(self, event: JournalAway | JournalBack) -> str | None:
        """Once, however many runs are told so."""
        was_away = self._waiting is not None
        if isinstance(event, JournalBack):
            self._waiting = None
            return (
                f"the journal is back; {event.waiting} events waited for it" if was_away else None
            )
        self._waiting = event.waiting
        if was_away:
            return None
        return f"the journal is away, nothing new is invoked until it is back: {event.error}"

    def _now_and_then(self) -> None:
        now = self._clock()
        if now - self._printed < self._interval:
            return
        self._printed = now
        line = self.line()
        if line:
            self._console.print(line, soft_wrap=True)


def _standing(tally: Tally, now: float) -> str:
    more = "+" if tally.open_ended else ""
    parts = [f"{tally.done}/{tally.total}{more} calls", f"{tally.running} running"]
    if tally.failed:
        parts.append(f"{tally.failed} failed")
    waiting = sum(rescue.seconds is None for rescue in tally.rescues)
    if waiting:
        parts.append(f"{waiting} waiting for lost objects")
    active = sorted({call.action for call in tally.calls if call.open})
    if active:
        parts.append(", ".join(active))
    return f"{tally.name} {tally.run}  {tally.seconds(now):.1f} s  " + "  ".join(parts)


def _sum(tallies: list[Tally]) -> str:
    done, total = sum(t.done for t in tallies), sum(t.total for t in tallies)
    more = "+" if any(t.open_ended for t in tallies) else ""
    running = sum(t.running for t in tallies)
    return f"{len(tallies)} runs  {done}/{total}{more} calls  {running} running"


def _remark(event: Event, tally: Tally) -> str | None:
    match event:
        case RunStarted():
            return f"run {event.run} of {event.name} started"
        case ObjectsMissing():
            return f"{event.call}: missing {', '.join(event.keys)}"
        case RecoveryPlanned(steps=()):
            return f"{event.call}: the missing objects are back"
        case RecoveryPlanned():
            writers = ", ".join(writer.removeprefix(f"{event.run}/") for writer, _ in event.steps)
            return f"{event.call}: running again {writers}"
        case Retrying():
            return f"{event.call}: trying again in {event.delay:.1f} s: {event.error}"
        case Throttled():
            return f"OpenWhisk is busy, waiting {event.seconds:.1f} s: {event.text}"
        case Diverged():
            return (
                f"{event.call}: {event.key} came out different; {event.action} is not deterministic"
            )
        case RunInterrupted():
            what = "left to whoever serves" if event.queued else "interrupted; it can be resumed"
            return f"run {event.run} {what}"
        case RunEnded():
            counts = f"{tally.done}/{tally.total} calls in {tally.seconds(event.at):.1f} s"
            return f"run {event.run} {event.state.value}: {counts}"
        case _:
            return None
