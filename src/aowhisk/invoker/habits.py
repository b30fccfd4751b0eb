"""How long actions usually take, so that nobody looks before an end is likely."""

from __future__ import annotations

from collections import deque

from aowhisk.models import Activation

__all__ = ["Habits"]

_LAST = 20  # activations of an action that are remembered
_QUICK = 0.1  # of them, the share that may end before the first look


class Habits:
    """What is known of the durations of actions whose records were waited for."""

    def __init__(self) -> None:
        self._last: dict[str, deque[float]] = {}

    def note(self, action: str, record: Activation) -> None:
        """An activation of `action` has ended."""
        if record.duration is not None:
            self._last.setdefault(action, deque(maxlen=_LAST)).append(record.duration)

    def left(self, action: str, elapsed: float) -> float:
        """Seconds in which hardly any activation of `action`, sent `elapsed` seconds ago, will
        end; 0 where nothing is known."""
        last = sorted(self._last.get(action, ()))
        if not last:
            return 0.0
        return max(0.0, last[int(len(last) * _QUICK)] - elapsed)
