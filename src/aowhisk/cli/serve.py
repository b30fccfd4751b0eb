"""`aowhisk serve`: a local OpenWhisk on a port."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import anyio
import typer

from aowhisk.errors import ConfigError
from aowhisk.local.accounts import Account, is_private, load_accounts
from aowhisk.local.fault_file import load_faults
from aowhisk.local.faults import FaultPlan
from aowhisk.local.limits import PRACTICALLY_NONE, Limits
from aowhisk.local.notice import Notice
from aowhisk.local.port import check_certificate, listen, serve
from aowhisk.local.server import GUEST, LocalOpenWhisk
from aowhisk.manifest import Manifest
from object_store.wire import STORE_URL

__all__ = ["serve_on_port"]

_DEFAULTS = Limits()
_WHERE, _WHO, _WHAT = "Where", "Who", "What it runs and keeps"
_LIMITS, _WRONG = "Limits of a namespace", "What goes wrong on purpose"
_COUNT = typer.Option(min=0, metavar="N", show_default="practically none", rich_help_panel=_LIMITS)


def serve_on_port(
    host: Annotated[
        str, typer.Option(help="The address to listen on.", rich_help_panel=_WHERE)
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            min=0, max=65535, metavar="N", help="0 takes a free one.", rich_help_panel=_WHERE
        ),
    ] = 3233,
    certificate: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Speak HTTPS, with this PEM of key and certificate.",
            show_default="HTTP",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    ready_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="There while it answers: its url, auth, namespace and pid, as JSON.",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    wskprops: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write APIHOST and AUTH there, for wsk (WSK_CONFIG_FILE) and for aowhisk.",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    auth: Annotated[
        str | None,
        typer.Option(
            metavar="USER:SECRET",
            help="The key of the one namespace, guest.",
            show_default="OpenWhisk's public guest key",
            rich_help_panel=_WHO,
        ),
    ] = None,
    auth_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Several namespaces, each with a key and limits of its own.",
            rich_help_panel=_WHO,
        ),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Deploy this manifest.yaml.", rich_help_panel=_WHAT),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The object store of the actions.", rich_help_panel=_WHAT),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Keep entities and activations there, over restarts.",
            show_default="in memory",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    root: Annotated[
        Path,
        typer.Option(metavar="DIR", help="For what its containers write.", rich_help_panel=_WHAT),
    ] = Path(".aowhisk/local"),
    containers: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Worker processes at most.", rich_help_panel=_WHAT),
    ] = 16,
    invocations_per_minute: Annotated[int, _COUNT] = PRACTICALLY_NONE,
    concurrent_invocations: Annotated[int, _COUNT] = PRACTICALLY_NONE,
    fires_per_minute: Annotated[int, _COUNT] = PRACTICALLY_NONE,
    max_blocking_wait: Annotated[
        float,
        typer.Option(
            min=0.001,
            metavar="SECONDS",
            help="A blocking call that takes longer gets 202.",
            rich_help_panel=_LIMITS,
        ),
    ] = _DEFAULTS.blocking_wait,
    faults: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Faults, as YAML or JSON.", rich_help_panel=_WRONG),
    ] = None,
    allow_fault_header: Annotated[
        bool,
        typer.Option(
            "--allow-fault-header",
            help="Requests from this machine can name faults (x-aowhisk-fault).",
            rich_help_panel=_WRONG,
        ),
    ] = False,
) -> None:
    """Run an OpenWhisk on this machine, without Docker, until Ctrl-C or SIGTERM.

    It answers as Apache OpenWhisk does, for wsk and any other client. The first line on stdout says
    that it is ready, and where.
    """
    limits = Limits(
        invocations_per_minute, concurrent_invocations, fires_per_minute, max_blocking_wait
    )
    accounts = _accounts(auth, auth_file)
    declared = Manifest.load(manifest) if manifest is not None else None
    if certificate is not None:
        check_certificate(certificate)
    scheme = "http" if certificate is None else "https"
    with listen(host, port) as sock:
        url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{sock.getsockname()[1]}"
        ow = LocalOpenWhisk(
            root=root,
            data=data,
            auth=accounts,
            limits=limits,
            containers=containers,
            faults=_plan(faults, allow_fault_header),
            api_host=url,
            init_params={} if store is None else {STORE_URL: store},
        )
        notice = Notice(url, ow.namespace, ow.auth)

        def tell() -> None:
            if ready_file is not None:
                notice.write_ready(ready_file)
            names = ", ".join(declared.actions) if declared else "none yet"
            typer.echo(f"OpenWhisk at {url}, actions: {names}")
            key = f" AOWHISK_AUTH={GUEST}" if ow.auth == GUEST else ""
            typer.echo(f"Use it with  export AOWHISK_APIHOST={url}{key}")
            sys.stdout.flush()

        async def run() -> None:
            async with ow:
                if declared is not None:
                    await ow.deploy(declared)
                if wskprops is not None:
                    notice.write_wskprops(wskprops)
                with notice.remove_after(ready_file):
                    await serve(ow, sock, ready=tell, certificate=certificate)

        anyio.run(run)


def _plan(file: Path | None, header: bool) -> FaultPlan:
    return FaultPlan(header=header) if file is None else load_faults(file, header=header)


def _accounts(auth: str | None, file: Path | None) -> Sequence[Account]:
    if file is None:
        return [Account("guest", GUEST if auth is None else auth)]
    if auth is not None:
        raise ConfigError("--auth and --auth-file exclude each other")
    accounts = load_accounts(file)
    if not is_private(file):
        typer.echo(f"aowhisk: others can read the keys in {file}: chmod 600 {file}", err=True)
    return accounts
