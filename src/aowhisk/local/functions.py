"""Python functions as actions: source text that finds the function again in another process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from aowhisk.errors import ConfigError
from aowhisk.models import JSON

__all__ = ["source_of"]

_BY_FILE = """\
import importlib.util, sys
sys.path.insert(0, {folder!r})
_spec = importlib.util.spec_from_file_location({module!r}, {file!r})
_module = importlib.util.module_from_spec(_spec)
sys.modules[{module!r}] = _module
_spec.loader.exec_module(_module)
main = _module.{function}
"""
_BY_NAME = """\
import importlib, sys
sys.path.insert(0, {folder!r})
main = importlib.import_module({module!r}).{function}
"""


def source_of(name: str, function: Callable[..., JSON]) -> str:
    """The source of an action `name` that is `function`, which must stand under its own name in a
    file of its own.

    A function of the script that is running (`__main__`) is found in that file, loaded under
    another name: what the script does has to stand under `if __name__ == "__main__"`. Raises
    ConfigError where the function could not be found again.
    """
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    qualname = getattr(function, "__qualname__", "")
    if module is None or getattr(module, qualname, None) is not function:
        raise ConfigError(
            f"action {name!r}: {function!r} cannot be found again in another process; "
            "give a function that stands in a module under its own name (no lambda, nothing nested)"
        )
    file = getattr(module, "__file__", None)
    if file is None or not Path(file).is_file():
        raise ConfigError(
            f"action {name!r}: {qualname} was defined where there is no file (a prompt?); "
            "put it into a module"
        )
    return _source(module, Path(file).resolve(), qualname)


def _source(module: ModuleType, file: Path, function: str) -> str:
    name = module.__name__
    if name == "__main__":
        # `python -m package.flow` has a spec and a real name; `python flow.py` has only its file.
        spec = module.__spec__
        name = spec.name if spec is not None else file.stem
    above = name.count(".") + (file.name == "__init__.py")
    if above == 0:
        return _BY_FILE.format(
            folder=str(file.parent), module=name, file=str(file), function=function
        )
    return _BY_NAME.format(folder=str(file.parents[above]), module=name, function=function)
