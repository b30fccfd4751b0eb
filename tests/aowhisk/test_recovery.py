"""The recovery planner: each rule and each reason by example, and random graphs by brute force."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from aowhisk.errors import ConfigError, RecoveryFailed
from aowhisk.lineage import CallRecord, CallRef, Lineage
from aowhisk.recovery import Need, Plan, RecoveryPolicy, Seen, Step, plan
from object_store.wire import IORecord

RUN = "r1"


def ref(name: str, run: str = RUN) -> CallRef:
    return CallRef(run, name)


@dataclass
class World:
    """A store and the lineage of what happened in it; `run` runs a call as an action would."""

    store: dict[str, Seen] = field(default_factory=dict)
    lineage: Lineage = field(default_factory=Lineage)
    calls: dict[CallRef, tuple[CallRecord, tuple[str, ...], tuple[str, ...]]] = field(
        default_factory=dict
    )
    heads: int = 0
    rounds: int = 0
    saw: dict[tuple[CallRef, str], str] = field(default_factory=dict)
    attempts: int = 0

    def call(
        self, name: str, reads: str = "", writes: str = "", run: str = RUN, **fields: Any
    ) -> CallRef:
        """Declare a call and run it for the first time; keys are "a b c" for b/a, b/b, b/c."""
        record = CallRecord(ref(name, run), action=name.split(".")[0], **fields)
        self.calls[record.ref] = (record, keys(reads), keys(writes))
        self.run(record.ref)
        return record.ref

    def run(self, call: CallRef, restore: tuple[str, ...] | None = None) -> None:
        record, reads, writes = self.calls[call]
        self.attempts += 1
        attempt = f"a{self.attempts}"
        io_reads, io_writes = [], []
        for key in reads:
            there = self.store.get(key, Seen(None))
            assert there.etag is not None, f"{call} misses {key}"
            self.saw[call, key] = there.etag.partition(":")[0]
            io_reads.append(IORecord(key, 1, there.etag, by=there.by))
        for key in writes:
            if restore is not None and record.protocol and key not in restore:
                continue
            by = f"{call}/{attempt}" if record.protocol else None
            self.store[key] = Seen(f"{call}:{key}", by)
            io_writes.append(IORecord(key, 1, f"{call}:{key}"))
        if record.protocol:
            self.lineage.record(record, attempt, reads=io_reads, writes=io_writes)
        else:
            self.lineage.record(record, attempt)

    def lose(self, names: str) -> None:
        for key in keys(names):
            del self.store[key]

    def plan(
        self,
        wanted: str | Iterable[str],
        *,
        lookahead: int = 16,
        look_up: Callable[[str], object] = lambda key: None,
        **options: Any,
    ) -> Plan:
        """Ask until there is a plan, as the scheduler does."""
        seen: dict[str, Seen] = {}
        looked_up: set[str] = set()
        names = keys(wanted) if isinstance(wanted, str) else tuple(wanted)
        for self.rounds in range(1, 10_000):
            answer = plan(
                self.lineage, names, seen, looked_up=looked_up, lookahead=lookahead, **options
            )
            if isinstance(answer, Plan):
                return answer
            assert answer.probe or answer.look_up
            assert not set(answer.probe) & set(seen)
            assert not set(answer.look_up) & looked_up
            self.heads += len(answer.probe)
            seen.update({key: self.store.get(key, Seen(None)) for key in answer.probe})
            for key in answer.look_up:
                look_up(key)
                looked_up.add(key)
            lookahead *= 2
        raise AssertionError("no plan")

    def recover(self, wanted: str | Iterable[str], **options: Any) -> Plan:
        made = self.plan(wanted, **options)
        done: set[CallRef] = set()
        for step in made.steps:
            assert set(step.after) <= done
            self.run(step.call.ref, step.restore)
            done.add(step.call.ref)
        return made


def keys(names: str) -> tuple[str, ...]:
    return tuple(f"b/{name}" for name in names.split())


def calls(made: Plan) -> list[str]:
    return [step.call.ref.call for step in made.steps]


def restores(made: Plan) -> dict[str, tuple[str, ...]]:
    return {step.call.ref.call: step.restore for step in made.steps}


def a_chain(length: int) -> World:
    """c1 writes b/k1, c2 reads it and writes b/k2, and so on."""
    world = World()
    world.call("c1", "", "k1")
    for n in range(2, length + 1):
        world.call(f"c{n}", f"k{n - 1}", f"k{n}")
    return world


# What is run again


def test_nothing_lost_is_nothing_to_run() -> None:
    made = a_chain(3).plan("k3")
    assert not made
    assert (made.steps, made.lost, made.wanted) == ((), (), ("b/k3",))
    assert made.describe() == "nothing to run: b/k3 can be read"


@pytest.mark.parametrize(
    ("lost", "again"),
    [
        ("k1 k2 k3 k4 k5", ["c1", "c2", "c3", "c4", "c5"]),
        ("k3 k4 k5", ["c3", "c4", "c5"]),
        ("k2 k3", []),
        ("k5", ["c5"]),
    ],
)
def test_a_chain_is_rebuilt_from_the_last_object_that_is_there(lost: str, again: list[str]) -> None:
    world = a_chain(5)
    world.lose(lost)
    made = world.recover("k5")
    assert calls(made) == again
    assert [s.after for s in made.steps] == [(), *((ref(name),) for name in again[:-1])][
        : len(again)
    ]


def test_a_writer_runs_once_however_many_read_its_object() -> None:
    world = World()
    world.call("w", "", "x")
    for n in range(100):
        world.call(f"r{n}", "x", f"y{n}")
    world.lose("x " + " ".join(f"y{n}" for n in range(100)))
    made = world.recover(" ".join(f"y{n}" for n in range(100)))
    assert calls(made).count("w") == 1
    assert len(made.steps) == 101


def test_a_writer_restores_all_its_lost_objects_and_leaves_the_others() -> None:
    world = World()
    world.call("split", "", "x y z")
    world.lose("x y")
    untouched = world.store["b/z"]
    made = world.recover("x")
    assert restores(made) == {"split": ("b/x", "b/y")}
    assert made.steps[0].because == ("b/x",)
    assert world.store["b/z"] is untouched


def test_every_read_of_a_call_that_runs_again_must_be_there() -> None:
    world = World()
    world.call("s", "", "declared")
    world.call("v", "", "reported")
    world.call("w", "reported", "x", declared_reads=("b/declared",))
    world.lose("declared reported x")
    assert sorted(calls(world.plan("x"))) == ["s", "v", "w"]


def test_what_is_declared_is_lineage_enough() -> None:
    world = World()
    fields = {"declared_writes": ("b/x",), "protocol": False}
    world.call("v", "", "x", **fields)
    world.call("w", "x", "y", declared_reads=("b/x",), declared_writes=("b/y",), protocol=False)
    world.lose("x y")
    assert calls(world.recover("y")) == ["v", "w"]
    assert not world.plan("y")


def test_the_plan_reads_as_text() -> None:
    world = World()
    world.call("splitter", "", "c1 c2")
    world.call("transcoder.1", "c1", "t1")
    world.call("transcoder.2", "c2", "t2")
    world.call("combiner", "t1 t2", "film")
    world.lose("c2 t2 film")
    assert world.plan("film").describe().splitlines() == [
        "run 3 calls again to bring back b/film",
        "  1. r1/splitter (splitter) writes b/c2",
        "  2. r1/transcoder.2 (transcoder) writes b/t2, after 1",
        "  3. r1/combiner (combiner) writes b/film, after 2",
    ]


def test_a_long_list_in_the_text_is_cut() -> None:
    world = World()
    world.call("w", "", "a b c d e f g")
    world.lose("a b c d e f g")
    assert world.plan("a").describe().endswith("writes b/a, b/b, b/c, b/d, b/e and 2 more")


def test_ten_thousand_lost_objects_in_a_chain_take_a_dozen_rounds() -> None:
    world = World()
    for n in range(10_000):
        reads = [IORecord(f"b/k{n - 1}", 1, "e", by=f"r1/c{n - 1}/a")] if n else []
        record = CallRecord(ref(f"c{n}"), "step")
        world.lineage.record(record, "a", reads=reads, writes=[IORecord(f"b/k{n}", 1, "e")])
    policy = RecoveryPolicy(depth=10_000, reruns=10_000)
    assert len(world.plan("k9999", policy=policy).steps) == 10_000
    assert world.rounds <= 12
    assert world.heads == 10_000


# What counts as present


def test_another_attempt_of_the_same_call_is_present() -> None:
    world = a_chain(1)
    world.store["b/k1"] = Seen("other bytes", "r1/c1/unrecorded")
    assert not world.plan("k1")


def test_the_recorded_bytes_are_present_whoever_put_them_there() -> None:
    world = a_chain(1)
    world.store["b/k1"] = Seen('"r1/c1:b/k1"', "r9/copy/a")
    assert not world.plan("k1")


@pytest.mark.parametrize("by", [None, "r9/other/a1", "somebody", "r1/c1/a1"])
def test_other_bytes_are_overwritten_not_present(by: str | None) -> None:
    world = a_chain(2)
    world.lose("k2")
    world.store["b/k1"] = Seen("stranger", by)
    with pytest.raises(RecoveryFailed) as failure:
        world.plan("k2")
    assert (failure.value.key, failure.value.reason) == ("b/k1", "overwritten")
    assert f"recorded was ETag r1/c1:b/k1 by {RUN}/c1/a1, there is ETag stranger by" in str(
        failure.value
    )
    assert (by or "an unknown writer") in str(failure.value)
    assert isinstance(failure.value.plan, Plan)
    assert calls(failure.value.plan) == ["c2"]


def test_an_overwritten_object_that_nobody_reads_again_is_no_failure() -> None:
    world = World()
    world.call("w", "", "x y")
    world.lose("x")
    world.store["b/y"] = Seen("stranger")
    made = world.recover("x")
    assert restores(made) == {"w": ("b/x",)}
    assert world.store["b/y"] == Seen("stranger")


def test_a_declared_version_was_never_seen_so_anything_there_is_it() -> None:
    world = World()
    world.call("w", "", "x", declared_writes=("b/x",), protocol=False)
    world.store["b/x"] = Seen("whatever", "r9/other/a1")
    assert not world.plan("x")


def test_an_input_that_nobody_wrote_must_be_the_one_that_was_read() -> None:
    world = World(store={"b/film": Seen("E0")})
    world.call("split", "film", "x")
    world.lose("x")
    assert calls(world.plan("x")) == ["split"]
    world.store["b/film"] = Seen("another film")
    with pytest.raises(RecoveryFailed) as failure:
        world.plan("x")
    assert (failure.value.key, failure.value.reason) == ("b/film", "overwritten")


def test_what_the_reader_saw_is_good_enough_for_it_if_somebody_put_it_back() -> None:
    world = World(store={"b/film": Seen("E0")})
    world.call("split", "film", "x")
    world.call("other", "", "film")
    world.store["b/film"] = Seen("E0")
    world.lose("x")
    assert calls(world.plan("x")) == ["split"]
    assert failure_of(world, "film").reason == "overwritten"


# Several writers of one key


def two_writers(**fields: Any) -> World:
    world = World()
    world.call("w1", "", "k", **fields)
    world.call("w2", "", "k", **fields)
    return world


def test_only_the_last_writer_runs_again() -> None:
    world = two_writers()
    world.lose("k")
    assert calls(world.recover("k")) == ["w2"]


def test_shared_writers_are_all_replayed_in_order() -> None:
    world = World()
    world.call("w1", "", "k")
    world.call("w2", "", "k", ownership="shared")
    world.call("w3", "", "k")
    world.lose("k")
    made = world.recover("k")
    assert calls(made) == ["w1", "w2", "w3"]
    assert restores(made) == dict.fromkeys(["w1", "w2", "w3"], ("b/k",))
    assert made.steps[2].after == (ref("w2"),)
    assert world.store["b/k"].etag == "r1/w3:b/k"


def test_an_older_version_where_the_newest_is_wanted_is_lost() -> None:
    world = two_writers()
    world.store["b/k"] = Seen("r1/w1:b/k", "r1/w1/a1")
    assert calls(world.recover("k")) == ["w2"]
    assert world.store["b/k"].etag == "r1/w2:b/k"


def test_a_newer_version_is_read_where_an_older_one_was() -> None:
    world = World()
    world.call("w1", "", "k")
    world.call("r", "k", "x")
    world.call("w2", "", "k")
    world.lose("x")
    assert calls(world.recover("x")) == ["r"]


def test_a_reader_of_the_older_version_runs_before_the_newer_one_is_written() -> None:
    world = World()
    world.call("w1", "", "k")
    world.call("r", "k", "x")
    world.call("w2", "", "k")
    world.lose("k x")
    world.recover("k x")
    assert world.saw[ref("r"), "b/k"] == "r1/w1"
    assert world.store["b/k"].etag == "r1/w2:b/k"


def test_a_read_that_names_nobody_means_the_version_of_its_time() -> None:
    world = World()
    world.call("w1", "", "k", protocol=False, declared_writes=("b/k",))
    world.call("r", "k", "x", protocol=False, declared_reads=("b/k",), declared_writes=("b/x",))
    world.call("w2", "", "k", protocol=False, declared_writes=("b/k",))
    world.lose("k x")
    assert calls(world.plan("x")) == ["w1", "r"]
    assert calls(world.plan("k x")) == ["w1", "r", "w2"]


def test_read_modify_write_unrolls_and_is_no_cycle() -> None:
    world = World()
    world.call("w1", "", "k")
    world.call("w2", "k", "k")
    world.call("w3", "k", "k")
    world.lose("k")
    assert calls(world.recover("k")) == ["w1", "w2", "w3"]
    assert world.store["b/k"].etag == "r1/w3:b/k"
    assert not world.plan("k")


def test_a_half_finished_rebuild_is_not_taken_for_the_newest_version() -> None:
    world = World()
    world.call("w1", "", "k")
    world.call("w2", "k", "k")
    world.lose("k")
    world.run(ref("w1"), ("b/k",))
    assert calls(world.recover("k")) == ["w2"]


def test_the_source_that_a_writer_changed_in_place_is_what_it_starts_from() -> None:
    world = World(store={"b/k": Seen("E0")})
    world.call("w", "k", "k")
    world.store["b/k"] = Seen("E0")
    assert calls(world.recover("k")) == ["w"]


def test_a_writer_that_rewrites_everything_is_followed_by_the_later_writers() -> None:
    world = World()
    fields = {"declared_writes": ("b/x", "b/y"), "protocol": False}
    world.call("v", "", "x y", **fields)
    world.call("w", "y", "y")
    world.call("r", "x y", "z")
    world.lose("x z")
    made = world.recover("z")
    assert calls(made) == ["v", "w", "r"]
    assert world.store["b/y"].etag == "r1/w:b/y"
    assert world.saw[ref("r"), "b/y"] == "r1/w"


def test_such_a_writer_is_followed_only_if_there_is_something_to_destroy() -> None:
    world = World()
    world.call("v", "", "k", declared_writes=("b/k",), protocol=False)
    fields = {"declared_reads": ("b/k",), "declared_writes": ("b/k", "b/x"), "protocol": False}
    world.call("w", "k", "k x", **fields)
    world.call("last", "", "k")
    world.lose("k x")
    made = world.plan("x")
    assert calls(made) == ["v", "w"]
    assert set(made.lost) == {"b/x", "b/k"}


def test_a_version_that_such_a_writer_will_destroy_is_not_relied_on() -> None:
    world = World()
    world.call("v", "", "x y", declared_writes=("b/x", "b/y"), protocol=False)
    world.call("between", "", "y")
    world.call("r", "y x", "z")
    world.call("last", "", "y")
    world.lose("x z")
    assert calls(world.recover("z")) == ["v", "between", "r", "last"]
    assert world.saw[ref("r"), "b/y"] == "r1/between"
    assert world.store["b/y"].etag == "r1/last:b/y"


def test_what_such_a_writer_would_destroy_for_good_is_left_alone() -> None:
    world = World()
    world.call("v", "", "x y", declared_writes=("b/x", "b/y"), protocol=False)
    world.call("w", "", "y")
    world.lose("x")
    world.store["b/y"] = Seen("stranger", "r9/c/a")
    with pytest.raises(RecoveryFailed) as failure:
        world.plan("x")
    assert (failure.value.key, failure.value.reason) == ("b/y", "overwritten")


# What is running, what other runs wrote, what cannot be probed


def test_a_writer_in_flight_is_joined_and_not_asked_for_its_inputs() -> None:
    world = a_chain(3)
    world.lose("k1 k2 k3")
    made = world.plan("k3", in_flight={ref("c2")})
    assert [(s.call.ref.call, s.join) for s in made.steps] == [("c2", True), ("c3", False)]
    assert made.steps[1].after == (ref("c2"),)
    assert made.reruns == 1
    assert "wait for r1/c2" in made.describe()


def test_what_runs_already_waits_for_nothing() -> None:
    world = two_writers(ownership="shared")
    world.lose("k")
    made = world.plan("k", in_flight={ref("w2")})
    assert [(s.call.ref.call, s.join, s.after) for s in made.steps] == [
        ("w1", False, ()),
        ("w2", True, ()),
    ]


def test_the_writer_of_an_earlier_run_is_looked_up_once() -> None:
    world = World()
    old = World(store=world.store)
    old.call("up", "", "film", run="r0")
    world.call("w", "film", "x")
    world.lose("film x")
    asked = []

    def look_up(key: str) -> None:
        asked.append(key)
        world.calls.update(old.calls)
        record, _, writes = old.calls[ref("up", "r0")]
        reports = [IORecord(k, 1, f"r0/up:{k}") for k in writes]
        world.lineage.record(record, "a1", reads=[], writes=reports, earlier=True)

    made = world.plan("x", look_up=look_up)
    assert [str(s.call.ref) for s in made.steps] == ["r0/up", "r1/w"]
    assert asked == ["b/film"]


def test_a_look_up_that_finds_only_others_falls_back_on_the_order() -> None:
    world = World()
    world.call("v", "", "k")
    world.store["b/k"] = Seen("r1/v:b/k", "gone/copied/a")
    world.call("r", "k", "x")
    world.lose("k x")
    assert calls(world.plan("x")) == ["v", "r"]


def test_without_a_store_what_was_not_reported_missing_counts_as_present() -> None:
    world = a_chain(3)
    world.lose("k1 k2 k3")
    answer = plan(world.lineage, ["b/k3"], {"b/k3": Seen(None)}, probing=False)
    assert isinstance(answer, Plan)
    assert calls(answer) == ["c3"]
    seen = {"b/k3": Seen(None), "b/k2": Seen(None)}
    answer = plan(world.lineage, ["b/k3"], seen, probing=False)
    assert isinstance(answer, Plan)
    assert calls(answer) == ["c2", "c3"]


def test_a_need_names_the_whole_frontier_and_looks_ahead_breadth_first() -> None:
    world = World()
    world.call("s", "", "i")
    for name in ("p", "q"):
        world.call(name, "i", f"x{name} side{name}")
    world.call("join", "xp xq", "out")
    for lookahead, more in [
        (0, ()),
        (2, ("b/xp", "b/xq")),
        (9, ("b/xp", "b/xq", "b/i", "b/sidep", "b/sideq")),
    ]:
        answer = plan(world.lineage, ["b/out", "b/none"], {}, lookahead=lookahead)
        assert isinstance(answer, Need)
        assert answer.look_up == ()
        assert answer.probe[:2] == ("b/out", "b/none")
        assert set(answer.probe[2:]) == set(more)


# Why it cannot be done


def failure_of(world: World, wanted: str, **options: Any) -> RecoveryFailed:
    with pytest.raises(RecoveryFailed) as failure:
        world.plan(wanted, **options)
    return failure.value


def test_an_object_that_nobody_known_wrote_says_who_reads_it() -> None:
    world = World(store={"b/film": Seen("E0", "r0/up/a1")})
    world.call("split", "film", "x")
    world.lose("film x")
    failure = failure_of(world, "x")
    assert (failure.reason, failure.key) == ("no known writer", "b/film")
    assert "r1/split" in str(failure)
    assert "r0/up/a1" in str(failure)
    assert failure_of(World(), "x").reason == "no known writer"


def test_a_call_that_may_not_run_twice_is_named() -> None:
    world = World()
    world.call("pay", "", "receipt", idempotent=False)
    world.call("mail", "receipt", "x")
    world.lose("receipt x")
    failure = failure_of(world, "x")
    assert (failure.reason, failure.key) == ("not idempotent", "b/receipt")
    assert "r1/pay" in str(failure)
    assert calls(world.plan("x", in_flight={ref("pay")})) == ["pay", "mail"]


def test_a_chain_deeper_than_the_policy_is_over_budget() -> None:
    world = a_chain(5)
    world.lose("k1 k2 k3 k4 k5")
    failure = failure_of(world, "k5", policy=RecoveryPolicy(depth=4))
    assert failure.reason == "budget"
    assert "more than 4 calls" in str(failure)
    assert len(world.plan("k5", policy=RecoveryPolicy(depth=5)).steps) == 5


def test_the_longest_chain_counts_even_where_a_shorter_one_leads_to_the_same_call() -> None:
    world = World()
    world.call("a", "", "k1")
    world.call("b", "k1", "k2")
    world.call("c", "k1 k2", "k3")
    world.lose("k1 k2 k3")
    assert failure_of(world, "k3", policy=RecoveryPolicy(depth=2)).reason == "budget"
    assert len(world.plan("k3", policy=RecoveryPolicy(depth=3)).steps) == 3


def test_more_reruns_than_are_left_are_over_budget() -> None:
    world = a_chain(3)
    world.lose("k1 k2 k3")
    failure = failure_of(world, "k3", policy=RecoveryPolicy(reruns=5), spent=3)
    assert failure.reason == "budget"
    assert "the 2 re-runs that are left of 5" in str(failure)
    assert len(world.plan("k3", policy=RecoveryPolicy(reruns=5), spent=2).steps) == 3


def test_calls_that_wait_for_one_another_are_a_cycle() -> None:
    both = World(store={"b/x": Seen("0"), "b/y": Seen("0")})
    for name, reads, writes in [("p", "x", "y"), ("q", "y", "x")]:
        record = CallRecord(
            ref(name),
            name,
            protocol=False,
            declared_reads=keys(reads),
            declared_writes=keys(writes),
        )
        both.lineage.record(record, "a1")
    both.lose("x y")
    failure = failure_of(both, "x")
    assert failure.reason == "cycle"
    assert "r1/p waits for r1/q waits for r1/p" in str(failure)


def test_a_call_that_would_wait_for_itself_is_a_cycle() -> None:
    world = World()
    record = CallRecord(
        ref("p"), "p", protocol=False, declared_reads=("b/x",), declared_writes=("b/x",)
    )
    world.lineage.record(record, "a1")
    assert failure_of(world, "x").reason == "cycle"


@pytest.mark.parametrize("who", [{"reader": ref("c1")}, {"waiting": {ref("c1")}}])
def test_needing_a_call_that_waits_for_this_very_plan_is_a_cycle(who: dict[str, Any]) -> None:
    world = a_chain(2)
    world.lose("k1 k2")
    failure = failure_of(world, "k2", in_flight={ref("c1")}, **who)
    assert (failure.reason, failure.key) == ("cycle", "b/k1")
    assert "r1/c1 waits for r1/c1" in str(failure)


def test_a_call_that_writes_what_it_reads_wants_the_version_before_its_own() -> None:
    world = World()
    world.call("w1", "", "k")
    world.call("w2", "k", "k")
    world.lose("k")
    assert calls(world.plan("k", reader=ref("w2"))) == ["w1"]
    assert calls(world.plan("k", reader=ref("another"))) == ["w1", "w2"]


@pytest.mark.parametrize(
    "wrong",
    [{"depth": -1}, {"reruns": 1.5}, {"same_object": True}, {"seconds": -1}, {"seconds": "1"}],
)
def test_a_policy_that_makes_no_sense_is_a_config_error(wrong: Mapping[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        RecoveryPolicy(**wrong)


# Random graphs


@dataclass(frozen=True)
class Graph:
    """Calls in layers (reads, writes as key numbers); every key has one writer."""

    calls: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]

    @property
    def objects(self) -> int:
        return sum(len(writes) for _, writes in self.calls)

    def world(self) -> World:
        world = World()
        for n, (reads, writes) in enumerate(self.calls):
            world.call(f"c{n}", as_names(reads), as_names(writes))
        return world


def as_names(numbers: Iterable[int]) -> str:
    return " ".join(f"k{n}" for n in sorted(numbers))


@st.composite
def graphs(draw: st.DrawFn, most: int = 7) -> Graph:
    made: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    known = 0
    for _ in range(draw(st.integers(1, most))):
        reads = draw(st.sets(st.integers(0, known - 1), max_size=3)) if known else set()
        count = draw(st.integers(1, 3))
        made.append((tuple(sorted(reads)), tuple(range(known, known + count))))
        known += count
    return Graph(tuple(made))


@st.composite
def losses(draw: st.DrawFn, most: int = 7) -> tuple[Graph, set[int], set[int]]:
    graph = draw(graphs(most))
    lost = draw(st.sets(st.integers(0, graph.objects - 1)))
    wanted = draw(st.sets(st.integers(0, graph.objects - 1), min_size=1))
    return graph, lost, wanted


def suffices(graph: Graph, subset: Iterable[int], there: set[int], wanted: set[int]) -> bool:
    """Run the calls of the subset as they become able to; are all the wanted objects there?"""
    there, rest = set(there), set(subset)
    while able := {n for n in rest if set(graph.calls[n][0]) <= there}:
        rest -= able
        there.update(key for n in able for key in graph.calls[n][1])
    return wanted <= there and not rest


def smallest(graph: Graph, there: set[int], wanted: set[int]) -> set[int]:
    numbers = range(len(graph.calls))
    for size in range(len(graph.calls) + 1):
        for subset in combinations(numbers, size):
            if suffices(graph, subset, there, wanted):
                return set(subset)
    raise AssertionError("the whole graph must suffice")


@given(losses(), st.integers(0, 20))
def test_the_plan_is_what_brute_force_finds_and_it_works(
    case: tuple[Graph, set[int], set[int]], lookahead: int
) -> None:
    graph, lost, wanted = case
    world = graph.world()
    world.lose(as_names(lost))
    before = dict(world.store)
    made = world.recover(as_names(wanted), lookahead=lookahead)
    there = set(range(graph.objects)) - lost
    assert {int(name[1:]) for name in calls(made)} == smallest(graph, there, wanted)
    assert len(calls(made)) == len(set(calls(made)))
    assert set(keys(as_names(wanted))) <= set(world.store)
    assert {key: world.store[key] for key in before} == before, "what was there is untouched"
    for step in made.steps:
        written = keys(as_names(graph.calls[int(step.call.ref.call[1:])][1]))
        assert set(step.restore) == set(written) - set(before)
        assert set(step.because) <= set(step.restore)
    assert not world.plan(as_names(wanted))


@given(losses(most=12), st.integers(0, 3), st.integers(4, 50))
def test_looking_ahead_changes_the_number_of_rounds_and_not_the_plan(
    case: tuple[Graph, set[int], set[int]], little: int, much: int
) -> None:
    graph, lost, wanted = case
    world = graph.world()
    world.lose(as_names(lost))
    made = world.plan(as_names(wanted), lookahead=little)
    rounds = world.rounds
    assert world.plan(as_names(wanted), lookahead=much) == made
    assert world.rounds <= rounds


@given(losses(), st.data())
def test_calls_in_flight_are_joined_and_nothing_above_them_is_run(
    case: tuple[Graph, set[int], set[int]], data: st.DataObject
) -> None:
    graph, lost, wanted = case
    world = graph.world()
    world.lose(as_names(lost))
    full = set(calls(world.plan(as_names(wanted))))
    flying = data.draw(st.sets(st.integers(0, len(graph.calls) - 1)))
    made = world.plan(as_names(wanted), in_flight={ref(f"c{n}") for n in flying})
    joined = {s.call.ref.call for s in made.steps if s.join}
    assert joined == {name for name in calls(made) if int(name[1:]) in flying}
    assert set(calls(made)) <= full
    promised = set(range(graph.objects)) - lost
    promised |= {k for name in joined for k in graph.calls[int(name[1:])][1]}
    again = {int(s.call.ref.call[1:]) for s in made.steps if not s.join}
    assert again == smallest(graph, promised, wanted) - flying


@given(losses(), st.data())
def test_an_overwritten_object_is_reported_if_and_only_if_the_plan_reads_it(
    case: tuple[Graph, set[int], set[int]], data: st.DataObject
) -> None:
    graph, lost, wanted = case
    world = graph.world()
    world.lose(as_names(lost))
    there = sorted(set(range(graph.objects)) - lost)
    assume(there)
    stranger = data.draw(st.sampled_from(there))
    again = {int(name[1:]) for name in calls(world.plan(as_names(wanted)))}
    needed = wanted.union(*(graph.calls[n][0] for n in again))
    world.store[f"b/k{stranger}"] = Seen("stranger")
    if stranger in needed:
        failure = failure_of(world, as_names(wanted))
        assert (failure.reason, failure.key) == ("overwritten", f"b/k{stranger}")
    else:
        assert {int(name[1:]) for name in calls(world.plan(as_names(wanted)))} == again


@st.composite
def histories(draw: st.DrawFn) -> World:
    """Calls that read and write few keys again and again, in the way of any real history."""
    world, names = World(), [f"k{n}" for n in range(draw(st.integers(1, 4)))]
    shared = draw(st.sets(st.sampled_from(names)))
    for n in range(draw(st.integers(1, 8))):
        known = sorted(key[2:] for key in world.store)
        reads = draw(st.sets(st.sampled_from(known), max_size=2)) if known else set()
        writes = draw(st.sets(st.sampled_from(names), min_size=1, max_size=2))
        declared = {} if draw(st.integers(0, 3)) else declaration(reads, writes)
        world.call(
            f"c{n}",
            " ".join(sorted(reads)),
            " ".join(sorted(writes)),
            ownership="shared" if writes & shared else "last",
            **declared,
        )
    return world


def declaration(reads: set[str], writes: set[str]) -> dict[str, Any]:
    """A call that reports nothing: it cannot honour `restore`, and its objects name nobody."""
    return {
        "protocol": False,
        "declared_reads": keys(" ".join(sorted(reads))),
        "declared_writes": keys(" ".join(sorted(writes))),
    }


@given(histories(), st.data())
@settings(max_examples=300)
def test_with_many_writers_the_newest_version_comes_back_and_nothing_is_read_too_old(
    world: World, data: st.DataObject
) -> None:
    known = sorted(key[2:] for key in world.store)
    newest = {key: seen.etag for key, seen in world.store.items()}
    order = {key: [str(r) for r in world.lineage.writers(key)] for key in world.store}
    before = dict(world.saw)
    lost = data.draw(st.sets(st.sampled_from(known)))
    wanted = " ".join(sorted(data.draw(st.sets(st.sampled_from(known), min_size=1))))
    world.lose(" ".join(lost))
    present = set(world.store)
    made = world.recover(wanted, lookahead=data.draw(st.integers(0, 9)))
    for key in {*keys(wanted), *present}:
        assert world.store[key].etag == newest[key]
    ran = {step.call.ref for step in made.steps}
    for (call, key), writer in world.saw.items():
        if call in ran:
            assert order[key].index(writer) >= order[key].index(before[call, key])
    assert not world.plan(wanted)


@given(histories(), st.data())
@settings(max_examples=300)
def test_with_many_writers_no_step_can_be_left_out(world: World, data: st.DataObject) -> None:
    known = sorted(key[2:] for key in world.store)
    newest = {key: there.etag for key, there in world.store.items()}
    world.lose(" ".join(data.draw(st.sets(st.sampled_from(known)))))
    wanted = keys(" ".join(data.draw(st.sets(st.sampled_from(known), min_size=1))))
    good = {key: newest[key] for key in {*wanted, *world.store}}
    made = world.plan(wanted)
    assume(all(step.call.ownership == "last" for step in made.steps))
    assert does(world, made.steps, good)
    for at in range(len(made.steps)):
        assert not does(world, made.steps[:at] + made.steps[at + 1 :], good)


def does(world: World, steps: tuple[Step, ...], good: Mapping[str, str | None]) -> bool:
    """Whether the steps bring the good versions about, none of them reading too old a one."""
    store = {key: there.etag for key, there in world.store.items()}
    for step in steps:
        call, reads, writes = world.calls[step.call.ref]
        for key in reads:
            order = [str(writer) for writer in world.lineage.writers(key)]
            writer = (store.get(key) or "").partition(":")[0]
            if not writer or order.index(writer) < order.index(world.saw[call.ref, key]):
                return False
        store.update(
            (key, f"{call.ref}:{key}") for key in (step.restore if call.protocol else writes)
        )
    return all(store.get(key) == etag for key, etag in good.items())
