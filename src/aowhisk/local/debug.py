"""Runs one action in this very process, so that a debugger stops in it."""

from __future__ import annotations

import base64
import importlib.util
import io
import os
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from aowhisk.errors import ConfigError
from aowhisk.manifest import ActionSpec
from aowhisk.models import JSON

__all__ = ["call_here"]


def call_here(action: ActionSpec, params: Mapping[str, JSON], environ: Mapping[str, str]) -> JSON:
    """What the action returns for `params`, laid over those of the manifest; what it raises comes
    through.

    It is loaded from its own file, not from a copy: breakpoints hold. `environ` is added to the
    environment for good.
    """
    os.environ.update(environ)
    os.environ["__OW_ACTION_NAME"] = f"/_/{action.name}"
    with _folder_of(action) as file:
        sys.path.insert(0, str(file.parent))
        module = _load(file)
        name = action.main or "main"
        function: Callable[[dict[str, JSON]], JSON] | None = getattr(module, name, None)
        if function is None:
            raise ConfigError(f"action {action.name!r}: {file} has no function {name!r}")
        return function({**action.parameters, **params})


def _load(file: Path) -> ModuleType:
    name = "main__" if file.stem == "__main__" else file.stem
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{file} is no Python source")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@contextmanager
def _folder_of(action: ActionSpec) -> Iterator[Path]:
    """The file to load: the action's own where it has one, else one in a folder that goes again."""
    source = action.source
    if source is not None and source.suffix != ".zip":
        yield (source / "__main__.py" if source.is_dir() else source).resolve()
        return
    with tempfile.TemporaryDirectory(prefix="aowhisk-") as folder:
        file = Path(folder) / "__main__.py"
        if action.binary:
            with zipfile.ZipFile(io.BytesIO(base64.b64decode(action.code))) as archive:
                archive.extractall(folder)
        else:
            file.write_text(action.code, encoding="utf-8")
        yield file
