"""The orchestrator's side of protocol 1: params with their context out, results with their IO
in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aowhisk.client.connection import to_bytes
from aowhisk.errors import ActionError, AowhiskError, ConfigError, TooLarge
from aowhisk.invoker.attempt import Attempt, AttemptEnd
from aowhisk.models import JSON, Activation, Status, is_deeper
from aowhisk.verdict import fault
from object_store import NoSuchKey, ObjectStore, StoreError
from object_store.wire import CONTEXT, IO, IO_KEY, WireError, params_key, receipt_key

__all__ = ["Protocol"]

_PAYLOAD_LIMIT = 1024 * 1024
_MARGIN = 4 * 1024  # for the context, and for parameters stored with the action
_DEEPEST = 500  # levels of a result


class Protocol:
    """Speaks with actions about contexts, IO, receipts and params that are too large to send."""

    def __init__(self, store: ObjectStore | None) -> None:
        self._store = store
        self._limit = _PAYLOAD_LIMIT - _MARGIN

    def limit(self, payload: int | None) -> None:
        """The namespace takes no more than so many bytes of params; None where it does not say."""
        if payload is not None:
            self._limit = min(self._limit, max(0, payload - _MARGIN))

    async def outgoing(self, attempt: Attempt) -> bytes:
        """The params to send, with the context, as JSON. Raises TooLarge where they can neither be
        sent nor stored."""
        params = attempt.record.params or {}
        body = _to_bytes(attempt, params)
        size = len(body)
        if size > self._limit:
            size = _size(params)
        if size <= self._limit:
            return _with_context(attempt, body) if attempt.record.protocol else body
        if not attempt.record.protocol or self._store is None:
            hint = (
                "an action that does not speak the protocol cannot fetch them"
                if self._store is not None
                else "with a store (AOWHISK_STORE) they would be passed by reference"
            )
            raise TooLarge(
                f"the params of call {attempt.call!r} are {size} bytes, over the namespace's limit "
                f"of {self._limit} for action {attempt.action!r}; {hint}",
                request=f"POST {attempt.action}",
                status=413,
            )
        ref = attempt.record.ref
        key = params_key(ref.run, ref.call, attempt.id)
        await self._store.put(key, body)
        return _to_bytes(attempt, {CONTEXT: attempt.context(key).to_json()})

    async def incoming(self, attempt: Attempt, activation: Activation) -> AttemptEnd:
        """What an activation's record says."""
        try:
            _check_depth(activation.result)
            failed = fault(
                activation, action=attempt.action, call=attempt.call, attempts=attempt.try_
            )
            if failed is not None:
                return await self._failure(attempt, activation, failed)
            return await self._success(attempt, activation)
        except (WireError, StoreError, ConfigError) as error:
            return AttemptEnd(error=_unreadable(attempt, activation, error), activation=activation)

    def echoed(self, activation: Activation) -> str | None:
        """The id of the attempt that the activation is, where its result names it."""
        return _echoed(activation.result)

    async def receipt(self, attempt: Attempt) -> AttemptEnd | None:
        """What the attempt left in the store, None if it left nothing (or there is no store)."""
        if self._store is None or not attempt.record.protocol:
            return None
        ref = attempt.record.ref
        try:
            key = receipt_key(ref.run, ref.call, attempt.id)
            return self._from_receipt(attempt, await self._read_receipt(key), None)
        except (StoreError, WireError):
            return None

    async def _success(self, attempt: Attempt, activation: Activation) -> AttemptEnd:
        result = activation.result
        if not isinstance(result, Mapping):  # an array has no room for _io: its receipt has it
            noted = await self.receipt(attempt) if isinstance(result, list) else None
            end = noted if noted is not None else AttemptEnd()
            return replace(end, result=result, activation=activation)
        if IO_KEY not in result and CONTEXT not in result:
            return AttemptEnd(result=result, activation=activation)
        own = {name: value for name, value in result.items() if name not in (IO_KEY, CONTEXT)}
        io = IO.from_json(result[IO_KEY]) if IO_KEY in result else None
        if io is None or io.attempt != attempt.id:  # another attempt's IO says nothing of this one
            return AttemptEnd(result=own, activation=activation)
        if io.receipt is not None:
            body = await self._read_receipt(io.receipt)
            return self._from_receipt(attempt, body, activation)
        return AttemptEnd(
            result=own, activation=activation, reads=io.reads, writes=io.writes, reported=True
        )

    async def _failure(
        self, attempt: Attempt, activation: Activation, failed: AowhiskError
    ) -> AttemptEnd:
        io = _failed_io(activation.result)
        if io is None or io.attempt != attempt.id:
            return AttemptEnd(error=failed, activation=activation)
        if io.receipt is not None:
            io = IO.from_json((await self._read_receipt(io.receipt)).get("io"))
        return AttemptEnd(
            error=failed,
            activation=activation,
            reads=io.reads,
            writes=io.writes,
            reported=True,
        )

    async def _read_receipt(self, key: str) -> Mapping[str, Any]:
        if self._store is None:
            raise ConfigError(
                f"the result lies in the action's object store as {key!r}, and this orchestrator "
                "has no store to read it from; set AOWHISK_STORE (or store=) to the same store"
            )
        try:
            body = json.loads(await self._store.get(key))
        except (ValueError, RecursionError) as error:
            raise WireError(f"receipt {key!r} is not JSON: {error}") from error
        if not isinstance(body, Mapping):
            raise WireError(f"receipt {key!r} is {type(body).__name__}, not an object")
        _check_depth(body)
        return body

    def _from_receipt(
        self, attempt: Attempt, body: Mapping[str, Any], activation: Activation | None
    ) -> AttemptEnd:
        io = IO.from_json(body.get("io"))
        if "error" in body:
            record = activation or Activation(
                id="",
                name=attempt.action.rpartition("/")[2],
                status=Status.APPLICATION_ERROR,
                result={"error": body["error"]},
            )
            failed = fault(record, action=attempt.action, call=attempt.call, attempts=attempt.try_)
            return AttemptEnd(
                error=failed,
                activation=activation,
                reads=io.reads,
                writes=io.writes,
                reported=True,
            )
        return AttemptEnd(
            result=body.get("result"),
            activation=activation,
            reads=io.reads,
            writes=io.writes,
            reported=True,
        )


def _check_depth(value: JSON) -> None:
    """Raise WireError for what could not be written down again."""
    if is_deeper(value, _DEEPEST):
        raise WireError(f"its result is nested deeper than {_DEEPEST} levels")


def _to_bytes(attempt: Attempt, value: JSON) -> bytes:
    return to_bytes(value, about=f"the params of call {attempt.call!r}")


def _with_context(attempt: Attempt, body: bytes) -> bytes:
    """The object that `body` is, with one more member."""
    context = _to_bytes(attempt, attempt.context().to_json())
    comma = b"," if len(body) > len(b"{}") else b""
    return b'%b%b"%b":%b}' % (body[:-1], comma, CONTEXT.encode(), context)


def _size(params: JSON) -> int:
    return len(json.dumps(params, separators=(",", ":"), ensure_ascii=False).encode())


def _echoed(result: JSON) -> str | None:
    try:
        if isinstance(result, Mapping) and IO_KEY in result:
            return IO.from_json(result[IO_KEY]).attempt
        io = _failed_io(result)
    except WireError:
        return None
    return None if io is None else io.attempt


def _failed_io(result: JSON) -> IO | None:
    error = result.get("error") if isinstance(result, Mapping) else None
    io = error.get("io") if isinstance(error, Mapping) else None
    return None if io is None else IO.from_json(io)


def _unreadable(attempt: Attempt, activation: Activation, error: Exception) -> AowhiskError:
    if isinstance(error, ConfigError):
        return error
    gone = " (has someone cleaned the bucket?)" if isinstance(error, NoSuchKey) else ""
    return ActionError(
        f"action {attempt.action!r} (call {attempt.call!r}, activation {activation.id}) answered "
        f"what cannot be read: {error}{gone}",
        code=type(error).__name__,
        meta={"retry": False},
        action=attempt.action,
        call=attempt.call,
        activation=activation,
        attempts=attempt.try_,
    )
