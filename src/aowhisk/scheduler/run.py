"""A run as its user sees it: outcomes by call and by node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from aowhisk.errors import AowhiskError
from aowhisk.events.model import RunState
from aowhisk.models import JSON, Abandoned, Failed, Outcome, Succeeded
from aowhisk.telemetry import Tape, Telemetry

__all__ = ["MapOutcome", "NodeOutcome", "Run"]


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


@dataclass(frozen=True, slots=True)
class MapOutcome:
    """How a map node ended: `outcomes` in the order of its items."""

    node: str
    outcomes: tuple[Outcome, ...]

    @property
    def results(self) -> list[JSON]:
        """The result of every item, None where it failed."""
        return [out.result if isinstance(out, Succeeded) else None for out in self.outcomes]

    @property
    def result(self) -> list[JSON]:
        """The same as `results`: what a reference to the node gives."""
        return self.results

    @property
    def failed(self) -> list[Failed]:
        """The items that failed."""
        return [out for out in self.outcomes if isinstance(out, Failed)]

    def __getitem__(self, name: str) -> list[JSON]:
        return [None if result is None else result[name] for result in self.results]

    def __iter__(self) -> Iterator[Outcome]:
        return iter(self.outcomes)

    def __len__(self) -> int:
        return len(self.outcomes)


NodeOutcome = Outcome | MapOutcome


@dataclass(frozen=True, slots=True, repr=False)
class Run:
    """A run that ended, or was stopped. `nodes` maps the ids of its nodes (of its calls, for a run
    that decided as it went) to their outcomes; times are epoch seconds."""

    id: str
    name: str
    state: RunState
    labels: Mapping[str, str] = field(default_factory=dict)
    nodes: Mapping[str, NodeOutcome] = field(default_factory=dict)
    started: float = 0.0
    ended: float = 0.0
    tape: Tape = field(default_factory=Tape, compare=False)
    """What `telemetry` is made of."""

    def __getitem__(self, node: str | _HasId) -> NodeOutcome:
        """The outcome of a node, by id or by the node itself."""
        id = node if isinstance(node, str) else node.id
        if id not in self.nodes:
            known = ", ".join(list(self.nodes)[:20]) or "none"
            raise KeyError(f"run {self.id} has no node {id!r}; there are: {known}")
        return self.nodes[id]

    def __repr__(self) -> str:
        return f"<Run {self.id} of {self.name!r}: {self.state.value}, {len(self.nodes)} nodes>"

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """The outcome of every call by its id."""
        found: dict[str, Outcome] = {}
        for outcome in self.nodes.values():
            several = outcome.outcomes if isinstance(outcome, MapOutcome) else (outcome,)
            found.update((each.call, each) for each in several)
        return found

    @property
    def failures(self) -> dict[str, AowhiskError]:
        """The errors of the calls that failed, tolerated ones among them."""
        return {id: o.error for id, o in self.outcomes.items() if isinstance(o, Failed)}

    @property
    def never_started(self) -> list[str]:
        """The calls and nodes that were not begun."""
        return [
            id
            for id, out in self.outcomes.items()
            if isinstance(out, Abandoned) and not out.attempts
        ]

    @property
    def telemetry(self) -> Telemetry:
        """Where its time, its requests and its money went, from its first event on; of a run that
        goes on, so far."""
        return self.tape.telemetry()

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.started
