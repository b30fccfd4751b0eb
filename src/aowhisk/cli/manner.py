"""How a plan is shown and carried out on the command line."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio
import typer

from aowhisk.client import Client
from aowhisk.config import Settings
from aowhisk.deploy import Change, Operation, Plan, Step, apply
from aowhisk.errors import AowhiskError, ConfigError, DeployFailed

__all__ = ["SOMETHING", "Manner", "carry_out"]

SOMETHING = 3
"""The exit code of `--plan --exit-code` where there is something to do."""
_SIGNS = {
    Operation.CREATE: "+",
    Operation.UPDATE: "~",
    Operation.DELETE: "-",
    Operation.RELEASE: "<",
    Operation.KEEP: "=",
}
_DONE = {
    Operation.CREATE: "created",
    Operation.UPDATE: "updated",
    Operation.DELETE: "deleted",
    Operation.RELEASE: "left to others",
    Operation.KEEP: "unchanged",
}


@dataclass(frozen=True, slots=True)
class Manner:
    """What the options of deploy and undeploy ask for."""

    only_plan: bool
    exit_code: bool
    parallel: int
    as_json: bool

    def __post_init__(self) -> None:
        if self.exit_code and not self.only_plan:
            raise ConfigError("--exit-code goes with --plan")


def carry_out(
    settings: Settings, planned: Callable[[Client], Awaitable[Plan]], manner: Manner
) -> None:
    """Make the plan, show it or do it, and exit as it went."""

    def tell(step: Step, error: AowhiskError | None) -> None:
        if not manner.as_json:
            said = _DONE[step.operation] if error is None else str(error)
            typer.echo(f"{step}: {said}", err=error is not None)

    async def run() -> tuple[Plan, DeployFailed | None]:
        async with Client.from_settings(settings) as client:
            found = await planned(client)
            if not manner.as_json:
                _show(found, whole=manner.only_plan)
            try:
                if not manner.only_plan:
                    await apply(client, found, concurrency=manner.parallel, progress=tell)
            except DeployFailed as failed:
                return found, failed
            return found, None

    found, failed = anyio.run(run)
    _end(found, failed, manner)


def _end(found: Plan, failed: DeployFailed | None, manner: Manner) -> None:
    if manner.as_json:
        failures = {} if failed is None else {k: str(e) for k, e in failed.failures.items()}
        left = [] if failed is None else list(failed.left)
        shown = {**found.to_json(), "applied": not manner.only_plan}
        shown |= {"failures": failures, "left": left}
        typer.echo(json.dumps(shown, ensure_ascii=False, indent=2))
    elif failed is None:
        typer.echo(_summary(found, manner.only_plan))
    if failed is not None:
        typer.echo(
            f"aowhisk: {len(failed.failures) + len(failed.left)} of {len(found.work)} could not be "
            "done; run it again to go on from here",
            err=True,
        )
        raise typer.Exit(1)
    if manner.exit_code and found.work:
        raise typer.Exit(SOMETHING)


def _show(found: Plan, *, whole: bool) -> None:
    for note in found.notes:
        typer.echo(f"note: {note}", err=True)
    if not whole:
        return
    for step in found.steps:
        if step.operation is Operation.KEEP and step.note is None:
            continue
        note = f" ({step.note})" if step.note else ""
        typer.echo(f"{_SIGNS[step.operation]} {step}{note}")
        for change in step.changes:
            typer.echo(f"    {change.field}: {_text(change, step.operation)}")


def _text(change: Change, operation: Operation) -> str:
    if operation is Operation.CREATE:
        return "(hidden)" if change.is_secret else json.dumps(change.new)
    if change.is_secret:
        return "changes (hidden)"
    return f"{json.dumps(change.old)} -> {json.dumps(change.new)}"


def _summary(found: Plan, only_plan: bool) -> str:
    counts = [
        f"{found.count(operation)} {'to ' + operation.value if only_plan else _DONE[operation]}"
        for operation in (Operation.CREATE, Operation.UPDATE, Operation.DELETE, Operation.RELEASE)
        if found.count(operation)
    ]
    unchanged = found.count(Operation.KEEP)
    counts += [f"{unchanged} unchanged"] if unchanged else []
    text = ", ".join(counts) or "nothing to do"
    return f"project {found.project!r} in namespace {found.namespace!r}: {text}"
