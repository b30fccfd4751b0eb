"""The command line, as a process of its own."""

import base64
import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from aowhisk.local import GUEST
from object_store.version import __version__

MANIFEST = """
packages:
  default:
    actions:
      greet: {function: greet.py, inputs: {greeting: hello}}
"""
GREET = """
import os
def main(args):
    if args.get("fail"):
        raise ValueError(args["fail"])
    if args.get("error"):
        return {"error": args["error"]}
    said = f"{args['greeting']} {args['name']}"
    return {"said": said, "store": os.environ.get("OBJECT_STORE_URL")}
"""


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    (tmp_path / "greet.py").write_text(GREET)
    (tmp_path / "manifest.yaml").write_text(MANIFEST)
    return tmp_path / "manifest.yaml"


def aowhisk(*args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "aowhisk", *map(str, args)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_version_is_printed() -> None:
    assert aowhisk("--version").stdout.strip() == f"aowhisk {__version__}"


def test_invoke_local_prints_the_result(manifest: Path, tmp_path: Path) -> None:
    (tmp_path / "params.json").write_text('{"name": "a", "other": 1}')

    done = aowhisk(
        "invoke-local", manifest, "greet",
        "--param-file", tmp_path / "params.json", "-p", "name=b", "--store", "memory://x",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"said": "hello b", "store": "memory://x"}


def test_invoke_local_shows_the_traceback_of_what_the_action_raises(manifest: Path) -> None:
    done = aowhisk("invoke-local", manifest, "greet", "--param", "fail=oh no")

    assert done.returncode == 1
    assert "ValueError: oh no" in done.stderr
    assert str(manifest.parent / "greet.py") in done.stderr


def test_invoke_local_of_an_action_that_returns_an_error_is_status_1(manifest: Path) -> None:
    done = aowhisk("invoke-local", manifest, "greet", "--param", 'error={"code": 7}')

    assert done.returncode == 1
    assert json.loads(done.stdout) == {"error": {"code": 7}}


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["nothing"], "declares no action 'nothing'; it has greet"),
        (["greet", "-p", "name"], "is not KEY=VALUE"),
        (["greet", "--param-file", "nowhere.json"], "cannot read params from nowhere.json"),
    ],
)
def test_what_the_user_got_wrong_is_one_line(manifest: Path, args: list[str], text: str) -> None:
    done = aowhisk("invoke-local", manifest, *args)

    assert done.returncode == 2
    assert text in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_serve_says_where_it_is_answers_and_stops_when_told(
    manifest: Path, tmp_path: Path, ending: signal.Signals
) -> None:
    command = [sys.executable, "-m", "aowhisk", "serve", "--port", "0", "--manifest", manifest]
    with subprocess.Popen(
        [*map(str, command), "--root", str(tmp_path / "ow")], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        found = re.match(r"OpenWhisk at (http://127\.0\.0\.1:\d+), actions: greet$", line)
        assert found, line
        request = urllib.request.Request(
            f"{found[1]}/api/v1/namespaces/_/actions/greet?blocking=true&result=true",
            data=b'{"name": "you"}',
            headers={
                "Content-Type": "application/json",
                "Authorization": f"Basic {base64.b64encode(GUEST.encode()).decode()}",
            },
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert json.load(answer)["said"] == "hello you"

        server.send_signal(ending)

        assert server.wait(20) == 0
    assert not list((tmp_path / "ow").iterdir())


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    done = aowhisk("serve", "--host", "192.0.2.1", "--port", "9", "--root", tmp_path)

    assert done.returncode == 2
    assert "cannot listen on 192.0.2.1:9" in done.stderr


def test_serve_without_uvicorn_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['uvicorn'] = None; "
        f"sys.argv = ['aowhisk', 'serve', '--port', '0', '--root', {str(tmp_path)!r}]; "
        "from aowhisk.cli import main; main()"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 2
    assert "pip install 'aowhisk[web]'" in done.stderr


def test_serve_with_an_auth_file_tells_other_programs_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("anna a:secret invocationsPerMinute=5\nbert b:secret\n")
    (tmp_path / "keys").chmod(0o644)
    ready, wskprops = tmp_path / "ready.json", tmp_path / "wskprops"
    options: list[object] = ["--auth-file", tmp_path / "keys", "--ready-file", ready]
    options += ["--wskprops", wskprops, "--fires-per-minute", 3, "--data", tmp_path / "data"]
    command = [sys.executable, "-m", "aowhisk", "serve", "--port", "0", "--root", tmp_path / "ow"]
    with subprocess.Popen(
        [*map(str, command), *map(str, options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        assert server.stderr is not None
        assert server.stdout.readline().startswith("OpenWhisk at http://127.0.0.1:")
        told = json.loads(ready.read_text())
        assert (told["namespace"], told["auth"], told["pid"]) == ("anna", "a:secret", server.pid)
        assert wskprops.read_text() == f"APIHOST={told['url']}\nAUTH=a:secret\n"
        request = urllib.request.Request(
            f"{told['url']}/api/v1/namespaces/anna/limits",
            headers={"Authorization": f"Basic {base64.b64encode(b'a:secret').decode()}"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            limits = json.load(answer)
        assert (limits["invocationsPerMinute"], limits["firesPerMinute"]) == (5, 3)

        server.send_signal(signal.SIGTERM)

        assert server.wait(20) == 0
        assert "others can read the keys" in server.stderr.read()
    assert not ready.exists()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--auth", "a:b", "--auth-file", "keys"], "--auth and --auth-file exclude each other"),
        (["--auth", "nonsense"], "is not `user:secret`"),
        (["--auth-file", "nowhere"], "cannot read the auth file nowhere"),
        (["--faults", "nowhere"], "cannot read nowhere"),
    ],
)
def test_what_serve_cannot_use_is_one_line(options: list[str], text: str, tmp_path: Path) -> None:
    done = aowhisk("serve", "--port", "0", "--root", tmp_path / "ow", *options)

    assert done.returncode == 2
    assert text in done.stderr
    assert "Traceback" not in done.stderr
