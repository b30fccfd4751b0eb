"""The orchestrator: runs dags, and code that calls actions, against one OpenWhisk namespace."""

from __future__ import annotations

from typing import Any

import anyio

from aowhisk.dag import Dag
from aowhisk.orchestrator.facade import Orchestrator
from aowhisk.orchestrator.handle import Handle
from aowhisk.orchestrator.load import Load
from aowhisk.scheduler import Run

__all__ = ["Handle", "Load", "Orchestrator", "run"]


def run(dag: Dag, *, id: str | None = None, **options: Any) -> Run:
    """Run a dag from a script, without an event loop: `Orchestrator.from_env(**options)` runs it to
    its end. Raises what `Orchestrator.run` raises."""

    async def main() -> Run:
        async with Orchestrator.from_env(**options) as orchestrator:
            return await orchestrator.run(dag, id=id)

    return anyio.run(main)
