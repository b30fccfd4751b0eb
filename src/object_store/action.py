"""Actions: a function with a store becomes what OpenWhisk calls, and reports what it did."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from object_store.backend import Backend
from object_store.blocking import BlockingStore
from object_store.errors import NoSuchKey, StoreError
from object_store.loop import WarmLoop, warm_loop
from object_store.nowhere import Nowhere
from object_store.store import ObjectStore
from object_store.wire import (
    CONTEXT,
    IO,
    IO_KEY,
    IO_LIMIT,
    RECEIPT_AFTER,
    RESULT_LIMIT,
    SMALL_RESULT,
    STORE_URL,
    STORE_URL_PARAM,
    Context,
    Failure,
    receipt_key,
)

__all__ = ["action"]

Args = dict[str, Any]


class BadResult(Exception):
    """The function returned what no action may return."""

    code = "BadResult"
    retryable = False


def action(function: Callable[..., Any] | None = None) -> Any:
    """Make an OpenWhisk action of `main(args, store)` or `main(args)`, with or without `async`.

    The result is `main(args) -> dict`, as OpenWhisk calls it. `store` is an ObjectStore bound to
    the call, with plain methods where the function is not async; it is at OBJECT_STORE_URL (an init
    parameter), or the param `object_store_url`. What was read and written goes back as `_io`. An
    exception becomes `{"error": {"code", "message", "meta"}}`: `code` is the exception's own `code`
    or its class, `meta` its `meta`; `retryable = False` says that another try cannot help.
    `__wrapped__` is the function itself.
    """
    if function is None:
        return action
    takes_store = len(inspect.signature(function).parameters) > 1
    is_async = inspect.iscoroutinefunction(function)

    @functools.wraps(function)
    def main(args: Args) -> Any:
        return _Activation(warm_loop(), args).perform(function, takes_store, is_async)

    main.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter("args", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    )
    return main


class _Activation:
    """One call of the function: what it is given, and what becomes of its end."""

    def __init__(self, loop: WarmLoop, args: Mapping[str, Any]) -> None:
        self._loop = loop
        self._args = dict(args)
        self._started = time.monotonic()
        self._context: Context | None = None
        self._earlier: IO | None = None
        self._store = ObjectStore(Nowhere())
        self._own = ObjectStore(Nowhere())  # for receipts and params: not recorded
        self._stack = AsyncExitStack()

    def perform(self, function: Callable[..., Any], takes_store: bool, is_async: bool) -> Any:
        try:
            try:
                self._loop.run(self._open())
                store: Any = self._store if is_async else BlockingStore(self._store, self._loop)
                result = function(self._args, store) if takes_store else function(self._args)
                if is_async:  # else it ran in this thread, where it may block
                    result = self._loop.run(result)
                _check(result)
            except (Exception, SystemExit, asyncio.CancelledError) as error:  # noqa: BLE001
                traceback.print_exc()
                result = {"error": _failure(error, self._store).to_json()}
            return self._loop.run(self._answer(result))
        finally:
            self._loop.run(self._stack.aclose())

    async def _open(self) -> None:
        """Find out who calls and where the store is; fetch params that lie there."""
        context, io = self._args.pop(CONTEXT, None), self._args.pop(IO_KEY, None)
        url = self._args.pop(STORE_URL_PARAM, None) or os.environ.get(STORE_URL)
        if context is not None:
            self._context = Context.from_json(context)
        elif io is not None:  # a later component of a sequence
            self._earlier = IO.from_json(io)
            self._context = self._earlier.context
        backend: Backend = Nowhere()
        if url:
            backend = await self._stack.enter_async_context(self._loop.backend(str(url)))
        self._store = ObjectStore(backend, context=self._context)
        self._own = ObjectStore(backend)
        self._stack.push_async_callback(self._store.close)
        if self._context is not None and self._context.params is not None:
            self._args.update(json.loads(await self._own.get(self._context.params)))

    @property
    def _io(self) -> IO:
        io, earlier = self._store.io, self._earlier
        if earlier is None:
            return io
        return replace(
            io,
            attempt=earlier.attempt,
            reads=earlier.reads + io.reads,
            writes=earlier.writes + io.writes,
        )

    async def _answer(self, result: Any) -> Any:
        """The result with what was read and written; or, where it is large, where it lies."""
        io, is_list = self._io, isinstance(result, list)
        size, io_size = _size(result), _size(io.to_json())
        late = time.monotonic() - self._started > RECEIPT_AFTER
        noted = None
        if late or is_list or size > SMALL_RESULT or io_size > SMALL_RESULT:
            noted = await self._leave_receipt(result, io)
        if is_list:  # OpenWhisk takes arrays, which have no room: the receipt has it
            return result
        if noted is not None and (size > RESULT_LIMIT or io_size > IO_LIMIT):
            io = replace(io, reads=(), writes=(), receipt=noted)
        if "error" not in result:
            large = io.receipt is not None
            return {IO_KEY: io.to_json()} if large else {**result, IO_KEY: io.to_json()}
        failure = Failure.from_json(result["error"])
        return {"error": replace(failure, io=io).to_json()}

    async def _leave_receipt(self, result: Any, io: IO) -> str | None:
        context = self._context
        if context is None:
            return None
        key = receipt_key(context.run, context.call, context.attempt)
        what = {"result": result}
        if isinstance(result, dict) and "error" in result:
            what = {"error": result["error"]}
        body = {"context": context.to_json(), **what, "io": io.to_json()}
        try:
            await self._own.put(key, json.dumps(body, separators=(",", ":")))
        except StoreError as error:  # the result itself may still get through
            print(f"no receipt could be left: {error}", file=sys.stderr)  # noqa: T201  the log
            return None
        return key


def _check(result: Any) -> None:
    if not isinstance(result, (dict, list)):
        raise BadResult(
            f"the action returned {type(result).__name__}; OpenWhisk takes a dict or a list"
        )
    try:
        json.dumps(result, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise BadResult(f"the action's result is not JSON: {error}") from error


def _size(value: Any) -> int:
    return len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())


def _failure(error: BaseException, store: ObjectStore) -> Failure:
    """What goes back for an exception. Of a group the missing objects count, else its first."""
    leaves = list(_leaves(error))
    missing = [leaf for leaf in leaves if isinstance(leaf, NoSuchKey)]
    if missing:
        keys = list(dict.fromkeys(leaf.key for leaf in missing))
        several = {"keys": keys} if keys[1:] else {}
        found = {"key": keys[0], **several, "store": store.url}
        return Failure(NoSuchKey.code, str(missing[0]), found)
    one = leaves[0]
    code, facts = getattr(one, "code", None), getattr(one, "meta", None)
    meta: dict[str, Any] = dict(facts) if isinstance(facts, Mapping) else {}
    if getattr(one, "retryable", None) is False:
        meta["retry"] = False
    return Failure(
        code if isinstance(code, str) else type(one).__name__,
        str(one) or type(one).__name__,
        json.loads(json.dumps(meta, default=str)),
    )


def _leaves(error: BaseException) -> Iterator[BaseException]:
    inner = getattr(error, "exceptions", None)
    if isinstance(inner, tuple) and inner:
        for each in inner:
            yield from _leaves(each)
    else:
        yield error
