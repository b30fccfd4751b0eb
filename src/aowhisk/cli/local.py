"""`aowhisk invoke-local`: one action in this very process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from aowhisk.cli.params import params_of
from aowhisk.errors import ConfigError
from aowhisk.local.debug import call_here
from aowhisk.manifest import Manifest
from object_store.wire import STORE_URL

__all__ = ["invoke_local"]


def invoke_local(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST")],
    name: Annotated[str, typer.Argument(help="action, or package/action")],
    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", metavar="KEY=VALUE", help="VALUE is JSON, else text."),
    ] = None,
    param_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A JSON object of params.")
    ] = None,
    store: Annotated[
        str | None, typer.Option(metavar="URL", help="The object store of the action.")
    ] = None,
) -> None:
    """Run one action in this very process, for a debugger, and print its result."""
    actions = Manifest.load(manifest).actions
    if name not in actions:
        raise ConfigError(f"{manifest} declares no action {name!r}; it has {', '.join(actions)}")
    params = params_of(param or [], param_file)
    result = call_here(actions[name], params, {} if store is None else {STORE_URL: store})
    typer.echo(json.dumps(result, ensure_ascii=False, indent=2))
    if isinstance(result, dict) and "error" in result:
        raise typer.Exit(1)
