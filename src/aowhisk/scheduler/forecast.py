"""Forecast: how long what is left of a dag will take, by what its actions took so far."""

from __future__ import annotations

from aowhisk.dag import Dag

__all__ = ["Forecast", "Paths"]

_UNKNOWN = 1.0  # any number: where nothing is known, ways are compared by their length
_WEIGHT = 0.2  # of an attempt in the average
_NEWS = 1.5  # an average that has changed by this factor is worth thinking again


class Forecast:
    """The average seconds that attempts of each action hold a slot, of all runs of an orchestrator.
    `edition` grows when one has become known or has changed much."""

    def __init__(self) -> None:
        self.edition = 0
        self._seconds: dict[str, float] = {}
        self._said: dict[str, float] = {}

    def note(self, action: str, seconds: float) -> None:
        """An attempt of `action` took so long."""
        before = self._seconds.get(action)
        now = seconds if before is None else before + _WEIGHT * (seconds - before)
        self._seconds[action] = now
        said = self._said.get(action)
        if said is None or not said / _NEWS <= now <= said * _NEWS:
            self._said[action] = now
            self.edition += 1

    def seconds(self, action: str) -> float:
        """How long an attempt of `action` probably takes; for one that is not known, what the
        others take on average."""
        known = self._seconds.get(action)
        if known is not None:
            return known
        if not self._said:
            return _UNKNOWN
        return sum(self._said.values()) / len(self._said)


class Paths:
    """For each node of a dag, the longest way from its end to that of the dag, in seconds."""

    def __init__(self, dag: Dag, forecast: Forecast) -> None:
        self._dag = dag
        self._forecast = forecast
        self._edition = -1
        self._after: dict[str, float] = {}

    def after(self, id: str) -> float:
        """Seconds between the end of the node and that of the dag, if there were slots enough."""
        if self._edition != self._forecast.edition:
            self._edition = self._forecast.edition
            self._after = self._dag.distances(self._forecast.seconds)
        return self._after[id]
