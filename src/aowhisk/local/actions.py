"""The routes of actions: list, read, write, delete, invoke."""

from __future__ import annotations

from collections.abc import Mapping

from aowhisk.local.bodies import action_from
from aowhisk.local.components import check_sequence
from aowhisk.local.composer import Composer
from aowhisk.local.entities import Action, Package
from aowhisk.local.execs import check_binary
from aowhisk.local.fault_file import plan_of
from aowhisk.local.faults import FaultPlan
from aowhisk.local.http import Refusal, Reply
from aowhisk.local.incidents import distorted, refuse
from aowhisk.local.invocation import Invocation, User
from aowhisk.local.invoker import Invoker
from aowhisk.local.limits import Limits
from aowhisk.local.listing import Page, whole
from aowhisk.local.names import check_name
from aowhisk.local.payload import check_length
from aowhisk.local.request import Request
from aowhisk.local.runtimes import Runtimes
from aowhisk.local.store import Store
from aowhisk.local.target import Target
from aowhisk.models import JSON, Status

__all__ = ["NOT_ALLOWED", "Actions"]

ON_BINDING = "Operation not permitted on package binding."
_HTTP_STATUS = {Status.SUCCESS: 200, Status.WHISK_ERROR: 500}
NOT_ALLOWED = "Request defines parameters that are not allowed (e.g., reserved properties)."


class Actions:
    """What can be done with actions. `init` are init parameters of every action, below its own;
    `own_limits` those of namespaces, in place of the server's `limits`."""

    def __init__(
        self,
        store: Store,
        invoker: Invoker,
        limits: Limits,
        faults: FaultPlan,
        init: Mapping[str, str],
        runtimes: Runtimes,
        own_limits: Mapping[str, Limits],
    ) -> None:
        self._store = store
        self._limits = limits
        self._own_limits = own_limits
        self._faults = faults
        self._runtimes = runtimes
        self._composer = Composer(store, invoker, faults, init, limits.sequence_length)

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

    def resolve(self, path: str) -> Target:
        """The action at `path`, with what its package and binding give it."""
        return Target.at(self._store, path)

    def put(self, path: str, body: JSON, *, overwrite: bool) -> Action:
        """Store the action that `body` describes."""
        namespace, _, name = path.rpartition("/")
        owner = namespace.partition("/")[0]
        limits = self._own_limits.get(owner, self._limits)
        old = self._store.find(Action, path)
        made = action_from(
            body,
            namespace=namespace,
            name=name,
            old=old,
            limits=limits,
            runtimes=self._runtimes,
        )
        if made.is_sequence and body.get("exec"):
            self._composer.entitlement.check_references(owner, made.components)
        if body.get("exec"):
            limits.check_kind(made.kind)
        if old is not None and not overwrite:
            raise Refusal(409, "resource already exists")
        if made.is_sequence and body.get("exec"):
            check_sequence(self._store, path, made.components, self._limits.sequence_length)
        check_binary(made.exec)
        return self._store.put(made)

    def begin(
        self, user: User, path: str, payload: Mapping[str, JSON], transaction: str
    ) -> Invocation:
        """Accept an invocation of the action at `path`, whoever asks for it: a request, a rule, a
        web action; its `done` tells the end."""
        invocation = self.invocation(user, path, payload, transaction)
        if self._faults:
            refuse(self._faults, invocation, self._limits)
        self._composer.begin(invocation)
        return invocation

    def invocation(
        self, user: User, path: str, payload: Mapping[str, JSON], transaction: str
    ) -> Invocation:
        """What to run for `payload`; stored parameters lie below it."""
        target = self.resolve(path)
        if target.action.is_sequence:
            self._composer.entitlement.check_references(user.namespace, target.action.components)
        if not target.final.isdisjoint(payload):
            raise Refusal(400, NOT_ALLOWED)
        return self._composer.invocation(target, user, payload, transaction)

    def _get(self, request: Request, path: str) -> Reply:
        target, code = self.resolve(path), request.flag("code", default=True)
        return Reply(target.action.to_json(code=code, inherited=target.stored))

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
        payload = request.parse_object(data)
        invocation = self.invocation(user, path, payload, request.id)
        faults = plan_of(request, self._faults)
        if faults:
            invocation.faults = faults
            refuse(faults, invocation, self._limits)
        self._composer.begin(invocation)
        if blocking:
            await invocation.done.wait_for(wait)
        reply = _told(invocation, only_result) if blocking else _accepted(invocation)
        return await distorted(faults, invocation, reply) if faults else reply

    def _wait(self, request: Request) -> float:
        longest = round(self._limits.blocking_wait * 1000)
        value = request.query.get("timeout")
        if value is None:
            return self._limits.blocking_wait
        wait = whole(value, bits=32)
        if wait is None or not 1 <= wait <= longest:
            raise Refusal.query(
                "timeout", f"Timeout must be number of milliseconds up to {longest}."
            )
        return wait / 1000


def _accepted(invocation: Invocation) -> Reply:
    return Reply({"activationId": invocation.id}, 202, activation=invocation.id)


def _told(invocation: Invocation, only_result: bool) -> Reply:
    if invocation.refusal is not None:
        raise invocation.refusal
    record = invocation.record
    if record is None:
        return _accepted(invocation)
    result = record.response["result"]
    status = _HTTP_STATUS.get(record.status, 502)
    if only_result or isinstance(result, list):  # an array is answered bare, whatever was asked for
        return Reply(result, status, activation=invocation.id)
    if invocation.action.is_composed:
        return Reply(record.document, status, activation=invocation.id)
    # OpenWhisk collects logs after it has answered.
    return Reply(record.document | {"logs": []}, status, activation=invocation.id)
