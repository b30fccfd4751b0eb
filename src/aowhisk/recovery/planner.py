"""The planner: from lost objects upwards to the calls that can write them again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Set

from aowhisk.errors import RecoveryFailed
from aowhisk.lineage import CallRef, Lineage
from aowhisk.recovery.order import Draft, arrange, circle, edges, longest
from aowhisk.recovery.plan import Need, Plan, RecoveryPolicy, Seen, Step
from aowhisk.recovery.view import Standing, View, Want

__all__ = ["plan"]

_DEFAULT = RecoveryPolicy()
_GONE = Seen(None)


def plan(
    lineage: Lineage,
    wanted: Iterable[str],
    seen: Mapping[str, Seen],
    *,
    policy: RecoveryPolicy = _DEFAULT,
    reader: CallRef | None = None,
    waiting: Set[CallRef] = frozenset(),
    in_flight: Set[CallRef] = frozenset(),
    looked_up: Set[str] = frozenset(),
    spent: int = 0,
    probing: bool = True,
    lookahead: int = 16,
) -> Plan | Need:
    """The calls to run again so that the wanted keys can be read, or what must be known first.

    Ask again with a Need answered, `lookahead` doubled, until there is a Plan: a Need names all
    that is missing now and up to `lookahead` keys that may be asked for next. Without a store to
    probe (`probing=False`), a key that is not in `seen` counts as present.

    A key means its newest version. `reader` is the call that wants to read, None for a person; of a
    key that it writes itself it means the version before its own. `waiting` are the calls that wait
    for it in turn: needing one of them, or itself, is a cycle. `in_flight` are calls that are
    running and will write their objects: they are joined, not run again. `spent` are the re-runs
    that count against the policy already. Linear in the calls looked at; raises RecoveryFailed with
    one of the reasons of docs/recovery.md.
    """
    view = View(lineage, seen, looked_up, probing=probing)
    goals = [view.goal(key, reader) for key in dict.fromkeys(wanted)]
    blocked = waiting if reader is None else waiting | {reader}
    walk = _Walk(view, goals, policy, blocked, in_flight, spent)
    walk.reader = reader
    walk.run()
    if walk.probe or walk.look_up:
        walk.speculate(lookahead)
        return Need(tuple(walk.probe), tuple(walk.look_up))
    return walk.plan()


class _Walk:
    """One walk upwards, breadth first."""

    def __init__(
        self,
        view: View,
        goals: list[Want],
        policy: RecoveryPolicy,
        blocked: Set[CallRef],
        in_flight: Set[CallRef],
        spent: int,
    ) -> None:
        self.view = view
        self.wanted = tuple(want.key for want in goals)
        self.policy = policy
        self.blocked = blocked
        self.in_flight = in_flight
        self.spent = spent
        self.reader: CallRef | None = None
        self.probe: dict[str, None] = {}
        self.look_up: dict[str, None] = {}
        self._unseen: list[Want] = []
        self._queue = deque(goals)
        self._drafts: dict[CallRef, Draft] = {}
        self._reruns = 0
        self._lost: dict[str, None] = {}
        self._done: set[tuple[str, CallRef]] = set()
        self._relied: dict[str, list[Want]] = {}

    def run(self) -> None:
        """Follow every want to where its object is, or will be."""
        while self._queue:
            self._settle(self._queue.popleft())

    def speculate(self, lookahead: int) -> None:
        """Add what would be asked for next if all that was not probed were lost."""
        queue, visited, limit = deque(self._unseen), set(self._drafts), len(self.probe) + lookahead
        while queue and len(self.probe) < limit:
            want = queue.popleft()
            for ref in self.view.writers_for(want):
                if ref in visited or ref in self.in_flight:
                    continue
                visited.add(ref)
                inputs = self._inputs(ref, want.level + 1)
                queue.extend(
                    w for w in inputs if self.view.judge(w) in (Standing.UNSEEN, Standing.LOST)
                )
                for key in (*(w.key for w in inputs), *self._owned(ref)):
                    if key not in self.view.seen and len(self.probe) < limit:
                        self.probe[key] = None

    def plan(self) -> Plan:
        """The plan, once all is known."""
        for ref, draft in self._drafts.items():
            draft.restore = tuple(draft.because)
            if not draft.join:
                gone = (key for key in self._owned(ref) if self._is_lost(ref, key))
                draft.restore = tuple(dict.fromkeys((*draft.because, *gone)))
        must, better = edges(self._drafts, self.view)
        arranged = arrange(must, better)
        if arranged is None:
            calls = circle(must)
            raise self._cycle(calls, next(iter(self._drafts[calls[0]].because)))
        order, waits = arranged
        if longest(order, waits) > self.policy.depth:
            raise self._over_budget("depth", self.wanted[0])
        number = {ref: at for at, ref in enumerate(order)}
        steps = [self._step(ref, sorted(waits[ref], key=number.__getitem__)) for ref in order]
        return Plan(tuple(steps), self.wanted, tuple(self._lost))

    def _settle(self, want: Want) -> None:
        key, standing = want.key, self.view.judge(want)
        if standing is Standing.PRESENT:
            self._relied.setdefault(key, []).append(want)
        elif standing is Standing.UNSEEN:
            self.probe[key] = None
            self._unseen.append(want)
        elif standing is Standing.FOREIGN:
            raise self._overwritten(want)
        else:
            self._replace(want)

    def _replace(self, want: Want) -> None:
        """The object is lost: those who wrote it have to run."""
        key = want.key
        if self.view.seen.get(key, _GONE) == _GONE or not self.view.is_clobbered(key):
            self._lost[key] = None
        if want.writer is None:
            if key in self.view.looked_up:
                raise self._no_writer(want)
            self.look_up[key] = None
        elif (key, want.writer) not in self._done:
            self._done.add((key, want.writer))
            for ref in self.view.writers_for(want):
                self._add(ref, key, want.level + 1)

    def _add(self, ref: CallRef, key: str, level: int) -> None:
        """One more call to run, unless it is one already, and what follows from it."""
        draft = self._drafts.get(ref)
        if draft is not None:
            draft.because[key] = None
            return
        call = self.view.lineage.call(ref)
        assert call is not None  # it is a writer, so it was recorded
        if ref in self.blocked:
            raise self._cycle([ref], key)
        draft = self._drafts[ref] = Draft(call, join=ref in self.in_flight, because={key: None})
        if draft.join:
            return
        self._reruns += 1
        self._allow(draft, key, level)
        draft.wants = self._inputs(ref, level)
        self._queue.extend(draft.wants)
        if self.view.probing:
            self.probe.update((k, None) for k in self._owned(ref) if k not in self.view.seen)
        if not call.protocol:
            draft.clobbers = self.view.lineage.writes_of(ref)
            for other in draft.clobbers:
                self._clobber(ref, other, level)

    def _allow(self, draft: Draft, key: str, level: int) -> None:
        if not draft.call.idempotent:
            raise self._not_idempotent(draft.call.ref, key)
        if self.spent + self._reruns > self.policy.reruns:
            raise self._over_budget("reruns", key)
        if level > self.policy.depth:
            raise self._over_budget("depth", key)

    def _clobber(self, ref: CallRef, key: str, level: int) -> None:
        """The call will write the key again, asked to or not: if the newest version is there, its
        writer follows."""
        owner = self.view.owner(key)
        if owner == ref:
            return
        want = Want(key, owner, level=level)
        standing = self.view.judge(want)
        if standing is Standing.UNSEEN:
            self.probe[key] = None
            return
        if standing is Standing.FOREIGN:
            raise self._overwritten(want)
        self.view.clobber(key, self.view.ranks(key)[ref])
        self._queue.extend(self._relied.pop(key, ()))
        if standing is Standing.PRESENT:
            self._queue.append(want)

    def _inputs(self, ref: CallRef, level: int) -> list[Want]:
        reads = self.view.lineage.reads_of(ref)
        return [
            Want(key, self.view.source(ref, key, read), ref, read, level)
            for key, read in reads.items()
        ]

    def _owned(self, ref: CallRef) -> list[str]:
        """The keys whose newest version is the call's own."""
        view = self.view
        return [key for key in view.lineage.writes_of(ref) if view.owner(key) == ref]

    def _is_lost(self, ref: CallRef, key: str) -> bool:
        lost = self.view.judge(Want(key, ref)) is Standing.LOST
        return lost and not self.view.is_shared(key)

    def _step(self, ref: CallRef, after: Iterable[CallRef] = ()) -> Step:
        draft = self._drafts[ref]
        because = tuple(draft.because)
        return Step(draft.call, draft.restore or because, because, tuple(after), draft.join)

    def _failed(self, reason: str, key: str, message: str) -> RecoveryFailed:
        steps = tuple(self._step(ref) for ref in reversed(self._drafts))
        partial = Plan(steps, self.wanted, tuple(self._lost))
        return RecoveryFailed(message, key=key, reason=reason, plan=partial)

    def _no_writer(self, want: Want) -> RecoveryFailed:
        key = want.key
        whose = f"; it was written by {want.read.by}" if want.read.by else ""
        return self._failed(
            "no known writer",
            key,
            f"{key} is gone and no call is known to have written it{whose}; {self._reader(want)}. "
            f"Put it back, or declare its writer: dag.call(..., writes=[{key!r}])",
        )

    def _reader(self, want: Want) -> str:
        if want.reader is None:
            return "it was asked for" if self.reader is None else f"call {self.reader} reads it"
        call = self.view.lineage.call(want.reader)
        return (
            f"call {want.reader} ({call.action if call else '?'}), which must run again, reads it"
        )

    def _overwritten(self, want: Want) -> RecoveryFailed:
        key, there = want.key, self.view.seen[want.key]
        by, etag = want.read.by, want.read.etag
        if want.writer is not None:
            version = self.view.lineage.written(want.writer, key)[-1]
            by, etag = version.by, version.etag
        recorded = f"ETag {etag} by {by or 'an unknown writer'}"
        found = f"ETag {there.etag} by {there.by or 'an unknown writer'}"
        return self._failed(
            "overwritten",
            key,
            f"{key} was overwritten: recorded was {recorded}, there is {found}; "
            f"{self._reader(want)}. "
            "Put the recorded object back, or delete the other one to have it written again",
        )

    def _not_idempotent(self, ref: CallRef, key: str) -> RecoveryFailed:
        return self._failed(
            "not idempotent",
            key,
            f"{key} is gone and its writer, call {ref}, is declared idempotent=False, so it is not "
            "run a second time. Put the object back, or run the call yourself",
        )

    def _over_budget(self, limit: str, key: str) -> RecoveryFailed:
        allowed = getattr(self.policy, limit)
        what = f"a chain of more than {allowed} calls"
        if limit == "reruns":
            what = f"more than the {allowed - self.spent} re-runs that are left of {allowed}"
        return self._failed(
            "budget",
            key,
            f"bringing back {key} takes {what}; allow more with RecoveryPolicy({limit}=...)",
        )

    def _cycle(self, calls: list[CallRef], key: str) -> RecoveryFailed:
        line = " waits for ".join(str(ref) for ref in (*calls, calls[0]))
        return self._failed(
            "cycle",
            key,
            f"{key} cannot be written again: {line}. Put one of their objects back, "
            "or correct the reads and writes that they declare",
        )
