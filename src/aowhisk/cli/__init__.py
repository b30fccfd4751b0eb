"""`aowhisk` on the command line; one module a group of commands."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Annotated

import typer
from rich.console import Console

from aowhisk.errors import AowhiskError, ConfigError
from object_store.version import __version__

__all__ = ["app_of", "main"]

_COMMANDS = {
    "run": "runs.run",
    "resume": "runs.resume",
    "cancel": "runs.cancel",
    "recover": "runs.recover",
    "worker": "runs.worker",
    "deploy": "deploy.deploy",
    "undeploy": "deploy.undeploy",
    "export": "deploy.export_manifest",
    "serve": "serve.serve_on_port",
    "invoke-local": "local.invoke_local",
    "doctor": "doctor.doctor",
    "journal": "journal.app",
}
_err = Console(stderr=True, highlight=False, soft_wrap=True)


def main() -> None:
    """The console entry: what goes wrong on purpose is one line, anything else a traceback."""
    named = [name for name in sys.argv[1:2] if name in _COMMANDS]
    try:
        app_of(named or _COMMANDS)()
    except AowhiskError as error:
        _err.print(f"aowhisk: {error}", markup=False)
        sys.exit(2 if isinstance(error, ConfigError) else 1)


def app_of(commands: Iterable[str] = _COMMANDS) -> typer.Typer:
    """The application with these commands; what the others need is not imported."""
    app = typer.Typer(
        name="aowhisk",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="Orchestrate Apache OpenWhisk, or run a small one on this machine.",
    )
    for command in commands:
        module, _, name = _COMMANDS[command].partition(".")
        found = getattr(import_module(f"{__name__}.{module}"), name)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=command)
        else:
            app.command(command)(found)
    app.callback()(_aowhisk)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"aowhisk {__version__}")
        raise typer.Exit


def _aowhisk(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None: ...
