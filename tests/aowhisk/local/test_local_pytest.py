"""The pytest plugin."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
ROOT = Path(__file__).parents[3]
SUITE = """
import json
import urllib.request
from base64 import b64encode

ACTION = {"exec": {"kind": "python:3", "code": "def main(args):\\n    return args\\n"}}

def send(ow, method, path, body=None):
    request = urllib.request.Request(
        f"{ow.api}/{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Authorization": "Basic " + b64encode(ow.auth.encode()).decode(),
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)
"""


@pytest.fixture
def plugged(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder of tests that have the plugin."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    pytester.makepyfile(suite=SUITE)
    return pytester


def run(plugged: pytest.Pytester, *args: str) -> pytest.RunResult:
    # Where aowhisk is installed, the entry point names the plugin already.
    return plugged.runpytest_subprocess("-p", "no:aowhisk", "-p", "aowhisk_pytest", *args)


def test_each_test_has_a_namespace_of_its_own(plugged: pytest.Pytester) -> None:
    plugged.makepyfile(
        """
        from suite import ACTION, send

        def test_one(openwhisk):
            send(openwhisk, "PUT", "actions/echo", ACTION)
            found = send(openwhisk, "POST", "actions/echo?blocking=true&result=true", {"a": 1})
            assert found == {"a": 1}

        def test_two(openwhisk, openwhisk_server):
            assert send(openwhisk, "GET", "actions") == []
            assert openwhisk.apihost == openwhisk_server.apihost
            other = openwhisk_server.take()
            assert other.namespace != openwhisk.namespace
            assert send(other, "GET", "activations") == []
        """
    )

    run(plugged).assert_outcomes(passed=2)


def test_the_server_takes_options_from_the_settings_and_ends_with_the_session(
    plugged: pytest.Pytester,
) -> None:
    plugged.makeini(
        "[pytest]\naowhisk_serve = --invocations-per-minute 7 --concurrent-invocations 3"
    )
    plugged.makepyfile(
        """
        import json
        from pathlib import Path
        from suite import send

        def test_limits(openwhisk, openwhisk_server):
            limits = send(openwhisk, "GET", "limits")
            assert limits["invocationsPerMinute"] == 7
            assert limits["concurrentInvocations"] == 3
            Path("ready").write_text(str(openwhisk_server.log.parent / "ready.json"))
            assert Path(Path("ready").read_text()).exists()
        """
    )

    run(plugged).assert_outcomes(passed=1)

    assert not Path((plugged.path / "ready").read_text()).exists()


def test_the_environment_leads_clients_there(plugged: pytest.Pytester) -> None:
    plugged.makepyfile(
        """
        import asyncio
        from aowhisk import Client

        def test_environment(openwhisk, monkeypatch):
            for name, value in openwhisk.environ.items():
                monkeypatch.setenv(name, value)
            lines = open(openwhisk.environ["WSK_CONFIG_FILE"]).read().split()
            assert lines == [f"APIHOST={openwhisk.apihost}", f"AUTH={openwhisk.auth}"]
            assert openwhisk.auth == f"{openwhisk.user}:{openwhisk.secret}"
            assert openwhisk.secret not in repr(openwhisk)

            async def names():
                async with Client(openwhisk.apihost, openwhisk.auth) as client:
                    return await client.namespaces.list()

            assert asyncio.run(names()) == (openwhisk.namespace,)
        """
    )

    run(plugged).assert_outcomes(passed=1)


def test_a_server_that_does_not_start_is_a_failure_that_says_why(
    plugged: pytest.Pytester,
) -> None:
    plugged.makeini("[pytest]\naowhisk_serve = --manifest nowhere.yaml")
    plugged.makepyfile("def test_it(openwhisk): pass")

    result = run(plugged)

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*the local OpenWhisk did not start: *cannot read*nowhere.yaml*"])


def test_when_the_namespaces_are_used_up_another_server_is_started(
    plugged: pytest.Pytester,
) -> None:
    plugged.makepyfile(
        """
        import aowhisk_pytest
        from suite import send

        aowhisk_pytest._NAMESPACES = 1

        def test_one(openwhisk):
            test_one.host = openwhisk.apihost

        def test_two(openwhisk):
            assert openwhisk.apihost != test_one.host
            assert send(openwhisk, "GET", "actions") == []
        """
    )

    run(plugged).assert_outcomes(passed=2)


def test_who_does_not_use_it_pays_nothing() -> None:
    code = "import sys, aowhisk_pytest; print('aowhisk' in sys.modules, 'anyio' in sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.split() == ["False", "False"]


def test_pytest_finds_it_by_its_entry_point() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())

    assert project["project"]["entry-points"]["pytest11"] == {"aowhisk": "aowhisk_pytest"}
    assert "src/aowhisk_pytest" in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
