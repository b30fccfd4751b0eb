"""Who may go where: paths, credentials, namespaces, and from there to the collections."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias

from aowhisk.local.description import tell
from aowhisk.local.entitlement import Entitlement, not_yours
from aowhisk.local.fault_file import plan_of
from aowhisk.local.faults import FaultPlan
from aowhisk.local.http import (
    ASGIReceive,
    ASGIScope,
    ASGISend,
    Refusal,
    Reply,
    refused,
    send_reply,
)
from aowhisk.local.incidents import distorted, refuse
from aowhisk.local.invocation import User
from aowhisk.local.limits import Limits
from aowhisk.local.names import check_name, check_namespace
from aowhisk.local.patience import Patience
from aowhisk.local.request import Request
from aowhisk.local.runtimes import Runtimes
from aowhisk.local.web import WebActions

__all__ = ["Collection", "Routes"]

Collection: TypeAlias = Callable[[Request, User, str, list[str]], Awaitable[Reply]]
"""Answers a request of a user for names in a collection of a namespace."""

BODY_SECONDS = 30
CHALLENGE = {"www-authenticate": 'Basic realm="OpenWhisk secure realm",charset=UTF-8'}
NO_CREDENTIALS = "The resource requires authentication, which was not supplied with the request"
WRONG_CREDENTIALS = "The supplied authentication is invalid"


class Routes:
    """The ASGI 3 application. `collections` answer for one namespace each kind of thing, of what
    `entitlement` allows, `web` for web actions; `limits` are the server's."""

    def __init__(
        self,
        users: Sequence[User],
        limits: Limits,
        collections: Mapping[str, Collection],
        entitlement: Entitlement,
        web: WebActions,
        runtimes: Runtimes,
    ) -> None:
        self._users = users
        self._limits = limits
        self._collections = collections
        self._entitlement = entitlement
        self._web = web
        self.settled: Callable[[], Awaitable[None]] | None = None
        """Where it is set: awaited before a request that may have changed something is answered."""
        self.faults = FaultPlan()
        """The faults of requests."""
        self._runtimes = runtimes
        self._patience = Patience(BODY_SECONDS)
        self._known: dict[bytes, User] = {}  # Authorization headers that were right

    async def __call__(self, scope: ASGIScope, receive: ASGIReceive, send: ASGISend) -> None:
        """Answer one connection."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise NotImplementedError(f"OpenWhisk speaks HTTP, not {scope['type']}")
        request = Request(scope, receive, self._patience)
        try:
            request.check_size()
            reply = await self._answer(request)
            is_json = not reply.plain and reply.content is None
            if is_json and reply.status < 400 and not request.accepts_json:
                raise Refusal.unacceptable("application/json")
        except Refusal as refusal:
            reply = refused(refusal, request.id)
        await send_reply(send, reply, asked=request.id, method=request.method)

    async def _answer(self, request: Request) -> Reply:
        parts = request.parts
        if parts[:2] != ["api", "v1"]:
            return self._outside(request)
        parts = parts[2:]
        if parts[:1] == ["web"]:
            reply = await self._web(request, self._caller(request), parts[1:])
            if reply is not None:
                return reply
        if request.method == "OPTIONS":
            return Reply("OK", plain=True)
        if request.method == "TRACE":
            raise _not_allowed("GET, DELETE, POST, PUT, HEAD, OPTIONS, PATCH")
        if (reply := tell(request, parts)) is not None:
            return reply
        user = self._user(request)
        if not parts or parts[0] != "namespaces":
            raise Refusal.no_route()
        if parts in (["namespaces"], ["namespaces", ""]) and request.method == "GET":
            return Reply([user.namespace])
        if len(parts) < 3 or not parts[1]:
            raise Refusal.no_route()
        return await self._inside(request, user, parts[1], parts[2], parts[3:])

    async def _inside(
        self, request: Request, user: User, namespace: str, collection: str, names: list[str]
    ) -> Reply:
        if namespace == "_":
            namespace = user.namespace
        check_namespace(namespace)
        if collection == "limits":
            return self._limits_of(request, user, namespace, names)
        if collection not in self._collections:
            raise Refusal.no_route()
        if collection != "activations":
            for name in names[:2]:
                if name:
                    check_name(name)
            if names and names[-1] and request.method == "POST":
                _charge(user, collection, names)
        self._entitlement.check(user.namespace, request.method, namespace, collection, names)
        if self.faults:
            reply = await self._disturbed(request, user, namespace, collection, names)
        else:
            reply = await self._collections[collection](request, user, namespace, names)
        if self.settled is not None and request.method != "GET":
            await self.settled()
        return reply

    async def _disturbed(
        self, request: Request, user: User, namespace: str, collection: str, names: list[str]
    ) -> Reply:
        line = "/".join([f"{request.method} {collection}", *names])
        invokes = collection == "actions" and request.method == "POST"  # its header is for that
        faults = self.faults if invokes else plan_of(request, self.faults, line)
        refuse(faults, line, self._limits)
        reply = await self._collections[collection](request, user, namespace, names)
        return await distorted(faults, line, reply)

    def _limits_of(self, request: Request, user: User, namespace: str, names: list[str]) -> Reply:
        if request.method != "GET":
            raise Refusal.no_route()
        if names and names != [""]:
            raise Refusal(400, "Inner entity level routes for limits are not yet implemented.")
        if namespace != user.namespace:
            raise not_yours(namespace)
        return Reply(user.throttle.limits.to_json())

    def _caller(self, request: Request) -> User | None:
        """Who asks, None where that is not known."""
        try:
            return self._user(request)
        except Refusal:
            return None

    def _user(self, request: Request) -> User:
        header = request.headers.get(b"authorization", b"")
        if known := self._known.get(header):
            return known
        scheme, _, code = header.partition(b" ")
        try:
            given = base64.b64decode(code.strip(), validate=True)
        except ValueError:
            given = b""
        if scheme.lower() != b"basic" or not given:
            raise Refusal(401, NO_CREDENTIALS, headers=CHALLENGE, cors=False)
        for user in self._users:
            if hmac.compare_digest(given, user.auth.encode()):
                self._known[header] = user
                return user
        raise Refusal(401, WRONG_CREDENTIALS, headers=CHALLENGE, cors=False)

    def _outside(self, request: Request) -> Reply:
        if request.method == "GET" and request.parts == [""]:
            return Reply(self._root())
        if request.method == "GET" and request.parts == ["ping"]:
            if not request.accepts_text:
                raise Refusal.unacceptable("text/plain")
            return Reply("pong", plain=True, cors=False)
        raise _not_allowed("OPTIONS")

    def _root(self) -> dict[str, object]:
        return {
            "description": "OpenWhisk",
            "support": {
                "github": "https://github.com/apache/openwhisk/issues",
                "slack": "http://slack.openwhisk.org",
            },
            "api_paths": ["/api/v1"],
            "limits": self._limits.to_public_json(),
            "runtimes": self._runtimes.to_json(),
        }


def _charge(user: User, collection: str, names: list[str]) -> None:
    if collection == "actions":
        user.throttle.charge()
    elif collection == "triggers" and len(names) == 1:
        user.throttle.charge_fire()


def _not_allowed(methods: str) -> Refusal:
    text = f"HTTP method not allowed, supported methods: {methods}"
    return Refusal(405, text, headers={"allow": methods}, cors=False)


async def _lifespan(receive: ASGIReceive, send: ASGISend) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
