"""What an orchestrator stands on: OpenWhisk, a store, a journal, and the parts made of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import anyio

from aowhisk.client import Client
from aowhisk.errors import AowhiskError, ConfigError, NotFound, Rejected
from aowhisk.events import Journal, Recorder, Sink, open_journal
from aowhisk.invoker import Catalog, Commons, Gate, Invoker, Patience, Protocol
from aowhisk.orchestrator.active import Once, positive
from aowhisk.orchestrator.load import Load
from aowhisk.pacing import Pacer
from aowhisk.poller import Poller
from aowhisk.recovery import RecoveryPolicy
from aowhisk.scheduler import Parts, Prober
from object_store import ObjectStore, StoreError, open_store
from object_store.keys import parse_key

__all__ = ["Given", "Ground"]

_MOST = 1000  # calls at once where neither settings nor the namespace say
_CLOSING = 10.0  # seconds for the journal, and for the store, to be closed


@dataclass(frozen=True)
class Given:
    """What a user gave, checked and not opened."""

    client: Client
    store: ObjectStore | str | None = None
    journal: Journal | str | None = None
    sinks: tuple[Sink, ...] = ()
    concurrency: int | None = None
    action_concurrency: Mapping[str, int] = field(default_factory=dict)
    recovery: RecoveryPolicy = field(default_factory=RecoveryPolicy)
    patience: Patience = field(default_factory=Patience)

    def __post_init__(self) -> None:
        wanted = {"client": Client, "recovery": RecoveryPolicy, "patience": Patience}
        for name, kind in wanted.items():
            value = getattr(self, name)
            if not isinstance(value, kind):
                raise ConfigError(f"{name} is {value!r}; it must be a {kind.__name__}")
        positive("concurrency", self.concurrency)
        for action, size in self.action_concurrency.items():
            positive(f"action_concurrency[{action!r}]", size)


class Ground:
    """The same, open; whatever was opened here is closed by the stack."""

    store: ObjectStore | None
    recorder: Recorder
    parts: Parts
    commons: Commons | None
    """What is shared with other processes; None where OpenWhisk is our own."""

    def __init__(self, given: Given) -> None:
        self._given = given
        self.is_open = False
        self._limit = _MOST
        self.ready = Once(self._learn_limits)
        """Ask for the namespace's limits; also the first word with OpenWhisk, so that a wrong key
        or host is said before anything else."""

    async def open(self, stack: AsyncExitStack, *, born: float = 0.0) -> None:
        """Open client, store and journal; raises ConfigError. `born` is when an OpenWhisk of our
        own began."""
        given = self._given
        self.ready = Once(self._learn_limits)
        journal = open_journal(given.journal or "memory:")
        await journal.open()
        stack.push_async_callback(_finish, journal.close)
        self.recorder = Recorder(journal, given.sinks, lease=given.patience.lease)
        if not given.client.is_open:
            await stack.enter_async_context(given.client)
        store = given.store
        if isinstance(store, str):
            entered = open_store(store)
            try:
                store = await entered.__aenter__()
            except StoreError as error:
                raise ConfigError(f"the store cannot be opened: {error}") from error
            stack.push_async_callback(_finish, lambda: entered.__aexit__(None, None, None))
        self.store = store
        self._catalog = Catalog(given.client)
        account = given.client.account
        self._gate = Gate(Pacer(shared=account is not None))
        self.commons = None
        if account is not None:
            patience = given.patience.lease
            self.commons = Commons(self._gate, journal, account, patience=patience)
        self._poller = Poller(given.client)
        self._protocol = Protocol(self.store)
        self.parts = self._build(born)
        self.is_open = True
        stack.callback(self._close)

    def _close(self) -> None:
        self.is_open = False

    @property
    def load(self) -> Load:
        """What is out now."""
        return Load.of(self._gate, self._poller)

    def check_open(self) -> None:
        """Raise unless it is open."""
        if not self.is_open:
            raise AowhiskError("the orchestrator is not open; use it inside `async with`")

    def _build(self, born: float) -> Parts:
        given, gate, poller = self._given, self._gate, self._poller
        prober = None if self.store is None else Prober(self.store)
        invoker = Invoker(
            given.client,
            self.recorder,
            self._protocol,
            catalog=self._catalog,
            poller=poller,
            gate=self._gate,
            patience=given.patience,
            born=born,
        )
        return Parts(
            invoker=invoker,
            recorder=self.recorder,
            prober=prober,
            policy=given.recovery,
            action_limits=given.action_concurrency,
            grace=given.patience.grace,
            meter=lambda: {
                "invokes": invoker.posts,
                "polls": poller.polls,
                "lists": poller.lists,
                "heads": 0 if prober is None else prober.heads,
                "throttled": gate.throttled,
            },
        )

    def concurrency(self, wanted: int | None) -> int:
        """Calls at once in a run: as asked for, else as set, else as the namespace allows."""
        positive("concurrency", wanted)
        return wanted or self._given.concurrency or self._limit

    async def check_actions(self, actions: Iterable[str]) -> None:
        """Raises NotFound for an action that is not there."""
        await self._catalog.check(actions)

    def check_keys(self, keys: Iterable[str]) -> None:
        """Raises InvalidKey, and ConfigError where there is no store to look into."""
        for key in keys:
            parse_key(key)
        if self.store is None:
            raise ConfigError(
                "without a store nobody can see what exists; pass store= or set AOWHISK_STORE"
            )

    async def _learn_limits(self) -> None:
        try:
            limits = await self._given.client.limits.get()
        except (NotFound, Rejected):  # an older or a hosted OpenWhisk: learn from its refusals
            return
        self._gate.limits(
            per_minute=limits.invocations_per_minute, concurrent=limits.concurrent_invocations
        )
        if self.commons is not None:
            await self.commons.attend()
        self._protocol.limit(limits.max_payload_size)
        self._limit = min(_MOST, limits.concurrent_invocations or _MOST)


async def _finish(close: Callable[[], Awaitable[object]]) -> None:
    """Close it, whatever was cancelled."""
    with anyio.move_on_after(_CLOSING, shield=True):
        await close()
