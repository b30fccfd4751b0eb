"""What can go wrong.

    AowhiskError
    ├── ConfigError                a setting is missing or wrong
    ├── GraphError                 the dag is wrong; raised before anything is invoked
    ├── Conflict                   a run of this id exists with another dag
    ├── DeployError                a project cannot be deployed; nothing was changed (.problems)
    │   └── DeployFailed           some of it could not be; the next run goes on (.failures)
    ├── OpenWhiskError             OpenWhisk's answer to a request (.status, .request)
    │   ├── Unreachable, Throttled, ServerFault      another try can help
    │   └── Unauthorized, Forbidden, NotFound, Rejected, TooLarge
    ├── ActivationFailed           an action ran and failed (.activation, .attempts)
    │   ├── ActionError            the action returned an error
    │   │   └── MissingObject      ... because an object was gone (.keys): recovery
    │   ├── DeveloperError, PlatformError, TimedOut, OutOfMemory, ResultTooLarge
    │   └── Lost                   unknown for good: no record, no receipt
    ├── RecoveryFailed             a lost object cannot be written again (.key, .reason)
    ├── JournalError, Fenced       the journal cannot be written; another process owns the run
    ├── UnknownRun                 the journal knows no run of this id
    ├── Interrupted                the run was interrupted; it can be resumed
    ├── Cancelled                  the run was ended by handle.cancel()
    └── RunFailed                  calls of the run failed (.run, .failures)

In brackets: attributes. A message says what happened, to what, and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from aowhisk.models import Activation

__all__ = [
    "ActionError",
    "ActivationFailed",
    "AowhiskError",
    "Cancelled",
    "ConfigError",
    "Conflict",
    "DeployError",
    "DeployFailed",
    "DeveloperError",
    "Fenced",
    "Forbidden",
    "GraphError",
    "Interrupted",
    "JournalError",
    "Lost",
    "MissingObject",
    "NotFound",
    "OpenWhiskError",
    "OutOfMemory",
    "PlatformError",
    "RecoveryFailed",
    "Rejected",
    "ResultTooLarge",
    "RunFailed",
    "ServerFault",
    "Throttled",
    "TimedOut",
    "TooLarge",
    "Unauthorized",
    "UnknownRun",
    "Unreachable",
]


class AowhiskError(Exception):
    """Everything that aowhisk raises on purpose."""

    _facts: ClassVar[tuple[str, ...]] = ()

    def facts(self) -> dict[str, Any]:
        """What it says beside its message and its attempt, as JSON."""
        return {name: getattr(self, name) for name in self._facts}


class ConfigError(AowhiskError):
    """A setting is missing or wrong; says which and where it was looked for."""


class GraphError(AowhiskError):
    """The dag is wrong. Raised before anything is invoked.

    `node` names the node, None where it is none's fault.
    """

    def __init__(self, message: str, *, node: str | None = None) -> None:
        super().__init__(f"node {node!r}: {message}" if node is not None else message)
        self.node = node


class Conflict(AowhiskError):
    """A run of this id exists with another dag."""


class DeployError(AowhiskError):
    """A project cannot be deployed as it is; nothing was changed. `problems` are all there are."""

    def __init__(self, message: str, *, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class DeployFailed(DeployError):
    """Parts of a project could not be deployed or removed; running it again goes on from there.

    `failures` maps what failed, such as "action 'split'", to its error; `left` needs one of them,
    and was not tried.
    """

    def __init__(
        self, message: str, *, failures: Mapping[str, AowhiskError], left: Sequence[str] = ()
    ) -> None:
        super().__init__(message, problems=[str(one) for one in failures.values()])
        self.failures = failures
        self.left = tuple(left)


class OpenWhiskError(AowhiskError):
    """OpenWhisk, or what stands before it, did not do as asked.

    `status` is the HTTP status, None where no answer came; `request` is "METHOD path"; `code` is
    OpenWhisk's transaction id, for its operators.
    """

    _facts: ClassVar[tuple[str, ...]] = ("request", "status", "code")
    can_retry: ClassVar[bool] = False
    """Whether the same request may succeed later."""

    def __init__(
        self,
        message: str,
        *,
        request: str,
        status: int | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.request = request
        self.status = status
        self.code = code


class Unreachable(OpenWhiskError):
    """No usable answer: refused, lost, timed out.

    `sent` is False only where the request provably never left.
    """

    can_retry = True
    _facts: ClassVar[tuple[str, ...]] = ("request", "sent")

    def __init__(self, message: str, *, request: str, sent: bool) -> None:
        super().__init__(message, request=request)
        self.sent = sent


class Throttled(OpenWhiskError):
    """429: nothing was accepted.

    `per_minute` tells the minute's budget (True) from too many in flight (False); `count` and
    `allowed` are the numbers of OpenWhisk's text, None where it gives none.
    """

    can_retry = True
    _facts: ClassVar[tuple[str, ...]] = ("request", "per_minute", "count", "allowed", "code")

    def __init__(
        self,
        message: str,
        *,
        request: str,
        per_minute: bool,
        count: int | None = None,
        allowed: int | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message, request=request, status=429, code=code)
        self.per_minute = per_minute
        self.count = count
        self.allowed = allowed


class ServerFault(OpenWhiskError):
    """5xx, or no answer of OpenWhisk's at all, without an activation.

    `accepted` is False where OpenWhisk says it took nothing (503), else unknown (None).
    """

    can_retry = True
    _facts: ClassVar[tuple[str, ...]] = ("request", "status", "accepted", "code")

    def __init__(
        self,
        message: str,
        *,
        request: str,
        status: int,
        accepted: bool | None,
        code: str | None = None,
    ) -> None:
        super().__init__(message, request=request, status=status, code=code)
        self.accepted = accepted


class Unauthorized(OpenWhiskError):
    """401: the key is missing or wrong."""


class Forbidden(OpenWhiskError):
    """403: the key is right, but not for this."""


class NotFound(OpenWhiskError):
    """404: no such entity; for an activation also "not stored yet"."""


class Rejected(OpenWhiskError):
    """Any other 4xx: OpenWhisk refused what was asked, or would have (`status` is None then)."""


class TooLarge(OpenWhiskError):
    """413, or refused here because it would be one."""


class ActivationFailed(AowhiskError):
    """An action was run and failed.

    `activation` is the record of the last attempt (None where there is none), `attempts` how many
    tries there were, `action` and `call` what failed.
    """

    can_retry: ClassVar[bool] = True
    """Whether another try of the same call can help."""

    def __init__(
        self,
        message: str,
        *,
        action: str,
        call: str | None = None,
        activation: Activation | None = None,
        attempts: int = 1,
    ) -> None:
        super().__init__(message)
        self.action = action
        self.call = call
        self.activation = activation
        self.attempts = attempts


class ActionError(ActivationFailed):
    """The action returned an error: `code` and `message` as it gave them, `meta` its facts."""

    _facts: ClassVar[tuple[str, ...]] = ("code", "meta")

    def __init__(
        self,
        message: str,
        *,
        code: str = "Error",
        meta: Mapping[str, Any] | None = None,
        **facts: Any,
    ) -> None:
        super().__init__(message, **facts)
        self.code = code
        self.meta: Mapping[str, Any] = meta or {}


class MissingObject(ActionError):
    """The action failed because objects were gone.

    `keys` are "bucket/name", `key` the first of them.
    """

    _facts: ClassVar[tuple[str, ...]] = ("code", "meta", "keys")

    def __init__(self, message: str, *, keys: Sequence[str], **facts: Any) -> None:
        super().__init__(message, **facts)
        self.keys = tuple(keys)

    @property
    def key(self) -> str:
        """The first missing key."""
        return self.keys[0]


class DeveloperError(ActivationFailed):
    """The action did not run properly: it crashed, could not be loaded, or returned no object."""


class PlatformError(ActivationFailed):
    """OpenWhisk failed the activation ("whisk internal error"); `throttled` where its scheduler
    refused it for the namespace's limits after it had been accepted."""

    _facts: ClassVar[tuple[str, ...]] = ("throttled",)

    def __init__(self, message: str, *, throttled: bool = False, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.throttled = throttled


class TimedOut(ActivationFailed):
    """The action ran over its time limit."""


class OutOfMemory(ActivationFailed):
    """The action ran over its memory limit."""

    can_retry = False


class ResultTooLarge(ActivationFailed):
    """The result was over OpenWhisk's limit and was cut; put large results into the store."""

    can_retry = False


class Lost(ActivationFailed):
    """The attempt was sent, and what became of it cannot be known: no record, no receipt.

    `candidates` are ids of activations that may be it.
    """

    can_retry = False
    _facts: ClassVar[tuple[str, ...]] = ("candidates",)

    def __init__(self, message: str, *, candidates: Sequence[str] = (), **facts: Any) -> None:
        super().__init__(message, **facts)
        self.candidates = tuple(candidates)


class RecoveryFailed(AowhiskError):
    """A lost object cannot be written again.

    `reason` is one of `no known writer`, `not idempotent`, `budget`, `overwritten`, `cycle`,
    `stores differ`, `keeps vanishing`, `writer failed`; `plan` is what was going to run, None
    where there was none.
    """

    _facts: ClassVar[tuple[str, ...]] = ("key", "reason")

    def __init__(self, message: str, *, key: str, reason: str, plan: object = None) -> None:
        super().__init__(message)
        self.key = key
        self.reason = reason
        self.plan = plan


class JournalError(AowhiskError):
    """The journal cannot be written or read."""


class Fenced(AowhiskError):
    """Another process owns this run now; this one has stopped sending."""


class UnknownRun(AowhiskError):
    """The journal knows no run of this id."""


class Interrupted(AowhiskError):
    """The run was interrupted; what it had in flight was left to the cluster."""


class Cancelled(AowhiskError):
    """The run was ended by `handle.cancel()`."""


class RunFailed(AowhiskError):
    """Calls of the run failed for good.

    `run` carries every outcome and what never started; `failures` maps the ids of failed calls to
    their errors.
    """

    def __init__(self, message: str, *, run: Any, failures: Mapping[str, AowhiskError]) -> None:
        super().__init__(message)
        self.run = run
        self.failures = failures
