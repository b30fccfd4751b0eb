"""`aowhisk serve` and `aowhisk invoke-local`: OpenWhisk on this machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import anyio
import typer

from aowhisk.errors import ConfigError
from aowhisk.local.accounts import Account, is_private, load_accounts
from aowhisk.local.debug import call_here
from aowhisk.local.fault_file import load_faults
from aowhisk.local.faults import FaultPlan
from aowhisk.local.limits import Limits
from aowhisk.local.port import listen, serve
from aowhisk.local.server import GUEST, LocalOpenWhisk
from aowhisk.manifest import Manifest
from aowhisk.models import JSON
from object_store.wire import STORE_URL

__all__ = ["invoke_local", "serve_on_port"]

_DEFAULTS = Limits()


def serve_on_port(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 3233,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    auth: Annotated[
        str | None,
        typer.Option(
            metavar="USER:SECRET",
            help="The API key of the namespace guest.",
            show_default="OpenWhisk's public guest key",
        ),
    ] = None,
    auth_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Several namespaces, with keys and limits of their own."),
    ] = None,
    manifest: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Deploy this manifest.yaml.")
    ] = None,
    store: Annotated[
        str | None, typer.Option(metavar="URL", help="The object store of the actions.")
    ] = None,
    root: Annotated[Path, typer.Option(metavar="DIR", help="Folder for its files.")] = Path(
        ".aowhisk/local"
    ),
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Keep entities and activations here, over restarts.",
            show_default="in memory",
        ),
    ] = None,
    faults: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What goes wrong on purpose (YAML or JSON)."),
    ] = None,
    allow_fault_header: Annotated[
        bool,
        typer.Option(
            "--allow-fault-header",
            help="Let requests from this machine name faults (x-aowhisk-fault).",
        ),
    ] = False,
    containers: Annotated[int, typer.Option(min=1, help="Worker processes at most.")] = 16,
    invocations_per_minute: Annotated[int, typer.Option(min=0)] = _DEFAULTS.invocations_per_minute,
    concurrent_invocations: Annotated[int, typer.Option(min=0)] = _DEFAULTS.concurrent_invocations,
    fires_per_minute: Annotated[int, typer.Option(min=0)] = _DEFAULTS.fires_per_minute,
    max_blocking_wait: Annotated[
        float, typer.Option(min=0.001, metavar="S", help="Seconds.")
    ] = _DEFAULTS.blocking_wait,
) -> None:
    """Run a local OpenWhisk on a port, until Ctrl-C."""
    limits = Limits(
        invocations_per_minute, concurrent_invocations, fires_per_minute, max_blocking_wait
    )
    accounts = _accounts(auth, auth_file)
    declared = Manifest.load(manifest) if manifest is not None else None
    with listen(host, port) as sock:
        url = f"http://{f'[{host}]' if ':' in host else host}:{sock.getsockname()[1]}"
        ow = LocalOpenWhisk(
            root=root,
            data=data,
            auth=accounts,
            limits=limits,
            containers=containers,
            faults=(
                load_faults(faults, header=allow_fault_header)
                if faults is not None
                else FaultPlan(header=allow_fault_header)
            ),
            api_host=url,
            init_params={} if store is None else {STORE_URL: store},
        )

        def tell() -> None:
            names = ", ".join(declared.actions) if declared else "none yet"
            typer.echo(f"OpenWhisk at {url}, actions: {names}")
            key = f" AOWHISK_AUTH={GUEST}" if ow.auth == GUEST else ""
            typer.echo(f"Use it with  export AOWHISK_APIHOST={url}{key}")
            sys.stdout.flush()

        async def run() -> None:
            async with ow:
                if declared is not None:
                    await ow.deploy(declared)
                await serve(ow, sock, ready=tell)

        anyio.run(run)


def _accounts(auth: str | None, file: Path | None) -> Sequence[Account]:
    if file is None:
        return [Account("guest", GUEST if auth is None else auth)]
    if auth is not None:
        raise ConfigError("--auth and --auth-file exclude each other")
    accounts = load_accounts(file)
    if not is_private(file):
        typer.echo(f"aowhisk: others can read the keys in {file}: chmod 600 {file}", err=True)
    return accounts


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
    params = _params(param or [], param_file)
    result = call_here(actions[name], params, {} if store is None else {STORE_URL: store})
    typer.echo(json.dumps(result, ensure_ascii=False, indent=2))
    if isinstance(result, dict) and "error" in result:
        raise typer.Exit(1)


def _params(pairs: list[str], file: Path | None) -> dict[str, JSON]:
    found: dict[str, JSON] = {}
    if file is not None:
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as problem:
            raise ConfigError(f"cannot read params from {file}: {problem}") from problem
        if not isinstance(found, dict):
            raise ConfigError(f"{file} holds no JSON object")
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise ConfigError(f"--param {pair!r} is not KEY=VALUE")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found
