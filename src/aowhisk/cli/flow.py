"""A dag named on the command line: a file of JSON, or FILE.py:NAME."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from aowhisk.dag import Dag
from aowhisk.errors import ConfigError
from aowhisk.models import JSON

__all__ = ["load_flow"]


def load_flow(flow: str, params: Mapping[str, JSON]) -> Dag:
    """The dag: what `Dag.to_json` wrote ("-" for standard input), a Dag in a Python file, or what a
    function there returns, called with `params`. Raises ConfigError, GraphError."""
    path, colon, name = flow.rpartition(":")
    if colon and path.endswith(".py"):
        return _from_python(Path(path), name, params)
    if flow.endswith(".py"):
        raise ConfigError(
            f"{flow} is Python: say which Dag, or function that returns one, as {flow}:NAME"
        )
    if params:
        raise ConfigError(f"--param is for functions (FILE.py:NAME); {flow} is a dag already")
    try:
        text = sys.stdin.read() if flow == "-" else Path(flow).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigError(f"cannot read the dag from {flow}: {problem}") from problem
    try:
        value = json.loads(text)
    except ValueError as problem:
        raise ConfigError(f"{flow} is not JSON: {problem}") from problem
    return Dag.from_json(value)


def _from_python(path: Path, name: str, params: Mapping[str, JSON]) -> Dag:
    found = getattr(_module(path), name, None)
    if isinstance(found, Dag):
        if params:
            raise ConfigError(f"--param is for functions; {name} in {path} is a Dag")
        return found
    if not callable(found):
        raise ConfigError(f"{path} has no Dag, and no function that returns one, named {name!r}")
    try:
        dag = found(**params)
    except TypeError as problem:
        raise ConfigError(f"{name} in {path} does not take these params: {problem}") from problem
    if not isinstance(dag, Dag):
        raise ConfigError(f"{name} in {path} returned {type(dag).__name__}, not a Dag")
    return dag


def _module(path: Path) -> object:
    if not path.is_file():
        raise ConfigError(f"there is no file {path}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    sys.path.insert(0, str(path.parent.resolve()))  # what lies beside it can be imported
    spec.loader.exec_module(module)
    return module
