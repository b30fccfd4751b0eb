"""Compares a project with its namespace; reads, and changes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

from aowhisk.client import Client
from aowhisk.deploy.entity import Kind, Mark, Wanted, wanted_by
from aowhisk.deploy.platform import Platform
from aowhisk.deploy.present import Present, listed, look_all
from aowhisk.deploy.project import Project
from aowhisk.deploy.step import SECRET, Change, Operation, Plan, Step, differences, ordered
from aowhisk.errors import DeployError, Forbidden, NotFound
from aowhisk.models import JSON

__all__ = ["plan", "plan_removal"]

CONCURRENCY = 8


async def plan(
    client: Client,
    project: Project,
    *,
    prune: bool = False,
    adopt: bool = False,
    force: bool = False,
) -> Plan:
    """What has to change for the namespace to hold what the project declares.

    `prune` also deletes what the project deployed earlier and declares no longer; `adopt` takes
    over what is there and is no project's, or another's; `force` writes everything anew. Raises
    DeployError with everything that stands in the way.
    """
    platform = await Platform.of(client)
    problems = list(platform.problems(project))
    wanted = list(wanted_by(project, client))
    asked = [(each.kind, each.name) for each in wanted]
    present = await look_all(client, asked, concurrency=CONCURRENCY)
    comparing = _Comparison(platform, present, adopt=adopt, force=force)
    steps = [comparing.step(each) for each in wanted]
    problems += comparing.problems
    problems += [one async for one in _dangling(client, wanted, platform.namespace)]
    if problems:
        raise DeployError(
            f"project {project.name!r} cannot be deployed, nothing was changed:"
            + (" " if len(problems) == 1 else "\n  ")
            + "\n  ".join(problems),
            problems=problems,
        )
    if prune:
        kept = {(each.kind.collection, each.name) for each in wanted}
        steps += await _removals(client, project.name, kept, ())
    notes = (*project.notes, *platform.notes(project))
    return Plan(project.name, platform.namespace, tuple(steps), notes)


async def plan_removal(client: Client, project: Project | str) -> Plan:
    """What has to go for the namespace to be as if the project had never been deployed."""
    platform = await Platform.of(client)
    known: Sequence[tuple[Kind, str]] = ()
    name = project
    if isinstance(project, Project):  # lists may lag behind what a run before has just made
        known = [(each.kind, each.name) for each in wanted_by(project, client)]
        name = project.name
    steps = await _removals(client, str(name), set(), known)
    return Plan(str(name), platform.namespace, tuple(steps))


class _Comparison:
    """Compares one entity after the other, and collects what is in the way."""

    def __init__(
        self,
        platform: Platform,
        present: Mapping[tuple[Kind, str], Present],
        *,
        adopt: bool,
        force: bool,
    ) -> None:
        self._platform = platform
        self._present = present
        self._adopt = adopt
        self._force = force
        self.problems: list[str] = []

    def step(self, wanted: Wanted) -> Step:
        """What to do about one entity."""
        there = self._present.get((wanted.kind, wanted.name))
        same = self._as_shown(wanted, there)
        if there is None:
            changes = tuple(Change.of(path, None, value) for path, value in same.items())
            return Step(wanted.kind, wanted.name, Operation.CREATE, changes, wanted=wanted)
        note = None
        if there.mark is None or there.mark.project != wanted.mark.project:
            if wanted.is_bare and there.kind is Kind.PACKAGE:
                note = "is not this project's; it is left as it is"
                return Step(wanted.kind, wanted.name, Operation.KEEP, note=note)
            note = self._foreign(wanted, there.mark)
        if there.kind is not wanted.kind and Kind.BINDING in (there.kind, wanted.kind):
            self.problems.append(
                f"{wanted.kind.value} {wanted.name!r} is a {there.kind.value} on the server, and "
                "OpenWhisk cannot turn one into the other; delete it first"
            )
        package = self._present.get((Kind.PACKAGE, wanted.name.partition("/")[0]))
        changes = differences(
            wanted,
            there,
            package=package.fields if package and "/" in wanted.name else {},
            same=same,
        )
        if there.mark is not None and there.mark.hash is None:
            note = note or "was cut short"
        elif (
            there.mark == wanted.mark and there.kind is wanted.kind and _tell(changes, same, there)
        ):
            note = "was changed since it was deployed"
        operation = Operation.UPDATE if changes or self._force else Operation.KEEP
        return Step(wanted.kind, wanted.name, operation, changes, note, wanted, there)

    def _foreign(self, wanted: Wanted, mark: Mark | None) -> str:
        whose = "no project" if mark is None else f"project {mark.project!r}"
        if not self._adopt:
            self.problems.append(
                f"{wanted.kind.value} {wanted.name!r} is there already and belongs to {whose}; "
                "rename it, or take it over with --adopt (undeploy then deletes it)"
            )
        return f"belonged to {whose}"

    def _as_shown(self, wanted: Wanted, there: Present | None) -> dict[str, JSON]:
        """The wanted fields as the server writes them."""
        found = dict(wanted.fields)
        for path in ("binding", "trigger", "action"):
            if isinstance(found.get(path), str):
                found[path] = self._full(str(found[path]))
        if "components" in found:
            found["components"] = [self._full(part) for part in found["components"]]
        if "kind" in found:
            kind = str(found["kind"])
            resolved = self._platform.resolved(kind)
            old = str(there.fields.get("kind")) if there else ""
            same_family = old.partition(":")[0] == kind.partition(":")[0]
            found["kind"] = resolved or (old if same_family else kind)
        return found

    def _full(self, path: str) -> str:
        return path.replace("/_/", f"/{self._platform.namespace}/", 1)


def _tell(changes: Iterable[Change], same: Mapping[str, JSON], there: Present) -> bool:
    """Whether they tell that someone else has changed it, where its mark is as it should be: that
    knows all that was declared, but no values of parameters."""
    return any(
        not change.field.startswith(SECRET)
        or change.field not in same
        or change.field not in there.fields
        for change in changes
    )


async def _dangling(client: Client, wanted: Sequence[Wanted], namespace: str) -> AsyncIterator[str]:
    """References to what is neither declared nor there."""
    declared = {(each.kind.collection, f"/_/{each.name}") for each in wanted}
    targets = {
        each.name: str(each.fields["binding"]) for each in wanted if each.kind is Kind.BINDING
    }
    for each, (collection, path) in ((one, to) for one in wanted for to in one.references):
        path = path.replace(f"/{namespace}/", "/_/", 1)
        if (collection, path) in declared:
            continue
        parts = path.split("/")  # "", namespace, package?, name
        if len(parts) == 4 and parts[1] == "_" and parts[2] in targets:
            path = f"{targets[parts[2]]}/{parts[3]}"
        try:
            if collection == "actions":
                await client.actions.get(path, code=False)
            elif collection == "packages":
                await client.packages.get(path)
            else:
                await client.triggers.get(path)
        except NotFound:
            yield (
                f"{each.kind.value} {each.name!r} refers to {path}, which is neither in the "
                "manifest nor on the server"
            )
        except Forbidden:  # so says OpenWhisk of what other namespaces do not have, as well
            yield (
                f"{each.kind.value} {each.name!r} refers to {path}, which is not on the server, or "
                "not for this API key; deploy it there, or ask its owner to share it"
            )


async def _removals(
    client: Client, project: str, kept: set[tuple[str, str]], known: Iterable[tuple[Kind, str]]
) -> list[Step]:
    """The steps that remove what is the project's, but for what is kept."""
    rows = [(row.kind, row.name) async for row in listed(client) if _is_of(row.mark, project)]
    rows += known
    asked = [row for row in dict.fromkeys(rows) if (row[0].collection, row[1]) not in kept]
    found = await look_all(client, asked, concurrency=CONCURRENCY, code=False)
    gone = [there for there in found.values() if _is_of(there.mark, project)]
    unique = {(there.kind.collection, there.name): there for there in gone}
    names = {name for collection, name in unique if collection == "actions"}
    return ordered([_removal(there, names) for there in unique.values()])


def _removal(there: Present, names: set[str]) -> Step:
    others = [one for one in there.inside if f"{there.name}/{one}" not in names]
    if others:
        note = f"holds what is not this project's: {', '.join(sorted(others)[:5])}"
        return Step(there.kind, there.name, Operation.RELEASE, note=note, present=there)
    return Step(there.kind, there.name, Operation.DELETE, present=there)


def _is_of(mark: Mark | None, project: str) -> bool:
    return mark is not None and mark.project == project
