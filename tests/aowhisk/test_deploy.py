"""Deploying: what is planned, what is done, and what is left of it."""

from __future__ import annotations

import zipfile
from typing import Any

import pytest
from deploying import EVERYTHING, Site, changes, contents, done

from aowhisk.client import ActionLimits, Client
from aowhisk.deploy import MARK, Operation, Project, applier, apply, plan, plan_removal
from aowhisk.errors import DeployError, DeployFailed, TooLarge, Unreachable
from aowhisk.manifest import Manifest
from aowhisk.models import Activation

ONE = "packages: {default: {actions: {a: {code: '# one', %s}}}}"


async def result(client: Client, action: str, **params: object) -> Any:
    done = await client.actions.invoke(action, params)
    assert isinstance(done, Activation)
    return done.result


async def test_everything_in_a_manifest_is_deployed_and_works(site: Site) -> None:
    plan = await site.deploy(EVERYTHING)

    assert {step.operation for step in plan.steps} == {Operation.CREATE}
    client = site.client
    assert await result(client, "tools/hello", name="bert") == {
        "said": "hello bert",
        "bucket": "films",
    }
    assert (await result(client, "tools/both"))["said"] == "hello anna"
    hello = await client.actions.get("tools/hello")
    assert hello.limits == ActionLimits(30.0, 128, 10, 1)
    assert hello.parameters == {"bucket": "films", "name": "anna", "token": "a-secret-token"}
    assert hello.annotations["team"] == "blue"
    page = await client.actions.get("tools/page")
    assert {key: page.annotations[key] for key in ("web-export", "final", "raw-http")} == {
        "web-export": True,
        "final": True,
        "raw-http": False,
    }
    assert (await client.actions.get("tools/steps")).annotations["conductor"] is True
    package = await client.packages.get("tools")
    assert (package.publish, package.annotations["owner"]) == (True, "me")
    assert (await client.packages.get("utils")).binding == "/whisk.system/utils"
    assert await client.triggers.fire("tick") is not None


async def test_a_second_run_changes_nothing(site: Site) -> None:
    await site.deploy(EVERYTHING)
    before = await contents(site.client, times=True)

    plan = await site.deploy()

    assert done(plan) == {}
    assert len(plan.steps) == 10
    assert await contents(site.client, times=True) == before


async def test_undeploying_leaves_the_namespace_as_it_was(site: Site) -> None:
    client = site.client
    await client.packages.put("mine", parameters={"a": 1})
    await client.actions.put("mine/own", "def main(args): return {}")
    await client.triggers.put("own-trigger")
    await client.rules.put("own-rule", trigger="own-trigger", action="mine/own")
    before = await contents(client, times=True)
    await site.deploy(EVERYTHING)

    plan = await site.undeploy()

    assert len(plan.work) == 10
    assert await contents(client, times=True) == before
    assert done(await site.undeploy()) == {}


async def test_a_project_is_undeployed_by_its_name_alone(site: Site) -> None:
    await site.deploy(EVERYTHING)
    await site.undeploy("app")
    assert await contents(site.client) == {}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("", "main: other", {"main": (None, "other")}),
        ("main: other", "", {"main": ("other", None)}),
        ("runtime: python:3.10", "runtime: python:3.11", {"kind": ("python:3.10", "python:3.11")}),
        ("inputs: {a: 1}", "inputs: {b: 2}", {"parameters.a": "hidden", "parameters.b": "hidden"}),
        ("inputs: {a: 1}", "inputs: {a: 2}", {"parameters.a": "hidden"}),
        (
            "limits: {memorySize: 128}",
            "limits: {memorySize: 512}",
            {"limits.memory": (128, 512)},
        ),
        (
            "web: true",
            "web: raw",
            {"annotations.raw-http": (False, True)},
        ),
        (
            "annotations: {a: x, b: y}",
            "annotations: {b: z}",
            {
                "annotations.a": "hidden",
                "annotations.b": "hidden",
            },
        ),
        (
            "",
            "docker: me/image:1",
            {"kind": ("python:3.10", "blackbox"), "image": (None, "me/image:1")},
        ),
    ],
)
async def test_a_change_is_planned_field_by_field_and_made(
    site: Site, before: str, after: str, expected: dict[str, object]
) -> None:
    await site.deploy(ONE % before)

    found = changes(await site.plan(ONE % after))
    await site.deploy()

    assert found == expected
    assert done(await site.plan()) == {}
    (action,) = [one async for one in site.client.actions.list()]
    assert "a" not in action.annotations or "b: y" not in before


async def test_a_limit_that_is_no_longer_given_goes_back_to_the_standard(site: Site) -> None:
    await site.deploy(ONE % "limits: {memorySize: 512, timeout: 1000}")
    await site.deploy(ONE % "limits: {timeout: 2000}")
    limits = (await site.client.actions.get("a")).limits
    assert (limits.memory_mb, limits.timeout) == (256, 2.0)


async def test_changed_code_is_sent_and_unchanged_code_is_not(site: Site) -> None:
    await site.deploy(ONE % "")
    text = (ONE % "").replace("# one", "# two")
    assert list(changes(await site.plan(text))) == ["code"]
    await site.deploy()
    assert (await site.client.actions.get("a")).code.text == "# two"


@pytest.mark.parametrize(
    "how", ["code", "parameter", "more", "annotation", "memory", "gone", "rule"]
)
async def test_what_others_have_changed_is_seen_and_put_right(site: Site, how: str) -> None:
    await site.deploy(EVERYTHING)
    before, client = await contents(site.client), site.client
    if how == "code":
        await client.actions.put("bare", "def main(args): return {'other': 1}", overwrite=True)
    elif how == "parameter":
        eve: dict[str, object] = {"name": "eve", "token": "a-secret-token"}
        await client.actions.put("tools/hello", parameters=eve, overwrite=True)
    elif how == "more":
        await client.actions.put("tools/hello", parameters={"name": "x", "more": 1}, overwrite=True)
    elif how == "annotation":
        extra: dict[str, object] = {"provide-api-key": True, "extra": 1}
        await client.actions.put("tools/hello", annotations=extra, overwrite=True)
    elif how == "memory":
        limits = ActionLimits(memory_mb=512)
        await client.actions.put("tools/hello", limits=limits, overwrite=True)
    elif how == "gone":
        await client.actions.delete("tools/both")
    else:
        await client.rules.disable("on-tick")

    plan = await site.deploy()

    (step,) = plan.work
    told = how not in ("gone", "parameter")  # the mark knows no values of parameters
    assert step.note == ("was changed since it was deployed" if told else None)
    assert await contents(client) == before


async def test_what_is_declared_no_longer_stays_unless_pruned(site: Site) -> None:
    await site.deploy(EVERYTHING)
    less = ONE.replace("packages", "project: {name: app}\npackages").replace("a: {", "bare: {") % ""

    kept = await site.deploy(less)
    assert done(kept) == {"action 'bare'": "update"}
    assert len(await contents(site.client)) == 10

    pruned = await site.deploy(prune=True)
    assert [str(step) for step in pruned.work] == [
        "rule 'on-tick'",
        "trigger 'tick'",
        "sequence 'tools/both'",
        "sequence 'tools/inner'",
        "action 'tools/hello'",
        "action 'tools/page'",
        "action 'tools/steps'",
        "binding 'utils'",
        "package 'tools'",
    ]
    assert set(await contents(site.client)) == {"action bare"}


async def test_what_is_there_and_not_ours_is_not_touched_unless_adopted(site: Site) -> None:
    await site.client.actions.put("a", "def main(args): return {'mine': True}")
    before = await contents(site.client, times=True)

    with pytest.raises(
        DeployError, match="action 'a' is there already and belongs to no project"
    ) as caught:
        await site.deploy(ONE % "")
    assert len(caught.value.problems) == 1
    assert await contents(site.client, times=True) == before

    assert done(await site.deploy(adopt=True)) == {"action 'a'": "update"}
    assert done(await site.plan()) == {}


async def test_another_projects_is_not_ours_either(site: Site) -> None:
    await site.deploy("project: {name: one}\n" + ONE % "")
    with pytest.raises(DeployError, match="belongs to project 'one'; rename it"):
        await site.deploy("project: {name: two}\n" + ONE % "")


async def test_a_package_of_others_takes_our_actions_and_stays_as_it_is(site: Site) -> None:
    await site.client.packages.put("p", parameters={"a": 1})
    before = await contents(site.client)

    await site.deploy("packages: {p: {actions: {a: {code: '# x'}}}}")
    assert (await site.client.packages.get("p")).parameters == {"a": 1}
    assert done(await site.plan()) == {}
    await site.undeploy()

    assert await contents(site.client) == before


async def test_a_package_of_ours_that_others_use_is_left_to_them(site: Site) -> None:
    await site.deploy("packages: {p: {actions: {a: {code: '# x'}}}}")
    await site.client.actions.put("p/theirs", "def main(args): return {}")

    plan = await site.undeploy()

    assert done(plan) == {"action 'p/a'": "delete", "package 'p'": "release"}
    package = await site.client.packages.get("p")
    assert package.actions == ("theirs",)
    assert MARK not in package.annotations


async def test_twenty_actions_are_deployed_side_by_side(site: Site) -> None:
    actions = ", ".join(f"a{n}: {{code: '# {n}'}}" for n in range(20))
    project = site.project(f"packages: {{default: {{actions: {{{actions}}}}}}}")
    now, most = 0, 0
    put = site.client.actions.put

    async def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal now, most
        now += 1
        most = max(most, now)
        try:
            return await put(*arguments, **options)
        finally:
            now -= 1

    site.client.actions.put = counted  # type: ignore[method-assign]
    await apply(site.client, await plan(site.client, project), concurrency=5)

    assert most == 5
    assert len(await contents(site.client)) == 20


async def test_where_one_fails_what_does_not_need_it_is_done_and_the_next_run_goes_on(
    site: Site,
) -> None:
    text = """
packages:
  default:
    actions: {a: {code: '# a'}, b: {code: '# b'}, c: {code: '# c'}}
    sequences: {s: {actions: "a, b"}, t: {actions: "a, s"}, u: {actions: "a, c"}}
    triggers: {now: }
    rules: {r: {trigger: now, action: b}, q: {trigger: now, action: u}}
"""
    await site.deploy("packages: {default: {actions: {old: {code: '# old'}}}}")
    planned = await site.plan(text, prune=True)
    await site.client.triggers.put("b")  # it takes the name meanwhile
    said: dict[str, str] = {}

    with pytest.raises(DeployFailed) as caught:
        await apply(
            site.client, planned, progress=lambda step, error: said.update({str(step): str(error)})
        )
    assert list(caught.value.failures) == ["action 'b'"]
    assert set(caught.value.left) == {"sequence 's'", "sequence 't'", "rule 'r'", "action 'old'"}
    assert said["sequence 't'"] == "not tried, for it needs sequence 's'"
    assert said["action 'old'"] == "not removed, for action 'b' could not be done"
    assert set(await contents(site.client)) == {
        *("action a", "action c", "action old", "action u", "trigger b", "trigger now", "rule q")
    }

    await site.client.triggers.delete("b")
    assert done(await site.deploy(prune=True)) == {
        "action 'b'": "create",
        "sequence 's'": "create",
        "sequence 't'": "create",
        "rule 'r'": "create",
        "action 'old'": "delete",
    }


async def test_a_server_that_is_gone_is_not_asked_for_everything_that_is_left(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applier, "_PAUSE", 0)
    many = ", ".join(f"n{n}: {{code: '# {n}'}}" for n in range(20))
    planned = await site.plan(f"packages: {{default: {{actions: {{{many}}}, triggers: {{t: }}}}}}")
    asked: list[str] = []

    async def gone(name: str, *_: object, **__: object) -> None:
        asked.append(name)
        raise Unreachable("the server cannot be reached", request="PUT", sent=False)

    monkeypatch.setattr(site.client.actions, "put", gone)
    told: list[str] = []
    with pytest.raises(DeployFailed, match=r"not tried: .*, and 15 more; the others") as caught:
        await apply(
            site.client, planned, concurrency=1, progress=lambda step, _: told.append(str(step))
        )

    assert (set(asked), len(asked)) == ({"n0"}, 6)
    assert told == list(caught.value.failures) == ["action 'n0'"]
    assert len(caught.value.left) == 20


async def test_what_someone_else_makes_meanwhile_is_not_written_over(site: Site) -> None:
    planned = await site.plan(EVERYTHING)
    await site.client.actions.put("bare", "def main(args): return {'mine': True}")
    await site.client.triggers.put("tick", parameters={"mine": 1})
    before = await contents(site.client, times=True)

    with pytest.raises(DeployFailed) as caught:
        await apply(site.client, planned)

    assert list(caught.value.failures) == ["action 'bare'", "trigger 'tick'"]
    after = await contents(site.client, times=True)
    assert {name: after[name] for name in before} == before


async def test_everything_that_is_wrong_is_said_at_once_and_nothing_is_sent(site: Site) -> None:
    text = """
packages:
  default:
    actions:
      a: {code: '# x', limits: {timeout: 900000, memorySize: 64}}
      b: {code: '# x', runtime: cobol:85}
      d: {code: '# x', runtime: 'python:2'}
      c: {code: '# x', inputs: {large: "%s"}}
    sequences: {s: {actions: "a, nowhere, /whisk.system/utils/none"}}
    rules: {r: {trigger: gone, action: a}}
"""
    with pytest.raises(DeployError) as caught:
        await site.deploy(text % ("x" * 1_100_000))

    said = "\n".join(caught.value.problems)
    for part in (
        "action 'a': limits.timeout is 900000 ms; this namespace allows 300000 at most",
        "action 'a': limits.memorySize is 64 MB; this namespace asks for 128 at least",
        "action 'b': this server has no kind 'cobol:85'; it has kinds of ",
        "action 'd': this server has no kind 'python:2'; it has python:3, python:3.10, ",
        "action 'c': its parameters are 11000",
        "sequence 's' refers to /_/nowhere, which is neither",
        "sequence 's' refers to /whisk.system/utils/none",
        "rule 'r' refers to /_/gone",
    ):
        assert part in said
    assert len(caught.value.problems) == 8
    assert str(caught.value).count("\n  ") == 8
    assert await contents(site.client) == {}


async def test_something_of_another_kind_with_the_name_is_said(site: Site) -> None:
    await site.client.triggers.put("a")
    with pytest.raises(DeployError, match="action 'a' cannot be made: something of another kind"):
        await site.deploy(ONE % "")


async def test_code_above_48_mb_is_refused_before_it_is_sent(site: Site) -> None:
    with zipfile.ZipFile(site.folder / "big.zip", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("__main__.py", bytes(38_000_000))
    with pytest.raises(TooLarge, match="over OpenWhisk's 50331648"):
        await site.deploy("packages: {default: {actions: {a: {function: big.zip}}}}")
    assert await contents(site.client) == {}


async def test_a_plan_tells_no_values_of_parameters(site: Site) -> None:
    made = await site.plan(EVERYTHING)
    assert "a-secret-token" not in str(made.to_json()) + repr(made)
    await site.deploy()
    environ = {"TOKEN": "another-secret"}
    manifest = Manifest.load(site.folder / "manifest.yaml", environ=environ)
    changed = await plan(site.client, Project.load(manifest))
    assert done(changed) == {"action 'tools/hello'": "update"}
    assert "another-secret" not in str(changed.to_json()) + repr(changed)
    assert "a-secret-token" not in str(changed.to_json()) + repr(changed)


async def test_a_package_does_not_become_a_binding(site: Site) -> None:
    await site.deploy("packages: {p: {}}")
    text = "packages: {default: {dependencies: {p: {location: /whisk.system/utils}}}}"
    with pytest.raises(DeployError, match="binding 'p' is a package on the server"):
        await site.deploy(text)


async def test_an_action_becomes_a_sequence_and_back(site: Site) -> None:
    await site.deploy(ONE % "inputs: {x: 1}, annotations: {y: 2}")
    text = "packages: {default: {actions: {b: {code: '# b'}}, sequences: {a: {actions: 'b, b'}}}}"
    await site.deploy(text)
    assert done(await site.plan()) == {}
    await site.deploy(ONE % "inputs: {x: 1}, annotations: {y: 2}")
    assert done(await site.plan()) == {}
    assert (await site.client.actions.get("a")).parameters == {"x": 1}


async def test_force_writes_everything_anew(site: Site) -> None:
    await site.deploy(EVERYTHING)
    before = await contents(site.client)
    assert len(done(await site.deploy(force=True))) == 10
    assert await contents(site.client) == before


async def test_removing_what_is_gone_already_is_no_failure(site: Site) -> None:
    await site.deploy(EVERYTHING)
    removal = await plan_removal(site.client, "app")
    await site.client.actions.delete("bare")
    await apply(site.client, removal)
    assert await contents(site.client) == {}
