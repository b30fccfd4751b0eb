"""`aowhisk` on the command line; one module a group of commands."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console

from aowhisk.cli import deploy, doctor, journal, local, runs, serve
from aowhisk.errors import AowhiskError, ConfigError
from object_store.version import __version__

__all__ = ["app", "main"]

app = typer.Typer(
    name="aowhisk",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Orchestrate Apache OpenWhisk, or run a small one on this machine.",
)
app.command("run")(runs.run)
app.command("resume")(runs.resume)
app.command("cancel")(runs.cancel)
app.command("recover")(runs.recover)
app.command("worker")(runs.worker)
app.command("deploy")(deploy.deploy)
app.command("undeploy")(deploy.undeploy)
app.command("export")(deploy.export_manifest)
app.command("serve")(serve.serve_on_port)
app.command("invoke-local")(local.invoke_local)
app.command("doctor")(doctor.doctor)
app.add_typer(journal.app, name="journal")
_err = Console(stderr=True, highlight=False, soft_wrap=True)


def main() -> None:
    """The console entry: what goes wrong on purpose is one line, anything else a traceback."""
    try:
        app()
    except AowhiskError as error:
        _err.print(f"aowhisk: {error}", markup=False)
        sys.exit(2 if isinstance(error, ConfigError) else 1)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"aowhisk {__version__}")
        raise typer.Exit


@app.callback()
def _aowhisk(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None: ...
