"""The examples' images: what is put into them, installed and run as in OpenWhisk's container."""

from __future__ import annotations

import ast
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from container import SENTINEL, Container, Refused
from dockerfile import Dockerfile

from aowhisk.manifest import Manifest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "examples").glob("*/Dockerfile"))
BUILD = ROOT / "packaging/images/build.sh"
RUNTIME = "openwhisk/action-python-v3.11"
KIND_PYTHON = (3, 11)  # that of RUNTIME

pytestmark = pytest.mark.skipif(
    shutil.which("bash") is None or not BUILD.exists(), reason="needs a checkout and bash"
)


def staged(example: str, folder: Path) -> Path:
    """What docker would be given to build the image."""
    environ = {**os.environ, "PYTHON": sys.executable}
    command = [str(BUILD), "--stage", example, str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=120, env=environ)
    return folder


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The build context of each example."""
    base = tmp_path_factory.mktemp("contexts")
    return {file.parent.name: staged(file.parent.name, base / file.parent.name) for file in FILES}


@pytest.fixture(scope="module")
def python(contexts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of the sample's image, with the libraries of this environment."""
    context = contexts["sample"]
    root = tmp_path_factory.mktemp("image")
    return Dockerfile.read(context / "Dockerfile").carry_out(context, root, requirements=False)


@pytest.fixture
def container(python: Path, tmp_path: Path) -> Iterator[Container]:
    with Container(tmp_path / "container", python, {"__OW_API_HOST": "http://nginx"}) as found:
        yield found


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[str]:
    """The URL of an S3 server, moto's."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (
        (tmp_path / "moto").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as server,
    ):
        until = time.monotonic() + 30
        while time.monotonic() < until and server.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.02)  # noqa: TID251 -- another process
        yield f"s3+http://access:secret@127.0.0.1:{port}"
        server.terminate()


def action(example: str, name: str) -> tuple[str, str]:
    """Source and main function of an example's action, as they are uploaded."""
    spec = Manifest.load(ROOT / "examples" / example / "manifest.yaml").actions[name]
    return spec.code, spec.main or "main"


def context_of(call: str) -> dict[str, Any]:
    return {"v": 1, "run": "r1", "call": call, "attempt": f"{call}-{time.time_ns()}", "try": 1}


def test_every_example_has_an_image() -> None:
    assert {file.parent for file in FILES} == {
        each.parent for each in (ROOT / "examples").glob("*/manifest.yaml")
    }


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_the_base_is_openwhisks_own_runtime_and_says_where_that_is_from(file: Path) -> None:
    image, _, tag = Dockerfile.read(file).base.partition(":")
    assert (image, bool(tag)) == (RUNTIME, True)
    assert "ansible/files/runtimes.json" in file.read_text()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_every_requirement_is_pinned(file: Path) -> None:
    lines = file.with_name("requirements-image.txt").read_text().splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")]
    assert wanted
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][\w.]*", line) for line in wanted)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_what_the_actions_import_is_in_the_image(file: Path) -> None:
    tree = ast.parse(file.with_name("actions.py").read_text())
    names = {n.name for node in ast.walk(tree) if isinstance(node, ast.Import) for n in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    tops = {name.partition(".")[0].replace("sklearn", "scikit-learn") for name in names}
    listed = set(re.findall(r"^([a-z0-9-]+)==", _requirements(file), re.MULTILINE))
    assert tops - set(sys.stdlib_module_names) <= listed | {"object_store"}


def _requirements(file: Path) -> str:
    return file.with_name("requirements-image.txt").read_text()


def test_the_wheel_in_the_context_is_object_store_alone(contexts: dict[str, Path]) -> None:
    (wheel,) = (contexts["sample"] / "wheels").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
    assert wheel.name.startswith("aowhisk_object_store-")
    assert {top for top in tops if not top.endswith(".dist-info")} == {"object_store"}


def test_the_sample_runs_in_its_image(python: Path, tmp_path: Path) -> None:
    store = {"OBJECT_STORE_URL": f"folder://{tmp_path}/store"}
    params: dict[str, Any] = {"text": "the quick brown fox"}
    results = []
    for name in ("action1", "action2", "action3"):
        with Container(tmp_path / name, python) as container:
            assert container.init(*action("sample", name), **store) == {"ok": True}
            result = container.run({**params, "_aowhisk": context_of(name)})
            assert "error" not in result, container.logs("stderr")
        results.append(result)
        params = {"input": result["output"]}
    assert (tmp_path / "store/sample/r1/loud.txt").read_text() == "FOX BROWN QUICK THE"
    assert (results[2]["words"], len(results[2]["_io"]["reads"])) == (4, 1)


def test_the_sample_runs_in_its_image_on_s3(python: Path, s3: str, tmp_path: Path) -> None:
    with Container(tmp_path / "c", python) as container:
        container.init(*action("sample", "action1"), OBJECT_STORE_URL=s3)
        result = container.run({"text": "so it goes", "_aowhisk": context_of("action1")})
    assert result["output"] == "sample/r1/text.txt", (result, container.logs("stderr"))
    assert result["_io"]["writes"][0]["size"] == len("so it goes")


def test_the_image_has_its_own_object_store_and_a_bare_environment(container: Container) -> None:
    code = """
import os, object_store
def main(args):
    return {"from": object_store.__file__, "environ": dict(os.environ)}
"""
    container.init(code, "main", GREETING="hello")
    first, second = container.run({}, "a1"), container.run({}, "a2")
    assert "/image" in first["from"]
    assert "/venv/" in first["from"]
    environ = second["environ"]
    assert environ["GREETING"] == "hello"
    assert environ["__OW_ACTIVATION_ID"] == "a2"
    assert environ["__OW_API_HOST"] == "http://nginx"
    assert {"HOME", "PATH", "USER"}.isdisjoint(environ)


def test_a_container_is_warm_between_activations(container: Container) -> None:
    container.init("n = 0\ndef main(args):\n    global n\n    n += 1\n    return {'n': n}", "main")
    assert [container.run({})["n"] for _ in range(3)] == [1, 2, 3]


def test_each_activation_ends_with_the_sentinel_on_both_streams(container: Container) -> None:
    container.init("def main(args):\n    print('said', args['n'])\n    return args", "main")
    container.run({"n": 1})
    container.run({"n": 2})
    assert container.logs() == ["said 1", SENTINEL, "said 2", SENTINEL]
    assert container.logs("stderr") == [SENTINEL, SENTINEL]


def test_an_exception_is_an_application_error(container: Container) -> None:
    container.init("def main(args):\n    raise KeyError('name')", "main")
    assert container.run({}) == {"error": "'name'"}
    assert any("KeyError" in line for line in container.logs("stderr"))


def test_a_missing_object_is_told_as_the_protocol_wants(
    container: Container, tmp_path: Path
) -> None:
    container.init(*action("sample", "action2"), OBJECT_STORE_URL=f"folder://{tmp_path}/store")
    error = container.run({"input": "sample/none", "_aowhisk": context_of("x")})["error"]
    assert (error["code"], error["meta"]["key"]) == ("NoSuchKey", "sample/none")


def test_an_action_that_dies_is_told_and_the_container_is_done(container: Container) -> None:
    container.init("import os\ndef main(args):\n    os._exit(3)", "main")
    with pytest.raises(Refused, match="400: command exited"):
        container.run({})
    with pytest.raises(Refused, match="500: no action defined yet"):
        container.run({})


def test_a_container_takes_one_action_only(container: Container) -> None:
    container.init("def main(args):\n    return args", "main")
    with pytest.raises(Refused, match="403: Cannot initialize the action more than once"):
        container.init("def main(args):\n    return {}", "main")
    assert container.run({"a": 1}) == {"a": 1}


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("", "403: Missing main/no code to execute."),
        ("def main(args:", "502: The action failed to generate or locate a binary"),
        ("import no_such_module", "502: Cannot start action"),
        ("def other(args): pass", "502: Cannot start action"),
    ],
)
def test_code_that_cannot_be_started_is_refused(container: Container, code: str, text: str) -> None:
    with pytest.raises(Refused, match=re.escape(text)):
        container.init(code, "main")


def test_a_result_that_is_no_object_is_refused(container: Container) -> None:
    container.init("def main(args):\n    return 'text'", "main")
    with pytest.raises(Refused, match="did not return a dictionary or array"):
        container.run({})


def test_a_zip_with_a_virtual_environment_is_run(container: Container) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("__main__.py", "import extra\ndef main(args):\n    return extra.ANSWER")
        archive.writestr("virtualenv/lib/extra.py", "ANSWER = {'n': 42}")
        archive.writestr(
            "virtualenv/bin/activate_this.py",
            "import os, sys\nhere = os.path.dirname(os.path.abspath(__file__))\n"
            "sys.path.insert(0, os.path.join(here, '..', 'lib'))",
        )
    assert container.init(packed.getvalue(), "main") == {"ok": True}
    assert container.run({}) == {"n": 42}


def test_the_build_script_says_what_is_missing(tmp_path: Path) -> None:
    empty = {"PATH": "/nowhere", "PYTHON": sys.executable}
    bash = shutil.which("bash") or "bash"
    done = subprocess.run([bash, str(BUILD)], capture_output=True, text=True, env=empty)
    assert done.returncode != 0
    staging = subprocess.run(
        [bash, str(BUILD), "--stage", "none", str(tmp_path)], capture_output=True, text=True
    )
    assert staging.returncode == 1
    assert "examples/none has no Dockerfile" in staging.stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info[:2] != KIND_PYTHON, reason="the image has Python 3.11")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_what_is_pinned_installs_and_imports(
    file: Path, contexts: dict[str, Path], tmp_path: Path
) -> None:
    context = contexts[file.parent.name]
    python = Dockerfile.read(context / "Dockerfile").carry_out(context, tmp_path)
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), "list", "--format", "json"],
        check=True,
        capture_output=True,
        timeout=60,
    )
    found = {f"{row['name'].lower()}=={row['version']}" for row in json.loads(listed.stdout)}
    wanted = {line for line in _requirements(file).splitlines() if "==" in line}
    assert wanted <= {each.replace("_", "-") for each in found}
    spec = Manifest.load(file.with_name("manifest.yaml"))
    for name in spec.actions:
        with Container(tmp_path / name, python) as container:
            assert container.init(*action(file.parent.name, name)) == {"ok": True}
