"""`aowhisk deploy`, `undeploy` and `export`: a manifest into a namespace, and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import anyio
import typer

from aowhisk.cli.manner import SOMETHING, Manner, carry_out
from aowhisk.cli.params import params_of
from aowhisk.client import Client
from aowhisk.config import Settings
from aowhisk.deploy import Plan, Project, export, plan, plan_removal
from aowhisk.manifest import Manifest

__all__ = ["deploy", "export_manifest", "undeploy"]

_WHERE, _WHAT, _HOW = "Where", "What", "How"
_Host = Annotated[
    str | None,
    typer.Option(
        metavar="URL", help="Of OpenWhisk.", show_default="AOWHISK_APIHOST", rich_help_panel=_WHERE
    ),
]
_Auth = Annotated[
    str | None,
    typer.Option(
        metavar="USER:SECRET",
        help="The API key; in the environment nobody else sees it.",
        show_default="AOWHISK_AUTH",
        rich_help_panel=_WHERE,
    ),
]
_Namespace = Annotated[
    str | None,
    typer.Option(metavar="NAME", show_default="the key's own", rich_help_panel=_WHERE),
]
_Insecure = Annotated[
    bool,
    typer.Option("--insecure", "-i", help="Do not verify the certificate.", rich_help_panel=_WHERE),
]
_ProjectName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Marks what belongs together.",
        show_default="project.name of the manifest, else its folder's name",
        rich_help_panel=_WHAT,
    ),
]
_Deployment = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Other values for inputs and annotations.", rich_help_panel=_WHAT
    ),
]
_Param = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        "-p",
        metavar="KEY=VALUE",
        help="The value of an input; VALUE is JSON, else text.",
        rich_help_panel=_WHAT,
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="For programs.", rich_help_panel=_HOW)]
_Plan = Annotated[
    bool, typer.Option("--plan", help="Say what would change, and stop.", rich_help_panel=_HOW)
]
_ExitCode = Annotated[
    bool,
    typer.Option(
        "--exit-code",
        help=f"With --plan: exit with {SOMETHING} if there is something to do.",
        rich_help_panel=_HOW,
    ),
]
_Parallel = Annotated[
    int, typer.Option(min=1, max=64, metavar="N", help="Requests at once.", rich_help_panel=_HOW)
]


def deploy(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST")] = Path("manifest.yaml"),
    deployment: _Deployment = None,
    param: _Param = None,
    project: _ProjectName = None,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="The object store of the actions; an init parameter, as its credentials are.",
            show_default="AOWHISK_ACTION_STORE, else AOWHISK_STORE",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(
            metavar="IMAGE",
            help="Run the Python actions that name no image in this one.",
            show_default="the server's own",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    requirements: Annotated[
        bool,
        typer.Option(
            "--requirements/--no-requirements",
            help="Zip in what requirements.txt asks for, if it is pure Python.",
            rich_help_panel=_WHAT,
        ),
    ] = True,
    only_plan: _Plan = False,
    exit_code: _ExitCode = False,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune",
            help="Delete what this project deployed and declares no longer.",
            rich_help_panel=_HOW,
        ),
    ] = False,
    adopt: Annotated[
        bool,
        typer.Option(
            "--adopt",
            help="Take over what is there and is not this project's.",
            rich_help_panel=_HOW,
        ),
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Write also what is unchanged.", rich_help_panel=_HOW),
    ] = False,
    parallel: _Parallel = 8,
    as_json: _Json = False,
    apihost: _Host = None,
    auth: _Auth = None,
    namespace: _Namespace = None,
    insecure: _Insecure = False,
) -> None:
    """Make the namespace hold what MANIFEST declares (wskdeploy's format); again changes nothing.

    Everything is read and checked before anything is sent. Exit codes: 0 done, 1 not all could be
    done (run it again: it goes on), 2 the manifest or a setting is wrong.
    """
    settings = _settings(apihost, auth, namespace, insecure, store)
    found = Project.load(
        _loaded(manifest, deployment, param),
        name=project,
        store=store or settings.action_store or settings.store,
        image=image,
        requirements=requirements,
    )

    async def work(client: Client) -> Plan:
        return await plan(client, found, prune=prune, adopt=adopt, force=force)

    carry_out(settings, work, Manner(only_plan, exit_code, parallel, as_json))


def undeploy(
    manifest: Annotated[
        Path | None, typer.Argument(metavar="MANIFEST", show_default="manifest.yaml")
    ] = None,
    deployment: _Deployment = None,
    param: _Param = None,
    project: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Remove this project; no manifest is needed then.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    only_plan: _Plan = False,
    exit_code: _ExitCode = False,
    parallel: _Parallel = 8,
    as_json: _Json = False,
    apihost: _Host = None,
    auth: _Auth = None,
    namespace: _Namespace = None,
    insecure: _Insecure = False,
) -> None:
    """Remove everything that the project deployed, and nothing else."""
    settings = _settings(apihost, auth, namespace, insecure, None)
    found: Project | str | None = project
    if manifest is not None or project is None:
        loaded = _loaded(manifest or Path("manifest.yaml"), deployment, param)
        found = Project.load(loaded, name=project, requirements=False)

    async def work(client: Client) -> Plan:
        assert found is not None
        return await plan_removal(client, found)

    carry_out(settings, work, Manner(only_plan, exit_code, parallel, as_json))


def export_manifest(
    folder: Annotated[Path, typer.Argument(help="Where manifest.yaml and the code go.")],
    package: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="This package and what refers to it."),
    ] = None,
    project: Annotated[
        str | None, typer.Option(metavar="NAME", help="What this project deployed.")
    ] = None,
    apihost: _Host = None,
    auth: _Auth = None,
    namespace: _Namespace = None,
    insecure: _Insecure = False,
) -> None:
    """Write what the namespace holds as a manifest with its files, to be deployed elsewhere."""
    settings = _settings(apihost, auth, namespace, insecure, None)

    async def run() -> tuple[str, ...]:
        async with Client.from_settings(settings) as client:
            return await export(client, folder, package=package, project=project)

    for note in anyio.run(run):
        typer.echo(f"note: {note}", err=True)
    typer.echo(f"written: {folder / 'manifest.yaml'}")


def _settings(
    apihost: str | None,
    auth: str | None,
    namespace: str | None,
    insecure: bool,
    store: str | None,
) -> Settings:
    return Settings.load(
        apihost=apihost,
        auth=auth,
        namespace=namespace,
        insecure=True if insecure else None,
        store=store,
    )


def _loaded(manifest: Path, deployment: Path | None, param: list[str] | None) -> Manifest:
    if manifest.is_dir():
        manifest = manifest / "manifest.yaml"
    other = manifest.with_suffix(".yml")
    if manifest.suffix == ".yaml" and other.exists() and not manifest.exists():
        manifest = other
    found = Manifest.load(manifest, deployment=deployment, params=params_of(param or [], None))
    unused = [manifest.with_name(f"deployment{end}") for end in (".yaml", ".yml")]
    if deployment is None and (there := [path for path in unused if path.is_file()]):
        note = f"{there[0]} is not used, where wskdeploy does; give --deployment {there[0]}"
        found = replace(found, notes=(*found.notes, note))
    return found
