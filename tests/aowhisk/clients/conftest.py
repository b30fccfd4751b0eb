"""Other people's clients, and a local OpenWhisk in a process of its own to use them on."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

TOOLS = Path(os.environ.get("TOOLS", Path.home() / ".cache/aowhisk-tools"))


@contextmanager
def served(root: Path, *options: str) -> Iterator[str]:
    """The URL of `aowhisk serve`."""
    command = [sys.executable, "-m", "aowhisk", "serve", "--port", "0", "--root", str(root)]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[2].rstrip(",")
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a local OpenWhisk."""
    with served(tmp_path_factory.mktemp("ow")) as url:
        yield url


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory: pytest.TempPathFactory, certificate: Path) -> Iterator[str]:
    """The same with HTTPS."""
    with served(tmp_path_factory.mktemp("ow"), "--certificate", str(certificate)) as url:
        yield url


@pytest.fixture(scope="session")
def openwhisk_js() -> Path:
    """The modules of the JavaScript client."""
    return _installed(TOOLS / "openwhisk-js-3.21.9/node_modules")


@pytest.fixture(scope="session")
def lithops() -> Path:
    """The environment that Lithops is in."""
    return _installed(TOOLS / "lithops-3.8.0/.ready").parent


def _installed(path: Path) -> Path:
    """`path`, if it is there; where it is not, CI fails, and others skip."""
    if not path.exists():
        missing = f"{path} is not there; run tests/servers/install-servers.sh clients"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    return path
