"""The examples, loaded as OpenWhisk loads them (by file), and started as a person does."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def load(path: str) -> ModuleType:
    """The module at `path` inside examples/, under a name of its own."""
    name = "examples_" + path.removesuffix(".py").replace("/", "_")
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def start(path: str, folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Start the script at `path` inside examples/ in `folder`: its exit code, what it printed, and
    its errors with what it imported."""
    import object_store

    sources = str(Path(object_store.__file__).resolve().parents[1])
    search = os.pathsep.join(filter(None, [sources, os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(EXAMPLES / path), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": search},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout, done.stderr
