"""Asyncio-native orchestration for Apache OpenWhisk.

    from aowhisk import Dag, Orchestrator, item

A `Dag` says what to call; an `Orchestrator` runs it, recovers objects that were lost on the way and
gives a `Run`. Errors are in `aowhisk.errors`, events in `aowhisk.events`, the REST API by itself is
`Client`. What actions use inside OpenWhisk is the package `object_store`.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from object_store.version import __version__, check_same_version

check_same_version()

if TYPE_CHECKING:
    from aowhisk.client import Client
    from aowhisk.dag import Dag, Node, item
    from aowhisk.errors import (
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
    from aowhisk.events import RunState, Sink
    from aowhisk.invoker import Patience
    from aowhisk.models import Abandoned, Activation, Failed, Outcome, Succeeded
    from aowhisk.orchestrator import Handle, Load, Orchestrator, run
    from aowhisk.recovery import Plan, RecoveryPolicy
    from aowhisk.retry import ErrorClass, RetryPolicy
    from aowhisk.scheduler import LiveRun, MapOutcome, Run
    from aowhisk.telemetry import (
        ActionTelemetry,
        AttemptTelemetry,
        Bound,
        Meter,
        RecoveryShare,
        Spread,
        Telemetry,
        Transfer,
    )
else:  # each when it is first asked for: `python -m aowhisk serve` needs none of them
    _HOMES = {
        "aowhisk.client": "Client",
        "aowhisk.dag": "Dag Node item",
        "aowhisk.errors": (
            "ActionError ActivationFailed AowhiskError Cancelled ConfigError "
            "Conflict GraphError Interrupted MissingObject OpenWhiskError "
            "RecoveryFailed RunFailed UnknownRun"
        ),
        "aowhisk.events": "RunState Sink",
        "aowhisk.invoker": "Patience",
        "aowhisk.models": "Abandoned Activation Failed Outcome Succeeded",
        "aowhisk.orchestrator": "Handle Load Orchestrator run",
        "aowhisk.recovery": "Plan RecoveryPolicy",
        "aowhisk.retry": "ErrorClass RetryPolicy",
        "aowhisk.scheduler": "LiveRun MapOutcome Run",
        "aowhisk.telemetry": (
            "ActionTelemetry AttemptTelemetry Bound Meter RecoveryShare Spread Telemetry Transfer"
        ),
    }

    def __getattr__(name: str) -> object:
        for home, names in _HOMES.items():
            if name in names.split():
                value = getattr(import_module(home), name)
                break
        else:
            if name.startswith("_") or find_spec(f"{__name__}.{name}") is None:
                raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
            value = import_module(f"{__name__}.{name}")
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


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
    "Load",
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
