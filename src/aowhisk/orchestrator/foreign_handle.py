"""The handle of a run that another process began: it is known from the journal alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable

from aowhisk.errors import AowhiskError
from aowhisk.events import Event
from aowhisk.orchestrator.handle import Handle
from aowhisk.orchestrator.runs import Runs
from aowhisk.scheduler import Run

__all__ = ["ForeignHandle"]


class ForeignHandle(Handle):
    """Whether the journal knows the run shows when it is first asked for."""

    def __init__(self, id: str, runs: Runs) -> None:
        super().__init__(id)
        self._runs = runs
        self._seen: Run | None = None

    def __repr__(self) -> str:
        state = "not looked at" if self._seen is None else self._seen.state.value
        return f"<Handle of run {self.id} of another process: {state}>"

    @property
    def run(self) -> Run:
        """The run as it was last seen. Raises AowhiskError where it was not looked at yet."""
        if self._seen is None:
            raise AowhiskError(
                f"run {self.id!r} is not one of this orchestrator's; `await handle.look()` reads "
                "from the journal how it stands"
            )
        return self._seen

    async def look(self) -> Run:
        """The run as the journal shows it now."""
        self._seen = await self._runs.others.look(self.id)
        return self._seen

    async def wait(self) -> Run:
        """The run, once it ended, whoever goes on with it."""
        execution = await self._runs.others.watch(self.id)
        self._seen = execution.run()
        return execution.result()

    def cancel(self) -> Awaitable[None]:
        """Take the run from whoever has it, and end it."""
        return self._runs.cancel(self.id)

    async def events(self) -> AsyncIterator[Event]:
        """Every event of the run, until it ended or was interrupted."""
        async for event in self._runs.others.events(self.id):
            yield event
