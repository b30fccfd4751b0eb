"""The two wheels, really built and installed: alone, and side by side in different versions."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OLD_VERSION = "0.0.7"

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("hatchling") is None
    or importlib.util.find_spec("pip") is None
    or not (ROOT / "packaging").is_dir(),
    reason="needs a checkout, hatchling and pip",
)

ALONE = """
import importlib.util, json, sys
for name in ("aowhisk", "httpx", "motor", "aiohttp", "anyio"):
    assert importlib.util.find_spec(name) is None, name
import object_store
from object_store import action

@action
async def main(args, store):
    await store.put(store.key("out/x"), await store.get("src/x"))
    return {"version": object_store.__version__}

@action
def seed(args, store):
    store.put("src/x", "hello")
    return {}

url = {"object_store_url": sys.argv[1]}
assert "error" not in seed(dict(url))
answer = main({**url, "_aowhisk": {"v": 1, "run": "r1", "call": "c", "attempt": "a1"}})
assert [w["key"] for w in answer["_io"]["writes"]] == ["out/r1/x"]
s3 = main({"object_store_url": "s3://access:hidden@host"})["error"]
assert "aowhisk-object-store[s3]" in s3["message"], s3
print(answer["version"])
"""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """`aowhisk`, `small`, and `old`: the small one as of another version."""
    out = tmp_path_factory.mktemp("wheels")
    tree = out / "tree"
    for part in ("src/object_store", "packaging/object-store"):
        shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
    version = tree / "src/object_store/version.py"
    assert f'"{_version()}"' in version.read_text()
    version.write_text(version.read_text().replace(f'"{_version()}"', f'"{OLD_VERSION}"'))
    return {
        "aowhisk": _build(ROOT, out / "aowhisk"),
        "small": _build(ROOT / "packaging/object-store", out / "small"),
        "old": _build(tree / "packaging/object-store", out / "old"),
    }


def _version() -> str:
    from object_store import __version__

    return __version__


def _build(project: Path, out: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=project, check=True, capture_output=True, timeout=60)
    (wheel,) = out.glob("*.whl")
    return wheel


def _environment(folder: Path, python: str) -> Path:
    subprocess.run(
        [python, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=60, env=_environ()
    )
    return folder / "bin/python"


def _environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def _install(python: Path, wheel: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q"]
    options = ["--no-deps", "--no-index", "--disable-pip-version-check", "--no-compile"]
    subprocess.run([*pip, *options, str(wheel)], check=True, timeout=60, env=_environ())


def _run(python: Path, code: str, *args: str) -> subprocess.CompletedProcess[str]:
    command = [str(python), "-I", "-c", code, *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def _python_3_10() -> str | None:
    on_path = shutil.which("python3.10")
    pyenv = sorted((Path.home() / ".pyenv/versions").glob("3.10*/bin/python"))
    for found in [*([on_path] if on_path else []), *map(str, pyenv)]:
        asked = _run(Path(found), "import sys, venv; print(sys.version_info[:2])")
        if asked.stdout == "(3, 10)\n":
            return found
    return None


def test_the_small_wheel_holds_the_package_and_needs_nothing(wheels: dict[str, Path]) -> None:
    from zipfile import ZipFile

    with ZipFile(wheels["small"]) as archive:
        names = archive.namelist()
        (metadata,) = (n for n in names if n.endswith("/METADATA"))
        text = archive.read(metadata).decode()
    assert {"object_store/py.typed", "object_store/s3/backend.py"} <= set(names)
    assert {n.split("/")[0] for n in names if ".dist-info" not in n} == {"object_store"}
    needs = [line for line in text.splitlines() if line.startswith("Requires-Dist")]
    assert needs == ["Requires-Dist: aioboto3>=15.5; extra == 's3'"]


def test_both_wheels_have_the_same_license() -> None:
    """As files, since an sdist must not hold links that lead out of it."""
    small = ROOT / "packaging/object-store/LICENSE"
    assert not small.is_symlink()
    assert small.read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_the_wheel_holds_what_runs_inside_containers(wheels: dict[str, Path]) -> None:
    from zipfile import ZipFile

    with ZipFile(wheels["aowhisk"]) as archive:
        names = set(archive.namelist())
    assert {f"aowhisk/local/{name}" for name in ("worker.py", "worker.js", "starter.py")} <= names


@pytest.mark.parametrize("which", ["this", "3.10"])
def test_the_small_wheel_runs_an_action_alone(
    wheels: dict[str, Path], tmp_path: Path, which: str
) -> None:
    base = sys.executable if which == "this" else _python_3_10()
    if base is None:
        pytest.skip("no Python 3.10 on PATH or under ~/.pyenv")
    python = _environment(tmp_path / "venv", base)
    _install(python, wheels["small"])
    done = _run(python, ALONE, f"folder://{tmp_path}/store")
    assert (done.returncode, done.stdout.strip()) == (0, _version()), done.stderr
    assert (tmp_path / "store/out/r1/x").read_bytes() == b"hello"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="aowhisk needs Python 3.11")
@pytest.mark.parametrize("order", [("aowhisk", "old"), ("old", "aowhisk")])
def test_two_wheels_of_different_versions_are_one_clear_error(
    wheels: dict[str, Path], tmp_path: Path, order: tuple[str, str]
) -> None:
    python = _environment(tmp_path / "venv", sys.executable)
    for name in order:
        _install(python, wheels[name])
    done = _run(python, "import aowhisk")
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith(f"ImportError: aowhisk {_version()} and aowhisk-object-store 0.0.7 in ")
    assert "pip uninstall aowhisk-object-store" in last
    assert done.stderr.count("Traceback") == 1


@pytest.mark.skipif(sys.version_info < (3, 11), reason="aowhisk needs Python 3.11")
def test_two_wheels_of_one_version_are_no_error(wheels: dict[str, Path], tmp_path: Path) -> None:
    python = _environment(tmp_path / "venv", sys.executable)
    for name in ("aowhisk", "small"):
        _install(python, wheels[name])
    check = "from object_store.version import check_same_version; check_same_version()"
    done = _run(python, check)
    assert (done.returncode, done.stderr) == (0, "")
