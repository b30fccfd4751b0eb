"""One activation: container, initialisation, run, outcome, record."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from aowhisk.local.builtins import Builtins
from aowhisk.local.container import Container, Outcome
from aowhisk.local.documents import record_of
from aowhisk.local.entities import BUILTIN
from aowhisk.local.faults import FaultPlan
from aowhisk.local.incidents import befall, crashing, spoil
from aowhisk.local.invocation import Invocation
from aowhisk.local.logs import INCOMPLETE, stamped
from aowhisk.local.messages import init_failure, init_request, response_of, run_request
from aowhisk.local.outcome import Response
from aowhisk.local.pool import Pool
from aowhisk.local.records import Record, Records
from aowhisk.local.runtimes import Runtime, Runtimes
from aowhisk.models import JSON, Status

__all__ = ["Activation", "Means"]

_log = logging.getLogger(__name__)
MEGABYTE = 1024 * 1024
Work: TypeAlias = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class _Measured:
    """What one activation took; times in epoch seconds, durations in seconds."""

    response: Response = field(default_factory=Response.whisk_error)
    began: float | None = None
    init: float | None = None
    run: float = 0.0
    logs: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Means:
    """What activations run with, and where they end up."""

    records: Records
    faults: FaultPlan
    builtins: Builtins
    runtimes: Runtimes


class Activation:
    """One invocation on its way."""

    def __init__(self, invocation: Invocation, pool: Pool, means: Means) -> None:
        self._invocation = invocation
        self._pool = pool
        self._means = means
        self._measured = _Measured()

    def begin(self, over: Callable[[], None], spawn: Callable[[Work], object]) -> None:
        """Begin: here and now where a built-in has nothing to wait for; in a warm container as
        soon as there is one, and `over` is called at the end. What else has to be waited for, the
        start of a container or what is to happen on purpose, is given to `spawn` to run as a task.
        """
        invocation, means = self._invocation, self._means
        self._over = over
        self._spawn = spawn
        if means.faults or invocation.faults:
            spawn(self.run)
        elif builtin := invocation.action.exec.get(BUILTIN):
            if not self._run_at_once(builtin):
                spawn(self.run)
        elif runtime := means.runtimes.find(invocation.action.kind):
            self._runtime = runtime
            self._pool.seek(invocation.key, self._granted, slots=_slots(invocation, runtime))
        else:
            spawn(self.run)

    def _granted(self, container: Container | None) -> None:
        """It is its turn: in a warm container, or (None) in one that is to be started."""
        invocation = self._invocation
        if invocation.done.is_set():  # the server stops
            self._over()
            return
        if container is None:
            self._spawn(self._run_cold)
            return
        container.begin_logs(invocation.action.limits["logs"] * MEGABYTE)
        container.uses += 1
        measured = self._measured
        measured.began = time.time()
        began = time.perf_counter()

        def told(outcome: Outcome) -> None:
            measured.run = time.perf_counter() - began
            self._told(container, outcome)

        container.send(invocation.id, run_request(invocation), invocation.seconds, told)

    async def _run_cold(self) -> None:
        """In a container that may be started now."""
        await self._guarded(self._start_and_run)

    async def _start_and_run(self) -> None:
        container = await self._started(self._runtime)
        if container is not None:
            await self._run_in(container)

    def _run_at_once(self, name: str) -> bool:
        invocation, measured = self._invocation, self._measured
        began = time.perf_counter()
        try:
            found = self._means.builtins.run_at_once(
                name, invocation.arguments, namespace=invocation.user.namespace
            )
            if found is None:
                return False
            measured.response, measured.logs = found
            measured.run = time.perf_counter() - began
        except Exception:  # noqa: BLE001  (as in `run`)
            self._broke()
        self._end(keep=True)
        self._over()
        return True

    def _told(self, container: Container, outcome: Outcome) -> None:
        """What was begun without a task has ended."""
        invocation = self._invocation
        try:
            self._measured.response = response_of(outcome, invocation, container.runtime)
            self._let_go(container)
        except Exception:  # noqa: BLE001  (as in `run`)
            self._broke()
        if not invocation.done.is_set():  # else the server stops
            self._end(keep=True)
        self._over()

    async def run(self) -> None:
        """From here to its record, with whatever is to happen on purpose."""
        await self._guarded(self._attempt)

    async def _guarded(self, work: Work) -> None:
        keep = True
        try:
            await work()
            keep = await spoil(self._means.faults, self._invocation, self._measured.response)
        except Exception:  # noqa: BLE001  (whatever it is, this activation ends with a record and the others go on)
            self._broke()
        except BaseException:
            self._invocation.user.throttle.in_flight -= 1
            raise
        self._end(keep=keep)

    def _broke(self) -> None:
        invocation = self._invocation
        _log.exception(
            "activation %s of %s failed inside the server", invocation.id, invocation.name
        )
        self._measured.response = Response.whisk_error()

    def _end(self, *, keep: bool) -> None:
        invocation = self._invocation
        invocation.user.throttle.in_flight -= 1
        if keep:
            invocation.record = _record(invocation, self._measured)
            self._means.records.add(invocation.record)
            invocation.done.set()

    async def _attempt(self) -> None:
        invocation, measured = self._invocation, self._measured
        failed = await befall(self._means.faults, invocation)
        if failed is not None:
            measured.response = failed
            return
        if builtin := invocation.action.exec.get(BUILTIN):
            began = time.perf_counter()
            measured.response, measured.logs = await self._means.builtins.run(
                builtin,
                invocation.arguments,
                namespace=invocation.user.namespace,
                seconds=invocation.seconds,
            )
            measured.run = time.perf_counter() - began
            return
        runtime = self._means.runtimes.find(invocation.action.kind)
        if runtime is None:
            self._refuse()
            return
        container = await self._pool.lease(invocation.key, slots=_slots(invocation, runtime))
        if container is None:
            container = await self._started(runtime)
        else:
            container.begin_logs(invocation.action.limits["logs"] * MEGABYTE)
        if container is not None:
            await self._run_in(container)

    async def _run_in(self, container: Container) -> None:
        invocation, measured = self._invocation, self._measured
        container.uses += 1
        try:
            measured.began = measured.began or time.time()
            began = time.perf_counter()
            with crashing(self._means.faults, invocation, container.kill):
                outcome = await container.ask(
                    invocation.id, run_request(invocation), invocation.seconds
                )
            measured.response = response_of(outcome, invocation, container.runtime)
            measured.run = time.perf_counter() - began
        finally:
            self._let_go(container)

    def _refuse(self) -> None:
        """There is nothing here to run it with."""
        exec_ = self._invocation.action.exec
        if exec_["kind"] == "blackbox":
            text = f"Failed to pull container image '{exec_['image']}'."
            why = "This local OpenWhisk runs no container images."
        else:
            text = why = f"This local OpenWhisk has no runtime for '{exec_['kind']}' here."
        self._measured.response = Response.developer_error(text)
        self._measured.logs = [stamped("stderr", why)]

    async def _started(self, runtime: Runtime) -> Container | None:
        """A new container that holds the action, with its logs begun; None where it could not be
        initialised."""
        invocation, measured = self._invocation, self._measured
        log_limit = invocation.action.limits["logs"] * MEGABYTE
        slots = _slots(invocation, runtime)
        async with _returning(self._pool, invocation.key, slots) as started:
            async with self._pool.cold_starts:
                measured.began = time.time()
                began = time.perf_counter()
                limits = invocation.action.limits
                container = started.container = self._pool.start(
                    invocation.key,
                    runtime,
                    memory_limit=limits["memory"] * MEGABYTE,
                    slots=slots,
                )
                container.begin_logs(log_limit)
                outcome = await container.ask(
                    invocation.id, init_request(invocation), invocation.seconds
                )
                failure = init_failure(outcome, invocation, container)
                measured.init = time.perf_counter() - began
            if failure is None:
                started.keep = True
                self._pool.ready(container)
                return container
            measured.response = failure
            self._finish_logs(container)
            return None

    def _let_go(self, container: Container) -> None:
        self._finish_logs(container)
        if self._measured.response.keeps_container:
            self._pool.give_back(container)
        else:
            self._pool.discard(container)

    def _finish_logs(self, container: Container) -> None:
        measured = self._measured
        measured.logs = container.end_logs()
        response = measured.response
        if not self._invocation.action.limits["logs"]:
            return  # nothing is collected, and nothing is said of it
        if response.status is Status.DEVELOPER_ERROR and not response.timed_out:
            measured.logs.append(stamped("stderr", INCOMPLETE))


class _returning:
    """Leave to start a container, which goes back to the pool unless the block sets `keep`."""

    def __init__(self, pool: Pool, key: tuple[str, str, int], slots: int) -> None:
        self._pool, self._key, self._slots = pool, key, slots
        self.container: Container | None = None
        self.keep = False

    async def __aenter__(self) -> _returning:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.keep:
            return
        if self.container is None:
            self._pool.give_up(self._key, slots=self._slots)
        else:
            self._pool.discard(self.container)


def _slots(invocation: Invocation, runtime: Runtime) -> int:
    """How many activations may share its container."""
    return invocation.action.limits["concurrency"] if runtime.concurrent else 1


def _record(invocation: Invocation, measured: _Measured) -> Record:
    action, response = invocation.action, measured.response
    began = measured.began or time.time()
    start = int(began * 1000)
    duration = max(0, round(((measured.init or 0.0) + measured.run) * 1000))
    annotations: dict[str, JSON] = {
        "kind": action.kind,
        "waitTime": max(0, round((began - invocation.received) * 1000)),
        "limits": dict(action.limits),
        "timeout": response.timed_out,
    }
    if measured.init is not None:
        annotations["initTime"] = max(1, round(measured.init * 1000))
    return record_of(
        invocation,
        response,
        annotations,
        start=start,
        end=start + duration,
        duration=duration,
        logs=measured.logs,
    )
