"""Looking for activations whose ids are not known, by a mark that their records bear.

Who looks for one of an action's activations at the same time shares one walk through the pages of
its list: each record is looked at once, whoever looks, and there is one walk at a time. There is no
background task: the first whose time has come walks, for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from math import inf

import anyio
import anyio.lowlevel

from aowhisk.client.activations import Activations
from aowhisk.errors import NotFound, OpenWhiskError
from aowhisk.models import Activation

__all__ = ["Look", "Mark", "Searches"]

Mark = Callable[[Activation], str | None]

NEWEST = 20
"""Ids of what it saw that a look gives back."""
GAP = 0.25
"""Seconds between two walks for the same action, at least; else as long as the last one took."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a look has found, and the ids of the `newest` that it has seen, newest first."""

    record: Activation | None = None
    newest: tuple[str, ...] = ()


@dataclass(slots=True, eq=False)
class _Seeker:
    wanted: str
    since: datetime
    due: float
    look: Look | None = None
    error: OpenWhiskError | None = None
    woken: anyio.Event = field(default_factory=anyio.Event)

    def end(self, look: Look) -> None:
        if self.look is None:
            self.look = look
            self.woken.set()

    def fail(self, error: OpenWhiskError) -> None:
        if self.look is None:
            self.error = error
            self.woken.set()


@dataclass(slots=True, eq=False)
class _Search:
    """All that look for activations of an action by the same mark.

    `due` is when the next walk may begin. `marks` are those of the listed records that had to be
    fetched one by one: no record ever changes.
    """

    action: str
    mark: Mark
    seekers: set[_Seeker] = field(default_factory=set)
    is_walking: bool = False
    due: float = -inf
    marks: dict[str, str | None] = field(default_factory=dict)


class _Walk:
    """One way back through a list, for these seekers."""

    def __init__(self, seekers: Iterable[_Seeker]) -> None:
        self._left = sorted(seekers, key=lambda seeker: seeker.since)  # the nearest is last
        self._wanted: dict[str, list[_Seeker]] = {}
        for seeker in self._left:
            self._wanted.setdefault(seeker.wanted, []).append(seeker)
        self._newest: list[str] = []
        self.seen: set[str] = set()
        self.since = self._left[0].since

    @property
    def is_over(self) -> bool:
        """Whether everyone has found what it looked for, or gone back as far as it wanted."""
        return not self._wanted

    def wants(self, mark: str | None) -> bool:
        """Whether someone looks for it."""
        return mark in self._wanted

    def come_to(self, row: Activation) -> None:
        """The next row, older than those before: who looks for newer ones has seen them all."""
        while row.start is not None and self._left and self._is_past(row.start):
            seeker = self._left.pop()
            self._end(seeker)
            same = [each for each in self._wanted.pop(seeker.wanted, ()) if each is not seeker]
            if same:
                self._wanted[seeker.wanted] = same
        if len(self._newest) < NEWEST:
            self._newest.append(row.id)
        self.seen.add(row.id)

    def find(self, mark: str, record: Activation) -> None:
        """This record bears the mark."""
        for seeker in self._wanted.pop(mark, ()):
            self._end(seeker, record)

    def end(self) -> None:
        """Nobody will find more."""
        for seeker in self._left:
            self._end(seeker)

    def _is_past(self, start: datetime) -> bool:
        """Whether the nearest bound is behind; the farthest is the list's own to keep."""
        return self.since < self._left[-1].since and start < self._left[-1].since

    def _end(self, seeker: _Seeker, record: Activation | None = None) -> None:
        seeker.end(Look(record, tuple(self._newest)))


class Searches:
    """The searches of one client. `are_small` says whether lists may bring whole records."""

    def __init__(
        self,
        activations: Activations,
        *,
        are_small: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        self._activations = activations
        self._are_small = are_small
        self._clock = clock
        self._searches: dict[tuple[str, Mark], _Search] = {}
        self._one_at_a_time = anyio.Lock()

    async def find(
        self, action: str, *, wanted: str, mark: Mark, since: datetime, slack: float
    ) -> Look:
        """See Poller.find."""
        search = self._searches.setdefault((action, mark), _Search(action, mark))
        since = since.replace(microsecond=since.microsecond // 1000 * 1000)  # as lists have it
        seeker = _Seeker(wanted, since, self._clock() + slack)
        search.seekers.add(seeker)
        try:
            while seeker.look is None and seeker.error is None:
                await self._go_on(search, seeker)
        finally:
            search.seekers.discard(seeker)
        if seeker.error is not None:
            raise seeker.error
        assert seeker.look is not None
        return seeker.look

    async def _go_on(self, search: _Search, seeker: _Seeker) -> None:
        """Wait for the walk of another, or until it is time, or walk."""
        left = max(seeker.due, search.due) - self._clock()
        if search.is_walking:
            await seeker.woken.wait()
        elif left > 0:
            with anyio.move_on_after(left):
                await seeker.woken.wait()
        else:
            await self._walk(search)
        if seeker.look is None:
            seeker.woken = anyio.Event()

    async def _walk(self, search: _Search) -> None:
        search.is_walking = True
        began = self._clock()
        try:
            async with self._one_at_a_time:
                await anyio.lowlevel.checkpoint()  # all that begin to look now come along
                began = self._clock()
                await self._serve(search, [*search.seekers])
        finally:
            now = self._clock()
            search.due = now + max(GAP, now - began)
            search.is_walking = False
            for seeker in search.seekers:
                seeker.woken.set()

    async def _serve(self, search: _Search, seekers: list[_Seeker]) -> None:
        """Walk for these. A fault that may pass means: not there now."""
        walk = _Walk(seekers)
        try:
            await self._go_back(search, walk)
        except OpenWhiskError as error:
            if not error.can_retry:
                for seeker in seekers:
                    seeker.fail(error)
        walk.end()

    async def _go_back(self, search: _Search, walk: _Walk) -> None:
        whole = self._are_small()
        rows = self._activations.list(name=search.action, since=walk.since, docs=whole)
        async for row in rows:
            if row.cause is not None:  # a conductor's own steps bear the composition's name
                continue
            walk.come_to(row)
            if walk.is_over:
                return
            record = row if whole else await self._fetched(search, walk, row.id)
            if record is not None and (mark := search.mark(record)) is not None:
                walk.find(mark, record)
            if walk.is_over:
                return
        for id_ in search.marks.keys() - walk.seen:  # listed no more
            del search.marks[id_]

    async def _fetched(self, search: _Search, walk: _Walk, id_: str) -> Activation | None:
        """The record of a row, if it may be wanted."""
        if id_ in search.marks and not walk.wants(search.marks[id_]):
            return None
        try:
            record = await self._activations.get(id_)
        except NotFound:
            return None
        search.marks[id_] = search.mark(record)
        return record
