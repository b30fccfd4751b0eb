"""From an accepted invocation to its record: container, initialisation, run, outcome."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup

from aowhisk.local.builtins import Builtins
from aowhisk.local.container import Container, Ended, OutOfTime
from aowhisk.local.documents import record_of
from aowhisk.local.entities import BUILTIN
from aowhisk.local.faults import FaultPlan
from aowhisk.local.http import OVERLOADED, Refusal
from aowhisk.local.incidents import befall, spoil
from aowhisk.local.invocation import Invocation
from aowhisk.local.logs import INCOMPLETE, stamped
from aowhisk.local.outcome import EXITED, NOT_STARTED, OUT_OF_MEMORY, Response
from aowhisk.local.pool import Pool
from aowhisk.local.records import Record, Records
from aowhisk.models import JSON, Status

__all__ = ["Invoker"]

_log = logging.getLogger(__name__)
MEGABYTE = 1024 * 1024


@dataclass(slots=True)
class _Measured:
    """What one activation took; times in epoch seconds, durations in seconds."""

    response: Response = field(default_factory=Response.whisk_error)
    began: float | None = None
    init: float | None = None
    run: float = 0.0
    logs: list[str] = field(default_factory=list)


class Invoker:
    """Runs invocations in its own tasks, so that nothing that happens to a request touches one."""

    def __init__(self, records: Records, faults: FaultPlan, builtins: Builtins) -> None:
        self._records = records
        self._faults = faults
        self._builtins = builtins
        self._running: tuple[TaskGroup, Pool] | None = None
        self._closed = False
        self._open: set[Invocation] = set()
        self.begun: Counter[str] = Counter()
        """How many invocations were accepted, by `[package/]action`."""

    def open(self, tasks: TaskGroup, pool: Pool) -> None:
        """From now on run in `tasks`, with the containers of `pool`."""
        self._closed = False
        self._running = tasks, pool

    def close(self) -> None:
        """Accept no more."""
        self._running = None
        self._closed = True

    def submit(self, invocation: Invocation) -> None:
        """Begin in a container; `invocation.done` tells the end. Refused (503) once the server
        stops."""
        _, pool = self._here()
        invocation.user.throttle.in_flight += 1
        self.start(invocation, _Activation(pool, self._records, self._faults, self._builtins).run)

    def start(self, invocation: Invocation, work: Callable[[Invocation], Awaitable[None]]) -> None:
        """Begin `work`, which is to end with `invocation.done`. Refused (503) once the server
        stops."""
        tasks, _ = self._here()
        self.count(invocation)
        self._open.add(invocation)
        tasks.start_soon(self._run, work, invocation)

    def count(self, invocation: Invocation) -> None:
        """Say that it has begun."""
        self.begun[invocation.name] += 1

    async def settled(self) -> None:
        """Wait until no activation is running."""
        while self._open:
            await next(iter(self._open)).ended.wait()

    def _here(self) -> tuple[TaskGroup, Pool]:
        if self._closed:
            raise Refusal(503, OVERLOADED)
        if self._running is None:
            raise RuntimeError("the local OpenWhisk is not running; enter it with `async with`")
        return self._running

    async def _run(
        self, work: Callable[[Invocation], Awaitable[None]], invocation: Invocation
    ) -> None:
        try:
            await work(invocation)
        except anyio.get_cancelled_exc_class():
            invocation.done.set()  # the server stops: who still waits is told 202
            raise
        finally:
            self._open.discard(invocation)
            invocation.ended.set()


class _Activation:
    """One invocation on its way."""

    def __init__(self, pool: Pool, records: Records, faults: FaultPlan, builtins: Builtins) -> None:
        self._pool = pool
        self._records = records
        self._faults = faults
        self._builtins = builtins

    async def run(self, invocation: Invocation) -> None:
        measured = _Measured()
        keep = True
        try:
            await self._attempt(invocation, measured)
            keep = await spoil(self._faults, invocation, measured.response)
        except Exception:  # noqa: BLE001  (whatever it is, this activation ends with a record and the others go on)
            _log.exception(
                "activation %s of %s failed inside the server", invocation.id, invocation.name
            )
            measured.response = Response.whisk_error()
        finally:
            invocation.user.throttle.in_flight -= 1
        if keep:
            invocation.record = _record(invocation, measured)
            self._records.add(invocation.record)
            invocation.done.set()

    async def _attempt(self, invocation: Invocation, measured: _Measured) -> None:
        failed = await befall(self._faults, invocation)
        if failed is not None:
            measured.response = failed
            return
        if builtin := invocation.action.exec.get(BUILTIN):
            began = time.perf_counter()
            measured.response, measured.logs = await self._builtins.run(
                builtin,
                invocation.arguments,
                namespace=invocation.user.namespace,
                seconds=invocation.seconds,
            )
            measured.run = time.perf_counter() - began
            return
        if invocation.action.kind == "blackbox":
            image = invocation.action.exec["image"]
            measured.response = Response.developer_error(
                f"Failed to pull container image '{image}'."
            )
            return
        container = await self._container(invocation, measured)
        if container is None:
            return
        try:
            measured.began = measured.began or time.time()
            began = time.perf_counter()
            measured.response = await self._run(invocation, container)
            measured.run = time.perf_counter() - began
        finally:
            self._let_go(invocation, container, measured)

    async def _container(self, invocation: Invocation, measured: _Measured) -> Container | None:
        """A container that holds the action, with its logs begun; None where it could not be
        initialised."""
        log_limit = invocation.action.limits["logs"] * MEGABYTE
        container = await self._pool.lease(invocation.key)
        if container is not None:
            container.logs.begin(log_limit)
            return container
        async with _returning(self._pool, invocation.key) as started:
            async with self._pool.cold_starts:
                measured.began = time.time()
                began = time.perf_counter()
                memory = invocation.action.limits["memory"] * MEGABYTE
                container = started.container = self._pool.start(
                    invocation.key, memory_limit=memory
                )
                container.logs.begin(log_limit)
                failure = await self._init(invocation, container)
                measured.init = time.perf_counter() - began
            if failure is None:
                started.keep = True
                return container
            measured.response = failure
            self._finish_logs(container, measured)
            return None

    async def _init(self, invocation: Invocation, container: Container) -> Response | None:
        """Load the action; the response where that failed."""
        exec_ = invocation.action.exec
        value = {
            "code": exec_.get("code", ""),
            "binary": bool(exec_.get("binary")),
            "main": exec_.get("main") or "main",
            "env": {f"__OW_{k.upper()}": v for k, v in self._context(invocation).items()}
            | dict(invocation.environ),
        }
        try:
            answer = json.loads(await container.ask({"init": value}, invocation.seconds))
        except OutOfTime:
            return Response.over_time(invocation.action.limits["timeout"], during_init=True)
        except Ended:
            if container.out_of_memory:
                return Response.developer_error(OUT_OF_MEMORY)
            return Response.proxy(NOT_STARTED)
        return None if answer.get("ok") else Response.proxy(answer["error"])

    async def _run(self, invocation: Invocation, container: Container) -> Response:
        container.uses += 1
        request: dict[str, JSON] = {"value": invocation.arguments, **self._context(invocation)}
        try:
            return Response.of(await container.ask(request, invocation.seconds))
        except OutOfTime:
            return Response.over_time(invocation.action.limits["timeout"], during_init=False)
        except Ended:
            if container.out_of_memory:
                return Response.developer_error(OUT_OF_MEMORY)
            return Response.proxy(EXITED)

    def _context(self, invocation: Invocation) -> dict[str, str]:
        """What an action finds as `__OW_...`."""
        action = invocation.action
        context = {
            "namespace": invocation.user.namespace,
            "action_name": f"/{action.path}",
            "action_version": action.version,
            "activation_id": invocation.id,
            "transaction_id": invocation.transaction,
            "deadline": str(round((time.time() + invocation.seconds) * 1000)),
        }
        if action.annotations.get("provide-api-key", True) is not False:
            context["api_key"] = invocation.user.auth
        return context

    def _let_go(self, invocation: Invocation, container: Container, measured: _Measured) -> None:
        self._finish_logs(container, measured)
        if measured.response.keeps_container:
            self._pool.give_back(container)
        else:
            self._pool.discard(container)

    def _finish_logs(self, container: Container, measured: _Measured) -> None:
        measured.logs = container.logs.end()
        response = measured.response
        if response.status is Status.DEVELOPER_ERROR and not response.timed_out:
            measured.logs.append(stamped("stderr", INCOMPLETE))


class _returning:
    """Leave to start a container, which goes back to the pool unless the block sets `keep`."""

    def __init__(self, pool: Pool, key: tuple[str, str, int]) -> None:
        self._pool, self._key = pool, key
        self.container: Container | None = None
        self.keep = False

    async def __aenter__(self) -> _returning:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.keep:
            return
        if self.container is None:
            self._pool.give_up(self._key)
        else:
            self._pool.discard(self.container)


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
