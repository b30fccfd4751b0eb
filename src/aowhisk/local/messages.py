"""What a container is sent for an invocation, and what its answers mean."""

from __future__ import annotations

import json
import time

from aowhisk.local.container import Answer, Container, Ending, Outcome
from aowhisk.local.entities import is_truthy
from aowhisk.local.http import to_json
from aowhisk.local.invocation import Invocation
from aowhisk.local.outcome import Response
from aowhisk.local.runtimes import Runtime
from aowhisk.models import JSON

__all__ = ["init_failure", "init_request", "response_of", "run_request"]


def init_request(invocation: Invocation) -> bytes:
    """The line that loads the action."""
    exec_ = invocation.action.exec
    value = {
        "code": exec_.get("code", ""),
        "binary": bool(exec_.get("binary")),
        "main": exec_.get("main") or "main",
        "env": {f"__OW_{k.upper()}": v for k, v in _context(invocation).items()}
        | dict(invocation.environ),
    }
    return to_json({"init": value}) + b"\n"


def run_request(invocation: Invocation) -> bytes:
    """The line that runs it."""
    request: dict[str, JSON] = {"value": invocation.arguments, **_context(invocation)}
    return to_json(request) + b"\n"


def init_failure(outcome: Outcome, invocation: Invocation, container: Container) -> Response | None:
    """What became of an initialisation: None if all is well."""
    if isinstance(outcome, Ending):
        return _unanswered(outcome, invocation, container.runtime, during_init=True)
    try:
        answer = json.loads(outcome.text)
    except ValueError:
        answer = None
    if isinstance(answer, dict) and answer.get("ok") is True:
        return None
    if isinstance(answer, dict) and isinstance(answer.get("error"), str):
        failed = outcome.failed  # told by the runtime in the whole, not by its proxy
        return Response.failed(outcome.text) if failed else Response.proxy(answer["error"])
    container.logs.add("stderr", "The action did not initialize properly.")
    return Response.proxy(container.runtime.proxy.not_started)


def response_of(outcome: Outcome, invocation: Invocation, runtime: Runtime) -> Response:
    """What became of a run."""
    if isinstance(outcome, Answer):
        return Response.failed(outcome.text) if outcome.failed else Response.of(outcome.text)
    return _unanswered(outcome, invocation, runtime, during_init=False)


def _unanswered(
    ending: Ending, invocation: Invocation, runtime: Runtime, *, during_init: bool
) -> Response:
    if ending is Ending.OVER_TIME:
        limit = invocation.action.limits["timeout"]
        return Response.over_time(limit, during_init=during_init)
    if ending is Ending.OUT_OF_MEMORY:
        return Response.out_of_memory()
    proxy = runtime.proxy
    text = proxy.not_started if during_init else proxy.exited
    return Response.proxy(text) if proxy.answered else Response.developer_error(text)


def _context(invocation: Invocation) -> dict[str, str]:
    """What an action finds as `__OW_...`."""
    action = invocation.action
    context = {
        "namespace": invocation.user.namespace,
        "action_name": f"/{action.path}",
        "action_version": action.version,
        "activation_id": invocation.id,
        "transaction_id": invocation.transaction,
        "deadline": str(int((time.time() + invocation.seconds) * 1000)),
    }
    if is_truthy(action.annotations.get("provide-api-key", True)):
        context["api_key"] = invocation.user.auth
    return context
