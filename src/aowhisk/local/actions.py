"""The routes of actions: list, read, write, delete, invoke."""

from __future__ import annotations

from collections.abc import Mapping

import anyio

from aowhisk.local.bodies import action_from
from aowhisk.local.entities import Action, Package, Parameters, merged
from aowhisk.local.faults import DropReply, FaultPlan, Throttle, Unavailable
from aowhisk.local.http import OVERLOADED, Refusal, Reply, Request
from aowhisk.local.invocation import Invocation, User, environment
from aowhisk.local.invoker import Invoker
from aowhisk.local.limits import Limits
from aowhisk.local.listing import Page
from aowhisk.local.names import check_name
from aowhisk.local.payload import check_length, payload_of
from aowhisk.local.runtimes import Runtimes
from aowhisk.local.store import Store
from aowhisk.models import JSON, Status

__all__ = ["NOT_ALLOWED", "Actions"]

ON_BINDING = "Operation not permitted on package binding."
_HTTP_STATUS = {Status.SUCCESS: 200, Status.WHISK_ERROR: 500}
NOT_ALLOWED = "Request defines parameters that are not allowed (e.g., reserved properties)."


class Actions:
    """What can be done with actions. `init` are init parameters of every action, below its own."""

    def __init__(
        self,
        store: Store,
        invoker: Invoker,
        limits: Limits,
        faults: FaultPlan,
        init: Mapping[str, str],
        runtimes: Runtimes,
    ) -> None:
        self._store = store
        self._invoker = invoker
        self._limits = limits
        self._faults = faults
        self._init = init
        self._runtimes = runtimes

    async def __call__(
        self, request: Request, user: User, namespace: str, names: list[str]
    ) -> Reply:
        """Answer a request for actions/`names`."""
        if names in ([], [""]) and request.method == "GET":
            page = Page.of(request, "actions")
            return page.reply(self._store.all(Action, namespace), Action.to_summary)
        if len(names) == 2 and names[1] == "" and request.method == "GET":
            page = Page.of(request, "actions")
            package, _ = self._store.package_of(f"{namespace}/{names[0]}")
            return page.reply(self._store.all(Action, package.path), Action.to_summary)
        if not 1 <= len(names) <= 2 or names[-1] == "":
            raise Refusal.no_route()
        path = "/".join([namespace, *names])
        match request.method:
            case "GET":
                return self._get(request, path)
            case "PUT":
                return await self._put(request, path, names)
            case "DELETE":
                return self._delete(path, names)
            case "POST":
                return await self._invoke(request, user, path)
        raise Refusal.no_route()

    def resolve(self, path: str) -> tuple[Action, Parameters, str | None]:
        """The action at `path`, what its package and binding give it, and the binding if it came
        through one (its path)."""
        if path.count("/") == 1:
            return self._store.get(Action, path), {}, None
        package_path = path.rpartition("/")[0]
        package, parameters = self._store.package_of(package_path)
        action = self._store.get(Action, f"{package.path}/{path.rpartition('/')[2]}")
        return action, parameters, None if package.path == package_path else package_path

    def put(self, path: str, body: JSON, *, overwrite: bool) -> Action:
        """Store the action that `body` describes."""
        namespace, _, name = path.rpartition("/")
        old = self._store.find(Action, path)
        if old is not None and not overwrite:
            raise Refusal(409, "resource already exists")
        made = action_from(
            body,
            namespace=namespace,
            name=name,
            old=old,
            ranges=self._limits.actions,
            runtimes=self._runtimes,
        )
        return self._store.put(made)

    def begin(
        self, user: User, path: str, payload: Mapping[str, JSON], transaction: str
    ) -> Invocation:
        """Accept an invocation of the action at `path`, whoever asks for it: a request, a rule, a
        web action; its `done` tells the end."""
        invocation = self.invocation(user, path, payload, transaction)
        self._invoker.submit(invocation)
        return invocation

    def invocation(
        self, user: User, path: str, payload: Mapping[str, JSON], transaction: str
    ) -> Invocation:
        """What to run for `payload`; stored parameters lie below it."""
        action, inherited, binding = self.resolve(path)
        stored = merged(inherited, action.parameters)
        if action.annotations.get("final") is True and any(
            key in payload and parameter.value is not None for key, parameter in stored.items()
        ):
            raise Refusal(400, NOT_ALLOWED)
        init = {key for key, parameter in stored.items() if parameter.init}
        given = {key: parameter.value for key, parameter in stored.items()} | dict(payload)
        return Invocation(
            user=user,
            action=action,
            arguments={key: value for key, value in given.items() if key not in init}
            if init
            else given,
            environ=dict(self._init) | environment({key: given[key] for key in init}),
            transaction=transaction,
            binding=binding,
            stored=stored,
        )

    def _get(self, request: Request, path: str) -> Reply:
        action, inherited, _ = self.resolve(path)
        return Reply(action.to_json(code=request.flag("code", default=True), inherited=inherited))

    async def _put(self, request: Request, path: str, names: list[str]) -> Reply:
        overwrite = request.flag("overwrite")
        body = await request.json()
        self._check_package(path, names)
        return Reply(self.put(path, body, overwrite=overwrite).to_json())

    def _delete(self, path: str, names: list[str]) -> Reply:
        self._check_package(path, names)
        action = self._store.get(Action, path)
        self._store.delete(path)
        return Reply(action.to_json())

    def _check_package(self, path: str, names: list[str]) -> None:
        for name in names:
            check_name(name)
        if (
            len(names) == 2
            and self._store.get(Package, path.rpartition("/")[0]).binding is not None
        ):
            raise Refusal(400, ON_BINDING)

    async def _invoke(self, request: Request, user: User, path: str) -> Reply:
        blocking, only_result = request.flag("blocking"), request.flag("result")
        wait = self._wait(request)
        check_length(request.length)
        data = await request.body()
        check_length(len(data))  # Content-Length may not have been given
        payload = payload_of(request, data)
        invocation = self.invocation(user, path, payload, request.id)
        if self._faults:
            self._refuse_on_purpose(invocation)
        self._invoker.submit(invocation)
        if blocking:
            with anyio.move_on_after(wait):
                await invocation.done.wait()
        reply = _told(invocation, only_result) if blocking else _accepted(invocation)
        if self._faults:
            reply.dropped = self._faults.due(DropReply, invocation.name, payload) is not None
        return reply

    def _wait(self, request: Request) -> float:
        longest = round(self._limits.blocking_wait * 1000)
        value = request.query.get("timeout")
        if value is None:
            return self._limits.blocking_wait
        if not value.isascii() or not value.isdigit() or not 1 <= int(value) <= longest:
            raise Refusal.query(
                "timeout", f"Timeout must be number of milliseconds up to {longest}."
            )
        return int(value) / 1000

    def _refuse_on_purpose(self, invocation: Invocation) -> None:
        name, params, limits = invocation.name, invocation.params, self._limits
        if throttle := self._faults.due(Throttle, name, params):
            budget, in_flight = limits.invocations_per_minute, limits.concurrent_invocations
            raise Refusal(
                429,
                f"Too many requests in the last minute (count: {budget + 1}, allowed: {budget})."
                if throttle.per_minute
                else "Too many concurrent requests in flight "
                f"(count: {in_flight}, allowed: {in_flight}).",
            )
        if self._faults.due(Unavailable, name, params):
            raise Refusal(503, OVERLOADED)


def _accepted(invocation: Invocation) -> Reply:
    return Reply({"activationId": invocation.id}, 202, activation=invocation.id)


def _told(invocation: Invocation, only_result: bool) -> Reply:
    record = invocation.record
    if record is None:
        return _accepted(invocation)
    result = record.response["result"]
    status = _HTTP_STATUS.get(record.status, 502)
    if only_result or isinstance(result, list):  # an array is answered bare, whatever was asked for
        return Reply(result, status, activation=invocation.id)
    # OpenWhisk collects logs after it has answered.
    return Reply(record.document | {"logs": []}, status, activation=invocation.id)
