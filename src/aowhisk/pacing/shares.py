"""Shares: how several processes divide what one namespace allows.

They know of each other by a small document that all of them amend (`Journal.amend`): who is there,
how much each would like to have in flight, how much each may have, and who has taken how much of
the minute's budget. Clocks are compared with nobody: a process whose beat stands still is gone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Claim", "Shares", "split"]

_BLOCKS = 50  # a process takes the minute's budget in so many pieces, or in larger ones
Document = dict[str, Any]


def split(whole: int, wishes: Sequence[int]) -> list[int]:
    """Divide `whole` so that nobody who gets less than it wishes gets less than another; what
    nobody wishes for goes to all alike. Each gets 1 at least."""
    if not wishes:
        return []
    given = [0] * len(wishes)
    left, hungry = whole, [n for n, wish in enumerate(wishes) if wish > 0]
    while left > 0 and hungry:
        each = max(1, left // len(hungry))
        for n in hungry:
            piece = min(each, wishes[n] - given[n], left)
            given[n] += piece
            left -= piece
        hungry = [n for n in hungry if given[n] < wishes[n]]
    spare, odd = divmod(left, len(wishes))
    return [max(1, piece + spare + (n < odd)) for n, piece in enumerate(given)]


@dataclass(frozen=True, slots=True)
class Claim:
    """What was got of a minute's budget: `granted` for us, `used` by all so far, us included."""

    minute: int
    granted: int
    used: int


@dataclass
class Shares:
    """One process's part in the document of its namespace; no I/O, no clock.

    `me` is a name that no other process has; `patience` the seconds after which a process whose
    beat has not moved is taken for gone; `is_gone` may know that of one at once.
    """

    me: str
    patience: float = 15.0
    is_gone: Callable[[str], bool] = lambda owner: False
    others: int = 0
    """How many other processes there were at the last look."""
    _seen: dict[str, tuple[int, float]] = field(default_factory=dict)

    def attend(
        self, known: Mapping[str, Any], *, now: float, wish: int, in_flight: int, room: int | None
    ) -> tuple[Document, int | None]:
        """The document with our part brought up to date, and how many invocations we may have in
        flight (None: no limit) of the `room` there is. `now` is in seconds of any steady clock;
        `wish` is how many we would have in flight if we could.

        A share grows only into what the others do not hold any more, so that a newcomer waits a
        beat instead of being refused.
        """
        members = self._members(known, now)
        mine = members[self.me]
        mine["beat"], mine["wish"] = mine["beat"] + 1, wish
        share = None
        if room is not None:
            names = sorted(members)
            wishes = [members[name]["wish"] for name in names]
            fair = split(room, wishes)[names.index(self.me)]
            held = sum(each["held"] for name, each in members.items() if name != self.me)
            share = max(1, min(fair, room - held))
        mine["held"] = max(share or 0, in_flight)
        return {**known, "members": members}, share

    def claim(
        self,
        known: Mapping[str, Any],
        *,
        now: float,
        minute: int,
        budget: int,
        wanted: int,
        left: float,
    ) -> tuple[Document, Claim]:
        """The document with `wanted` more of a minute's budget for us, or what there is of it.

        `minute` is counted from the epoch; `left` is the part of it that is still to come. While it
        is young, the others' fair part is left for them as far as they have use for it.
        """
        members = self._members(known, now)
        used = dict(known["used"]) if known.get("minute") == minute else {}
        fair = budget // len(members)
        kept = sum(
            max(0, min(each["wish"], fair - used.get(name, 0)))
            for name, each in members.items()
            if name != self.me
        )
        total = sum(used.values())
        block = max(wanted, (budget - total) // (_BLOCKS * len(members)))
        granted = max(0, min(block, budget - total - math.ceil(kept * left)))
        used[self.me] = used.get(self.me, 0) + granted
        document = {**known, "members": members, "minute": minute, "used": used}
        return document, Claim(minute, granted, total + granted)

    def leave(self, known: Mapping[str, Any]) -> Document:
        """The document without us."""
        members = {k: v for k, v in known.get("members", {}).items() if k != self.me}
        return {**known, "members": members}

    def _members(self, known: Mapping[str, Any], now: float) -> dict[str, dict[str, int]]:
        """Those that are there, us among them."""
        members = {name: dict(each) for name, each in known.get("members", {}).items()}
        members.setdefault(self.me, {"beat": 0, "wish": 0, "held": 0})
        for name in [name for name in members if name != self.me]:
            beat, at = self._seen.get(name, (-1, now))
            if beat != members[name]["beat"]:
                self._seen[name] = (members[name]["beat"], now)
            elif now - at >= self.patience or self.is_gone(name):
                del members[name]
        self._seen = {name: seen for name, seen in self._seen.items() if name in members}
        self.others = len(members) - 1
        return members
