"""What a bench is: the same work in several ways, in turns, and what is to be read off it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bench.meter import Facts

__all__ = ["Bench", "Figure", "Reading", "Round", "Side"]

Round = Mapping[str, Facts]
"""What each side told in one round."""


@dataclass(frozen=True)
class Side:
    """One way to do the work: a coroutine function ("module:name") and its arguments, those of the
    short form over them. `url` is added: the stand-in server's."""

    work: str
    options: Facts
    short: Facts = field(default_factory=dict)


@dataclass(frozen=True)
class Figure:
    """A number read off each round; the median counts. With `least` or `most` it is a goal."""

    what: str
    of: Callable[[Round], float]
    unit: str = ""
    least: float | None = None
    most: float | None = None

    def read(self, rounds: list[Round]) -> Reading:
        """Off these rounds."""
        values = [self.of(each) for each in rounds]
        return Reading(
            what=self.what,
            unit=self.unit,
            median=statistics.median(values),
            low=min(values),
            high=max(values),
            least=self.least,
            most=self.most,
        )


@dataclass(frozen=True)
class Reading:
    """A figure as it came out: the median of the rounds, and the lowest and highest."""

    what: str
    unit: str
    median: float
    low: float
    high: float
    least: float | None = None
    most: float | None = None

    @property
    def share(self) -> float | None:
        """How much of the goal was reached, 1 or more for all of it; None without a goal."""
        if self.least is not None:
            return self.median / self.least
        if self.most is not None:
            return self.most / self.median if self.median else 1.0
        return None

    @property
    def goal(self) -> str:
        """The goal, "" for none."""
        if self.least is not None:
            return f">= {self.least:g}{self.unit}"
        return "" if self.most is None else f"<= {self.most:g}{self.unit}"

    @property
    def verdict(self) -> str:
        """Pass, or by how much not; "" without a goal."""
        if self.share is None:
            return ""
        if self.share >= 1:
            return "pass"
        bound = self.least if self.least is not None else self.most
        assert bound
        return f"missed by {abs(self.median / bound - 1):.0%}"


@dataclass(frozen=True)
class Bench:
    """The stand-in server is started with the arguments `server`, not at all where that is None;
    with `mongo` there is a MongoDB, too, which a side's option `journal` may name."""

    name: str
    about: str
    sides: Mapping[str, Side]
    figures: tuple[Figure, ...]
    rounds: int = 5
    server: tuple[str, ...] | None = ()
    mongo: bool = False
