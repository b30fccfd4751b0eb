"""In which order the calls of a plan run."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import pairwise
from typing import TypeAlias

from aowhisk.lineage import CallRecord, CallRef
from aowhisk.recovery.view import View, Want

__all__ = ["Draft", "Edges", "arrange", "circle", "edges", "longest"]

Edges: TypeAlias = dict[CallRef, set[CallRef]]
"""Which calls each call has to wait for."""


@dataclass(slots=True)
class Draft:
    """A step while the plan is made: what it is for, what it reads, what it has to restore."""

    call: CallRecord
    join: bool = False
    because: dict[str, None] = field(default_factory=dict)
    restore: tuple[str, ...] = ()
    wants: list[Want] = field(default_factory=list)
    clobbers: tuple[str, ...] = ()


def edges(drafts: Mapping[CallRef, Draft], view: View) -> tuple[Edges, Edges]:
    """What must wait for what, and what had better.

    Writers of one key run in its order, and a reader waits for the version it reads: these must.
    A writer had better wait until the older version that it replaces has been read.
    """
    producers = _producers(drafts, view)
    must: Edges = {ref: set() for ref in drafts}
    better: Edges = {ref: set() for ref in drafts}
    for line in producers.values():
        for (_, before), (_, after) in pairwise(line):
            must[after].add(before)
    for ref, draft in drafts.items():
        for want in draft.wants:
            line = producers.get(want.key, [])
            rank = view.rank(want)
            at = bisect_right(line, rank, key=lambda item: item[0])
            if at and line[at - 1][0] == rank:
                must[ref].add(line[at - 1][1])
            if at < len(line) and line[at][1] != ref:
                better[line[at][1]].add(ref)
    for ref, draft in drafts.items():
        if draft.join:  # it runs already
            must[ref], better[ref] = set(), set()
    return must, better


def _producers(drafts: Mapping[CallRef, Draft], view: View) -> dict[str, list[tuple[int, CallRef]]]:
    """Which steps write each key, by rank."""
    producers: dict[str, list[tuple[int, CallRef]]] = {}
    for ref, draft in drafts.items():
        for key in dict.fromkeys((*draft.restore, *draft.clobbers)):
            producers.setdefault(key, []).append((view.ranks(key)[ref], ref))
    for line in producers.values():
        line.sort()
    return producers


def arrange(must: Edges, better: Edges) -> tuple[list[CallRef], Edges] | None:
    """An order that keeps `must`, and `better` if it can be; None if the calls wait in a circle."""
    both = {ref: must[ref] | better[ref] for ref in must}
    for waits in (both, must):
        order = _sorted(waits)
        if len(order) == len(waits):
            return order, waits
    return None


def circle(waits: Edges) -> list[CallRef]:
    """Calls that wait for one another, each for the next; there must be such."""
    stuck = set(waits) - set(_sorted(waits))
    at = min(stuck)
    path: dict[CallRef, None] = {}
    while at not in path:
        path[at] = None
        at = min(waits[at] & stuck)
    return list(path)[list(path).index(at) :]


def _sorted(waits: Edges) -> list[CallRef]:
    """Kahn's algorithm, as far as it comes; of what may run, what was found first is first."""
    number = {ref: at for at, ref in enumerate(waits)}
    names = list(waits)
    open_ = {ref: len(before) for ref, before in waits.items()}
    followers: dict[CallRef, list[CallRef]] = {ref: [] for ref in waits}
    for ref, before in waits.items():
        for other in before:
            followers[other].append(ref)
    ready = [number[ref] for ref, count in open_.items() if not count]
    heapify(ready)
    order = []
    while ready:
        ref = names[heappop(ready)]
        order.append(ref)
        for other in followers[ref]:
            open_[other] -= 1
            if not open_[other]:
                heappush(ready, number[other])
    return order


def longest(order: list[CallRef], waits: Edges) -> int:
    """The number of calls in the longest chain."""
    length: dict[CallRef, int] = {}
    for ref in order:
        length[ref] = 1 + max((length[before] for before in waits[ref]), default=0)
    return max(length.values(), default=0)
