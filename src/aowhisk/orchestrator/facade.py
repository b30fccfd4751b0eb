"""The orchestrator: runs dags, and code that calls actions, against one OpenWhisk namespace."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import anyio
from anyio.abc import TaskGroup

from aowhisk.client import Client
from aowhisk.config import Settings
from aowhisk.dag import Dag
from aowhisk.errors import AowhiskError, ConfigError, Conflict, GraphError
from aowhisk.events import Journal, Recorder, Sink
from aowhisk.events.log import LogSink
from aowhisk.invoker import Patience
from aowhisk.lineage import Lineage
from aowhisk.orchestrator.active import Active, Once, check_same, checked_id, positive
from aowhisk.orchestrator.ground import Given, Ground
from aowhisk.orchestrator.handle import Handle
from aowhisk.recovery import Plan, RecoveryPolicy
from aowhisk.scheduler import Execution, LiveRun, Run, plan_for
from object_store import ObjectStore
from object_store.wire import STORE_URL

if TYPE_CHECKING:
    from aowhisk.local import Fault, LocalOpenWhisk
    from aowhisk.manifest import Manifest

__all__ = ["Orchestrator"]

_REMEMBERED = 1000  # ended runs that can still be joined and looked at


class Orchestrator:
    """Open inside `async with`; from then on it runs what it is given, many runs at once.

    `client` is opened unless it is open. `store` is an open ObjectStore or a URL as for
    `open_store`, None for none: recovery then cannot look what is there. `journal` is a Journal or
    a URL, None for memory. `sinks` receive every event. `concurrency` bounds the calls in flight of
    one run, None for the namespace's limit; `action_concurrency` those of single actions within a
    run. Leaving the
    block interrupts what still runs.
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
        self._grace = patience.grace
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
        self._server: LocalOpenWhisk | None = None
        self._deploys: list[Callable[[LocalOpenWhisk], Awaitable[None]]] = []
        self._runs: dict[str, Active] = {}
        self._stack = AsyncExitStack()
        self._group: TaskGroup | None = None

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
        sinks = list(overrides.pop("sinks", ()))
        if settings.log_file is not None:
            sinks.append(LogSink(console=None, path=settings.log_file))
        return cls(
            Client.from_settings(settings),
            store=parts.get("store", settings.store),
            journal=parts.get("journal", settings.journal),
            sinks=sinks,
            concurrency=settings.concurrency,
            **overrides,
        )

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
        holds its files and, unless `store` says otherwise, a folder store `root`/store. `faults`
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
    def server(self) -> LocalOpenWhisk:
        """The OpenWhisk of an orchestrator made by `local`."""
        if self._server is None:
            raise ConfigError(
                "this orchestrator has no OpenWhisk of its own; see Orchestrator.local"
            )
        return self._server

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            if self._server is not None:
                await stack.enter_async_context(self._server)
                for deploy in self._deploys:
                    await deploy(self._server)
            await self._ground.open(stack)
            self._group = await stack.enter_async_context(anyio.create_task_group())
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for active in self._runs.values():
            active.execution.interrupt()
        with anyio.CancelScope(shield=True), anyio.move_on_after(self._grace + 1):
            for active in list(self._runs.values()):
                await active.execution.done.wait()
        group, self._group = self._group, None
        if group is not None:
            group.cancel_scope.cancel()
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
        active = await self._submit(dag, id=id, labels=labels, concurrency=concurrency)
        active.followers += 1
        try:
            return await self._handle(active).wait()
        except anyio.get_cancelled_exc_class():
            if active.followers == 1 and not active.is_detached:
                active.execution.interrupt()
                with anyio.CancelScope(shield=True), anyio.move_on_after(self._grace + 1):
                    await active.execution.done.wait()
            raise
        finally:
            active.followers -= 1

    async def submit(
        self,
        dag: Dag,
        *,
        id: str | None = None,
        labels: Mapping[str, str] | None = None,
        concurrency: int | None = None,
    ) -> Handle:
        """Start a run, or join the one of that id, and return its handle. Errors are those of `run`
        that come before anything is invoked."""
        active = await self._submit(dag, id=id, labels=labels, concurrency=concurrency)
        active.is_detached = True
        return self._handle(active)

    def handle(self, run_id: str) -> Handle:
        """The handle of a run of this orchestrator; KeyError for one it does not know."""
        try:
            return self._handle(self._runs[run_id])
        except KeyError:
            raise KeyError(f"run {run_id!r} is not known to this orchestrator") from None

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

        An exception that leaves the block ends the run as failed, cancellation interrupts it.
        """
        Dag(name)  # the same names are allowed
        key = checked_id(id)
        await self._ground.ready()
        if key in self._runs:
            raise Conflict(f"run {key!r} exists already; a run of code cannot be joined")
        execution = self._execution(key, name, None, labels, concurrency)
        self._launch(Active(execution))
        live = execution.calls
        assert isinstance(live, LiveRun)
        await execution.begun.wait()
        try:
            yield live
            await live.finish()
        except anyio.get_cancelled_exc_class():
            execution.interrupt()
            raise
        except BaseException:
            execution.fail()
            raise
        finally:
            execution.engine.stop()
            with anyio.CancelScope(shield=True), anyio.move_on_after(self._grace + 1):
                await execution.done.wait()
        if execution.crash is not None:
            raise execution.crash

    async def plan_recovery(self, *keys: str) -> Plan:
        """What would have to run again for these objects ("bucket/name") to exist; runs nothing.

        Raises RecoveryFailed with the reason where they cannot be brought back.
        """
        self._ground.check_keys(keys)
        return await plan_for("", self._ground.parts.recovery(Lineage()), keys)

    async def ensure(self, *keys: str) -> Plan:
        """Make these objects exist, re-running the fewest calls; returns what was run.

        Raises RecoveryFailed.
        """
        self._ground.check_keys(keys)
        async with self.start("ensure") as run:
            return await run.restore(keys)

    def _handle(self, active: Active) -> Handle:
        return Handle(active.execution, self.recorder)

    async def _submit(
        self,
        dag: Dag,
        *,
        id: str | None,
        labels: Mapping[str, str] | None,
        concurrency: int | None,
    ) -> Active:
        dag.check()
        if not dag.nodes:
            raise GraphError(
                f"dag {dag.name!r} has no nodes; declare some with dag.call or dag.map"
            )
        positive("concurrency", concurrency)
        key = checked_id(id)
        await self._ground.ready()
        active = self._runs.get(key)
        if active is None:
            actions = [spec.action for spec in dag.nodes.values()]
            active = self._runs[key] = Active(
                self._execution(key, dag.name, dag, labels, concurrency),
                Once(lambda: self._ground.check_actions(actions)),
            )
        check_same(active, dag)
        try:
            await active.prepare()
        except BaseException:
            if not active.is_launched and self._runs.get(key) is active:
                del self._runs[key]
            raise
        if not active.is_launched:
            self._launch(active)
        return active

    def _execution(
        self,
        id: str,
        name: str,
        dag: Dag | None,
        labels: Mapping[str, str] | None,
        concurrency: int | None,
    ) -> Execution:
        return Execution(
            id,
            self._ground.parts,
            name=name,
            dag=dag,
            labels=labels,
            concurrency=self._ground.concurrency(concurrency),
        )

    def _launch(self, active: Active) -> None:
        if self._group is None:
            raise AowhiskError("the orchestrator is not open; use it inside `async with`")
        active.is_launched = True
        self._runs[active.execution.id] = active
        ended = [id for id, a in self._runs.items() if a.execution.done.is_set()]
        for id in ended[: max(0, len(ended) - _REMEMBERED)]:
            del self._runs[id]
        self._group.start_soon(active.execution.execute)
