"""The runs that an orchestrator knows of."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import anyio

from aowhisk.dag import Dag, difference
from aowhisk.errors import ConfigError, Conflict, GraphError
from aowhisk.models import JSON, run_id
from aowhisk.scheduler import Execution

__all__ = ["Active", "Once", "check_same", "check_same_dag", "checked_id", "positive"]

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


class Once:
    """Does something once, whoever asks; after a failure the next one tries again."""

    def __init__(self, what: Callable[[], Awaitable[None]]) -> None:
        self._what = what
        self._lock = anyio.Lock()
        self._done = False

    async def __call__(self) -> None:
        """Return when it is done; raises what it raised."""
        if self._done:
            return
        async with self._lock:
            if not self._done:
                await self._what()
                self._done = True


class Active:
    """A run of this orchestrator, and who cares for it: `followers` are those who run it or wait
    for it; `is_detached` that it goes on without any; `known` that the journal has it (or that it
    will never be executed)."""

    def __init__(self, execution: Execution, prepare: Once | None = None) -> None:
        self.execution = execution
        self.followers = 0
        self.is_detached = False
        self.is_launched = False
        self.known = anyio.Event()
        self._prepare = prepare
        self._preparing = 0

    @property
    def is_given_up(self) -> bool:
        """Whether it was never launched and nobody is about to."""
        return not self.is_launched and not self._preparing

    async def prepare(self) -> None:
        """Return once what it needs is known to be there."""
        self._preparing += 1
        try:
            if self._prepare is not None:
                await self._prepare()
        finally:
            self._preparing -= 1


def check_same(active: Active, dag: Dag) -> None:
    """Raise Conflict unless the run is of this very dag."""
    check_same_dag(active.execution.id, active.execution.dag_json, dag)


def check_same_dag(id: str, known: JSON, dag: Dag) -> None:
    """Raise Conflict unless `known`, a dag's JSON or None, is that of this very dag."""
    if known is None:
        raise Conflict(f"run {id!r} exists already and is a run of code, not of a dag")
    if differs := difference(known, dag.to_json()):
        raise Conflict(
            f"run {id!r} exists already with another dag ({differs}); give this one another id"
        )


def checked_id(id: str | None) -> str:
    """The id of a new run: the one given, or a fresh one. Raises GraphError."""
    if id is None:
        return run_id()
    if not isinstance(id, str) or not _RUN_ID.fullmatch(id):
        raise GraphError(
            f"{id!r} is not a run id: 1 to 100 letters, digits, '_', '-' and '.', the first a "
            "letter or a digit (it becomes part of keys)"
        )
    return id


def positive(name: str, value: int | None) -> None:
    """Raise ConfigError for anything but None and whole numbers of 1 or more."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ConfigError(f"{name} is {value!r}; it must be a whole number of 1 or more, or None")
