"""`aowhisk journal`: what a journal knows, and forgetting what is old."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeVar

import anyio
import typer

from aowhisk.errors import ConfigError
from aowhisk.events import open_journal, take_in_spool
from aowhisk.events.damage import damages, move_aside
from aowhisk.events.model import RunState
from aowhisk.events.sqlite import SqliteJournal
from aowhisk.history import CallSummary, History, ObjectUse, RunSummary
from aowhisk.retention import Pruning, plan_pruning, prune
from aowhisk.telemetry import Telemetry
from object_store import ObjectStore, StoreError, open_store
from object_store.errors import InvalidKey

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Ask a journal, or let it forget what is old.")

_T = TypeVar("_T")
_Url = Annotated[
    str,
    typer.Option(
        "--journal",
        envvar="AOWHISK_JOURNAL",
        metavar="URL",
        help="sqlite:///path or mongodb://host/database",
    ),
]
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AT_ONCE = 50  # HEAD requests


@app.command("runs")
def _runs(
    journal: _Url,
    name: Annotated[str | None, typer.Option(help="Only runs of this name.")] = None,
    state: Annotated[RunState | None, typer.Option(help="Only runs in this state.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="AGE", help="Only runs begun since, as 12h or 7d.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="As many at most.")] = 50,
) -> None:
    """List runs, newest first."""
    begun = None if since is None else _ago(since)

    async def ask(history: History) -> list[RunSummary]:
        return await history.runs(name=name, state=state, since=begun, limit=limit)

    rows = [
        (r.run, r.name, r.state.value, _time(r.started), _seconds(r.seconds))
        for r in _asked(journal, ask)
    ]
    _print(("run", "name", "state", "started", "seconds"), rows)


@app.command("show")
def _show(run: Annotated[str, typer.Argument(metavar="RUN")], journal: _Url) -> None:
    """Show the calls of a run, and where its time went."""

    async def ask(history: History) -> tuple[list[CallSummary], Telemetry]:
        return await history.calls(run), await history.telemetry(run)

    calls, telemetry = _asked(journal, ask)
    if not telemetry.run:
        raise ConfigError(f"the journal knows no run {run!r}; `aowhisk journal runs` lists them")
    rows = [
        (
            call.call if call.run == run else f"{call.run}/{call.call}",
            call.action,
            call.state.value,
            str(call.attempts),
            _seconds(call.seconds),
            f"{call.error_class or ''} {call.error or ''}".strip(),
        )
        for call in calls
    ]
    _print(("call", "action", "state", "attempts", "seconds", "error"), rows)
    typer.echo()
    for line in _told(telemetry):
        typer.echo(line)


@app.command("why")
def _why(
    key: Annotated[str, typer.Argument(metavar="KEY", help="bucket/name")],
    journal: _Url,
    limit: Annotated[int, typer.Option(min=1, help="As many of each at most.")] = 20,
) -> None:
    """Tell who wrote an object and who read it, over all runs, newest first."""

    async def ask(history: History) -> list[tuple[str, ObjectUse]]:
        wrote = await history.who_wrote(key, limit=limit)
        read = await history.who_read(key, limit=limit)
        return [("wrote", each) for each in wrote] + [("read", each) for each in read]

    uses = _asked(journal, ask)
    if not uses:
        raise ConfigError(f"the journal knows nobody who wrote or read {key!r}")
    rows = [
        (
            did,
            f"{use.run}/{use.call}",
            use.action,
            _time(use.at),
            "?" if use.size is None else str(use.size),
            use.etag or "declared",
            "" if use.by is None or did == "wrote" else f"of {use.by}",
        )
        for did, use in uses
    ]
    _print(("", "call", "action", "at", "bytes", "etag", "version"), rows)


@app.command("prune")
def _prune(
    journal: _Url,
    older_than: Annotated[str, typer.Option(metavar="AGE", help="As 30d or 12h.")],
    keep_lineage: Annotated[
        bool, typer.Option(help="Keep who wrote the objects that are there.")
    ] = True,
    store: Annotated[
        str | None,
        typer.Option(
            envvar="AOWHISK_STORE",
            metavar="URL",
            help="Where to look what is there; without it every object counts as there.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Forget the runs that ended so long ago."""
    before = _ago(older_than)
    anyio.run(take_in_spool, journal)
    exists = None if store is None else _looker(store)
    plan = anyio.run(lambda: plan_pruning(journal, before, lineage=keep_lineage, exists=exists))
    typer.echo(_described(plan))
    if not plan.runs:
        return
    if not yes:
        typer.confirm("Forget them?", abort=True)
    typer.echo(f"{anyio.run(prune, plan)} events deleted; their room is used again")


@app.command("repair")
def _repair(
    journal: _Url,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Look whether a journal's file is damaged, and move it aside if so."""
    opened = open_journal(journal)
    if not isinstance(opened, SqliteJournal):
        raise ConfigError(f"{journal!r} is no file; repair works on sqlite:///path")
    path = opened.path
    found = damages(path)
    if not found:
        typer.echo(f"{path} is sound; nothing was changed")
        return
    typer.echo(f"{path} is damaged:")
    for each in found:
        typer.echo(f"  {each}")
    typer.echo("A new journal will know nothing of the runs in it.")
    if not yes:
        typer.confirm("Move it aside?", abort=True)
    aside = move_aside(path)
    typer.echo(
        f"it is {aside} now; `sqlite3 {aside} .recover` may bring back more of it, and the next "
        f"start begins a new journal at {path}"
    )


def _asked(url: str, ask: Callable[[History], Awaitable[_T]]) -> _T:
    async def run() -> _T:
        await take_in_spool(url)
        async with History.open(url) as history:
            return await ask(history)

    return anyio.run(run)


def _looker(url: str) -> Callable[[Collection[str]], Awaitable[set[str]]]:
    """Gives those of some keys that are in the store."""

    async def look(keys: Collection[str]) -> set[str]:
        room, there = anyio.CapacityLimiter(_AT_ONCE), set()
        failed: list[StoreError] = []

        async def one(store: ObjectStore, key: str) -> None:
            async with room:
                try:
                    if not failed and await store.exists(key):
                        there.add(key)
                except InvalidKey:
                    return  # it cannot be there
                except StoreError as error:
                    failed.append(error)

        async with open_store(url) as store, anyio.create_task_group() as group:
            for key in keys:
                group.start_soon(one, store, key)
        if failed:
            raise ConfigError(f"cannot look what is in the store: {failed[0]}") from failed[0]
        return there

    return look


def _ago(age: str) -> datetime:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", age)
    if not found:
        raise ConfigError(f"{age!r} is no age; write a number and s, m, h, d or w, as 30d")
    try:
        return datetime.now(UTC) - timedelta(**{_UNITS[found[2]]: float(found[1])})
    except OverflowError as error:
        raise ConfigError(f"{age} is longer ago than time goes back") from error


def _described(plan: Pruning) -> str:
    lines = [f"{len(plan.runs)} runs ended before {_time(plan.before)}"]
    if plan.trimmed:
        lines.append(
            f"of {len(plan.trimmed)} of them the lineage stays: {len(plan.kept)} attempts, "
            f"for {plan.objects} objects"
        )
    if plan.unfinished:
        lines.append(f"{plan.unfinished} older runs have not ended and stay")
    return "; ".join(lines)


def _told(found: Telemetry) -> list[str]:
    recovery, requests = found.recovery, found.requests
    lines = [
        f"{found.name}: {found.calls} calls in {found.makespan:.2f} s; {found.bound.seconds:.2f} s "
        f"at best ({found.efficiency:.0%})",
        f"attempts {len(found.attempts)}, retries {found.retries}, lost {found.lost}, "
        f"cold starts {found.cold_starts}, {found.gb_seconds:.3f} GB s",
        "seconds of all attempts: "
        + ", ".join(f"{name} {seconds:.2f}" for name, seconds in found.parts.items()),
    ]
    if recovery.repairs or recovery.reruns:
        lines.append(
            f"recovery: {len(recovery.objects)} objects by {recovery.repairs} calls, "
            f"{recovery.seconds:.2f} s ({recovery.share:.0%} of all)"
        )
    if requests is not None:
        lines.append(
            f"requests {requests.total}: {requests.invokes} invocations "
            f"({requests.throttled} refused), {requests.polls} polls, {requests.lists} lists, "
            f"{requests.heads} heads"
        )
    return lines


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%SZ")


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _print(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns, one line a row however wide: for people and for grep."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip().replace("\n", " "))
