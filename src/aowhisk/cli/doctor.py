"""`aowhisk doctor`: is everything there that a run needs."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

import anyio
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from aowhisk.config import survey
from aowhisk.doctor import CHECKS, Finding, Needs, State, examine
from aowhisk.errors import ConfigError
from aowhisk.manifest import Manifest

__all__ = ["doctor"]

_MARKS = {
    State.OK: ("✓", "green"),
    State.WARNING: ("!", "yellow"),
    State.FAILED: ("✗", "red"),
    State.SKIPPED: ("-", "dim"),
}
_WIDE = 400
_WIDTH = max(len(check.name) for check in CHECKS)


def doctor(
    profile: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A file with settings, as `make cluster` writes it.",
            show_default="WSK_CONFIG_FILE or ~/.wskprops",
        ),
    ] = None,
    manifest: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="A manifest.yaml whose limits are to be enough; may be repeated.",
            show_default="the examples' limits",
        ),
    ] = None,
    apihost: Annotated[str | None, typer.Option(metavar="URL", help="OpenWhisk's URL.")] = None,
    store: Annotated[str | None, typer.Option(metavar="URL", help="The store's URL.")] = None,
    journal: Annotated[str | None, typer.Option(metavar="URL", help="The journal's URL.")] = None,
    invoke: Annotated[
        bool, typer.Option("--invoke", help="Make an action, run it, and delete it again.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Check host, TLS, key, clock, limits, kinds, store and journal, and say what to do.

    Exit status 0: a run can start, whatever was warned of. 1: something failed. Nothing is changed,
    but for one object in the store (and, with --invoke, one action) that is deleted again.
    """
    logging.getLogger("aowhisk").addHandler(logging.NullHandler())  # findings say it
    environ = dict(os.environ)
    if profile is not None:
        if not profile.is_file():
            raise ConfigError(f"there is no profile {profile}; `make cluster` writes one")
        environ["WSK_CONFIG_FILE"] = str(profile)
    settings = survey(environ, apihost=apihost, store=store, journal=journal)
    manifests = [Manifest.load(each) for each in manifest or ()]
    needs = Needs.of(manifests) if manifests else Needs()
    console = None if as_json else _console()
    found = anyio.run(lambda: _examine(examine(settings, needs=needs, invoke=invoke), console))
    broken = [name for name, finding in found.items() if finding.state is State.FAILED]
    if as_json:
        rows = [{"check": name, **finding.to_json()} for name, finding in found.items()]
        typer.echo(json.dumps({"ok": not broken, "checks": rows}, indent=2))
    raise typer.Exit(1 if broken else 0)


async def _examine(
    findings: AsyncIterator[tuple[str, Finding]], console: Console | None
) -> dict[str, Finding]:
    found = {}
    async for name, finding in findings:
        found[name] = finding
        if console is not None:
            _print(console, name, finding)
    if console is not None:
        _sum_up(console, found)
    return found


def _console() -> Console:
    """One line a finding where nobody watches, so that commands in it stay whole."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_WIDE)


def _print(console: Console, name: str, finding: Finding) -> None:
    mark, style = _MARKS[finding.state]
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=1)
    grid.add_column(width=_WIDTH)
    grid.add_column(overflow="fold")
    dim = "dim" if finding.state is State.SKIPPED else ""
    grid.add_row(Text(mark, style), Text(name, dim or "bold"), Text(finding.found, dim))
    if finding.todo is not None:
        grid.add_row("", "", Text(f"→ {finding.todo}", style))
    console.print(grid)


def _sum_up(console: Console, found: dict[str, Finding]) -> None:
    count = {state: sum(f.state is state for f in found.values()) for state in State}
    if count[State.FAILED]:
        told, style = f"failed: {count[State.FAILED]} of {len(found)}", "red"
    elif count[State.WARNING]:
        told, style = f"runs can start; warnings: {count[State.WARNING]}", "yellow"
    else:
        told, style = "all is well", "green"
    console.print(Text(f"\n{told}", style))
