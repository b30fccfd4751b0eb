"""A handle: a run that goes on by itself, in this process or another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Generator

from aowhisk.events import Event, RunState
from aowhisk.scheduler import Run
from aowhisk.telemetry import Telemetry

__all__ = ["Handle"]


class Handle(ABC):
    """`await handle` gives the Run, or raises RunFailed, Interrupted or Cancelled."""

    def __init__(self, id: str) -> None:
        self._id = id

    @property
    def id(self) -> str:
        """The run's id."""
        return self._id

    @property
    def state(self) -> RunState:
        """Where the run stands now; of a run of another process, where it stood when it was last
        looked at."""
        return self.run.state

    @property
    @abstractmethod
    def run(self) -> Run:
        """The run as it stands now, with the outcomes so far; of a run of another process, as it
        stood when it was last looked at."""

    @property
    def telemetry(self) -> Telemetry:
        """Where its time, its requests and its money went, so far; of a run of another process,
        until it was last looked at."""
        return self.run.telemetry

    @abstractmethod
    async def look(self) -> Run:
        """The run as it stands now, whichever process is at work on it. Raises UnknownRun."""

    @abstractmethod
    async def wait(self) -> Run:
        """The run, once it ended. Cancelling stops waiting, not the run. Raises UnknownRun, too."""

    @abstractmethod
    def cancel(self) -> Awaitable[None]:
        """End the run: nothing new starts, open calls become Abandoned. It is asked for at once;
        await what this returns to know that it is done. A run that has ended stays as it is."""

    @abstractmethod
    def events(self) -> AsyncIterator[Event]:
        """Every event of the run, from its first to its last, as they come; those of another
        process as its journal shows them, a few times a second."""

    def __await__(self) -> Generator[object, None, Run]:
        return self.wait().__await__()
