"""Actions: deploy, look at, invoke."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from aowhisk.client.code import Code
from aowhisk.client.connection import ACTIVATION_HEADER, READ, Connection, to_bytes
from aowhisk.client.entity import (
    Action,
    ActionLimits,
    annotations_to_json,
    parameters_to_json,
)
from aowhisk.client.faults import fault, value_of
from aowhisk.client.names import Name, collection_path, parse
from aowhisk.client.paging import pages_by_skip
from aowhisk.client.transport import Reply
from aowhisk.errors import ServerFault, TooLarge, Unreachable
from aowhisk.models import JSON, Accepted, Activation, Status

__all__ = ["Actions"]

LONGEST_WAIT = 60.0
_MARGIN = 15.0  # seconds beyond the server's own wait


class Actions:
    """`client.actions`; names are "action", "package/action" or "/namespace/package/action"."""

    def __init__(self, connection: Connection, *, payload_limit: int | None) -> None:
        self._connection = connection
        self._payload_limit = payload_limit

    async def invoke(
        self,
        name: str,
        params: Mapping[str, JSON] | bytes | None = None,
        *,
        blocking: bool = True,
        timeout: float | None = None,
    ) -> Activation | Accepted:
        """Run the action once; its record, also of a failure, or Accepted if it is not ended yet.

        `params` may be bytes: a JSON object, ready to be sent. `timeout` is how many seconds the
        server waits for the end (at most 60, its default); it never ends the action. The record has
        no logs. A POST is never repeated here: Unreachable with `sent=True` and ServerFault with
        `accepted=None` mean that nobody knows whether it runs; Throttled and `accepted=False` that
        it does not. Cancelling stops waiting, not the action.
        """
        wait = _wait(timeout) if blocking else None
        target, request, name_ = _invocation(name, self._connection.namespace, wait)
        if isinstance(params, bytes):
            body = params
        else:
            body = to_bytes(params or {}, about=f"the params of action '{name_}'")
        limit = self._payload_limit
        if limit is not None and len(body) > limit:
            raise TooLarge(
                f"the params of action '{name_}' are {len(body)} bytes, over the limit of {limit}; "
                "put them into the object store and pass their key. Nothing was sent",
                request=request,
            )
        patience = READ if wait is None else max(READ, wait / 1000 + _MARGIN)
        reply = await self._connection.send("POST", target, body=body, read_timeout=patience)
        return _outcome(reply, name_, request, self._connection.namespace)

    async def get(self, name: str, *, code: bool = True) -> Action:
        """The action; with its package's parameters laid under its own."""
        query: dict[str, str | int] = {} if code else {"code": "false"}
        data = await self._request("GET", parse(name, kind="action", packaged=True), query=query)
        return Action.from_json(data)

    async def put(
        self,
        name: str,
        code: Code | str | None = None,
        *,
        limits: ActionLimits | None = None,
        parameters: Mapping[str, JSON] | None = None,
        init_parameters: Mapping[str, JSON] | None = None,
        annotations: Mapping[str, JSON] | None = None,
        drop_annotations: Sequence[str] = (),
        overwrite: bool = False,
    ) -> Action:
        """Create the action, or with `overwrite` update it; a `str` is Python source.

        An update is no replacement: what is None stays, `parameters` and `init_parameters` are
        replaced together, annotations are merged by key, limits one by one. Init parameters are
        the environment of a cold start. A new action has no API key unless annotated
        `provide-api-key`.
        """
        entity = parse(name, kind="action", packaged=True)
        if isinstance(code, str):
            code = Code.source(code)
        body: dict[str, JSON] = {}
        if code is not None:
            code.check(str(entity))
            body["exec"] = code.to_json(self._connection.namespace)
        if parameters is not None or init_parameters is not None:
            body["parameters"] = parameters_to_json(parameters, init_parameters)
        if annotations is not None:
            body["annotations"] = annotations_to_json(annotations)
        if drop_annotations:
            body["delAnnotations"] = list(drop_annotations)
        if limits is not None:
            body["limits"] = limits.to_json()
        query: dict[str, str | int] = {"overwrite": "true"} if overwrite else {}
        data = await self._request(
            "PUT", entity, query=query, body=to_bytes(body, about=f"action '{entity}'")
        )
        if isinstance(data, dict) and "name" in data:
            return Action.from_json(data)
        return await self.get(name, code=False)  # the operator has switched answers off

    async def delete(self, name: str) -> None:
        """Delete the action; running activations go on."""
        await self._request("DELETE", parse(name, kind="action", packaged=True))

    async def list(
        self, *, package: str | None = None, limit: int | None = None, skip: int = 0
    ) -> AsyncIterator[Action]:
        """All actions, newest first, or those of one package; at most `limit`."""
        namespace = self._connection.namespace
        path = collection_path("actions", namespace)
        if package is not None:  # the slash tells a package from an action of its name
            path = parse(package, kind="package").path("actions", namespace) + "/"
        rows = pages_by_skip(
            self._connection, path, about="the list of actions", limit=limit, skip=skip
        )
        async for row in rows:
            yield Action.from_json(row)

    async def _request(
        self,
        method: str,
        name: Name,
        *,
        query: Mapping[str, str | int] | None = None,
        body: bytes | None = None,
    ) -> Any:
        namespace = self._connection.namespace
        return await self._connection.request(
            method,
            name.path("actions", namespace),
            about=f"action '{name}'",
            missing=_missing(name, namespace),
            query=query,
            body=body,
        )


def _missing(name: Name, namespace: str) -> str:
    where = name.namespace or namespace
    return (
        f"not found in namespace '{where}'; deploy it with aowhisk deploy (for Orchestrator.local: "
        "declare it in the manifest, or in actions=)"
    )


def _wait(timeout: float | None) -> int:
    """Milliseconds that the server takes for a blocking wait."""
    seconds = LONGEST_WAIT if timeout is None else timeout
    return max(1, min(round(seconds * 1000), round(LONGEST_WAIT * 1000)))


@lru_cache(maxsize=4096)
def _invocation(text: str, namespace: str, wait: int | None) -> tuple[str, str, Name]:
    """Target, label and name of an invocation: the same for every call of an action."""
    name = parse(text, kind="action", packaged=True)
    path = name.path("actions", namespace)
    query = "blocking=false" if wait is None else f"blocking=true&timeout={wait}"
    return f"{path}?{query}", f"POST /api/v1{path}", name


def _outcome(reply: Reply, name: Name, request: str, namespace: str) -> Activation | Accepted:
    """What an answer to an invocation says.

    An activation exists exactly where there is its id, in the header or in a record: then 502 and
    500 are the action's own result. Array results come bare, with the id in the header only.
    """
    known = reply.headers.get(ACTIVATION_HEADER)
    if reply.status in (200, 202) or reply.status >= 500:
        data = value_of(reply) if reply.complete else None
        if isinstance(data, dict) and isinstance(data.get("activationId"), str):
            if reply.status == 202:
                return Accepted(data["activationId"])
            if "response" in data:
                return Activation.from_json(data)
        if known and reply.status == 200 and data is not None:
            return Activation(
                known, name.name, name.namespace or namespace, status=Status.SUCCESS, result=data
            )
        if known:  # the record was lost on the way; its id was not
            return Accepted(known)
    if reply.status >= 300:
        raise fault(
            reply, request=request, about=f"action '{name}'", missing=_missing(name, namespace)
        )
    if not reply.complete:
        raise Unreachable(f"{request}: the answer broke off", request=request, sent=True)
    raise ServerFault(
        f"{request}: the answer has no activation id; does apihost name an OpenWhisk?",
        request=request,
        status=reply.status,
        accepted=None,
    )
