"""What the stock actions do, inside the server: each gives what its JavaScript would, without
a process."""

from __future__ import annotations

import inspect
import json
import re
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeAlias

import anyio

from aowhisk.local.http import to_json
from aowhisk.local.logs import stamped
from aowhisk.local.outcome import Response
from aowhisk.models import JSON, Status

__all__ = ["BUILTINS", "Builtins", "Call"]

_LINE_END = re.compile(r"\r?\n")
_EXTENSIONS = (".json", ".text", ".html", ".http")


class Thrown(Exception):
    """JavaScript would throw this."""


@dataclass(slots=True)
class Call:
    """One call of a built-in: what it is given, who calls, where the API is, and what it logs."""

    given: Mapping[str, JSON] | list[JSON]
    namespace: str
    api_host: str
    logs: list[str] = field(default_factory=list)

    @property
    def arguments(self) -> Mapping[str, JSON]:
        """What it is given, by name; an array has no names."""
        return {} if isinstance(self.given, list) else self.given

    def log(self, *values: JSON) -> None:
        """As `console.log` does."""
        text = " ".join(v if isinstance(v, str) else _inspected(v) for v in values)
        self.logs += [stamped("stdout", line) for line in text.split("\n")]


Builtin: TypeAlias = Callable[[Call], JSON | Awaitable[JSON]]


class Builtins:
    """Runs built-ins; `api_host` is what actions are told of this server."""

    def __init__(self, api_host: str) -> None:
        self._api_host = api_host

    async def run(
        self,
        name: str,
        arguments: Mapping[str, JSON] | list[JSON],
        *,
        namespace: str,
        seconds: float,
    ) -> tuple[Response, list[str]]:
        """The response and the log lines of the built-in `name`, which has `seconds`."""
        call = Call(arguments, namespace, self._api_host)
        try:
            result = BUILTINS[name](call)
            if inspect.isawaitable(result):
                with anyio.fail_after(seconds):
                    result = await result
        except Thrown as thrown:
            return _failed(thrown), call.logs
        except TimeoutError:
            return Response.over_time(round(seconds * 1000), during_init=False), call.logs
        return _response(result), call.logs

    def run_at_once(
        self, name: str, arguments: Mapping[str, JSON] | list[JSON], *, namespace: str
    ) -> tuple[Response, list[str]] | None:
        """The same where `name` has nothing to wait for; else None, and nothing is done."""
        if name in _WAITING:
            return None
        call = Call(arguments, namespace, self._api_host)
        try:
            return _response(BUILTINS[name](call)), call.logs
        except Thrown as thrown:
            return _failed(thrown), call.logs


def _response(result: JSON) -> Response:
    return Response.told(result, to_json(result).decode())


def _failed(thrown: Thrown) -> Response:
    shown = {"error": f"An error has occurred: {thrown}"}
    return Response(Status.DEVELOPER_ERROR, shown, len(to_json(shown)))


def _echo(call: Call) -> JSON:
    return call.given


def _cat(call: Call) -> JSON:
    lines = _lines(call)
    result = {"lines": lines, "payload": "\n".join(map(_item, lines))}
    call.log("cat: returning " + _stringified(result))
    return result


def _date(call: Call) -> JSON:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    call.log("It is now " + now)
    return {"date": now}


def _head(call: Call) -> JSON:
    lines, count = _lines(call), call.arguments.get("num") or 1
    if isinstance(count, bool) or not isinstance(count, int | float):
        raise Thrown("TypeError: num is no number")
    first = lines[: int(count)]
    call.log(f"head: the first {_text(count)} of {_text(lines)}: {_text(first)}")
    return {"lines": first, "num": count}


def _hosturl(call: Call) -> JSON:
    args = call.arguments
    path, web, trigger = args.get("path"), args.get("web") is True, bool(args.get("trigger"))
    extension = args.get("ext") or ".json"
    if web and trigger:
        return {"error": "triggers are not allowed for web actions."}
    if web and extension not in _EXTENSIONS:
        known = ", ".join(f'"{one}"' for one in _EXTENSIONS)
        return {"error": f"extension for web action must be one of [{known}]."}
    if trigger and "/" in _text(path):
        return {"error": "triggers are not allowed in packages."}
    if web:
        base, inside = f"{call.api_host}/api/v1/web/{call.namespace}", _text(path)
        full = inside if "/" in inside else f"default/{inside}"
        return {"url": f"{base}/{full}{extension}" if path else base}
    collection = "triggers" if args.get("trigger") is True else "actions"
    base = f"{call.api_host}/api/v1/namespaces/{call.namespace}/{collection}"
    return {"url": f"{base}/{_text(path)}" if path else base}


def _namespace(call: Call) -> JSON:
    return {"namespace": call.namespace}


def _smash(call: Call) -> JSON:
    parent = call.arguments.get("$fieldName")
    if not isinstance(parent, str):
        return {"error": "Expected an argument '$fieldName' of type 'string'."}
    return {parent: {key: value for key, value in call.arguments.items() if key != "$fieldName"}}


def _sort(call: Call) -> JSON:
    lines = _lines(call)
    call.log("sort input msg: " + _stringified(dict(call.arguments)))
    call.log("sort before: " + _text(lines))
    lines = sorted(lines, key=lambda value: _text(value).encode("utf-16-be", "surrogatepass"))
    call.log("sort after: " + _text(lines))
    return {"lines": lines, "length": len(lines)}


def _split(call: Call) -> JSON:
    payload = call.arguments.get("payload")
    if payload is None:
        raise _unreadable(call, "payload", "toString")
    text, separator = _text(payload), call.arguments.get("separator")
    lines = text.split(_text(separator)) if separator else _LINE_END.split(text)
    result = {"lines": lines, "payload": payload}
    call.log("split: returning " + _stringified(result))
    return result


def _greeting(call: Call) -> JSON:
    args = call.arguments
    call.log("params:", args)
    name = args.get("name") or args.get("payload") or "stranger"
    place = args.get("place") or "somewhere"
    return {"payload": f"Hello, {_text(name)} from {_text(place)}!"}


def _hello(call: Call) -> JSON:
    payload = call.arguments.get("payload", "undefined")
    call.log("hello", _text(payload) + "!")
    return {}


def _word_count(call: Call) -> JSON:
    text = call.arguments.get("payload")
    if text is None:
        raise _unreadable(call, "payload", "split")
    if not isinstance(text, str):
        raise Thrown("TypeError: str.split is not a function")
    count = len(text.split(" "))
    call.log(f"The message '{text}' has", count, "words")
    return {"count": count}


async def _curl(call: Call) -> JSON:
    url = _text(call.arguments.get("payload") or "")
    call.log("Curl to " + url)
    if shutil.which("curl") is None:
        return {"msg": "/bin/sh: 1: curl: not found\n"}
    command = ["curl", "--connect-timeout", "3", "--", url]
    done = await anyio.run_process(command, check=False, stdin=subprocess.DEVNULL)
    told = (done.stdout if done.returncode == 0 else done.stderr).decode("utf-8", "replace")
    call.log(told)
    return {"msg": told}


BUILTINS: Mapping[str, Builtin] = {
    "utils/echo": _echo,
    "utils/cat": _cat,
    "utils/date": _date,
    "utils/head": _head,
    "utils/hosturl": _hosturl,
    "utils/namespace": _namespace,
    "utils/smash": _smash,
    "utils/sort": _sort,
    "utils/split": _split,
    "samples/greeting": _greeting,
    "samples/helloWorld": _hello,
    "samples/wordCount": _word_count,
    "samples/curl": _curl,
}
_WAITING = frozenset(name for name, one in BUILTINS.items() if inspect.iscoroutinefunction(one))


def _lines(call: Call) -> list[JSON]:
    lines = call.arguments.get("lines") or []
    if not isinstance(lines, list):
        raise Thrown("TypeError: lines is no array")
    return list(lines)


def _unreadable(call: Call, name: str, what: str) -> Thrown:
    value = "null" if name in call.arguments else "undefined"
    return Thrown(f"TypeError: Cannot read properties of {value} (reading '{what}')")


def _text(value: JSON) -> str:
    """`value` as JavaScript makes a text of it."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ",".join(map(_item, value))
    if isinstance(value, dict):
        return "[object Object]"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value)


def _item(value: JSON) -> str:
    return "" if value is None else _text(value)


def _stringified(value: JSON) -> str:
    return to_json(value).decode("utf-8", "replace")


def _inspected(value: JSON) -> str:
    """`value` as `console.log` shows it."""
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"
    if isinstance(value, Mapping):
        pairs = [
            f"{key if key.isidentifier() else _inspected(key)}: {_inspected(one)}"
            for key, one in value.items()
        ]
        return "{ " + ", ".join(pairs) + " }" if pairs else "{}"
    if isinstance(value, list):
        return "[ " + ", ".join(map(_inspected, value)) + " ]" if value else "[]"
    return _text(value)
