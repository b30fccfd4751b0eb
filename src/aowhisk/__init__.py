"""Asyncio-native orchestration for Apache OpenWhisk.

    from aowhisk import Dag, Orchestrator, item

A `Dag` says what to call; an `Orchestrator` runs it, recovers objects that were lost on the way and
gives a `Run`. Errors are in `aowhisk.errors`, events in `aowhisk.events`, the REST API by itself is
`Client`. What actions use inside OpenWhisk is the package `object_store`.
"""

from object_store.version import __version__, check_same_version

check_same_version()

from aowhisk.client import Client  # noqa: E402 -- first a clear word about mixed versions
from aowhisk.dag import Dag, Node, item  # noqa: E402
from aowhisk.errors import (  # noqa: E402
    ActionError,
    ActivationFailed,
    AowhiskError,
    Cancelled,
    ConfigError,
    Conflict,
    GraphError,
    Interrupted,
    MissingObject,
    OpenWhiskError,
    RecoveryFailed,
    RunFailed,
    UnknownRun,
)
from aowhisk.events import RunState, Sink  # noqa: E402
from aowhisk.invoker import Patience  # noqa: E402
from aowhisk.models import Abandoned, Activation, Failed, Outcome, Succeeded  # noqa: E402
from aowhisk.orchestrator import Handle, Orchestrator, run  # noqa: E402
from aowhisk.recovery import Plan, RecoveryPolicy  # noqa: E402
from aowhisk.retry import ErrorClass, RetryPolicy  # noqa: E402
from aowhisk.scheduler import LiveRun, MapOutcome, Run  # noqa: E402
from aowhisk.telemetry import (  # noqa: E402
    ActionTelemetry,
    AttemptTelemetry,
    Bound,
    Meter,
    RecoveryShare,
    Spread,
    Telemetry,
    Transfer,
)

__all__ = [
    "Abandoned",
    "ActionError",
    "ActionTelemetry",
    "Activation",
    "ActivationFailed",
    "AowhiskError",
    "AttemptTelemetry",
    "Bound",
    "Cancelled",
    "Client",
    "ConfigError",
    "Conflict",
    "Dag",
    "ErrorClass",
    "Failed",
    "GraphError",
    "Handle",
    "Interrupted",
    "LiveRun",
    "MapOutcome",
    "Meter",
    "MissingObject",
    "Node",
    "OpenWhiskError",
    "Orchestrator",
    "Outcome",
    "Patience",
    "Plan",
    "RecoveryFailed",
    "RecoveryPolicy",
    "RecoveryShare",
    "RetryPolicy",
    "Run",
    "RunFailed",
    "RunState",
    "Sink",
    "Spread",
    "Succeeded",
    "Telemetry",
    "Transfer",
    "UnknownRun",
    "__version__",
    "item",
    "run",
]
