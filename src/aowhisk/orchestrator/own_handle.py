"""The handle of a run that this orchestrator began, joined or took."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Generator, Sequence

import anyio

from aowhisk.errors import AowhiskError
from aowhisk.events import Event, Recorder, RunState
from aowhisk.orchestrator.active import Active
from aowhisk.orchestrator.handle import Handle
from aowhisk.orchestrator.others import GLANCE
from aowhisk.orchestrator.runs import Runs
from aowhisk.scheduler import Execution, Run
from aowhisk.telemetry import Telemetry

__all__ = ["OwnHandle"]


class OwnHandle(Handle):
    """Knows the run at first hand, unless another process is at work on it."""

    def __init__(self, active: Active, runs: Runs, recorder: Recorder) -> None:
        super().__init__(active.execution.id)
        self._active = active
        self._execution = active.execution
        self._runs = runs
        self._recorder = recorder

    def __repr__(self) -> str:
        return f"<Handle of run {self.id}: {self.state.value}>"

    @property
    def state(self) -> RunState:
        """Where the run stands now."""
        return self._execution.state

    @property
    def run(self) -> Run:
        """The run as it stands now: outcomes so far."""
        return self._execution.run()

    @property
    def _is_told(self) -> bool:
        return self._execution.is_ours or self._execution.done.is_set()

    @property
    def telemetry(self) -> Telemetry:
        """Where its time, its requests and its money went, so far."""
        return self._execution.telemetry

    async def look(self) -> Run:
        """The run as it stands now."""
        return self.run if self._is_told else await self._runs.others.look(self.id)

    async def wait(self) -> Run:
        """The run, once it ended."""
        self._active.followers += 1
        try:
            await self._execution.done.wait()
        finally:
            self._active.followers -= 1
        return self._execution.result()

    def cancel(self) -> Awaitable[None]:
        """End the run."""
        if self._active.known.is_set() and not self._is_told:  # others are at work on it
            return self._runs.cancel(self.id)
        self._execution.cancel()
        return _Ending(self._execution)

    async def events(self) -> AsyncIterator[Event]:
        """Every event of the run."""
        async with _Follower(self._execution, self._recorder) as follower:
            async for event in follower:
                yield event


class _Ending:
    def __init__(self, execution: Execution) -> None:
        self._execution = execution

    def __await__(self) -> Generator[object, None, None]:
        return self._wait().__await__()

    async def _wait(self) -> None:
        await self._execution.done.wait()


class _Follower:
    """A sink that hands over one run's events; those of earlier times and of other processes come
    from the journal."""

    def __init__(self, execution: Execution, recorder: Recorder) -> None:
        self._execution = execution
        self._recorder = recorder
        self._new: list[Event] = []
        self._wake = anyio.Event()
        self._shown = 0

    async def __aenter__(self) -> _Follower:
        self._recorder.add(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._recorder.remove(self)

    def receive(self, event: Event) -> None:
        """Keep an event of this run."""
        if event.run == self._execution.id and event.is_kept:
            self._new.append(event)
            self._wake.set()

    async def __aiter__(self) -> AsyncIterator[Event]:
        is_whole = False  # whether from now on we are told everything
        while True:
            if not is_whole:
                is_whole = self._execution.is_ours or self._execution.done.is_set()
                try:
                    missed = await self._missed()
                except AowhiskError:
                    return
                for event in missed:
                    yield event
            batch, self._new = self._new, []
            for event in batch:
                yield event
            if self._new:
                continue
            if self._execution.done.is_set():
                if is_whole:
                    return
                continue
            self._wake = anyio.Event()
            await self._something(None if is_whole else GLANCE)

    async def _something(self, seconds: float | None) -> None:
        """Wait for an event, for the end, or for so long."""
        with anyio.move_on_after(seconds):
            async with anyio.create_task_group() as group:
                group.start_soon(self._until, self._execution.done, group.cancel_scope)
                group.start_soon(self._until, self._wake, group.cancel_scope)

    async def _missed(self) -> Sequence[Event]:
        """What the journal has beyond what was handed over; of that, nothing comes twice."""
        missed = await self._recorder.journal.read(self._execution.id, after=self._shown)
        self._shown += len(missed)
        ours = [(event.kind, event.at) for event in self._new]
        theirs = [(event.kind, event.at) for event in missed]
        both = next(n for n in range(len(ours), -1, -1) if theirs[len(theirs) - n :] == ours[:n])
        self._new = self._new[both:]
        return missed

    async def _until(self, event: anyio.Event, scope: anyio.CancelScope) -> None:
        await event.wait()
        scope.cancel()
