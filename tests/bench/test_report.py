"""Figures are read off rounds by their median, and held against their goals."""

from __future__ import annotations

import json

from bench.bench import Bench, Figure, Round, Side
from bench.report import as_json, as_readme, as_text, far_off, peers_table, read

ROUNDS: list[Round] = [
    {"bare": {"seconds": 1.0, "cpu": 1.0, "peak": 30.0, "count": 100}, "ours": ours}
    for ours in (
        {"seconds": 2.0, "cpu": 2.0, "peak": 50.0, "count": 100},
        {"seconds": 4.0, "cpu": 2.0, "peak": 50.0, "count": 100},
        {"seconds": 5.0, "cpu": 2.0, "peak": 50.0, "count": 100},
    )
]


def bench(figure: Figure) -> Bench:
    side = Side("nowhere:nothing", {})
    return Bench("speed", "calls", {"bare": side, "ours": side}, (figure,))


def ratio(**goal: float) -> Figure:
    return Figure("speed of bare", lambda r: r["bare"]["seconds"] / r["ours"]["seconds"], **goal)


def test_the_median_of_the_rounds_ratios_counts() -> None:
    [reading] = read(bench(ratio()), ROUNDS)
    assert (reading.median, reading.low, reading.high) == (0.25, 0.2, 0.5)
    assert reading.verdict == ""


def test_a_goal_is_passed_or_missed_by_a_share_of_it() -> None:
    verdicts = [
        read(bench(ratio(**goal)), ROUNDS)[0].verdict
        for goal in ({"least": 0.25}, {"least": 0.5}, {"most": 0.25}, {"most": 0.2})
    ]
    assert verdicts == ["pass", "missed by 50%", "pass", "missed by 25%"]


def test_only_what_is_below_a_quarter_of_its_goal_is_far_off() -> None:
    assert far_off(read(bench(ratio(least=1.0)), ROUNDS)) == []
    assert len(far_off(read(bench(ratio(least=1.01)), ROUNDS))) == 1
    assert len(far_off(read(bench(ratio(most=0.05)), ROUNDS))) == 1


def test_the_readme_is_made_of_the_json_alone() -> None:
    told = {
        "machine": {"cores": 2, "processor": "p", "system": "s", "python": "3"},
        "date": "2026-01-02",
        "benches": {"speed": as_json(bench(ratio(least=0.6)), ROUNDS)},
    }
    text = as_readme(json.loads(json.dumps(told)))
    assert "| speed | speed of bare | 0.25 (0.2 to 0.5) | >= 0.6 | missed by 58% |" in text
    assert "| ours | 4 | 25 | 20000 | 50 |" in text


def test_a_bench_that_could_not_run_says_only_its_name() -> None:
    assert as_text(bench(ratio()), []) == "speed: calls"


def test_peers_are_told_by_the_medians_of_their_rounds() -> None:
    rounds = [
        {"calls/s": speed, "of ideal": 0.7, "ms a step": 2.0, "version": "1.2"}
        for speed in (900.0, 1000.0, 2000.0)
    ]
    assert peers_table({"dask": rounds})[-1] == "| dask | 1,000 | 70% | 2.00 | 1.2 |"
