"""Deploys a manifest into a namespace, and takes it away again.

    project = Project.load("manifest.yaml", store="s3://store.example.com")
    async with Client(apihost, auth) as client:
        todo = await plan(client, project)       # reads; `todo.work` is what would change
        await apply(client, todo)
        await apply(client, await plan_removal(client, project))

Everything that is deployed carries the annotation `aowhisk-managed`, which names the project: by it
a project knows what is its own, and touches nothing else.
"""

from aowhisk.deploy.applier import Progress, apply
from aowhisk.deploy.entity import MARK, Kind
from aowhisk.deploy.exporter import export
from aowhisk.deploy.planner import plan, plan_removal
from aowhisk.deploy.project import Project
from aowhisk.deploy.step import Change, Operation, Plan, Step

__all__ = [
    "MARK",
    "Change",
    "Kind",
    "Operation",
    "Plan",
    "Progress",
    "Project",
    "Step",
    "apply",
    "export",
    "plan",
    "plan_removal",
]
