"""What goes into planning a recovery and what comes out."""

from __future__ import annotations

import math
from dataclasses import dataclass

from aowhisk.errors import ConfigError
from aowhisk.lineage import CallRecord, CallRef

__all__ = ["Need", "Plan", "RecoveryPolicy", "Seen", "Step"]


@dataclass(frozen=True, slots=True)
class RecoveryPolicy:
    """How much a run may spend on recovery.

    `same_object`: times one object is written again; `depth`: calls in the longest chain of one
    plan; `reruns`: calls run again in the whole run, consumers among them; `seconds`: in which any
    recovery of the run is under way, looked at before each plan. 0 means never. ConfigError if one
    is not a number of 0 or more.
    """

    same_object: int = 3
    depth: int = 100
    reruns: int = 1000
    seconds: float = 3600.0

    def __post_init__(self) -> None:
        for name in ("same_object", "depth", "reruns"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ConfigError(
                    f"RecoveryPolicy: {name} is {value!r}; give a whole number, 0 for never"
                )
        if isinstance(self.seconds, bool) or not isinstance(self.seconds, int | float):
            raise ConfigError(f"RecoveryPolicy: seconds is {self.seconds!r}; give a number")
        if math.isnan(self.seconds) or self.seconds < 0:
            raise ConfigError(f"RecoveryPolicy: seconds is {self.seconds!r}; give 0 or more")


@dataclass(frozen=True, slots=True)
class Seen:
    """What HEAD said of a key: `etag` None means that nothing is there; `by` as in its metadata."""

    etag: str | None
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Need:
    """What the planner must be told before it can go on.

    `probe`: keys to HEAD and add to `seen`. `look_up`: keys whose writers are to be looked for in
    earlier runs: record what is found in the lineage, and add the keys to `looked_up` either way.
    """

    probe: tuple[str, ...] = ()
    look_up: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One call to run again.

    `restore` are the lost objects that it has to write; `because` those of them that somebody
    waits for. It starts once the calls `after` have ended. With `join` the call is running already:
    wait for it, then plan again.
    """

    call: CallRecord
    restore: tuple[str, ...]
    because: tuple[str, ...]
    after: tuple[CallRef, ...] = ()
    join: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The smallest set of calls that brings back what is `wanted`, in an order that works.

    False where nothing has to run. `lost` are the objects found to be gone on the way.
    """

    steps: tuple[Step, ...]
    wanted: tuple[str, ...]
    lost: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.steps)

    @property
    def reruns(self) -> int:
        """How many calls run again."""
        return sum(not step.join for step in self.steps)

    def describe(self) -> str:
        """The plan as text for a person, one line a call."""
        if not self.steps:
            return f"nothing to run: {_some(self.wanted)} can be read"
        number = {step.call.ref: at for at, step in enumerate(self.steps, 1)}
        calls = "call" if self.reruns == 1 else "calls"
        lines = [f"run {self.reruns} {calls} again to bring back {_some(self.wanted)}"]
        for step in self.steps:
            line = f"{number[step.call.ref]:>3}. "
            line += f"wait for {step.call.ref}" if step.join else str(step.call.ref)
            line += f" ({step.call.action}) writes {_some(step.restore)}"
            if step.after:
                line += ", after " + _some([str(number[r]) for r in step.after if r in number])
            lines.append(line)
        return "\n".join(lines)


def _some(items: tuple[str, ...] | list[str], limit: int = 5) -> str:
    rest = len(items) - limit
    text = ", ".join(items[:limit]) or "nothing"
    return f"{text} and {rest} more" if rest > 0 else text
