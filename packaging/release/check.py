"""Makes what a release consists of, in dist/, and tries it as its users will: from the wheels,
outside of the tree, on every Python that is here.

    python packaging/release/check.py [--fast]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DIST = ROOT / "dist"
PROJECTS = {"aowhisk": ROOT, "aowhisk-object-store": ROOT / "packaging/object-store"}
PYTHONS = {"aowhisk": ("3.11", "3.12", "3.13"), "aowhisk-object-store": ("3.10",)}
ACTION = """
import pathlib, sys
import actions, object_store
assert pathlib.Path(object_store.__file__).is_relative_to(sys.prefix), object_store.__file__
answer = actions.action1({"object_store_url": sys.argv[1], "text": "so it goes"})
assert [w["key"] for w in answer["_io"]["writes"]] == [answer["output"]], answer
print(object_store.__version__, "writes", answer["output"])
"""
_BEGAN = time.monotonic()


def main() -> None:
    """Do all of it; the first thing that is wrong ends it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fast", action="store_true", help="on one Python, without the tutorial")
    fast = parser.parse_args().fast
    version = _version()
    shutil.rmtree(DIST, ignore_errors=True)
    for project, folder in PROJECTS.items():
        _build(project, folder, version)
    with tempfile.TemporaryDirectory(prefix="aowhisk-release-") as place:
        tried: dict[str, list[str]] = {}
        for project, versions in PYTHONS.items():
            found = list(_pythons(versions))
            tried[project] = [name for name, _ in found[:1] if fast] or [n for n, _ in found]
            for name, python in found:
                if name in tried[project]:
                    _try(project, python, Path(place) / f"{project}-{name}", version)
        if not all(tried.values()):
            sys.exit(f"there is none of these Pythons, on PATH or by pyenv: {PYTHONS}")
        for project, names in tried.items():
            _write_sbom(project, Path(place) / f"{project}-{names[0]}", version)
        if not fast:
            _try_tutorial(Path(place) / f"aowhisk-{tried['aowhisk'][-1]}", Path(place))
    for project, names in tried.items():
        left = [name for name in PYTHONS[project] if name not in names]
        also = f"; not tried: {', '.join(left)}" if left else ""
        print(f"{project} {version}: tried on Python {', '.join(names)}{also}")


def _version() -> str:
    text = (ROOT / "src/object_store/version.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if found is None:
        sys.exit("src/object_store/version.py has no line __version__ = ...")
    tag = os.environ.get("RELEASE_TAG")
    if tag and tag != f"v{found[1]}":
        sys.exit(f"the tag is {tag} and src/object_store/version.py says {found[1]}")
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    if tag and f"\n## {found[1]}" not in changes:
        sys.exit(f"CHANGELOG.md has no section ## {found[1]}; rename ## Unreleased")
    return found[1]


def _build(project: str, folder: Path, version: str) -> None:
    """The sdist, and the wheel out of the sdist, as whoever builds from source has it."""
    _say(f"build {project}")
    out = DIST / project
    _run(sys.executable, "-m", "build", "--outdir", out, folder)
    made = sorted(path.name for path in out.iterdir())
    stem = f"{project.replace('-', '_')}-{version}"
    if made != [f"{stem}-py3-none-any.whl", f"{stem}.tar.gz"]:
        sys.exit(f"{out} should hold the wheel and the sdist of {stem}, and holds {made}")
    _run(sys.executable, "-m", "twine", "--no-color", "check", "--strict", *out.iterdir())


def _pythons(versions: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """The interpreters of these versions that are here, on PATH or by pyenv."""
    for version in versions:
        pyenv = sorted((Path.home() / ".pyenv/versions").glob(f"{version}.*/bin/python"))
        for python in (*map(str, pyenv), shutil.which(f"python{version}")):
            if python is not None and _is(python, version):
                yield version, python
                break


def _is(python: str, version: str) -> bool:
    code = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() == version


def _try(project: str, base: str, folder: Path, version: str) -> None:
    """Install the wheel into an environment of its own, and run the sample with it."""
    _say(f"{folder.name}: install and run the sample")
    _run(base, "-m", "venv", "--without-pip", folder / "venv")
    python = folder / "venv/bin/python"
    (wheel,) = (DIST / project).glob("*.whl")
    _install(python, wheel)
    sample = shutil.copytree(ROOT / "examples/sample", folder / "sample")
    if project == "aowhisk":
        said = _run(folder / "venv/bin/aowhisk", "--version")
        assert said.strip() == f"aowhisk {version}", said
        said = _run(python, "flow.py", cwd=sample)
        assert re.search(r"^run \S+: 4 words in sample/\S+/loud\.txt$", said, re.MULTILINE), said
    else:
        said = _run(python, "-c", ACTION, f"folder://{folder}/store", cwd=sample)
        assert said.strip() == f"{version} writes sample/text.txt", said


def _try_tutorial(folder: Path, place: Path) -> None:
    _say(f"{folder.name}: the tutorial")
    (wheel,) = (DIST / "aowhisk").glob("*.whl")
    python = folder / "venv/bin/python"
    _install(python, f"{wheel}[web]", "pytest")
    for name in ("docs/tutorial.md", "tests/pages.py", "tests/test_tutorial.py"):
        (place / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, place / "tree" / name)
    _run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", cwd=place / "tree")


def _write_sbom(project: str, folder: Path, version: str) -> None:
    """What the installed wheel brings along, in CycloneDX."""
    _say(f"{project}: the bill of materials")
    path = DIST / "sbom" / f"{project}-{version}.cdx.json"
    path.parent.mkdir(exist_ok=True)
    tool = [sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible"]
    declared = ["--pyproject", PROJECTS[project] / "pyproject.toml", "--mc-type", "library"]
    _run(*tool, *declared, "--output-file", path, folder / "venv/bin/python")
    bom = json.loads(path.read_text(encoding="utf-8"))
    root = bom["metadata"]["component"]  # the version is not in pyproject.toml
    root |= {"version": version, "purl": f"pkg:pypi/{project}@{version}"}
    path.write_text(json.dumps(bom, indent=2) + "\n", encoding="utf-8")
    told = {each["name"].lower() for each in bom.get("components", ())}
    needed = {"aowhisk": {"aiohttp", "typer", "structlog"}}.get(project, set())
    if root["name"] != project or needed - told:
        sys.exit(f"{path} is of {root['name']} with {sorted(told)}, without {needed - told}")


def _install(python: Path, *what: object) -> None:
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "-q"]
    _run(*pip, "--disable-pip-version-check", *what)


def _run(*command: object, cwd: Path = ROOT) -> str:
    """What a command says; it must succeed. It sees nothing of this tree."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "AOWHISK_"))}
    words = [str(word) for word in command]
    done = subprocess.run(
        words, cwd=cwd, env=kept, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        sys.exit(f"{' '.join(words)}\nended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def _say(what: str) -> None:
    print(f"{time.monotonic() - _BEGAN:5.0f} s  {what}", flush=True)


if __name__ == "__main__":
    main()
