"""`aowhisk run`, `resume`, `cancel`, `recover` and `worker`: runs on the command line."""

from __future__ import annotations

import json
import signal
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Annotated, Any

import anyio
import typer
from rich.console import Console

from aowhisk.cli.flow import load_flow
from aowhisk.cli.params import params_of
from aowhisk.errors import RunFailed
from aowhisk.orchestrator import Orchestrator
from aowhisk.progress import Progress, Tally, report
from aowhisk.scheduler import Run

__all__ = ["cancel", "recover", "resume", "run", "worker"]

_WHERE, _WHAT = "Where", "What"
_Local = Annotated[
    Path | None,
    typer.Option(
        metavar="MANIFEST",
        help="In an OpenWhisk of its own, with these actions; all it keeps is in .aowhisk/.",
        rich_help_panel=_WHERE,
    ),
]
_Journal = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="sqlite:///path or mongodb://host/database",
        show_default="AOWHISK_JOURNAL",
        rich_help_panel=_WHERE,
    ),
]
_Store = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Where objects are.",
        show_default="AOWHISK_STORE",
        rich_help_panel=_WHERE,
    ),
]
_RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")]
_Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show neither progress nor the table.")]


def run(
    flow: Annotated[
        str,
        typer.Argument(
            metavar="FLOW",
            help="A dag as JSON ('-': standard input), or FILE.py:NAME, a Dag or a function that "
            "returns one.",
        ),
    ],
    param: Annotated[
        list[str] | None,
        typer.Option(
            "--param",
            "-p",
            metavar="KEY=VALUE",
            help="For the function; VALUE is JSON, else text.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    id: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="One that exists is joined.", rich_help_panel=_WHAT),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", "-l", metavar="KEY=VALUE", rich_help_panel=_WHAT),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(
            "--concurrency", "-c", min=1, help="Calls at once, at most.", rich_help_panel=_WHAT
        ),
    ] = None,
    queue: Annotated[
        bool, typer.Option("--queue", help="Leave it to a worker, and print its id.")
    ] = False,
    local: _Local = None,
    journal: _Journal = None,
    store: _Store = None,
    quiet: _Quiet = False,
) -> None:
    """Run a dag to its end, and print the results of its nodes as JSON."""
    labels = {key: str(value) for key, value in params_of(label or [], None).items()}
    dag = load_flow(flow, params_of(param or [], None))

    async def begin(orchestrator: Orchestrator) -> None:
        handle = await orchestrator.submit(dag, id=id, labels=labels, concurrency=concurrency)
        await _see_through(orchestrator, handle.id, handle, quiet=quiet)

    async def leave(orchestrator: Orchestrator) -> None:
        known = await orchestrator.enqueue(dag, id=id, labels=labels, concurrency=concurrency)
        typer.echo(known)

    opened = _opened(local, journal, store)
    if queue:
        _carry_out(opened, leave, quiet=True)
    else:
        _carry_out(opened, begin, quiet=quiet)


def resume(
    run: _RunId,
    local: _Local = None,
    journal: _Journal = None,
    store: _Store = None,
    quiet: _Quiet = False,
) -> None:
    """Go on with a run that was interrupted, lost its process, or failed."""

    async def go_on(orchestrator: Orchestrator) -> None:
        await _see_through(orchestrator, run, orchestrator.resume(run), quiet=quiet)

    _carry_out(_opened(local, journal, store), go_on, quiet=quiet)


def cancel(run: _RunId, local: _Local = None, journal: _Journal = None) -> None:
    """End a run, whichever process is at work on it."""

    async def end(orchestrator: Orchestrator) -> None:
        handle = orchestrator.handle(run)
        await handle.cancel()
        typer.echo(f"run {run}: {(await handle.look()).state.value}")

    _carry_out(_opened(local, journal, None), end, quiet=True)


def recover(
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="As bucket/name.")],
    plan: Annotated[
        bool, typer.Option("--plan", help="Only tell what would be run again.")
    ] = False,
    local: _Local = None,
    journal: _Journal = None,
    store: _Store = None,
    quiet: _Quiet = False,
) -> None:
    """Make these objects exist, running again the fewest of the calls that lead to them."""

    async def ensure(orchestrator: Orchestrator) -> None:
        found = await (orchestrator.plan_recovery if plan else orchestrator.ensure)(*keys)
        typer.echo(found.describe())

    _carry_out(_opened(local, journal, store), ensure, quiet=quiet or plan)


def worker(
    at_once: Annotated[int, typer.Option(min=1, metavar="N", help="Runs at once, at most.")] = 10,
    journal: _Journal = None,
    store: _Store = None,
    quiet: _Quiet = False,
) -> None:
    """Take runs that are queued in the journal, and those whose process died, until Ctrl-C or
    SIGTERM. Any number of workers may share a journal."""

    async def serve(orchestrator: Orchestrator) -> None:
        typer.echo(f"taking runs from {orchestrator.recorder.journal!r}")
        await orchestrator.serve(at_once=at_once)

    _carry_out(_opened(None, journal, store), serve, quiet=quiet)


_Opened = Callable[[], AbstractAsyncContextManager[Orchestrator]]


def _opened(local: Path | None, journal: str | None, store: str | None) -> _Opened:
    given: dict[str, Any] = {"journal": journal, "store": store}
    chosen = {name: value for name, value in given.items() if value is not None}
    if local is not None:
        return lambda: Orchestrator.local(local, **chosen)
    return lambda: Orchestrator.from_env(**chosen)


def _carry_out(
    opened: _Opened, what: Callable[[Orchestrator], Awaitable[None]], *, quiet: bool
) -> None:
    """Do it with an open orchestrator; SIGINT and SIGTERM interrupt it, and are its exit code."""
    code = anyio.run(_until_signalled, opened, what, quiet)
    if code:
        raise typer.Exit(code)


async def _until_signalled(
    opened: _Opened, what: Callable[[Orchestrator], Awaitable[None]], quiet: bool
) -> int:
    code, errors = 0, []
    async with anyio.create_task_group() as group:

        async def work() -> None:
            try:
                async with opened() as orchestrator:
                    if quiet:
                        await what(orchestrator)
                    else:
                        with Progress() as progress:
                            orchestrator.recorder.add(progress)
                            await what(orchestrator)
            except Exception as error:  # noqa: BLE001 -- raised below, not in a group
                errors.append(error)
            group.cancel_scope.cancel()

        group.start_soon(work)
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for number in signals:
                code = 128 + number
                group.cancel_scope.cancel()
                break
    if errors and not code:
        raise errors[0]
    return code


async def _see_through(
    orchestrator: Orchestrator, id: str, ended: Awaitable[Run], *, quiet: bool
) -> None:
    """Wait for a run, and tell how it went: a table for people on stderr, the results on stdout."""
    failed: RunFailed | None = None
    try:
        run = await ended
    except RunFailed as error:
        run, failed = error.run, error
    except anyio.get_cancelled_exc_class():
        typer.echo(f"run {id} is interrupted; `aowhisk resume {id}` goes on with it", err=True)
        raise
    if not quiet:
        report(Tally.of(await orchestrator.recorder.journal.read(id)), Console(stderr=True))
    nodes = {id: node.result for id, node in run.nodes.items() if hasattr(node, "result")}
    shown = {"run": run.id, "state": run.state.value, "results": nodes}
    typer.echo(json.dumps(shown, ensure_ascii=False, indent=2))
    if failed is not None:
        raise failed
