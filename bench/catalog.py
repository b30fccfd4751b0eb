"""The benches."""

from __future__ import annotations

import math
import statistics

from bench.bench import Bench, Figure, Round, Side
from bench.meter import Facts

__all__ = ["BENCHES"]


def _pair(short: Facts, **options: object) -> dict[str, Side]:
    """The same calls from a bare loop and through us."""
    return {side: Side(f"bench.{side}:calls", options, short) for side in ("bare", "ours")}


def _speed(each: Round) -> float:
    """How fast ours is beside bare."""
    return float(each["bare"]["seconds"] / each["ours"]["seconds"])


def _cpu(each: Round) -> float:
    """How much CPU ours takes beside bare."""
    return float(each["ours"]["cpu"] / each["bare"]["cpu"])


def _no_ops(name: str, *, in_flight: int, least: float | None, tuned: bool = False) -> Bench:
    gc = ", garbage collection made rare in both" if tuned else ""
    return Bench(
        name,
        f"no-op calls, {in_flight} in flight, journal on{gc}",
        _pair({"count": 1500}, action="noop", count=5000, concurrency=in_flight, tuned=tuned),
        (
            Figure("speed of bare", _speed, "x", least=least),
            Figure("CPU of bare", _cpu, "x"),
        ),
    )


def _chain() -> Bench:
    options = {"action": "noop", "length": 100, "times": 10}
    sides = {side: Side(f"bench.{side}:chain", options, {"times": 3}) for side in ("bare", "ours")}
    return Bench(
        "chain",
        "a chain of 100 no-ops, journal on",
        sides,
        (
            Figure("time of bare a step", lambda r: 1 / _speed(r), "x", most=2.0),
            Figure("a step", _step, " ms"),
        ),
    )


def _step(each: Round) -> float:
    ours = each["ours"]
    return float(ours["seconds"] / ours["length"] / ours["times"] * 1000)


def _full_slots(
    name: str, *, count: int, ms: int, in_flight: int, least: float | None, short: Facts
) -> Bench:
    def of(side: str, each: Round) -> float:
        facts = each[side]
        ideal = facts["count"] / facts["concurrency"] * _milliseconds(facts["action"]) / 1000
        return float(ideal / facts["seconds"])

    return Bench(
        name,
        f"{count:,} calls of {ms} ms, {in_flight:,} in flight",
        _pair(short, action=f"wait-{ms}", count=count, concurrency=in_flight),
        (
            Figure("of ideal", lambda r: of("ours", r), "x", least=least),
            Figure("bare of ideal", lambda r: of("bare", r), "x"),
        ),
    )


def _milliseconds(action: str) -> int:
    return int(action.rpartition("-")[2])


def _ten_thousand() -> Bench:
    return Bench(
        "10k",
        "10,000 no-op calls, 50 in flight, from a fresh process",
        _pair({"count": 3000}, action="noop", count=10_000, concurrency=50),
        (
            Figure("time of bare", lambda r: 1 / _speed(r), "x", most=2.5),
            Figure("memory", lambda r: r["ours"]["peak"], " MB", most=100),
        ),
    )


def _hundred_thousand() -> Bench:
    sizes = {"1,000": 1_000, "10,000": 10_000, "100,000": 100_000}
    short = {"1,000": 300, "10,000": 1_000, "100,000": 3_000}
    options = {"action": "noop", "concurrency": 50}
    sides = {
        name: Side("bench.ours:calls", {**options, "count": n}, {"count": short[name]})
        for name, n in sizes.items()
    }

    def exponent(each: Round) -> float:
        """The slope of a straight line through the logarithms."""
        points = [(math.log(f["count"]), math.log(f["seconds"])) for f in each.values()]
        return statistics.linear_regression(*zip(*points, strict=True)).slope

    def memory(what: str, each: Round) -> float:
        large, small = each["100,000"], each["1,000"]
        return float((large[what] - small[what]) / (large["count"] - small["count"]) * 1000)

    return Bench(
        "100k",
        "1,000 to 100,000 no-op calls, 50 in flight, each from a fresh process",
        sides,
        (
            Figure("fit exponent of the time", exponent, most=1.1),
            Figure("memory a call", lambda r: memory("peak", r), " KB", most=10),
            Figure("memory a call that ended", lambda r: memory("held", r), " KB", most=1),
        ),
    )


def _tight() -> Bench:
    options = {"action": "wait-10", "count": 5000}
    sides = {
        name: Side("bench.ours:calls", {**options, "concurrency": n}, {"count": 1500})
        for name, n in (("as many", 50), ("20 times as many", 1000))
    }
    return Bench(
        "tight",
        "5,000 calls of 10 ms in a namespace that allows 50 at once: we ask for as many, or for 20 "
        "times as many",
        sides,
        (
            Figure(
                "CPU of asking for as many",
                lambda r: r["20 times as many"]["cpu"] / r["as many"]["cpu"],
                "x",
            ),
        ),
        server=("--concurrent", "50"),
    )


def _lost_chain() -> Bench:
    options = {"length": 10, "ms": 50, "times": 3}
    sides = {
        "in a run": Side("bench.recovering:chain", {**options, "concurrency": 16}, {"times": 1}),
        "at concurrency 1": Side(
            "bench.recovering:chain", {**options, "concurrency": 1}, {"times": 1}
        ),
        "ensure": Side("bench.recovering:ensure", options, {"times": 1}),
    }

    def of(side: str) -> Figure:
        return Figure(f"of 10 x 50 ms, {side}", lambda r: r[side]["chain"] / 0.5, "x", most=1.1)

    return Bench("lost-chain", "a lost chain of ten 50 ms actions", sides, tuple(map(of, sides)))


def _diamond() -> Bench:
    sides = {
        name: Side(
            "bench.recovering:diamond", {"consumers": 1000, "lose": lose}, {"consumers": 200}
        )
        for name, lose in (("all there", False), ("lost", True))
    }
    return Bench(
        "diamond",
        "an object that 1,000 calls miss at once",
        sides,
        (
            Figure("runs of its writer", lambda r: r["lost"]["writings"], most=2),
            Figure("beyond the same with nothing lost", _beyond, " s"),
        ),
    )


def _beyond(each: Round) -> float:
    return float(each["lost"]["seconds"] - each["all there"]["seconds"])


def _plan() -> Bench:
    options = {"wanted": 10_000, "lost": 100, "seconds": 0.005}
    sides = {
        "10,000 known": Side("bench.recovering:plan", {**options, "known": 10_000}),
        "1,000,000 known": Side(
            "bench.recovering:plan", {**options, "known": 1_000_000}, {"known": 100_000}
        ),
    }

    def time(side: str, most: float | None) -> Figure:
        return Figure(f"plan, {side}", lambda r: r[side]["seconds"], " s", most=most)

    return Bench(
        "plan",
        "planning for 10,000 wanted objects, 100 of them lost; HEAD takes 5 ms",
        sides,
        (
            time("10,000 known", 1.0),
            time("1,000,000 known", None),
            Figure("HEADs at once", lambda r: r["10,000 known"]["most"], most=100),
            Figure("memory an object", _object, " KB"),
        ),
        server=None,
    )


def _object(each: Round) -> float:
    small, large = each["10,000 known"], each["1,000,000 known"]
    return float((large["peak"] - small["peak"]) / (large["known"] - small["known"]) * 1000)


def _resume() -> Bench:
    return Bench(
        "resume",
        "going on with a run of 10,000 calls whose process was killed half-way; 4 s of that are "
        "for calls that may still be running, where the kill left any in doubt",
        {
            "resume": Side(
                "bench.waiting:resume", {"count": 10_000, "concurrency": 50}, {"count": 1_000}
            )
        },
        (
            Figure("until the first new call", lambda r: r["resume"]["first"], " s"),
            Figure("to the end", lambda r: r["resume"]["seconds"], " s"),
            Figure("calls sent twice", lambda r: r["resume"]["again"]),
        ),
    )


def _poll() -> Bench:
    def side(shortest: int, longest: int) -> Side:
        options = {"count": 1000, "shortest": shortest, "longest": longest}
        return Side(
            "bench.waiting:poll", options, {"count": 300, "shortest": 4000, "longest": 4000}
        )

    sides = {"10 s each": side(10_000, 10_000), "5 to 15 s": side(5_000, 15_000)}

    def figures(name: str, lists: float | None) -> tuple[Figure, ...]:
        return (
            Figure(f"lists, {name}", lambda r: r[name]["lists"], most=lists),
            Figure(f"GETs by id, {name}", lambda r: r[name]["gets"]),
            Figure(f"median lag, {name}", lambda r: r[name]["lag"], " s", most=0.5),
            Figure(f"longest lag, {name}", lambda r: r[name]["longest lag"], " s"),
        )

    return Bench(
        "poll",
        "1,000 asynchronous activations in flight",
        sides,
        figures("10 s each", 40) + figures("5 to 15 s", None),
    )


def _sqlite() -> Bench:
    options = {"action": "noop", "count": 2000, "concurrency": 50}
    sides = {
        name: Side("bench.ours:calls", {**options, "journal": name}, {"count": 1000})
        for name in ("memory:", "sqlite")
    }
    return Bench(
        "sqlite",
        "2,000 no-op calls, 50 in flight, journal in memory or in SQLite",
        sides,
        (
            Figure(
                "speed of memory",
                lambda r: r["memory:"]["seconds"] / r["sqlite"]["seconds"],
                "x",
                least=0.8,
            ),
            Figure("CPU of memory", lambda r: r["sqlite"]["cpu"] / r["memory:"]["cpu"], "x"),
        ),
    )


def _mongo() -> Bench:
    options = {"action": "noop", "count": 5000, "concurrency": 50}
    sides = {
        name: Side("bench.ours:calls", {**options, "journal": name}, {"count": 1500})
        for name in ("sqlite", "mongo")
    }
    return Bench(
        "mongo",
        "no-op calls, 50 in flight, journal in MongoDB (mongo-java-server) or in SQLite",
        sides,
        (
            Figure(
                "speed of SQLite",
                lambda r: r["sqlite"]["seconds"] / r["mongo"]["seconds"],
                "x",
                least=0.5,
            ),
            Figure(
                "CPU of the server a call",
                lambda r: r["mongo"]["mongo_cpu"] / r["mongo"]["count"] * 1e6,
                " us",
            ),
        ),
        mongo=True,
    )


BENCHES = {
    bench.name: bench
    for bench in (
        _no_ops("50", in_flight=50, least=0.6),
        _no_ops("1000", in_flight=1000, least=None),
        _no_ops("1000-gc", in_flight=1000, least=0.8, tuned=True),
        _full_slots("100ms", count=200, ms=100, in_flight=50, least=0.91, short={"count": 200}),
        _chain(),
        _ten_thousand(),
        _hundred_thousand(),
        _full_slots(
            "2s",
            count=10_000,
            ms=2000,
            in_flight=1000,
            least=None,
            short={"count": 1000, "concurrency": 500, "action": "wait-500"},
        ),
        _tight(),
        _lost_chain(),
        _diamond(),
        _plan(),
        _resume(),
        _poll(),
        _sqlite(),
        _mongo(),
    )
}
