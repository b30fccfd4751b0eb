"""`aowhisk run`, `resume`, `cancel`, `recover` and `worker`, as processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from aowhisk_pytest import Namespace

ACTIONS = """
import time
from pathlib import Path

from object_store import action


@action
async def make(args, store):
    key = store.key("made/" + args["name"])
    await store.put(key, args["name"])
    return {"key": key}


@action
async def read(args, store):
    return {"text": (await store.get(args["key"])).decode()}


@action
def wait(args, store):
    Path(args["folder"], "began").touch()
    while not Path(args["folder"], "go").exists():
        time.sleep(0.02)
    return {"waited": True}


def fail(args):
    return {"error": {"code": "No", "message": "not this time", "meta": {"retry": False}}}
"""
MANIFEST = """
packages:
  default:
    actions:
      make: {function: actions.py, main: make}
      read: {function: actions.py, main: read}
      wait: {function: actions.py, main: wait}
      fail: {function: actions.py, main: fail}
"""
FLOW = """
from pathlib import Path

from aowhisk import Dag, RetryPolicy
from names import NAME

HERE = str(Path(__file__).parent)


def making(name: str = NAME, times: int = 1) -> Dag:
    dag = Dag("making")
    made = dag.call("make", {"name": name * times})
    dag.call("read", {"key": made["key"]})
    return dag


WAITING = Dag("waiting")
WAITING.call("wait", {"folder": HERE})
FAILING = Dag("failing")
FAILING.call("fail", {})
NOT_A_DAG = 7
"""


@dataclass
class Site:
    folder: Path
    environ: dict[str, str]

    def __call__(self, *args: object, given: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "aowhisk", *map(str, args)],
            capture_output=True,
            text=True,
            input=given,
            timeout=120,
            check=False,
            cwd=self.folder,
            env=self.environ,
        )

    @contextmanager
    def started(self, *args: object) -> Iterator[subprocess.Popen[str]]:
        process = subprocess.Popen(
            [sys.executable, "-m", "aowhisk", *map(str, args)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=self.environ,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def until(self, name: str) -> None:
        deadline = time.monotonic() + 60
        while not (self.folder / name).exists():
            assert time.monotonic() < deadline, f"no {name}"
            time.sleep(0.05)  # noqa: TID251 -- another process makes it


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A folder with actions and flows, and nothing of the tests' own settings."""
    for name, text in (
        ("actions.py", ACTIONS),
        ("manifest.yaml", MANIFEST),
        ("flow.py", FLOW),
        ("names.py", "NAME = 'a'"),
    ):
        (tmp_path / name).write_text(text)
    known = {k: v for k, v in os.environ.items() if not k.startswith(("AOWHISK_", "__OW_"))}
    return Site(tmp_path, {**known, "HOME": str(tmp_path), "WSK_CONFIG_FILE": os.devnull})


@pytest.fixture
def cluster(site: Site, openwhisk: Namespace) -> Site:
    """The same, with an OpenWhisk on a port that has the actions."""
    site.environ |= openwhisk.environ
    site.environ["AOWHISK_JOURNAL"] = f"sqlite://{site.folder}/shared.db"
    site.environ["AOWHISK_STORE"] = f"folder:{site.folder}/objects"
    done = site("deploy", "--store", f"folder:{site.folder}/objects")
    assert done.returncode == 0, done.stderr
    return site


def test_a_function_is_called_with_the_params_and_its_dag_run(site: Site) -> None:
    done = site(
        "run", "flow.py:making", "-p", "name=b", "-p", "times=2", "--local", "manifest.yaml"
    )
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["state"] == "succeeded"
    assert shown["results"]["read"] == {"text": "bb"}
    assert shown["results"]["make"]["key"] == f"made/{shown['run']}/bb"
    assert "making" in done.stderr  # the table


def test_a_dag_in_json_is_run_from_a_file_and_from_standard_input(site: Site) -> None:
    code = "import json, flow; print(json.dumps(flow.making().to_json()))"
    dag = subprocess.check_output([sys.executable, "-c", code], cwd=site.folder, text=True)
    (site.folder / "flow.json").write_text(dag)
    local = ("--local", "manifest.yaml", "--quiet")
    first = site("run", "flow.json", "--id", "r", *local)
    again = site("run", "-", "--id", "r", *local, given=dag)
    assert first.returncode == 0, first.stderr
    assert first.stderr == ""
    assert json.loads(again.stdout) == json.loads(first.stdout)  # joined, not run again
    other = site("run", "flow.py:FAILING", "--id", "r", *local)
    assert other.returncode == 1
    assert "exists already with another dag" in other.stderr


def test_a_run_that_fails_says_why_and_exits_with_1(site: Site) -> None:
    done = site("run", "flow.py:FAILING", "--local", "manifest.yaml")
    assert done.returncode == 1
    assert json.loads(done.stdout)["state"] == "failed"
    assert "not this time" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["flow.py"], "flow.py:NAME"),
        (["flow.py:nothing"], "named 'nothing'"),
        (["flow.py:NOT_A_DAG"], "named 'NOT_A_DAG'"),
        (["flow.py:making", "-p", "nme=x"], "does not take these params"),
        (["flow.py:WAITING", "-p", "x=1"], "--param is for functions"),
        (["no.py:making"], "there is no file no.py"),
        (["no.json"], "cannot read the dag from no.json"),
        (["manifest.yaml"], "is not JSON"),
        (["flow.py:making"], "AOWHISK_APIHOST"),
    ],
)
def test_what_cannot_be_run_is_said_in_a_line(site: Site, args: list[str], said: str) -> None:
    done = site("run", *args)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_goes_on_when_it_is_resumed(
    cluster: Site, number: signal.Signals
) -> None:
    with cluster.started("run", "flow.py:WAITING", "--id", "r") as process:
        cluster.until("began")
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "`aowhisk resume r` goes on with it" in said
    assert "Traceback" not in said
    (cluster.folder / "go").touch()
    done = cluster("resume", "r")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["results"] == {"wait": {"waited": True}}
    assert cluster("resume", "r").returncode == 1  # it has succeeded
    assert "knows no run 'x'" in cluster("resume", "x").stderr


def test_a_worker_takes_what_was_queued_until_it_is_told_to_stop(cluster: Site) -> None:
    id = cluster("run", "flow.py:making", "--queue", "--label", "who=me").stdout.strip()
    with cluster.started("worker", "--quiet") as process:
        done = cluster("run", "flow.py:making", "--id", id, "--quiet")  # waits for it
        assert json.loads(done.stdout)["results"]["read"] == {"text": "a"}
        process.send_signal(signal.SIGTERM)
        said, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert (said.startswith("taking runs from SqliteJournal"), errors) == (True, "")


def test_a_run_of_another_process_is_cancelled(cluster: Site) -> None:
    with cluster.started("run", "flow.py:WAITING", "--id", "r") as process:
        cluster.until("began")
        done = cluster("cancel", "r")
        assert done.stdout == "run r: cancelled\n", done.stderr
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "run r (waiting) was cancelled" in said
    (cluster.folder / "go").touch()


def test_lost_objects_are_recovered_and_before_that_planned(cluster: Site) -> None:
    shown = json.loads(cluster("run", "flow.py:making", "--quiet").stdout)
    key = shown["results"]["make"]["key"]
    lost = cluster.folder / "objects" / key
    lost.unlink()
    planned = cluster("recover", "--plan", key)
    assert "run 1 call again" in planned.stdout, planned.stderr
    assert not lost.exists()
    done = cluster("recover", key)
    assert done.returncode == 0, done.stderr
    assert lost.read_text() == "a"
    assert "nothing to run" in cluster("recover", key).stdout


def test_a_wrong_address_of_the_store_is_said_before_anything_runs(cluster: Site) -> None:
    done = cluster("run", "flow.py:making", "--store", "ftp://me:hush@host")
    assert done.returncode == 2
    assert "the store cannot be opened" in done.stderr
    assert "hush" not in done.stderr
    assert "Traceback" not in done.stderr
