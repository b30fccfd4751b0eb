"""The orchestrator: runs dags, and code that calls actions, against one OpenWhisk namespace."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import anyio

from aowhisk.client import Client
from aowhisk.config import Settings, state_folder
from aowhisk.dag import Dag
from aowhisk.errors import AowhiskError, ConfigError, Interrupted, UnknownRun
from aowhisk.events import Journal, Recorder, RunState, Sink
from aowhisk.events.log import LogSink
from aowhisk.invoker import Patience
from aowhisk.lineage import Lineage
from aowhisk.orchestrator.active import Active
from aowhisk.orchestrator.foreign_handle import ForeignHandle
from aowhisk.orchestrator.ground import Given, Ground
from aowhisk.orchestrator.handle import Handle
from aowhisk.orchestrator.load import Load
from aowhisk.orchestrator.own_handle import OwnHandle
from aowhisk.orchestrator.runs import Runs
from aowhisk.recovery import Plan, RecoveryPolicy
from aowhisk.scheduler import LiveRun, Run, plan_for
from aowhisk.telemetry import Telemetry
from object_store import ObjectStore
from object_store.wire import STORE_URL

if TYPE_CHECKING:
    from aowhisk.local import Fault, LocalOpenWhisk
    from aowhisk.manifest import Manifest

__all__ = ["Orchestrator"]


class Orchestrator:
    """Open inside `async with`; from then on it runs what it is given, many runs at once.

    `client` is opened unless it is open. `store` is an open ObjectStore or a URL as for
    `open_store`, None for none: recovery then cannot look what is there. `journal` is a Journal or
    a URL, None for memory. `sinks` receive every event. `concurrency` bounds the calls in flight of
    one run, None for the namespace's limit; `action_concurrency` those of single actions within a
    run. Leaving the block interrupts what still runs.
    """

    def __init__(
        self,
        client: Client,
        *,
        store: ObjectStore | str | None = None,
        journal: Journal | str | None = None,
        sinks: Iterable[Sink] = (),
        concurrency: int | None = None,
        action_concurrency: Mapping[str, int] | None = None,
        recovery: RecoveryPolicy = RecoveryPolicy(),  # noqa: B008 -- a frozen value
        patience: Patience = Patience(),  # noqa: B008 -- a frozen value
    ) -> None:
        self.client = client
        self._ground = Ground(
            Given(
                client=client,
                store=store,
                journal=journal,
                sinks=tuple(sinks),
                concurrency=concurrency,
                action_concurrency=dict(action_concurrency or {}),
                recovery=recovery,
                patience=patience,
            )
        )
        self._log_file: str | None = None
        self._server: LocalOpenWhisk | None = None
        self._deploys: list[Callable[[LocalOpenWhisk], Awaitable[None]]] = []
        self._runs = Runs(self._ground, grace=patience.grace, lease=patience.lease)
        self._stack = AsyncExitStack()

    @classmethod
    def from_env(cls, **overrides: Any) -> Orchestrator:
        """Build it from settings: arguments before environment before file (docs/settings.md).

        Names of settings (`apihost`, `auth`, `namespace`, `store`, ...) override these; the rest
        goes to the constructor. Raises ConfigError.
        """
        names = {"apihost", "auth", "namespace", "ca_bundle", "insecure"}
        names |= {"store", "journal", "concurrency", "log_file"}
        given = {k: overrides.pop(k) for k in tuple(overrides) if k in names}
        parts = {
            name: given.pop(name)
            for name in ("store", "journal")
            if name in given and not isinstance(given[name], str | None)
        }
        settings = Settings.load(**given)
        self = cls(
            Client.from_settings(settings),
            store=parts.get("store", settings.store),
            journal=parts.get("journal", settings.journal) or _own_journal(),
            concurrency=settings.concurrency,
            **overrides,
        )
        self._log_file = settings.log_file
        return self

    @classmethod
    def local(
        cls,
        manifest: Manifest | Path | str | None = None,
        *,
        actions: Mapping[str, Callable[..., Any]] | None = None,
        root: Path | str = ".aowhisk",
        faults: Iterable[Fault] = (),
        store: str | None = None,
        **options: Any,
    ) -> Orchestrator:
        """An orchestrator with an OpenWhisk of its own in this process; nothing else to start.

        The actions of `manifest` and `actions` (name to function) are deployed into it; `root`
        holds its files, the journal and, unless `store` says otherwise, a folder store. `faults`
        are injected, for tests and demonstrations. Raises ConfigError.
        """
        from aowhisk.local import LocalOpenWhisk
        from aowhisk.manifest import Manifest

        if manifest is None and not actions:
            raise ConfigError("Orchestrator.local needs a manifest, or actions={name: function}")
        base = Path(root).resolve()
        url = store if store is not None else (base / "store").as_uri().replace("file:", "folder:")
        slots = max(4, 2 * (os.cpu_count() or 1))
        server = LocalOpenWhisk(
            root=base, init_params={STORE_URL: url}, faults=tuple(faults), containers=slots
        )
        options.setdefault("concurrency", slots)
        options.setdefault("journal", f"sqlite://{quote(str(base / 'journal.db'))}")
        self = cls(Client(app=server.app, auth=server.auth), store=url, **options)
        self._server = server
        if manifest is not None:
            declared = manifest if isinstance(manifest, Manifest) else Manifest.load(manifest)
            self._deploys.append(lambda server: server.deploy(declared))
        if actions:
            functions = dict(actions)
            self._deploys.append(lambda server: server.deploy_functions(functions))
        return self

    @property
    def store(self) -> ObjectStore | None:
        """The store it looks into, None for none."""
        return self._ground.store

    @property
    def recorder(self) -> Recorder:
        """Where events go: `recorder.add(sink)`, `recorder.journal`."""
        return self._ground.recorder

    @property
    def load(self) -> Load:
        """What it has out in the namespace now, and how soon ends are noticed."""
        self._ground.check_open()
        return self._ground.load

    @property
    def server(self) -> LocalOpenWhisk:
        """The OpenWhisk of an orchestrator made by `local`."""
        if self._server is None:
            raise ConfigError(
                "this orchestrator has no OpenWhisk of its own; see Orchestrator.local"
            )
        return self._server

    async def __aenter__(self) -> Self:
        if self._runs.is_open:
            raise AowhiskError("the orchestrator is open already")
        async with AsyncExitStack() as stack:
            born = 0.0
            if self._server is not None:
                born = time.time()
                await stack.enter_async_context(self._server)
                for deploy in self._deploys:
                    await deploy(self._server)
            await self._ground.open(stack, born=born)
            if self._log_file is not None:
                log = LogSink(console=None, path=self._log_file)
                stack.callback(log.close)
                self.recorder.add(log)
            self._runs.open(await stack.enter_async_context(anyio.create_task_group()))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self._runs.close()
        finally:
            await self._stack.aclose()

    async def run(
        self,
        dag: Dag,
        *,
        id: str | None = None,
        labels: Mapping[str, str] | None = None,
        concurrency: int | None = None,
    ) -> Run:
        """Run a dag to its end.

        An `id` that exists with the same dag joins that run; with another dag it raises Conflict.
        Raises GraphError, NotFound for an action that is not there, and other OpenWhiskErrors
        before anything is invoked; RunFailed, which carries the run, if a call failed for good.
        Cancelling interrupts the run unless somebody else awaits it too.
        """
        active = await self._runs.submit(dag, id=id, labels=labels, concurrency=concurrency)
        await self._follow(active, active.execution.done)
        return active.execution.result()

    async def submit(
        self,
        dag: Dag,
        *,
        id: str | None = None,
        labels: Mapping[str, str] | None = None,
        concurrency: int | None = None,
    ) -> Handle:
        """Start a run, or join the one of that id, and return its handle once the journal has the
        run. Errors are those of `run` that come before anything is invoked."""
        active = await self._runs.submit(dag, id=id, labels=labels, concurrency=concurrency)
        await self._follow(active, active.known)
        active.is_detached = True
        return self._handle(active)

    def handle(self, run_id: str) -> Handle:
        """The handle of any run that the journal knows, whichever process is at work on it.

        Of one that it does not know, the handle's methods raise UnknownRun.
        """
        active = self._runs.get(run_id)
        return ForeignHandle(run_id, self._runs) if active is None else self._handle(active)

    async def resume(self, run_id: str) -> Run:
        """Go on with a run of a dag that was interrupted or lost its process, to its end; of a
        failed run, try the failed and never-started calls again.

        Calls that ended are not run again; what was in flight is found again where that is
        possible. Needs only the journal and the cluster. Raises UnknownRun; Conflict for a run that
        succeeded, was cancelled, or is a run of code; Fenced while another process is at work on
        it; and what `run` raises.
        """
        active = await self._runs.resume(run_id)
        return await self._handle(active).wait()

    async def telemetry(self, run_id: str) -> Telemetry:
        """The same as `Run.telemetry`, of any run that the journal knows, from its events so far.
        Raises UnknownRun."""
        events = await self.recorder.journal.read(run_id)
        if not events:
            raise UnknownRun(f"the journal knows no run {run_id!r}")
        return Telemetry.of(events)

    async def enqueue(
        self,
        dag: Dag,
        *,
        id: str | None = None,
        labels: Mapping[str, str] | None = None,
        concurrency: int | None = None,
    ) -> str:
        """Leave a run in the journal for whoever serves it; gives its id. An id that exists with
        the same dag is that run; with another dag it raises Conflict."""
        return await self._runs.enqueue(dag, id=id, labels=labels, concurrency=concurrency)

    async def adopt(self) -> list[Handle]:
        """Take the runs of dags that are queued in the journal and those whose owner died, once."""
        return [self._handle(active) for active in await self._runs.adopt()]

    async def serve(self, *, at_once: int = 10, every: float = 1.0) -> None:
        """Take runs, as `adopt` does, whenever fewer than `at_once` are at work here; looks
        every so many seconds, until it is cancelled."""
        await self._runs.serve(at_once=at_once, every=every)

    @asynccontextmanager
    async def start(
        self,
        name: str,
        *,
        id: str | None = None,
        labels: Mapping[str, str] | None = None,
        concurrency: int | None = None,
    ) -> AsyncIterator[LiveRun]:
        """A run that decides as it goes: `await run.call(...)`, `await run.map(...)`.

        An exception that leaves the block ends the run as failed, cancellation interrupts it. Where
        the run ends under the block, that is raised: Cancelled, Interrupted, JournalError. With the
        id of an unfinished run of code it goes on: calls that ended are answered from the journal;
        of a failed one, those that failed are called again. Raises Conflict for a run that is over
        or of a dag, Fenced while another process is at work on it.
        """
        active = await self._runs.code(name, id=id, labels=labels, concurrency=concurrency)
        execution = active.execution
        await execution.begun.wait()
        live = execution.calls
        assert isinstance(live, LiveRun)
        try:
            if not execution.done.is_set():
                yield live
                await live.finish()
        except BaseException as error:
            is_cancelled = isinstance(error, anyio.get_cancelled_exc_class())
            (execution.interrupt if is_cancelled else execution.fail)()
            await self._runs.ended(execution)
            if isinstance(error, Interrupted) and execution.state is not RunState.FAILED:
                execution.result()  # it ended under the code, and says why
            raise
        execution.engine.stop()
        await self._runs.ended(execution)
        execution.result()

    async def plan_recovery(self, *keys: str) -> Plan:
        """What would have to run again for these objects ("bucket/name") to exist; runs nothing.

        Raises RecoveryFailed with the reason where they cannot be brought back.
        """
        self._ground.check_open()
        self._ground.check_keys(keys)
        return await plan_for("", self._ground.parts.recovery(Lineage()), keys)

    async def ensure(self, *keys: str) -> Plan:
        """Make these objects exist, re-running the fewest calls; returns what was run.

        Raises RecoveryFailed.
        """
        self._ground.check_open()
        self._ground.check_keys(keys)
        async with self.start("ensure") as run:
            return await run.restore(keys)

    async def _follow(self, active: Active, until: anyio.Event) -> None:
        """Care for a run as one of its followers; if the last one is cancelled, it is
        interrupted."""
        try:
            await until.wait()
        except anyio.get_cancelled_exc_class():
            if active.followers == 1 and not active.is_detached:
                active.execution.interrupt()
                await self._runs.ended(active.execution)
            raise
        finally:
            active.followers -= 1

    def _handle(self, active: Active) -> Handle:
        return OwnHandle(active, self._runs, self.recorder)


def _own_journal() -> str:
    """The URL of the user's own journal."""
    return f"sqlite://{quote(str(state_folder() / 'journal.db'))}"
