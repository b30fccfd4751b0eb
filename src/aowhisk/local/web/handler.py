"""Requests to web actions: which action is meant, whether it may run, and its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from aowhisk.local.actions import NOT_ALLOWED, Actions
from aowhisk.local.entities import Action
from aowhisk.local.entitlement import Entitlement
from aowhisk.local.http import CORS_HEADERS, NO_CONTENT, Refusal, Reply
from aowhisk.local.invocation import Invocation, User
from aowhisk.local.media import accepts
from aowhisk.local.names import is_name
from aowhisk.local.payload import check_length
from aowhisk.local.request import Request
from aowhisk.local.web.answer import EXTENSIONS, Answer, Unfit, to_answer
from aowhisk.local.web.context import RESERVED, Body, Context
from aowhisk.models import JSON, Status

__all__ = ["WebActions"]

METHODS = frozenset({"GET", "DELETE", "POST", "PUT", "HEAD", "OPTIONS", "PATCH"})
UNAUTHORIZED = "Authentication is possible but has failed or not yet been provided."
NOT_READY = "Response not yet ready."
FAILED = "There was an error processing your request."
INTERNAL = "There was an internal server error."
_CORS_METHODS = "OPTIONS, GET, DELETE, POST, PUT, HEAD, PATCH"


@dataclass(frozen=True, slots=True)
class _Target:
    """What a path names: the namespace, the action's path in the store, how its result is shown,
    what is left of the path."""

    namespace: str
    path: str
    extension: str
    rest: list[str]


@dataclass(frozen=True, slots=True)
class _Call:
    """A request to a web action: who owns the action, who asks (None: nobody known)."""

    request: Request
    context: Context
    extension: str
    path: str
    owner: User
    caller: User | None
    action: Action

    @property
    def is_raw(self) -> bool:
        return self.action.annotations.get("raw-http") is True

    @property
    def is_allowed(self) -> bool:
        """Whether the request has what the annotation require-whisk-auth asks for."""
        annotations = self.action.annotations
        if "require-whisk-auth" not in annotations:
            return True
        match annotations["require-whisk-auth"]:
            case True:
                return self.caller is not None
            case False:
                return True
            case str() | int() | float() as secret:
                return self.context.headers.get("x-require-whisk-auth") == str(secret)
        return False


class WebActions:
    """Answers requests below `/api/v1/web`, for the actions of `users`; `blocking_wait` seconds are
    waited for a result."""

    def __init__(
        self,
        actions: Actions,
        users: Sequence[User],
        entitlement: Entitlement,
        *,
        blocking_wait: float,
    ) -> None:
        self._actions = actions
        self._entitlement = entitlement
        self._owners = {user.namespace: user for user in users}
        self._blocking_wait = blocking_wait

    async def __call__(
        self, request: Request, caller: User | None, parts: Sequence[str]
    ) -> Reply | None:
        """The answer to a request for `parts` (namespace, package, action, ...); None where that is
        no route. What is raised has no CORS headers."""
        target = _target(parts) if request.method in METHODS else None
        if target is None:
            return None
        try:
            return await self._answer(request, caller, target)
        except Refusal as refusal:
            refusal.cors = False
            raise

    async def _answer(self, request: Request, caller: User | None, target: _Target) -> Reply | None:
        data = await request.body()
        check_length(len(data))
        owner, action = self._exported(target)
        owner.throttle.charge()
        self._entitlement.check_reference(owner.namespace, action.path)
        context = Context.of(request, target.rest).with_data(data)
        call = _Call(request, context, target.extension, target.path, owner, caller, action)
        own_options = action.annotations.get("web-custom-options") is True
        headers = () if own_options else _cors(context.headers)
        if request.method == "OPTIONS" and not own_options:
            return _negotiated(call, Answer(None, "none/none"), headers)
        if not call.is_allowed and not (own_options and request.method == "OPTIONS"):
            return _error(request, 401, UNAUTHORIZED, headers)
        body = context.read(data, raw=call.is_raw)
        try:
            invocation = self._begin(call, body)
        except Refusal as refusal:
            return _error(request, refusal.status, refusal.text, headers)
        await invocation.done.wait_for(self._blocking_wait)
        return _told(call, invocation, headers)

    def _exported(self, target: _Target) -> tuple[User, Action]:
        """The action and its owner; whatever is in the way, there is no such thing."""
        owner = self._owners.get(target.namespace)
        if owner is None:
            raise Refusal.no_entity()
        try:
            action = self._actions.resolve(target.path).action
        except Refusal:
            raise Refusal.no_entity() from None
        if action.annotations.get("web-export") is not True:
            raise Refusal.no_entity()
        return owner, action

    def _begin(self, call: _Call, body: Body | None) -> Invocation:
        context = call.context
        final = self._actions.resolve(call.path).final
        if not call.is_raw and context.names(body) & (RESERVED | final):
            raise Refusal(400, NOT_ALLOWED)
        user = call.caller.namespace if call.caller else None
        arguments = context.arguments(body, raw=call.is_raw, user=user)
        return self._actions.begin(call.owner, call.path, arguments, call.request.id)


def _target(parts: Sequence[str]) -> _Target | None:
    if len(parts) < 3 or not all(map(is_name, parts[:3])):
        return None
    namespace, package, name = parts[:3]
    # The controller's matcher takes the beginning of such a name for `default` and stops there.
    if package.startswith("default") and package != "default":
        return None
    extension = next((known for known in EXTENSIONS if name.endswith(known)), "")
    names = [namespace, name.removesuffix(extension)]
    if package != "default":
        names.insert(1, package)
    return _Target(namespace, "/".join(names), extension or ".http", list(parts[3:]))


def _cors(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    allowed = headers.get("access-control-request-headers")
    return (
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", _CORS_METHODS),
        ("access-control-allow-headers", CORS_HEADERS if allowed is None else allowed),
    )


def _told(
    call: _Call, invocation: Invocation, headers: tuple[tuple[str, str], ...]
) -> Reply | None:
    record, request = invocation.record, call.request
    if invocation.refusal is not None:
        return _error(request, invocation.refusal.status, invocation.refusal.text, headers)
    if record is None:
        return _error(request, 202, NOT_READY, headers, invocation.id)
    result: JSON = record.response["result"]
    if isinstance(result, list):
        return Reply(INTERNAL, 500, plain=True, cors=False)
    if record.status not in (Status.SUCCESS, Status.APPLICATION_ERROR):
        return _error(request, 400, FAILED, headers, invocation.id)
    try:
        shown = result if record.status is Status.SUCCESS else result["error"]
        answer = to_answer(call.extension, shown)
    except Unfit as unfit:
        return _error(request, unfit.status, unfit.text, headers, invocation.id)
    if answer.status < 200:
        return Reply(INTERNAL, 500, plain=True, cors=False)  # no answer ends with such a status
    reply = _negotiated(call, answer, headers)
    return reply if reply is None else replace(reply, activation=invocation.id)


def _negotiated(call: _Call, answer: Answer, headers: tuple[tuple[str, str], ...]) -> Reply | None:
    """`answer`, if the client takes it; None where the request goes on to the route of OPTIONS."""
    if answer.offer is not None and not accepts(call.context.headers.get("accept"), answer.offer):
        if call.request.method == "OPTIONS":
            return None
        if call.caller and call.action.annotations.get("require-whisk-auth") is True:
            # The controller then tries the route of those without credentials.
            return _error(call.request, 401, UNAUTHORIZED, headers)
        raise Refusal.unacceptable(answer.offer)
    return Reply(
        None,
        answer.status,
        headers=(*headers, *answer.headers),
        cors=False,
        content=answer.content or NO_CONTENT,
    )


def _error(
    request: Request,
    status: int,
    text: str,
    headers: tuple[tuple[str, str], ...],
    activation: str | None = None,
) -> Reply:
    body = {"error": text, "code": request.id}
    return Reply(body, status, activation=activation, headers=headers, cors=False)
