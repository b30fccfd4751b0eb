"""What a container gets of this machine: a folder, an interpreter, and next to nothing of the
server's environment."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

from aowhisk.errors import ConfigError
from object_store import StoreError
from object_store.store import open_backend

__all__ = ["ENVIRONMENT", "check_place", "check_store", "container_environ", "make_folder"]

ENVIRONMENT = "aowhisk"
_KEPT = (
    "PATH",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TMPDIR",
    "TZ",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
)


def check_place(python: str) -> None:
    """Raise ConfigError inside an action, and where there is no `python`."""
    if os.environ.get("__OW_EXECUTION_ENV") == ENVIRONMENT:
        raise ConfigError(
            "a local OpenWhisk cannot start inside one of its own actions; "
            'what the script does has to stand under `if __name__ == "__main__"`'
        )
    if shutil.which(python) is None:
        raise ConfigError(f"there is no Python at {python!r} to run actions with")


def check_store(url: str | None) -> None:
    """Raise ConfigError for a store that actions in processes of their own cannot share."""
    if url is None:
        return
    if url.startswith("memory:"):
        raise ConfigError(
            f"the store {url!r} cannot serve a local OpenWhisk: every action runs in a process of "
            "its own, and would have a memory of its own; use folder:///path or s3://"
        )
    try:
        open_backend(url)
    except StoreError as error:
        raise ConfigError(f"the store of the actions cannot be used: {error}") from error


def make_folder(root: Path) -> Path:
    """A new folder for the containers of one server."""
    root.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="containers-", dir=root)).resolve()


def container_environ(api_host: str) -> dict[str, str]:
    """A container's own environment: next to nothing of ours, but where Python and
    object_store are."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    given = os.environ.get("PYTHONPATH", "")
    paths = [os.path.abspath(path) for path in given.split(os.pathsep) if path]
    spec = importlib.util.find_spec("object_store")
    if spec is not None and spec.origin is not None:
        folder = str(Path(spec.origin).resolve().parents[1])
        if "site-packages" not in folder and folder not in paths:
            paths.append(folder)
    if paths:
        kept["PYTHONPATH"] = os.pathsep.join(paths)
    return kept | {
        "__OW_API_HOST": api_host,
        "__OW_EXECUTION_ENV": ENVIRONMENT,
        "__OW_PROXY_VERSION": ENVIRONMENT,
        "__OW_WAIT_FOR_ACK": "1",
    }
