"""Actions: a function with a store becomes what OpenWhisk calls, and reports what it did."""

from __future__ import annotations

import functools
import inspect
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, Protocol, overload

from object_store.backend import Backend
from object_store.blocking import BlockingStore
from object_store.errors import NoSuchKey, StoreError
from object_store.failures import BadResult, NoParams, failure_of, with_io
from object_store.loop import WarmLoop, warm_loop
from object_store.nowhere import NoStore, Nowhere
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
    WireError,
    receipt_key,
)

__all__ = ["Action", "action"]

_LOUD = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Action(Protocol):
    """What OpenWhisk calls; `__wrapped__` is the function that it was made of."""

    __wrapped__: Callable[..., Any]

    def __call__(self, args: Any, /) -> Any:
        """Params in, result out; never raises for an error of the function."""


@overload
def action(function: Callable[..., Any], /) -> Action: ...
@overload
def action() -> Callable[[Callable[..., Any]], Action]: ...


def action(
    function: Callable[..., Any] | None = None, /
) -> Action | Callable[[Callable[..., Any]], Action]:
    """Make an OpenWhisk action of `main(args, store)` or `main(args)`, with or without `async`.

    The result is `main(args) -> dict`, as OpenWhisk calls it. `store` is an ObjectStore bound to
    the call, with plain methods where the function is not async; it is at OBJECT_STORE_URL (an init
    parameter), or the param `object_store_url`. What was read and written goes back as `_io`. An
    exception becomes `{"error": {"code", "message", "meta"}}`: `code` is the exception's own `code`
    or its class, `meta` its `meta`; `retryable = False` says that another try cannot help.
    Ctrl-C comes through. Raises TypeError for a function that cannot be called so.
    """
    if function is None:
        return action
    call = _Function(function)

    @functools.wraps(function)
    def main(args: Any) -> Any:
        return _Activation(warm_loop(), args).perform(call)

    main.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter("args", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    )
    return main


class _Function:
    """The user's function, and how it is to be called.

    The store is its second positional parameter, unless that has a default and another name; or the
    keyword `store`.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.is_async = inspect.iscoroutinefunction(function)
        parameters = list(inspect.signature(function).parameters.values())
        places = [p for p in parameters if p.kind in _LOUD]
        second = places[1] if len(places) > 1 else None
        self._by_position = second is not None and (
            second.name == "store" or second.default is inspect.Parameter.empty
        )
        self._by_keyword = any(
            p.name == "store" and p.kind is inspect.Parameter.KEYWORD_ONLY for p in parameters
        )
        try:
            inspect.signature(function).bind(*self._arguments({}, None), **self._keywords(None))
        except TypeError as error:
            name = getattr(function, "__qualname__", repr(function))
            raise TypeError(
                f"@action: {name}{inspect.signature(function)} cannot be called as "
                "main(args) or main(args, store); give its other parameters defaults"
            ) from error

    def __call__(self, args: Any, store: Any) -> Any:
        return self._function(*self._arguments(args, store), **self._keywords(store))

    def _arguments(self, args: Any, store: Any) -> tuple[Any, ...]:
        return (args, store) if self._by_position else (args,)

    def _keywords(self, store: Any) -> dict[str, Any]:
        return {"store": store} if self._by_keyword else {}


class _Activation:
    """One call of the function: what it is given, and what becomes of its end."""

    def __init__(self, loop: WarmLoop, args: Any) -> None:
        self._loop = loop
        self._args: Any = dict(args) if isinstance(args, Mapping) else args
        self._started = time.monotonic()
        self._context: Context | None = None
        self._earlier: IO | None = None  # of the components before this one, in a sequence
        self._store = ObjectStore(Nowhere())
        self._own = ObjectStore(Nowhere())  # for receipts and params: not recorded
        self._stack = AsyncExitStack()

    def perform(self, function: _Function) -> Any:
        """Call the function and give what OpenWhisk is answered."""
        self._loop.refuse_itself()
        try:
            try:
                self._loop.run(self._open())
                result = self._call(function)
                _check(result)
            except (KeyboardInterrupt, GeneratorExit):
                raise
            except BaseException as error:  # noqa: BLE001  SystemExit and groups of such, too
                traceback.print_exc()
                result = {"error": failure_of(error, store_url=self._store.url).to_json()}
            return self._loop.run(self._answer(result))
        finally:
            self._loop.run(self._stack.aclose())

    def _call(self, function: _Function) -> Any:
        if function.is_async:
            return self._loop.run(function(self._args, self._store))
        # in this thread, where it may block
        return function(self._args, BlockingStore(self._store, self._loop))

    async def _open(self) -> None:
        """Find out who calls and where the store is; fetch params that lie there."""
        url = os.environ.get(STORE_URL)
        if isinstance(self._args, dict):
            context, io = self._args.pop(CONTEXT, None), self._args.pop(IO_KEY, None)
            url = self._args.pop(STORE_URL_PARAM, None) or url
            if context is not None:
                self._context = Context.from_json(context)
            elif io is not None:
                self._earlier = IO.from_json(io)
                self._context = self._earlier.context
        self._bind(Nowhere())  # so that a store that cannot be opened is told with the attempt's id
        if url:
            self._bind(await self._stack.enter_async_context(self._loop.backend(str(url))))
        if self._earlier is not None:
            await self._take_over(self._earlier)
        elif self._context is not None and self._context.params is not None:
            self._args.update(await self._fetch(self._context.params))

    def _bind(self, backend: Backend) -> None:
        self._store = ObjectStore(backend, context=self._context, earlier=self._earlier)
        self._own = ObjectStore(backend)
        self._stack.push_async_callback(self._store.close)

    async def _take_over(self, earlier: IO) -> None:
        """Go on after a component whose result or IO was too large to send."""
        if earlier.receipt is None:
            return
        receipt = await self._fetch(earlier.receipt)
        if isinstance(receipt.get("result"), dict):
            self._args.update(receipt["result"])
        self._store.note(IO.from_json(receipt.get("io")))

    async def _fetch(self, key: str) -> dict[str, Any]:
        try:
            value = json.loads(await self._own.get(key))
        except NoSuchKey as error:  # no object that a call wrote: nothing to recover
            raise NoParams(key, self._own.url) from error
        except ValueError as error:
            raise WireError(f"the params in {key!r} are not JSON") from error
        if not isinstance(value, dict):
            raise WireError(f"the params in {key!r} are {type(value).__name__}, not an object")
        return value

    @property
    def _io(self) -> IO:
        io, earlier = self._store.io, self._earlier
        return io if earlier is None else replace(io, attempt=earlier.attempt)

    async def _answer(self, result: Any) -> Any:
        """The result with what was read and written; or, where it is large, where it lies."""
        io, is_list = self._io, isinstance(result, list)
        size, io_size = _size(result), _size(io.to_json())
        late = time.monotonic() - self._started > RECEIPT_AFTER
        noted = None
        if (
            late
            or is_list
            or self._earlier is not None  # whose receipt, if it left one, is not the call's end
            or max(size, io_size) > SMALL_RESULT
        ):
            noted = await self._leave_receipt(result, io)
        if is_list:  # OpenWhisk takes arrays, which have no room: the receipt has it
            return result
        is_large = noted is not None and (size > RESULT_LIMIT or io_size > IO_LIMIT)
        if is_large:
            io = replace(io, reads=(), writes=(), receipt=noted)
        if "error" in result:
            return {"error": with_io(result["error"], io)}
        return {**({} if is_large else result), IO_KEY: io.to_json()}

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
        except NoStore:
            return None
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
        json.dumps(result, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise BadResult(f"the action's result is not JSON: {error}") from error


def _size(value: Any) -> int:
    return len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())
