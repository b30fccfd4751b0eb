"""A laptop-sized OpenWhisk: its REST API as an ASGI application, its actions in warm worker
processes."""

from __future__ import annotations

import functools
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from aowhisk.errors import ConfigError
from aowhisk.local.accounts import Account
from aowhisk.local.actions import Actions
from aowhisk.local.activations import Activations
from aowhisk.local.builtins import Builtins
from aowhisk.local.catalog import install
from aowhisk.local.cgroups import Cgroups
from aowhisk.local.entitlement import Entitlement
from aowhisk.local.environment import check_place, check_store, container_environ, make_folder
from aowhisk.local.faults import Fault, FaultPlan
from aowhisk.local.firing import Firing
from aowhisk.local.functions import source_of
from aowhisk.local.http import Refusal
from aowhisk.local.invocation import User
from aowhisk.local.invoker import Invoker
from aowhisk.local.launch import Launch
from aowhisk.local.limits import Limits
from aowhisk.local.packages import Packages
from aowhisk.local.persistence import Persistence
from aowhisk.local.pool import Pool
from aowhisk.local.records import Records
from aowhisk.local.routes import Collection, Routes
from aowhisk.local.rules import Rules
from aowhisk.local.runtimes import PYTHON, Runtimes
from aowhisk.local.store import Store
from aowhisk.local.throttle import Throttle
from aowhisk.local.triggers import Triggers
from aowhisk.local.web import WebActions
from aowhisk.manifest import Manifest
from aowhisk.models import JSON, Activation
from object_store.wire import STORE_URL

__all__ = ["GUEST", "LocalOpenWhisk"]

GUEST = (
    "23bc46b1-71f6-4ed5-8c54-816aa4f8c502:"
    "123zO3xZCLrMN6v2BKK1dXYFpXlPkccOFqm12CdAsMgRU4VrNZ9lyGVCGuMDGIwP"
)
"""OpenWhisk's public test credentials."""


class LocalOpenWhisk:
    """OpenWhisk in this process; `app` is its ASGI 3 application, to be mounted on a client or put
    on a port.

    Enter it with `async with`; activations run in its own tasks, worker processes end with it,
    however it ends. `root` is a folder for its files, `data` one that keeps entities and records
    (None: they go with it); `auth` the key of the one namespace, `guest`, or the accounts of
    several, of which the first is that of `deploy` and `activations`; `init_params` go into the
    environment of every action (such as OBJECT_STORE_URL); `containers` is how many worker
    processes there may be, `idle` the seconds after which one that is not used goes; `clock` gives
    epoch seconds.
    """

    def __init__(
        self,
        *,
        root: str | Path,
        data: str | Path | None = None,
        auth: str | Sequence[Account] = GUEST,
        init_params: Mapping[str, str] | None = None,
        faults: Sequence[Fault] | FaultPlan = (),
        limits: Limits | None = None,
        python: str = sys.executable,
        containers: int = 16,
        idle: float = 600.0,
        api_host: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        check_store((init_params or {}).get(STORE_URL))
        accounts = [Account("guest", auth)] if isinstance(auth, str) else list(auth)
        if not accounts:
            raise ConfigError("a local OpenWhisk needs an account")
        self.root = Path(root)
        self.namespace = accounts[0].namespace
        self.auth = accounts[0].key
        self._python = python
        self._api_host = api_host
        self._containers = containers
        self._idle = idle
        self._limits = limits or Limits()
        users = [
            User(one.namespace, one.key, Throttle(self._limits.overlaid(one.limits), clock))
            for one in accounts
        ]
        self._user = users[0]
        self._store = Store(clock)
        install(self._store, self._limits.actions)
        self._records = Records(
            unkept=[u.namespace for u in users if u.throttle.limits.store_activations is False]
        )
        self._faults = faults if isinstance(faults, FaultPlan) else FaultPlan(faults)
        self._pool: Pool | None = None
        self._cgroups: Cgroups | None = None
        self._tasks: TaskGroup | None = None
        self._runtimes = Runtimes.here(python)
        self._invoker = Invoker(self._records, self._faults, Builtins(api_host), self._runtimes)
        self._entitlement = Entitlement(self._store)
        self._packages = Packages(self._store, self._entitlement)
        self._actions = Actions(
            self._store,
            self._invoker,
            self._limits,
            self._faults,
            dict(init_params or {}),
            self._runtimes,
            {user.namespace: user.throttle.limits for user in users},
        )
        firing = Firing(self._actions, self._records, self._entitlement)
        self._triggers = Triggers(self._store, firing)
        self._rules = Rules(self._store, self._entitlement)
        self.app = self._assembled(users)
        self._persistence: Persistence | None = None
        if data is not None:
            owned = {user.namespace for user in users}
            self._persistence = Persistence(Path(data), self._store, self._records, owned)
            self.app.settled = self._persistence.settled

    def _assembled(self, users: Sequence[User]) -> Routes:
        collections: dict[str, Collection] = {
            "actions": self._actions,
            "packages": self._packages,
            "triggers": self._triggers,
            "rules": self._rules,
            "activations": Activations(self._records),
        }
        web = WebActions(
            self._actions, users, self._entitlement, blocking_wait=self._limits.blocking_wait
        )
        app = Routes(users, self._limits, collections, self._entitlement, web, self._runtimes)
        app.faults = self._faults
        return app

    async def __aenter__(self) -> Self:
        await anyio.to_thread.run_sync(check_place, self._python)
        self._folder = await anyio.to_thread.run_sync(make_folder, self.root)
        if self._persistence is not None:
            try:
                await self._persistence.open()
            except BaseException:
                await self._clean_up()
                raise
        self._cgroups = await anyio.to_thread.run_sync(Cgroups.here)
        launch = Launch(container_environ(self._api_host), self._folder, self._cgroups)
        stem = self._runtimes.find(PYTHON)
        pool = Pool(launch, size=self._containers, idle=self._idle, stem=stem)
        tasks = anyio.create_task_group()
        await tasks.__aenter__()
        self._pool, self._tasks = pool, tasks
        pool.open(tasks)
        self._invoker.open(tasks, pool)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._tasks is not None
        assert self._pool is not None
        self._invoker.close()
        self._tasks.cancel_scope.cancel()
        try:
            await self._tasks.__aexit__(None, None, None)
        finally:
            self._invoker.abandon()
            with anyio.CancelScope(shield=True):
                await self._pool.close()
                if self._persistence is not None:
                    await self._persistence.close()
            await self._clean_up()

    async def _clean_up(self) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(lambda: shutil.rmtree(self._folder, ignore_errors=True))
            if self._cgroups is not None:
                await anyio.to_thread.run_sync(self._cgroups.remove)

    @property
    def worker_pids(self) -> list[int]:
        """The ids of the worker processes there are now."""
        return self._pool.pids if self._pool else []

    async def deploy(self, manifest: Manifest) -> None:
        """Create or update everything that `manifest` declares; raises ConfigError where
        OpenWhisk would refuse it."""
        for trigger in manifest.triggers.values():
            if trigger.feed is not None:
                raise ConfigError(
                    f"{manifest.path}: the trigger {trigger.name!r} has a feed, which has to be "
                    "called; start the server and deploy with aowhisk deploy"
                )
        for package in manifest.packages:
            if package.name:
                self._put(self._packages.put, package.name, package.to_json())
        for binding in manifest.bindings.values():
            self._put(self._packages.put, binding.name, binding.to_json())
        for action in manifest.actions.values():
            self._put(self._actions.put, action.name, action.to_json())
        for sequence in manifest.sequences.values():
            self._put(self._actions.put, sequence.name, sequence.to_json())
        for trigger in manifest.triggers.values():
            self._put(self._triggers.put, trigger.name, trigger.to_json())
        put_rule = functools.partial(self._rules.put, caller=self.namespace)
        for rule in manifest.rules.values():
            self._put(put_rule, rule.name, rule.to_json())
        await self._settled()

    async def deploy_functions(self, functions: Mapping[str, Callable[..., JSON]]) -> None:
        """Create or update one action for each function of this process, by the name it is given
        here.

        Raises ConfigError for a function that another process could not find: a lambda, a nested
        one, one from a prompt.
        """
        sources = {name: source_of(name, function) for name, function in functions.items()}
        for name, source in sources.items():
            package, _, _ = name.rpartition("/")
            if package:
                self._put(self._packages.put, package, {})
            self._put(self._actions.put, name, {"exec": {"kind": "python:default", "code": source}})
        await self._settled()

    async def settled(self) -> None:
        """Wait until no activation is running, whoever began it and whether or not anyone waits
        for it."""
        await self._invoker.settled()

    def inject(self, fault: Fault) -> None:
        """From now on this fault too."""
        self._faults.add(fault)

    def activations(self, action: str | None = None) -> list[Activation]:
        """The activations that have ended, oldest first: all, or those of `action` ("name" or
        "package/name")."""
        return [
            Activation.from_json(record.document)
            for record in self._records
            if action is None or record.path == f"{self.namespace}/{action}"
        ]

    def count(self, action: str | None = None) -> int:
        """How many activations were begun: of all actions, or of `action`."""
        return self._invoker.begun.total() if action is None else self._invoker.begun[action]

    @property
    def counts(self) -> Counter[str]:
        """How many activations were begun, by action."""
        return Counter(self._invoker.begun)

    async def _settled(self) -> None:
        if self._persistence is not None:
            await self._persistence.settled()

    def _put(self, put: Callable[..., object], name: str, body: Mapping[str, JSON]) -> None:
        try:
            put(f"{self.namespace}/{name}", body, overwrite=True)
        except Refusal as refusal:
            text = refusal.text.replace("\n", " ")
            raise ConfigError(f"cannot deploy {name!r}: {text}") from refusal
