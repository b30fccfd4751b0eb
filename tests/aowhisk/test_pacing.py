"""Pacing, against a simulated controller on a virtual clock."""

import heapq
import itertools
import json
import math
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aowhisk.pacing import Pacer, Shares, split

NOON = 1_800_000_000.0  # the start of a minute


@dataclass
class Controller:
    """OpenWhisk's entitlement: RateThrottler first, which counts whatever comes, then
    ActivationThrottler."""

    per_minute: float = math.inf
    concurrent: float = math.inf
    behind: float = 0.0
    minute: float = 0.0
    count: int = 0
    in_flight: int = 0

    def refuses(self, now: float) -> tuple[bool, int, float] | None:
        minute = (now - self.behind) // 60
        if minute != self.minute:
            self.minute, self.count = minute, 0
        self.count += 1
        if self.count > self.per_minute:
            return True, self.count, self.per_minute
        if self.in_flight >= self.concurrent:
            return False, self.in_flight, self.concurrent
        self.in_flight += 1
        return None


@dataclass
class World:
    """One client with endless work, and the controllers before which its load is spread at
    random."""

    pacer: Pacer
    controllers: list[Controller]
    seconds: float = 0.5
    """How long an action takes."""
    latency: float = 0.01
    workers: int = 100
    """How many of its calls the client would have in flight at most."""
    now: float = NOON + 17
    accepted: Counter[int] = field(default_factory=Counter)
    refused: Counter[int] = field(default_factory=Counter)
    events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    order: "itertools.count[int]" = field(default_factory=itertools.count)
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    asked: int = 0
    wake: float = math.inf

    def at(self, time: float, do: Callable[[], None]) -> None:
        heapq.heappush(self.events, (time, next(self.order), do))

    @property
    def elapsed(self) -> int:
        """Minutes of the wall clock since the start."""
        return int(self.now // 60 - NOON // 60)

    def run(self, minutes: int) -> "World":
        end = (self.now // 60 + minutes) * 60
        self.at(self.now, self.pull)
        while self.events[0][0] < end:
            self.now, _, do = heapq.heappop(self.events)
            do()
        return self

    def pull(self) -> None:
        if self.now >= self.wake:
            self.wake = math.inf
        wait = math.inf
        while self.pacer.in_flight < self.workers:
            self.asked += 1
            wait = self.pacer.ask(self.now)
            if wait > 0:
                break
            sent = self.now
            self.at(self.now + self.latency, lambda sent=sent: self.arrive(sent))  # type: ignore[misc]
        if self.now + wait < self.wake:
            self.wake = self.now + wait
            self.at(self.wake, self.pull)

    def arrive(self, sent: float) -> None:
        controller = self.chance.choice(self.controllers)
        refusal = controller.refuses(self.now)
        if refusal is None:
            self.accepted[self.elapsed] += 1
            self.at(self.now + self.seconds, lambda: self.end(controller))
            return
        self.refused[self.elapsed] += 1
        per_minute, count, allowed = refusal

        def hear() -> None:
            self.pacer.refused(self.now, per_minute, count, int(allowed), sent=sent)
            self.pull()

        self.at(self.now + self.latency, hear)

    def end(self, controller: Controller) -> None:
        controller.in_flight -= 1

        def hear() -> None:
            self.pacer.release(self.now)
            self.pull()

        self.at(self.now + self.latency, hear)

    def used(self, allowed: float, minutes: int) -> float:
        """The share of `allowed` a minute that was accepted in the last minutes."""
        last = range(self.elapsed - minutes, self.elapsed)
        return sum(self.accepted[m] for m in last) / (allowed * minutes)

    def wasted(self) -> float:
        """The share of what was sent after the first whole minute that was refused."""
        refused = sum(n for m, n in self.refused.items() if m > 1)
        return refused / max(1, refused + sum(n for m, n in self.accepted.items() if m > 1))


def world(
    *controllers: Controller, limits: tuple[int | None, int | None] = (None, None), **more: float
) -> World:
    pacer = Pacer(random=random.Random(2).random)
    pacer.limits(*limits)
    return World(pacer, list(controllers), **more)  # type: ignore[arg-type]


# Throughput: at least 95 % of what is allowed, less than 1 % of it refused after the first minute


@pytest.mark.parametrize("limit", [60, 600])
@pytest.mark.parametrize("behind", [-5.0, -0.1, 0.0, 0.1, 1.0, 10.0])
def test_a_known_limit_is_used_up_whatever_the_difference_of_clocks(
    limit: int, behind: float
) -> None:
    found = world(Controller(limit, behind=behind), limits=(limit, None)).run(20)
    assert found.used(limit, 15) >= 0.95
    assert found.wasted() < 0.01


@pytest.mark.parametrize(("limit", "enforced"), [(None, 60), (None, 600), (60, 36), (600, 360)])
def test_a_limit_that_is_not_as_configured_is_learnt(limit: int | None, enforced: int) -> None:
    found = world(Controller(enforced), limits=(limit, None)).run(20)
    assert found.used(enforced, 15) >= 0.95
    assert found.wasted() < 0.01


@pytest.mark.parametrize("limit", [60, 600])
@pytest.mark.parametrize("several", [2, 3])
def test_several_controllers_with_a_share_each_are_no_trouble(limit: int, several: int) -> None:
    shares = [Controller(limit * 1.2 // several) for _ in range(several)]
    found = world(*shares, limits=(limit, None)).run(20)
    assert found.used(limit, 15) >= 0.95
    assert found.wasted() < 0.01


def test_the_room_is_learnt_where_less_is_enforced_than_configured() -> None:
    found = world(Controller(concurrent=18), limits=(6000, 30), seconds=5.0).run(20)
    assert found.used(18 * 60 / 5.02, 15) >= 0.95
    assert found.wasted() < 0.01


@pytest.mark.parametrize(
    ("several", "limit", "seconds", "least", "most"),
    [
        (2, 300, 10.0, 0.95, 0.01),
        (2, 100, 2.0, 0.95, 0.01),
        (2, 100, 10.0, 0.95, 0.01),
        (3, 100, 10.0, 0.94, 0.01),
        (2, 30, 2.0, 0.85, 0.01),  # of so few in flight chance alone makes one controller full
        (2, 30, 10.0, 0.85, 0.01),
        (3, 30, 0.3, 0.70, 0.01),
        (3, 30, 2.0, 0.70, 0.01),
    ],
)
@pytest.mark.parametrize("is_known", [True, False])
def test_controllers_that_each_bound_a_share_of_those_in_flight_are_kept_busy(
    several: int, limit: int, seconds: float, least: float, most: float, is_known: bool
) -> None:
    """Each takes limit x 1.2 / n (Entitlement.scala), and gets of the load what chance gives it."""
    shares = [Controller(concurrent=limit * 1.2 // several) for _ in range(several)]
    known = (None, limit if is_known else None)
    found = world(*shares, limits=known, seconds=seconds, workers=500).run(20)
    assert found.used(limit * 60 / (seconds + 0.02), 15) >= least
    assert found.wasted() < most


@pytest.mark.parametrize(("per_minute", "room", "seconds"), [(60, 10, 5.0), (600, 30, 2.0)])
def test_both_limits_are_learnt_where_nobody_tells_them(
    per_minute: int, room: int, seconds: float
) -> None:
    found = world(Controller(per_minute, room), seconds=seconds).run(20)
    assert found.used(per_minute, 15) >= 0.95
    assert found.wasted() < 0.01


def test_what_others_leave_of_the_room_is_found_within_minutes() -> None:
    controller = Controller(concurrent=10)
    found = world(controller, limits=(None, 100), seconds=1.0).run(5)
    controller.concurrent = 100
    found.run(6)
    assert found.used(100 * 60 / 1.02, 2) >= 0.95


def test_both_limits_at_once_are_kept_without_a_refusal() -> None:
    found = world(Controller(60, 10), limits=(60, 10), seconds=9.95).run(10)
    assert found.used(60, 8) >= 0.95
    assert found.pacer.refusals == 0


def test_a_limit_that_rises_again_is_found_again() -> None:
    controller = Controller(30)
    found = world(controller, limits=(60, None)).run(4)
    controller.per_minute = 60
    found.run(30)
    assert found.pacer.per_minute == 60
    assert found.used(60, 10) >= 0.95


def test_waiting_costs_few_questions() -> None:
    found = world(Controller(60), limits=(60, None)).run(10)
    assert found.asked < 5 * 600


# Several clients


@dataclass
class Commons:
    """The document of those who share a journal, amended at once, and seen a moment later."""

    document: dict[str, Any] = field(default_factory=dict)
    amended: int = 0

    def amend(self, change: Callable[[Mapping[str, Any]], tuple[Mapping[str, Any], Any]]) -> Any:
        self.amended += 1
        changed, answer = change(json.loads(json.dumps(self.document)))
        self.document = dict(changed)
        return answer


@dataclass
class Sharer(World):
    """A client that shares with those of the same commons."""

    commons: Commons = field(default_factory=Commons)
    shares: Shares = field(default_factory=lambda: Shares("me"))
    limits: tuple[int | None, int | None] = (None, None)
    claiming: bool = False
    wish: int = 100

    def pull(self) -> None:
        super().pull()
        if self.pacer.lacks and not self.claiming:
            self.claiming = True
            self.at(self.now + 0.005, self.claim)

    def claim(self) -> None:
        self.claiming = False
        minute, budget, wanted, left = self.pacer.due(self.now, self.workers - self.pacer.in_flight)
        claim = self.commons.amend(
            lambda known: self.shares.claim(
                known, now=self.now, minute=minute, budget=budget, wanted=wanted, left=left
            )
        )
        self.pacer.granted(self.now, claim.minute, claim.granted, claim.used)
        self.wake = math.inf
        self.pull()

    def attend(self) -> None:
        share = self.commons.amend(
            lambda known: self.shares.attend(
                known,
                now=self.now,
                wish=self.workers,
                in_flight=self.pacer.in_flight,
                room=self.limits[1],
            )
        )
        self.pacer.limits(self.limits[0], share)
        self.at(self.now + 1.0, self.attend)
        self.pull()


def together(worlds: Sequence[World], minutes: int) -> None:
    """Let clients, the first of which has the queue of events, do their work, one beginning a
    little after the other."""
    first = worlds[0]
    for n, each in enumerate(worlds):
        each.events, each.order = first.events, first.order
        each.at(each.now + 0.3 * n, each.attend if isinstance(each, Sharer) else each.pull)
    while first.events[0][0] < NOON + minutes * 60:
        now, _, do = heapq.heappop(first.events)
        for each in worlds:
            each.now = now
        do()


def outcome(worlds: Sequence[World], allowed: float, after: int = 1) -> tuple[list[float], float]:
    """What each used of what is allowed in the last minutes, and what was refused of all that was
    sent after that minute."""
    refused = sum(n for each in worlds for m, n in each.refused.items() if m > after)
    sent = refused + sum(n for each in worlds for m, n in each.accepted.items() if m > after)
    return [each.used(allowed, 15) for each in worlds], refused / sent


LIMITS = [
    (60, None, 0.5, 60),
    (600, None, 0.5, 600),
    (6000, 30, 5.0, 30 * 60 / 5.02),
    (6000, 30, 0.3, 30 * 60 / 0.32),
    (60, 10, 9.0, 60),
]


@pytest.mark.parametrize("clients", [2, 3])
@pytest.mark.parametrize(("per_minute", "room", "seconds", "allowed"), LIMITS)
def test_those_who_share_a_journal_use_all_alike_and_are_not_refused(
    clients: int, per_minute: int, room: int | None, seconds: float, allowed: float
) -> None:
    controller = Controller(per_minute, math.inf if room is None else room)
    commons = Commons()
    worlds = []
    for n in range(clients):
        pacer = Pacer(shared=True, random=random.Random(n).random)
        pacer.limits(per_minute, room)
        worlds.append(
            Sharer(
                pacer,
                [controller],
                seconds,
                commons=commons,
                shares=Shares(f"p{n}"),
                limits=(per_minute, room),
            )
        )
    together(worlds, 30)
    used, refused = outcome(worlds, min(allowed, per_minute))
    assert sum(used) >= 0.95
    assert refused < 0.005
    assert min(used) >= 0.8 * max(used)


def test_what_the_others_leave_is_used_by_one_alone() -> None:
    controller, commons = Controller(600), Commons()
    worlds = []
    for n, workers in enumerate((100, 0)):
        pacer = Pacer(shared=True, random=random.Random(n).random)
        pacer.limits(600, None)
        worlds.append(
            Sharer(
                pacer,
                [controller],
                workers=workers,
                commons=commons,
                shares=Shares(f"p{n}"),
                limits=(600, None),
            )
        )
    together(worlds, 20)
    assert worlds[0].used(600, 15) >= 0.95


@pytest.mark.parametrize(("per_minute", "room", "seconds", "allowed"), LIMITS)
def test_two_strangers_find_their_way_by_refusals(
    per_minute: int, room: int | None, seconds: float, allowed: float
) -> None:
    controller = Controller(per_minute, math.inf if room is None else room)
    worlds = []
    for n in range(2):
        pacer = Pacer(random=random.Random(n).random)
        pacer.limits(per_minute, room)
        worlds.append(World(pacer, [controller], seconds))
    together(worlds, 30)
    used, refused = outcome(worlds, min(allowed, per_minute), after=10)
    assert sum(used) >= 0.8
    assert refused < 0.05


# Shares


@given(st.integers(1, 100), st.lists(st.integers(0, 60), min_size=1, max_size=8))
def test_shares_add_up_and_nobody_is_favoured(whole: int, wishes: list[int]) -> None:
    shares = split(whole, wishes)
    assert min(shares) >= 1
    assert whole <= sum(shares) <= whole + len(wishes)
    for mine, wish in zip(shares, wishes, strict=True):
        if mine < wish:
            assert mine + 1 >= min(max(shares), whole // len(wishes))
            assert all(other <= mine + 1 for other in shares)


def test_a_newcomer_takes_only_what_nobody_holds() -> None:
    old, new = Shares("old"), Shares("new")
    known, share = old.attend({}, now=0, wish=50, in_flight=0, room=30)
    assert share == 30
    known, share = old.attend(known, now=1, wish=50, in_flight=30, room=30)
    known, share = new.attend(known, now=1, wish=50, in_flight=0, room=30)
    assert share == 1
    known, share = old.attend(known, now=2, wish=50, in_flight=15, room=30)
    assert share == 15
    known, share = new.attend(known, now=2, wish=50, in_flight=1, room=30)
    assert share == 15


def test_one_whose_beat_stands_still_is_forgotten() -> None:
    dead, other = Shares("dead"), Shares("other", patience=15.0)
    known, _ = dead.attend({}, now=0, wish=50, in_flight=30, room=30)
    for now in (100.0, 114.0, 115.0):
        known, share = other.attend(known, now=now, wish=50, in_flight=0, room=30)
        assert share == (30 if now == 115.0 else 1)
    assert list(known["members"]) == ["other"]


def test_one_known_to_be_gone_is_forgotten_at_the_second_look() -> None:
    dead, other = Shares("dead"), Shares("other", is_gone=lambda owner: owner == "dead")
    known, _ = dead.attend({}, now=0, wish=50, in_flight=30, room=30)
    known, _ = other.attend(known, now=1, wish=50, in_flight=0, room=30)
    _, share = other.attend(known, now=1.1, wish=50, in_flight=0, room=30)
    assert share == 30


def test_who_leaves_leaves_everything() -> None:
    first, second = Shares("first"), Shares("second")
    known, _ = first.attend({}, now=0, wish=50, in_flight=0, room=30)
    _, share = second.attend(first.leave(known), now=0, wish=1, in_flight=0, room=30)
    assert share == 30


def test_a_minute_is_never_given_away_twice() -> None:
    first, second = Shares("first"), Shares("second")
    known: dict[str, Any] = {}
    granted = 0
    for n in range(200):
        who = first if n % 3 else second
        known, claim = who.claim(known, now=0, minute=7, budget=100, wanted=9, left=1 - n / 200)
        granted += claim.granted
    assert granted == claim.used == 100
    _, claim = first.claim(known, now=0, minute=8, budget=100, wanted=9, left=1.0)
    assert claim.granted == 9


def test_without_a_grant_a_shared_pacer_sends_nothing() -> None:
    poor = Pacer(shared=True, random=lambda: 0.5)
    poor.limits(60, None)
    assert (poor.ask(NOON), poor.lacks) == (math.inf, True)
    minute, budget, wanted, _ = poor.due(NOON, 5)
    assert (minute, budget, wanted) == (NOON // 60, 60, 5)
    poor.granted(NOON, minute, 2, 2)
    assert [poor.ask(NOON), poor.ask(NOON)] == [0, 0]
    assert (poor.ask(NOON), poor.lacks) == (math.inf, True)
    poor.granted(NOON, minute, 0, 60)
    assert 59 < poor.ask(NOON + 1) < 61
    assert not poor.lacks


def test_a_grant_for_a_minute_that_is_over_counts_for_nothing() -> None:
    late = Pacer(shared=True, random=lambda: 0.5)
    late.limits(60, None)
    late.ask(NOON)
    late.ask(NOON + 61)
    late.granted(NOON + 61, int(NOON // 60), 9, 9)
    assert late.ask(NOON + 61) == math.inf


# Single answers


def pacer(per_minute: int | None = None, concurrent: int | None = None) -> Pacer:
    found = Pacer(random=lambda: 0.5)
    found.limits(per_minute, concurrent)
    return found


def test_without_limits_everything_goes_at_once() -> None:
    free = pacer()
    assert all(free.ask(NOON) == 0 for _ in range(10_000))
    assert (free.in_flight, free.per_minute, free.concurrent) == (10_000, math.inf, math.inf)


def test_a_used_up_minute_waits_for_the_next_and_a_little_longer() -> None:
    full = pacer(per_minute=2)
    assert [full.ask(NOON + 10), full.ask(NOON + 10)] == [0, 0]
    assert 50 < full.ask(NOON + 10) < 51
    assert full.ask(NOON + 61) == 0


def test_nothing_more_goes_in_a_minute_that_refused() -> None:
    shut = pacer(per_minute=60)
    for _ in range(10):
        shut.ask(NOON)
    shut.refused(NOON + 0.1, True, 61, 60)
    assert 59 < shut.ask(NOON + 0.2) < 61
    assert 29 < shut.ask(NOON + 30) < 31
    assert shut.per_minute == 9


def test_news_of_the_last_minute_does_not_close_this_one() -> None:
    late = pacer(per_minute=60)
    late.ask(NOON + 59)
    late.refused(NOON + 60.5, True, 61, 60, sent=NOON + 59)
    assert late.ask(NOON + 60.6) == 0


def test_what_is_sent_late_in_a_minute_counts_in_both() -> None:
    careful = pacer(per_minute=2)
    assert careful.ask(NOON + 59.9) == 0
    assert careful.ask(NOON + 60.9) == 0
    assert careful.ask(NOON + 60.9) > 0


def test_a_full_room_waits_for_a_release() -> None:
    full = pacer(concurrent=1)
    assert full.ask(NOON) == 0
    assert full.ask(NOON) == math.inf
    full.release(NOON + 1)
    assert full.ask(NOON + 1) == 0


def test_a_refused_invocation_is_no_longer_in_flight() -> None:
    refused = pacer(concurrent=5)
    refused.ask(NOON)
    refused.refused(NOON, False, 5, 5)
    assert (refused.in_flight, refused.refusals) == (0, 1)


def test_a_room_filled_by_others_is_tried_again_ever_more_seldom() -> None:
    crowded, now, waits = pacer(concurrent=30), NOON, []
    for _ in range(10):
        assert crowded.ask(now) == 0
        crowded.refused(now, False, 30, 30)
        waits.append(crowded.ask(now))
        now += waits[-1] + 1e-6
    assert waits[0] < 1
    assert waits == sorted(waits)
    assert waits[-1] == pytest.approx(15)


def test_a_clock_set_back_stops_nothing() -> None:
    shut = pacer(per_minute=1)
    assert shut.ask(NOON) == 0
    assert shut.ask(NOON) > 0
    assert shut.ask(NOON - 3600) == 0


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 20),
    st.integers(1, 10),
    st.lists(st.tuples(st.floats(0, 20), st.booleans()), max_size=100),
)
def test_known_limits_are_never_overrun(
    rate: int, room: int, steps: list[tuple[float, bool]]
) -> None:
    strict, now, sent, in_flight = pacer(rate, room), NOON, Counter[float](), 0
    for after, ends in steps:
        now += after
        if ends and in_flight:
            strict.release(now)
            in_flight -= 1
        elif strict.ask(now) == 0:
            sent[now // 60] += 1
            in_flight += 1
        assert in_flight <= room
        assert sent[now // 60] <= rate


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 90), st.integers(0, 3)), max_size=100))
def test_whatever_is_refused_the_next_one_goes_within_two_minutes(
    steps: list[tuple[float, int]],
) -> None:
    tried, now = pacer(10, 5), NOON
    for after, what in steps:
        now += after
        if what == 0 and tried.in_flight:
            tried.release(now)
        elif what == 1 and tried.in_flight:
            tried.refused(now, True)
        elif what == 2 and tried.in_flight:
            tried.refused(now, False)
        else:
            tried.ask(now)
    while tried.in_flight:
        tried.release(now)
    end = now + 120
    while wait := tried.ask(now):
        now += wait
        assert now <= end
