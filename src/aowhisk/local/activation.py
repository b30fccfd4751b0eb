"""One activation: container, initialisation, run, outcome, record."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass, field

from aowhisk.local.builtins import Builtins
from aowhisk.local.container import Answer, Container, Ending
from aowhisk.local.documents import record_of
from aowhisk.local.entities import BUILTIN
from aowhisk.local.faults import FaultPlan
from aowhisk.local.http import to_json
from aowhisk.local.incidents import befall, crashing, spoil
from aowhisk.local.invocation import Invocation
from aowhisk.local.logs import INCOMPLETE, stamped
from aowhisk.local.outcome import Response
from aowhisk.local.pool import Pool
from aowhisk.local.records import Record, Records
from aowhisk.local.runtimes import Runtime, Runtimes
from aowhisk.models import JSON, Status

__all__ = ["Activation", "Means"]

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


@dataclass(frozen=True, slots=True)
class Means:
    """What activations run with, and where they end up."""

    records: Records
    faults: FaultPlan
    builtins: Builtins
    runtimes: Runtimes


class Activation:
    """One invocation on its way."""

    def __init__(self, pool: Pool, means: Means) -> None:
        self._pool = pool
        self._records = means.records
        self._faults = means.faults
        self._builtins = means.builtins
        self._runtimes = means.runtimes

    async def run(self, invocation: Invocation) -> None:
        """From here to its record."""
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
        runtime = self._runtimes.find(invocation.action.kind)
        if runtime is None:
            self._refuse(invocation, measured)
            return
        container = await self._container(invocation, runtime, measured)
        if container is None:
            return
        try:
            measured.began = measured.began or time.time()
            began = time.perf_counter()
            with crashing(self._faults, invocation, container.kill):
                measured.response = await self._run(invocation, container)
            measured.run = time.perf_counter() - began
        finally:
            self._let_go(invocation, container, measured)

    def _refuse(self, invocation: Invocation, measured: _Measured) -> None:
        """There is nothing here to run it with."""
        exec_ = invocation.action.exec
        if exec_["kind"] == "blackbox":
            text = f"Failed to pull container image '{exec_['image']}'."
            why = "This local OpenWhisk runs no container images."
        else:
            text = why = f"This local OpenWhisk has no runtime for '{exec_['kind']}' here."
        measured.response = Response.developer_error(text)
        measured.logs = [stamped("stderr", why)]

    async def _container(
        self, invocation: Invocation, runtime: Runtime, measured: _Measured
    ) -> Container | None:
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
                limits = invocation.action.limits
                container = started.container = self._pool.start(
                    invocation.key,
                    runtime,
                    memory_limit=limits["memory"] * MEGABYTE,
                    slots=limits["concurrency"] if runtime.concurrent else 1,
                )
                container.logs.begin(log_limit)
                failure = await self._init(invocation, container)
                measured.init = time.perf_counter() - began
            if failure is None:
                started.keep = True
                self._pool.ready(container)
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
        line = to_json({"init": value}) + b"\n"
        outcome = await container.ask(invocation.id, line, invocation.seconds)
        if isinstance(outcome, Ending):
            return self._ended(outcome, invocation, container.runtime, during_init=True)
        return _not_initialised(outcome, container)

    async def _run(self, invocation: Invocation, container: Container) -> Response:
        container.uses += 1
        request: dict[str, JSON] = {"value": invocation.arguments, **self._context(invocation)}
        line = to_json(request) + b"\n"
        outcome = await container.ask(invocation.id, line, invocation.seconds)
        if isinstance(outcome, Ending):
            return self._ended(outcome, invocation, container.runtime, during_init=False)
        return Response.failed(outcome.text) if outcome.failed else Response.of(outcome.text)

    def _ended(
        self, ending: Ending, invocation: Invocation, runtime: Runtime, *, during_init: bool
    ) -> Response:
        """The response where there was no answer."""
        if ending is Ending.OVER_TIME:
            limit = invocation.action.limits["timeout"]
            return Response.over_time(limit, during_init=during_init)
        if ending is Ending.OUT_OF_MEMORY:
            return Response.out_of_memory()
        proxy = runtime.proxy
        text = proxy.not_started if during_init else proxy.exited
        return Response.proxy(text) if proxy.answered else Response.developer_error(text)

    def _context(self, invocation: Invocation) -> dict[str, str]:
        """What an action finds as `__OW_...`."""
        action = invocation.action
        context = {
            "namespace": invocation.user.namespace,
            "action_name": f"/{action.path}",
            "action_version": action.version,
            "activation_id": invocation.id,
            "transaction_id": invocation.transaction,
            "deadline": str(int((time.time() + invocation.seconds) * 1000)),
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


def _not_initialised(outcome: Answer, container: Container) -> Response | None:
    """What the answer to an initialisation says: None if all is well."""
    try:
        answer = json.loads(outcome.text)
    except ValueError:
        answer = None
    if isinstance(answer, dict) and answer.get("ok") is True:
        return None
    if isinstance(answer, dict) and isinstance(answer.get("error"), str):
        failed = outcome.failed  # told by a runtime of ours, not by the action
        return Response.failed(outcome.text) if failed else Response.proxy(answer["error"])
    container.logs.add("stderr", "The action did not initialize properly.")
    return Response.proxy(container.runtime.proxy.not_started)


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
