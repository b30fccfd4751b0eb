"""What benches found: on the terminal, as JSON, and as the table of bench/README.md."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bench.bench import Bench, Reading, Round

__all__ = ["as_json", "as_readme", "as_text", "far_off", "peers_table", "read"]

_QUARTER = 0.25


def as_text(bench: Bench, rounds: list[Round]) -> str:
    """A bench's findings for people."""
    took = (
        f"  {side:18} " + ", ".join(f"{name} {value}" for name, value in facts.items())
        for side, facts in sides(rounds).items()
    )
    figures = (f"  {_line(reading)}" for reading in read(bench, rounds))
    return "\n".join([f"{bench.name}: {bench.about}", *took, *figures])


def _line(reading: Reading) -> str:
    spread = f"({reading.low:.3g} to {reading.high:.3g})"
    goal = f"; goal {reading.goal}: {reading.verdict}" if reading.goal else ""
    return f"{reading.what}: {_number(reading.median)}{reading.unit} {spread}{goal}"


def read(bench: Bench, rounds: list[Round]) -> list[Reading]:
    """The bench's figures."""
    return [figure.read(rounds) for figure in bench.figures] if rounds else []


def far_off(readings: Iterable[Reading]) -> list[str]:
    """What does not even reach a quarter of its goal."""
    return [_line(r) for r in readings if r.share is not None and r.share < _QUARTER]


def sides(rounds: list[Round]) -> dict[str, dict[str, str]]:
    """Medians of what each side took."""
    return {side: _side([each[side] for each in rounds]) for side in (rounds[0] if rounds else ())}


def _side(facts: list[Mapping[str, Any]]) -> dict[str, str]:
    def median(name: str) -> float:
        return float(statistics.median(each[name] for each in facts))

    found = {"seconds": f"{median('seconds'):.3g}"}
    calls = facts[0].get("count", facts[0].get("length", 0) * facts[0].get("times", 1))
    if calls:
        found["calls/s"] = f"{calls / median('seconds'):,.0f}"
        found["us CPU/call"] = f"{median('cpu') / calls * 1e6:.0f}"
    else:
        found["s CPU"] = f"{median('cpu'):.2g}"
    found["MB RSS"] = f"{median('peak'):.0f}"
    if facts[0].get("invokes"):
        found["server us/call"] = f"{median('server_cpu') / median('invokes') * 1e6:.0f}"
    return found


def as_json(bench: Bench, rounds: list[Round]) -> dict[str, Any]:
    """A bench's findings for programs: every round, and the figures."""
    return {
        "about": bench.about,
        "rounds": rounds,
        "sides": sides(rounds),
        "figures": [
            {**asdict(each), "goal": each.goal, "verdict": each.verdict}
            for each in read(bench, rounds)
        ],
    }


def as_readme(found: Mapping[str, Any]) -> str:
    """The text of bench/README.md: everything in it comes from the JSON."""
    machine = found["machine"]
    parts = [_HEAD.format(**machine, date=found["date"])]
    parts += ["| bench | figure | median (lowest to highest) | goal | |", "|---|---|---|---|---|"]
    for name, bench in found["benches"].items():
        parts += [_row(name, figure) for figure in bench["figures"]]
    if found.get("peers"):
        parts += ["", _PEERS, "", *peers_table(found["peers"])]
    parts += ["", "What each side took (medians):"]
    for name, bench in found["benches"].items():
        parts += ["", f"**{name}**: {bench['about']}; {len(bench['rounds'])} rounds.", ""]
        parts += _sides(bench["sides"])
    return "\n".join(parts) + "\n"


def peers_table(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Medians of each peer's rounds."""
    lines = ["| | no-op calls/s | of ideal | ms a step | version |", "|---|---|---|---|---|"]
    for name, rounds in found.items():
        speed, share, step = (
            statistics.median(each[figure] for each in rounds)
            for figure in ("calls/s", "of ideal", "ms a step")
        )
        version = rounds[0].get("version", "")
        lines.append(f"| {name} | {speed:,.0f} | {share:.0%} | {step:.2f} | {version} |")
    return lines


def _row(name: str, figure: Mapping[str, Any]) -> str:
    unit = figure["unit"]
    spread = f"{_number(figure['median'])}{unit} ({figure['low']:.3g} to {figure['high']:.3g})"
    return f"| {name} | {figure['what']} | {spread} | {figure['goal']} | {figure['verdict']} |"


def _sides(found: Mapping[str, Mapping[str, str]]) -> list[str]:
    names = list(next(iter(found.values()), {}))
    lines = [f"| side | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
    for side, facts in found.items():
        lines.append(f"| {side} | {' | '.join(facts.get(name, '') for name in names)} |")
    return lines


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


_PEERS = """Others at the same tasks on this machine (`make bench-peers`): 1,000 no-ops at 50 slots,
200 tasks of 100 ms at 50 slots, a chain of 100. Theirs run on their own workers, ours go over HTTP
and through a journal on disk."""
_HEAD = """# Benches

`make bench`, or `python -m bench NAME...`; `python -m bench --list` says what there is. Each side
of a bench does its work in a fresh process, against a stand-in OpenWhisk in another process
(`bench/standin`), in turns with the other sides; what counts is the median of the rounds' ratios.
*bare* is a plain aiohttp loop that sends the same requests. CPU is the process's own, all threads.
`--short` is what CI runs: less work, and only what is below a quarter of its goal fails.

`bench/local.py` stands by itself: how fast the local OpenWhisk answers, beside a bare uvicorn
application that sends the same bytes.

This table is made by `python -m bench --publish`, from `bench/results.json`. It comes from a
machine of {cores} cores ({processor}, {system}, Python {python}), {date}.
"""
