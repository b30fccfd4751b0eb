"""Runs a bench: round after round, in each every side once, in a fresh process."""

from __future__ import annotations

import contextlib
import itertools
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.bench import Bench, Round, Side
from bench.meter import Facts
from bench.server import cpu_of, mongo, mongo_is_here, spent, standin
from bench.work import in_fresh_process

__all__ = ["Runner", "machine"]


@dataclass
class _Place:
    """Where a bench's sides run: the URLs of what is beside them, None for what is not."""

    mongo: str | None = None
    java: int = 0
    url: str | None = None
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def do(self, side: Side, *, short: bool) -> Facts:
        """One side, once; its options are among the facts."""
        options = {**side.options, **(side.short if short else {})}
        asked = dict(options) if self.url is None else {"url": self.url, **options}
        if asked.get("journal") == "mongo":
            asked["journal"] = f"{self.mongo}/bench_{next(self.numbers)}"
        before = self._spent()
        facts = in_fresh_process(side.work, asked)
        for name, value in self._spent().items():
            facts[name] = value - before[name]
        return {**options, **facts}

    def _spent(self) -> Facts:
        """CPU of the processes beside it."""
        facts: Facts = {"mongo_cpu": cpu_of(self.java)} if self.mongo else {}
        if self.url is not None:
            asked = spent(self.url)
            facts |= {"server_cpu": asked["cpu"], "invokes": asked["invokes"]}
        return facts


@dataclass(frozen=True)
class Runner:
    """`rounds` instead of the bench's own; the short form has two."""

    short: bool = False
    rounds: int | None = None

    def run(self, bench: Bench) -> list[Round]:
        """All rounds of a bench; none where it cannot run here."""
        if bench.mongo and not mongo_is_here():
            print("skipped: no MongoDB; run tests/servers/install-servers.sh mongo")
            return []
        count = self.rounds or (2 if self.short else bench.rounds)
        with _place(bench) as place:
            return [self._round(place, bench, n) for n in range(count)]

    def _round(self, place: _Place, bench: Bench, number: int) -> Round:
        """Every side once, against a fresh server; who goes first changes from round to round."""
        names = list(bench.sides)
        if number % 2:
            names.reverse()
        with _server(place, bench):
            found = {name: place.do(bench.sides[name], short=self.short) for name in names}
        told = ", ".join(f"{name} {found[name]['seconds']:.2f} s" for name in bench.sides)
        print(f"  round {number + 1}: {told}", file=sys.stderr, flush=True)
        return {name: found[name] for name in bench.sides}


@contextlib.contextmanager
def _place(bench: Bench) -> Iterator[_Place]:
    with contextlib.ExitStack() as stack:
        place = _Place()
        if bench.mongo:
            place.mongo, place.java = stack.enter_context(mongo())
        yield place


@contextlib.contextmanager
def _server(place: _Place, bench: Bench) -> Iterator[None]:
    if bench.server is None:
        yield
        return
    with standin(*bench.server) as place.url:
        yield


def machine() -> Facts:
    """What the numbers come from."""
    model = ""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(
            (line.partition(": ")[2] for line in lines if line.startswith("model name")), ""
        )
    return {
        "cores": os.cpu_count(),
        "processor": model or platform.processor(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }
