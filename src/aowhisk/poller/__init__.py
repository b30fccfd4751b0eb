"""Waiting for activations that have not ended yet: one poller for everything a client waits for.

GET by id is the authority. With many waiting, one list of recent activations settles up to 200 at
a time; it is a hint only, since it lags and may miss. There is no background task: those who wait
do the looking, in turn, so a cancelled waiter leaves nothing behind.
"""

from __future__ import annotations

import random as _random
import statistics
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from math import inf

import anyio

from aowhisk.client import ActivationPage, Client, intervals
from aowhisk.errors import NotFound, OpenWhiskError
from aowhisk.models import Activation
from aowhisk.poller.search import Look, Mark, Searches

__all__ = ["Look", "Mark", "Poller"]

MANY = 16
"""Waiting activations above which lists are worth it."""
SMALL = 16 * 1024
"""Bytes of an average record up to which lists bring whole records."""
AT_ONCE = 64
"""GETs by id at once."""
PATIENCE = 30.0
"""Seconds after which an activation that lists do not show is asked for by id..."""
STRAGGLERS = 10.0
"""... as far as that makes no more GETs than this a second."""
LOOKS = 100.0
"""Looks a second of all waiters together, above which each looks less often."""
SAMPLE = 8
"""Records in the first list, which tells how large they are."""

_LAGS = 200  # that are remembered
_HEADSTART = timedelta(seconds=10)  # it was sent before anyone waited: the blocking wait
_OVERLAP = timedelta(seconds=60)  # the cluster's clock is not ours; once the two are compared ...
_DEEP = 8  # until then one round in so many goes all the way back, past what is surely older
_MARGIN = timedelta(seconds=5)  # ... this is enough: its machines' clocks are not the same, either
_ROUND = 0.25  # seconds between rounds while they settle many ...
_MANY_A_PAGE = 40  # ... on each of their pages; else that long for each page, but ...
_SLOWEST_ROUND = 0.75  # ... no longer than this; where they settle none at least 2 * _ROUND, or ...
_SHARE = 0.05  # ... that part of how long the first has waited
_LONGEST_ROUND = 5.0
_LAG = 3.0  # seconds that a list may be behind
_REST = 5.0  # seconds without lists once they lag, doubled while they do
_LONGEST_REST = 60.0


class _Turn(Enum):
    GET = auto()
    LIST = auto()
    PASS = auto()


@dataclass(slots=True, eq=False)
class _Waiter:
    id: str
    until: float
    sent: datetime
    looked: float
    is_exact: bool = True  # `sent` is
    surely: bool = True
    record: Activation | None = None
    shown: bool = False  # a list says that it has ended
    woken: anyio.Event = field(default_factory=anyio.Event)

    def wake(self) -> None:
        self.woken.set()


@dataclass(slots=True)
class _Rounds:
    """When to list again, and whether lists keep up with what GET by id has seen."""

    running: bool = False
    due: float = -inf
    rest_until: float = -inf
    rest: float = _REST
    reach: datetime | None = None
    ahead: timedelta = timedelta()
    ended: float = -inf
    owed: dict[str, tuple[datetime, float]] = field(default_factory=dict)
    count: int = 0
    _compared: bool = False
    tokens: float = 0.0
    filled: float = 0.0

    def spares(self, now: float) -> bool:
        """Whether a GET may go to one that lists have not shown; counts it."""
        grown = self.tokens + (now - self.filled) * STRAGGLERS
        self.tokens, self.filled = min(grown, 2 * STRAGGLERS), now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True

    def misses(self, sent: datetime, now: float) -> bool:
        """Whether the last lists did not go back far enough to show it."""
        recent = now - self.ended < 2 * _LONGEST_ROUND
        return recent and self.reach is not None and sent + self.ahead < self.reach

    def is_deep(self) -> bool:
        """Whether this round has to go all the way back, whatever it finds; counts it."""
        self.count += 1
        return self._compared or self.count % _DEEP == 0

    def since(self, sent: datetime) -> datetime:
        """How far back, by the cluster's clock, lists have to go to show what was sent then."""
        return sent + self.ahead - _MARGIN if self._compared else sent - _OVERLAP

    def compare(self, sent: datetime, start: datetime) -> None:
        """It was sent at `sent` by our clock, and came to the cluster at `start` by its own: by how
        much that is ahead of ours, at most."""
        ahead = start - sent
        if not self._compared or ahead < self.ahead:
            self.ahead, self._compared = ahead, True

    def owe(self, record: Activation, now: float) -> None:
        """A GET has brought this record: a list some seconds later has to show it, too."""
        if record.start is not None and len(self.owed) < 200:
            self.owed[record.id] = (record.start, now)

    def end(self, began: float, now: float, reach: datetime, shown: set[str], pause: float) -> None:
        """A round from `began` to `now` has shown what started after `reach`; `pause` seconds until
        the next."""
        self.reach, self.ended = reach, now
        self.due = now + max(pause, now - began)
        late = {id_: start for id_, (start, at) in self.owed.items() if began - at >= _LAG}
        for id_ in late:
            del self.owed[id_]
        checked = [id_ for id_, start in late.items() if start > reach]
        if any(id_ not in shown for id_ in checked):
            self.rest_until = now + self.rest
            self.rest = min(self.rest * 2, _LONGEST_REST)
        elif checked:
            self.rest = _REST


class Poller:
    """Waits for the records of one client's activations.

    `polls` and `lists` count the requests it has sent, `waiting` the activations it waits for,
    `lag` says how many seconds after their ends it has noticed the last ones.
    """

    def __init__(
        self,
        client: Client,
        *,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = _random.random,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.polls = 0
        self.lists = 0
        self._activations = client.activations
        self._clock = clock
        self._random = random
        self._now = now
        self._waiters: dict[str, list[_Waiter]] = {}
        self._room = anyio.CapacityLimiter(AT_ONCE)
        self._size: float | None = None
        self._rounds = _Rounds()
        self._lags: deque[float] = deque(maxlen=_LAGS)
        self._searches = Searches(client.activations, are_small=self._are_small, clock=clock)

    @property
    def waiting(self) -> int:
        """How many activations are waited for."""
        return len(self._waiters)

    @property
    def lag(self) -> float | None:
        """Seconds from the end of an activation until it was noticed, the median of the last ones;
        None where there was none. What the two clocks differ by, as far as it is known, is left
        out."""
        return statistics.median(self._lags) if self._lags else None

    async def wait(
        self,
        activation_id: str,
        *,
        deadline: float,
        expected: float | None = None,
        sent: datetime | None = None,
        surely: bool = True,
    ) -> Activation | None:
        """The record, or None where it is not there after `deadline` seconds.

        `expected` is in how many seconds the activation will probably end: the first look is then.
        `sent` is when it was asked for, a little before now if that is not said. `surely` looks by
        id at the end; who will go on waiting can do without. Faults that may pass are waited out;
        an error that will not (a wrong key) is raised.
        """
        at = self._clock()
        exact = sent is not None
        sent = self._now() - _HEADSTART if sent is None else sent
        waiter = _Waiter(activation_id, at + deadline, sent, at, exact, surely)
        self._waiters.setdefault(activation_id, []).append(waiter)
        try:
            return await self._watch(waiter, expected)
        finally:
            self._forget(waiter)

    async def find(
        self,
        action: str,
        *,
        wanted: str,
        mark: Mark,
        since: datetime,
        slack: float = 0.0,
    ) -> Look:
        """Look for the newest stored activation of `action`, started at `since` or later, whose
        `mark` is the `wanted` one and that no sequence or composition began.

        All who look with the same `mark` share their requests; `slack` is for how many seconds this
        look may wait for others. Its record is None where it is not there now. That is also the
        answer while a fault that may pass keeps it from looking; one that will not is raised.
        """
        return await self._searches.find(action, wanted=wanted, mark=mark, since=since, slack=slack)

    async def _watch(self, waiter: _Waiter, expected: float | None) -> Activation | None:
        pauses = intervals(self._random)
        pause = next(pauses) if expected is None else max(expected, 0.0)
        while True:
            left = waiter.until - self._clock()
            await self._rest(waiter, min(pause, left))
            if waiter.record is None:
                if self._clock() >= waiter.until:
                    if waiter.surely or self.waiting <= MANY or self._lists_rest():
                        await self._get(waiter)
                    return waiter.record
                await self._take_turn(waiter)
            if waiter.record is not None:
                return waiter.record
            crowded = self.waiting / LOOKS * 2 * self._random()
            pause = max(next(pauses), crowded)

    async def _rest(self, waiter: _Waiter, seconds: float) -> None:
        """Sleep, or until a list has shown it."""
        if seconds > 0:
            with anyio.move_on_after(seconds):
                await waiter.woken.wait()
        if waiter.woken.is_set():
            waiter.woken = anyio.Event()

    async def _take_turn(self, waiter: _Waiter) -> None:
        turn = self._turn(waiter)
        if turn is _Turn.LIST:
            await self._list()
        if turn is not _Turn.PASS and waiter.record is None:
            await self._get(waiter)

    def _turn(self, waiter: _Waiter) -> _Turn:
        now = self._clock()
        rounds = self._rounds
        if waiter.shown or self.waiting <= MANY or self._lists_rest():
            return _Turn.GET
        if now - waiter.looked >= PATIENCE and rounds.spares(now):
            return _Turn.GET
        if rounds.running or now < rounds.due:
            return _Turn.GET if rounds.misses(waiter.sent, now) else _Turn.PASS
        return _Turn.LIST

    def _lists_rest(self) -> bool:
        return self._clock() < self._rounds.rest_until

    async def _get(self, waiter: _Waiter) -> None:
        waiter.looked = self._clock()
        waiter.shown = False
        try:
            async with self._room:
                if waiter.record is not None:
                    return
                self.polls += 1
                with anyio.move_on_after(max(1.0, waiter.until - waiter.looked)) as scope:
                    record, size = await self._activations.sized(waiter.id)
        except OpenWhiskError as error:
            if isinstance(error, NotFound) or error.can_retry:
                return
            raise
        if scope.cancelled_caught:
            return
        self._weigh(size, 1)
        if self.waiting > MANY:
            self._rounds.owe(record, self._clock())
        self._settle(record)

    async def _list(self) -> None:
        """Page through what is recent, once; at most one such round is under way."""
        rounds = self._rounds
        began, before = self._clock(), set(self._waiters)
        rounds.running = True
        try:
            lists = self.lists
            reach, shown = await self._pages()
            pause = self._pause(len(before & shown), self.lists - lists)
            rounds.end(began, self._clock(), reach, shown, pause)
        except OpenWhiskError as error:
            now = self._clock()
            rounds.rest_until = now + (2 * _ROUND if error.can_retry else _LONGEST_REST)
        finally:
            rounds.running = False

    def _pause(self, settled: int, pages: int) -> float:
        """Seconds until another round is worth it, where this one has settled so many."""
        if settled:
            return (
                _ROUND if settled >= _MANY_A_PAGE * pages else min(_ROUND * pages, _SLOWEST_ROUND)
            )
        first = min(waiter.sent for each in self._waiters.values() for waiter in each)
        waited = (self._now() - first).total_seconds()
        return max(2 * _ROUND, min(waited * _SHARE, _LONGEST_ROUND))

    async def _pages(self) -> tuple[datetime, set[str]]:
        """How far back the pages went, and the ids they showed."""
        first = min(w.sent for each in self._waiters.values() for w in each)
        since, is_deep = self._rounds.since(first), self._rounds.is_deep()
        upto: datetime | None = None
        skip = 0
        shown: set[str] = set()
        left = 2 + max(min(10, self.waiting // 8), self.waiting // 100)
        while True:
            whole = self._are_small()
            few = SAMPLE if self._size is None else None  # to learn how large they are
            page = await self._activations.page(
                since=since, upto=upto, docs=whole, skip=skip, limit=few
            )
            self.lists += 1
            left -= 1
            self._read(page, whole=whole)
            shown.update(row.id for row in page.activations)
            starts = [row.start for row in page.activations if row.start is not None]
            if page.is_last or not starts:
                return since, shown
            oldest = min(starts)
            if left == 0 or not self._waiters.keys() - shown:
                return oldest, shown
            if not is_deep and oldest < first - _MARGIN and shown.isdisjoint(self._waiters):
                return oldest, shown
            skip = skip + len(page.activations) if oldest == upto else 0
            upto = oldest

    def _read(self, page: ActivationPage, *, whole: bool) -> None:
        if whole and page.activations:
            self._weigh(page.size / len(page.activations), len(page.activations))
        if whole:
            for row in page.activations:
                self._settle(row)
            return
        for row in page.activations:
            for waiter in self._waiters.get(row.id, ()):
                waiter.shown = True
                waiter.wake()

    def _settle(self, record: Activation) -> None:
        waiters = [each for each in self._waiters.get(record.id, ()) if each.record is None]
        if waiters and record.end is not None:
            late = self._now() + self._rounds.ahead - record.end
            self._lags.append(max(0.0, late.total_seconds()))
        for waiter in waiters:
            if record.start is not None and waiter.is_exact:
                queued = timedelta(seconds=record.wait_time or 0.0)
                self._rounds.compare(waiter.sent, record.start - queued)
            waiter.record = record
            waiter.wake()

    def _are_small(self) -> bool:
        return self._size is None or self._size <= SMALL

    def _weigh(self, size: float, count: int) -> None:
        """Keep a moving average of the records' sizes."""
        weight = min(0.5, count / 20)
        self._size = size if self._size is None else self._size + weight * (size - self._size)

    def _forget(self, waiter: _Waiter) -> None:
        rest = [each for each in self._waiters[waiter.id] if each is not waiter]
        if rest:
            self._waiters[waiter.id] = rest
        else:
            del self._waiters[waiter.id]
            if len(self._waiters) == MANY:  # no more lists: each looks for itself
                for each in self._waiters.values():
                    for other in each:
                        other.wake()
