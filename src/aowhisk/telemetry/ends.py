"""The attempts of a run that ended, in as little room as can be: there may be very many."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from dataclasses import fields
from operator import attrgetter

from aowhisk.events.model import Ended
from aowhisk.models import Activation

__all__ = ["Ends"]

_COLUMNS = frozenset({"run", "call", "action", "activation", "attempt", "at", "sent", "queued"})
_REST = [f.name for f in fields(Ended) if f.name not in _COLUMNS | {"of", "result"}]
_rest_of = attrgetter(*_REST)
_USUAL: tuple[object, ...] = _rest_of(Ended(run="", of="", call="", attempt="", action=""))
_ID = 12  # bytes of an attempt's id


class Ends:
    """All of one run, and when each was intended (None where that is not known). What most attempts
    have in common is not kept for each of them, and results are not kept at all."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._calls: list[str] = []
        self._actions: list[str] = []
        self._activations: list[Activation | None] = []
        self._times = array("d")  # four of each
        self._ids = bytearray()
        self._rest: dict[int, dict[str, object]] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, ended: Ended, intended: float | None) -> None:
        """One more."""
        values = _rest_of(ended)
        rest: dict[str, object] = {}
        if values != _USUAL:
            rest = {n: v for n, v, usual in zip(_REST, values, _USUAL, strict=True) if v != usual}
        if ended.of != self._run:
            rest["of"] = ended.of
        id = _packed(ended.attempt)
        if id is None:
            rest["attempt"] = ended.attempt
        if rest:
            self._rest[len(self._calls)] = rest
        self._ids += id or bytes(_ID)
        self._calls.append(ended.call)
        self._actions.append(ended.action)
        self._activations.append(ended.activation)
        when = math.nan if intended is None else intended
        self._times.extend((ended.at, ended.sent, ended.queued, when))

    def __iter__(self) -> Iterator[tuple[Ended, float | None]]:
        """As they were added, without their results."""
        for n in range(len(self._calls)):
            at, sent, queued, intended = self._times[4 * n : 4 * n + 4]
            facts = {
                "of": self._run,
                "attempt": self._ids[_ID * n : _ID * (n + 1)].hex(),
                **self._rest.get(n, {}),
            }
            ended = Ended(
                run=self._run,
                call=self._calls[n],
                action=self._actions[n],
                activation=self._activations[n],
                at=at,
                sent=sent,
                queued=queued,
                **facts,  # type: ignore[arg-type]  # they come from an Ended
            )
            yield ended, None if math.isnan(intended) else intended


def _packed(id: str) -> bytes | None:
    """The bytes of an attempt's id, None of one that is not made as ours are."""
    try:
        packed = bytes.fromhex(id)
    except ValueError:
        return None
    return packed if len(packed) == _ID and packed.hex() == id else None
