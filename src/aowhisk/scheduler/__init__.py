"""The scheduler: runs of dags and of code, through one engine, with recovery."""

from aowhisk.scheduler.execution import Execution, Parts
from aowhisk.scheduler.live_run import LiveRun
from aowhisk.scheduler.prober import Prober
from aowhisk.scheduler.recoverer import Recoverer, Recovery, plan_for
from aowhisk.scheduler.run import MapOutcome, NodeOutcome, Run

__all__ = [
    "Execution",
    "LiveRun",
    "MapOutcome",
    "NodeOutcome",
    "Parts",
    "Prober",
    "Recoverer",
    "Recovery",
    "Run",
    "plan_for",
]
