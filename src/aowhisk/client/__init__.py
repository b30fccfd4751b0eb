"""The REST API of Apache OpenWhisk: `Client`.

    async with Client("openwhisk.example.com", "user:secret") as client:
        activation = await client.actions.invoke("hello", {"name": "you"})

One request is one attempt: a POST is never repeated here. Errors are those of `aowhisk.errors`,
and say what is known of a request that got no answer.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio.to_thread

from aowhisk.client.actions import Actions
from aowhisk.client.activations import ActivationPage, Activations, intervals
from aowhisk.client.address import base_url, proxy_for, tls_context
from aowhisk.client.code import Code
from aowhisk.client.collections import LimitsResource, Namespaces, Packages, Rules, Triggers
from aowhisk.client.connection import Connection
from aowhisk.client.entity import (
    Action,
    ActionLimits,
    Limits,
    Package,
    Rule,
    RuleStatus,
    Trigger,
)
from aowhisk.client.feeds import Feeds
from aowhisk.client.names import parse
from aowhisk.client.transport import AiohttpTransport, AppTransport, ASGIApp, Transport
from aowhisk.errors import ConfigError
from aowhisk.models import JSON

if TYPE_CHECKING:
    from aowhisk.config import Settings

__all__ = [
    "Action",
    "ActionLimits",
    "ActivationPage",
    "Client",
    "Code",
    "Limits",
    "Package",
    "Rule",
    "RuleStatus",
    "Trigger",
    "intervals",
]

PAYLOAD_LIMIT = 1024 * 1024
"""Bytes of params that OpenWhisk takes unless its operator says otherwise."""


class Client:
    """OpenWhisk's REST API with one key, open inside `async with`.

    `apihost` without a scheme is https. TLS is verified against the system's CAs, or those of
    `ca_bundle`; `insecure` switches that off and says so in the log. `app` is an ASGI app to talk
    to without a socket; `transport` an httpx transport to use, closed by whoever made it.
    `payload_limit` None leaves the check of sizes to the server. The environment's proxies
    (HTTPS_PROXY, NO_PROXY) hold, as for wsk, except for this machine; no other variable counts.
    """

    def __init__(
        self,
        apihost: str | None = None,
        auth: str | None = None,
        *,
        namespace: str = "_",
        ca_bundle: str | None = None,
        insecure: bool = False,
        app: ASGIApp | None = None,
        transport: Transport | None = None,
        payload_limit: int | None = PAYLOAD_LIMIT,
    ) -> None:
        if apihost is None and app is None:
            raise ConfigError("a client needs an apihost (AOWHISK_APIHOST), or an app")
        if auth is None or ":" not in auth:
            raise ConfigError("a client needs auth, the API key as user:secret (AOWHISK_AUTH)")
        self.base = base_url("http://localhost" if apihost is None else apihost)
        self.namespace = namespace
        if namespace != "_":
            parse(namespace, kind="namespace")
        self._user = auth.partition(":")[0]
        self._ca_bundle = ca_bundle
        self._insecure = insecure
        self._app = app
        self._given = transport
        self._opened: Transport | None = None
        self._connection = connection = Connection(base=self.base, auth=auth, namespace=namespace)
        self.actions = Actions(connection, payload_limit=payload_limit)
        self.activations = Activations(connection)
        self.packages = Packages(connection)
        self.triggers = Triggers(connection)
        self.rules = Rules(connection)
        self.namespaces = Namespaces(connection)
        self.limits = LimitsResource(connection)
        self.feeds = Feeds(self.actions, auth=auth, namespace=namespace)
        self._secret = sha256(auth.encode()).digest()

    @classmethod
    def from_settings(cls, settings: Settings) -> Client:
        """A client for what `Settings.load()` found."""
        return cls(
            settings.apihost,
            settings.auth,
            namespace=settings.namespace,
            ca_bundle=settings.ca_bundle,
            insecure=settings.insecure,
        )

    @property
    def is_open(self) -> bool:
        """Whether it was entered and not left."""
        return self._connection.transport is not None

    @property
    def account(self) -> str | None:
        """A name for what OpenWhisk counts this client's invocations under, the same in every
        process that has the same key; it does not tell the key. None for an app of this process."""
        if self._app is not None:
            return None
        return sha256(f"{self.base} {self._user}".encode()).hexdigest()[:16]

    def seal(self, text: str) -> str:
        """A digest of `text` that nobody can guess it from without the API key: what may be kept
        where others can read it, to see later whether `text` is the same."""
        return hmac.new(self._secret, text.encode(), "sha256").hexdigest()

    def __repr__(self) -> str:
        return f"Client({self.base!r}, namespace={self.namespace!r})"

    async def info(self) -> Mapping[str, JSON]:
        """`GET /`: the platform's limits and `runtimes` (family to kinds), on every version."""
        data: Mapping[str, JSON] = await self._connection.root()
        return data

    async def server_time(self) -> datetime | None:
        """The server's clock, to the second; None where it does not tell (no Date header)."""
        return await self._connection.date()

    async def __aenter__(self) -> Self:
        if self._connection.transport is not None:
            raise RuntimeError(f"{self!r} is open already")
        if self._given is None:
            self._opened = await self._open()
        self._connection.transport = self._given or self._opened
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.transport = None
        opened, self._opened = self._opened, None
        if opened is not None:
            with anyio.move_on_after(5, shield=True):
                await opened.aclose()

    async def _open(self) -> Transport:
        if self._app is not None:
            return AppTransport(self._app)
        tls = await anyio.to_thread.run_sync(
            lambda: tls_context(self.base, ca_bundle=self._ca_bundle, insecure=self._insecure)
        )
        return AiohttpTransport(tls=tls, proxy=proxy_for(self.base))
