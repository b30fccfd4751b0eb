"""`aowhisk deploy`, `undeploy` and `export` on the command line, as processes of their own."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
from deploying import EVERYTHING, Site, aowhisk, contents

from aowhisk.deploy import MARK

SMALL = "packages: {default: {actions: {a: {code: '# a', inputs: {n: 1}}}}}"


def run(site: Site, *arguments: object) -> subprocess.CompletedProcess[str]:
    """In the project's folder, with its environment."""
    environ = {**os.environ, **site.namespace.environ, **site.environ}
    return aowhisk(*arguments, environ=environ, cwd=site.folder)


async def test_deploying_says_what_it_does_and_a_second_time_that_there_is_nothing(
    site: Site,
) -> None:
    site.write(EVERYTHING)

    first, second = run(site, "deploy"), run(site, "deploy", "manifest.yaml")

    assert first.returncode == 0, first.stderr
    lines = first.stdout.splitlines()
    assert "action 'tools/hello': created" in lines
    assert lines[0] == "package 'tools': created"
    assert lines[-2] == "rule 'on-tick': created"
    namespace = site.namespace.namespace
    assert lines[-1] == f"project 'app' in namespace '{namespace}': 10 created"
    assert second.stdout == f"project 'app' in namespace '{namespace}': 10 unchanged\n"


async def test_a_plan_shows_the_difference_and_changes_nothing(site: Site) -> None:
    site.write(SMALL)
    run(site, "deploy")
    before = await contents(site.client, times=True)
    site.write("""
packages:
  default:
    actions: {a: {code: '# b', inputs: {n: 2}, limits: {memorySize: 128}}, c: {code: '# c'}}
""")

    done = run(site, "deploy", "--plan", "--exit-code")

    assert done.returncode == 3
    assert done.stdout.splitlines()[0] == "~ action 'a'"
    assert "    limits.memory: 256 -> 128" in done.stdout.splitlines()
    assert "    parameters.n: changes (hidden)" in done.stdout.splitlines()
    assert "+ action 'c'" in done.stdout.splitlines()
    assert "1 to create, 1 to update" in done.stdout
    assert await contents(site.client, times=True) == before


async def test_the_plan_is_there_for_programs(site: Site) -> None:
    site.write(SMALL)
    planned = json.loads(run(site, "deploy", "--plan", "--json").stdout)
    made = json.loads(run(site, "deploy", "--json").stdout)
    again = run(site, "deploy", "--plan", "--json", "--exit-code")

    assert (planned["applied"], made["applied"], made["failures"]) == (False, True, {})
    assert planned["steps"] == made["steps"]
    (step,) = planned["steps"]
    assert (step["kind"], step["name"], step["operation"]) == ("action", "a", "create")
    assert {"field": "parameters.n", "secret": True} in step["changes"]
    assert again.returncode == 0
    assert json.loads(again.stdout)["steps"][0]["operation"] == "keep"


async def test_undeploy_removes_it(site: Site) -> None:
    site.write(EVERYTHING)
    run(site, "deploy")

    planned, done = run(site, "undeploy", "--plan"), run(site, "undeploy")

    assert "- rule 'on-tick'" in planned.stdout
    assert done.returncode == 0, done.stderr
    assert "10 deleted" in done.stdout
    assert await contents(site.client) == {}
    assert run(site, "undeploy", "--project", "app").stdout.endswith("nothing to do\n")


async def test_inputs_can_be_given_on_the_command_line_and_in_a_file(site: Site) -> None:
    site.write(SMALL, deployment__yaml="packages: {default: {actions: {a: {inputs: {m: [1]}}}}}")

    done = run(site, "deploy", "-p", 'n={"x": 2}', "--deployment", "deployment.yaml")

    assert done.returncode == 0, done.stderr
    assert (await site.client.actions.get("a")).parameters == {"n": {"x": 2}, "m": [1]}


async def test_the_stores_credentials_are_an_init_parameter_and_nowhere_else(site: Site) -> None:
    source = "import object_store\ndef main(args): return args\n"
    site.write("packages: {default: {actions: {a: {function: a.py}}}}", a__py=source)
    store = "s3+http://access:hush-hush@127.0.0.1:9"

    planned = run(site, "deploy", "--plan", "--json", "--store", store)
    done = run(site, "deploy", "--store", store)
    kept = run(site, "deploy", "--plan", "--store", store.replace("hush-hush", "hush-now"))

    for one in (planned, done, kept):
        assert one.returncode == 0, one.stderr
        assert "hush" not in one.stdout + one.stderr
    assert "init.OBJECT_STORE_URL: changes (hidden)" in kept.stdout
    action = await site.client.actions.get("a")
    assert action.init_parameters == {"OBJECT_STORE_URL": store}
    raw = {key: one for key, one in action.raw.items() if key != "parameters"}
    assert "hush" not in json.dumps(raw)
    assert isinstance(action.annotations[MARK], dict)


async def test_actions_get_the_stores_address_as_they_reach_it(site: Site) -> None:
    source = "import object_store\ndef main(args): return args\n"
    site.write("packages: {default: {actions: {a: {function: a.py}}}}", a__py=source)
    outside, inside, given = ("s3+http://a:b@host:1", "s3+http://a:b@host:2", "folder:///given")
    site.environ = {**site.environ, "AOWHISK_STORE": outside, "AOWHISK_ACTION_STORE": inside}
    for options, wanted in (([], inside), (["--store", given], given)):
        assert run(site, "deploy", *options).returncode == 0
        action = await site.client.actions.get("a")
        assert action.init_parameters == {"OBJECT_STORE_URL": wanted}


@pytest.mark.parametrize(
    ("text", "arguments", "code", "said"),
    [
        ("packages: {p: {apis: {x: 1}}}", [], 2, "packages.p.apis: aowhisk does not support"),
        ("packages: {p: {actions: {a: {function: gone.py}}}}", [], 2, "cannot read gone.py"),
        (SMALL, ["--exit-code"], 2, "--exit-code goes with --plan"),
        (SMALL, ["--param", "n"], 2, "is not KEY=VALUE"),
        (SMALL, ["--auth", "nobody:nothing"], 1, "the API key was refused"),
        (SMALL, ["--apihost", "http://127.0.0.1:1"], 1, "127.0.0.1:1"),
        (SMALL.replace("'# a'", "'# a', runtime: cobol:85"), [], 1, "no kind 'cobol:85'"),
    ],
)
async def test_what_goes_wrong_is_one_line_and_an_exit_code(
    site: Site, text: str, arguments: list[str], code: int, said: str
) -> None:
    site.write(text)
    done = run(site, "deploy", *arguments)
    assert done.returncode == code
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


async def test_export_writes_what_can_be_deployed_again(site: Site) -> None:
    site.write(EVERYTHING)
    run(site, "deploy")
    before = await contents(site.client)

    done = run(site, "export", "out", "--project", "app")
    again = run(site, "export", "out")
    run(site, "undeploy")
    back = run(site, "deploy", "out")

    assert (done.returncode, done.stdout) == (0, "written: out/manifest.yaml\n")
    assert again.returncode == 2
    assert "is there already" in again.stderr
    assert back.returncode == 0, back.stderr
    after = await contents(site.client)
    assert after.keys() == before.keys()
    assert after["action tools/hello"]["parameters"] == before["action tools/hello"]["parameters"]


async def test_a_manifest_yml_is_found_as_well(site: Site) -> None:
    site.write(SMALL).rename(site.folder / "manifest.yml")
    assert run(site, "deploy").stdout.endswith("1 created\n")


async def test_what_the_manifest_says_in_vain_is_noted(site: Site) -> None:
    site.write(SMALL.replace("inputs", "limits: {codeSize: 1}, inputs"))
    assert "note: packages.default.actions.a.limits.codeSize is" in run(site, "deploy").stderr


async def test_a_deployment_file_that_is_there_and_not_named_is_noted(site: Site) -> None:
    site.write(SMALL, deployment__yaml="packages: {default: {actions: {a: {inputs: {n: 2}}}}}")
    note = "note: deployment.yaml is not used, where wskdeploy does; give --deployment"
    assert note in run(site, "deploy").stderr
    assert "note" not in run(site, "deploy", "--deployment", "deployment.yaml").stderr


async def test_help_reads_well(site: Site) -> None:
    for command in ("deploy", "undeploy", "export"):
        done = run(site, command, "--help")
        assert done.returncode == 0
        assert "Traceback" not in done.stderr
    assert "deploy" in run(site, "--help").stdout


async def test_killed_anywhere_and_run_again_it_ends_right(site: Site, serving: Any) -> None:
    from aowhisk.client import Client

    many = ", ".join(f"n{n}: {{code: '# {n}', inputs: {{n: {n}}}}}" for n in range(12))
    site.write(
        f"{EVERYTHING}        more: {{code: '# more'}}\n"
        + f"""
    extra: {{actions: {{{many}}}}}
"""
    )
    other = serving.take()
    async with Client(other.apihost, other.auth) as client:
        whole = Site(site.folder, client, site.environ, other)
        run(whole, "deploy")
        expected = await contents(client)
    dice = random.Random(7)
    environ = {**os.environ, **site.namespace.environ, **site.environ}
    killed = 0

    for number in range(20):
        command = "deploy" if number % 5 else "undeploy"
        child = subprocess.Popen(
            [sys.executable, "-m", "aowhisk", command, "--parallel", "2"],
            cwd=site.folder,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert child.stdout is not None
        child.stdout.readline()  # the first step is done
        time.sleep(dice.uniform(0, 0.06))  # noqa: TID251, ASYNC251  a kill comes at any moment
        killed += child.poll() is None
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    done = run(site, "deploy")

    assert done.returncode == 0, done.stderr
    assert killed > 5
    assert _renamed(await contents(site.client), site) == _renamed(expected, whole)
    assert run(site, "deploy").stdout.endswith("24 unchanged\n")
    run(site, "undeploy")
    assert await contents(site.client) == {}


def _renamed(found: dict[str, Any], site: Site) -> Any:
    """With the namespace's own name taken out."""
    return json.loads(json.dumps(found).replace(site.namespace.namespace, "NAMESPACE"))
