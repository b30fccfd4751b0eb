"""A pytest plugin: the fixture `openwhisk` is a namespace of its own in a local OpenWhisk that runs
while the tests do.

It stands beside `aowhisk` and not in it because pytest imports every plugin at its start; this one
costs nothing until a test asks for it.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

__all__ = ["Namespace", "OpenWhiskServer"]

_NAMESPACES = 500
_START_SECONDS = 60.0


@dataclass(frozen=True)
class Namespace:
    """A namespace of a local OpenWhisk: `apihost` is its URL, `auth` the key (`user:secret`)."""

    apihost: str
    auth: str = field(repr=False)
    namespace: str
    folder: Path = field(repr=False)

    @property
    def user(self) -> str:
        """The first half of the key."""
        return self.auth.partition(":")[0]

    @property
    def secret(self) -> str:
        """The second half of the key."""
        return self.auth.partition(":")[2]

    @property
    def api(self) -> str:
        """The URL below which the entities of the namespace are."""
        return f"{self.apihost}/api/v1/namespaces/_"

    @property
    def environ(self) -> dict[str, str]:
        """The environment by which aowhisk, wsk and clients inside actions find it."""
        wskprops = self.folder / f"{self.namespace}.wskprops"
        if not wskprops.exists():
            wskprops.write_text(f"APIHOST={self.apihost}\nAUTH={self.auth}\n", encoding="utf-8")
        return {
            "WSK_CONFIG_FILE": str(wskprops),
            "AOWHISK_APIHOST": self.apihost,
            "AOWHISK_AUTH": self.auth,
            "__OW_API_HOST": self.apihost,
            "__OW_API_KEY": self.auth,
        }


class OpenWhiskServer:
    """One server process with many namespaces, in `folder`; `options` are those of
    `aowhisk serve`. `log` is what it says."""

    def __init__(self, folder: Path, options: list[str]) -> None:
        self._folder = folder
        self.log = folder / "server.log"
        self._unused = [
            (f"test-{number}", f"{secrets.token_hex(8)}:{secrets.token_hex(32)}")
            for number in reversed(range(_NAMESPACES))
        ]
        keys = folder / "keys"
        keys.touch(mode=0o600)
        keys.write_text("".join(f"{name} {key}\n" for name, key in self._unused), encoding="ascii")
        ready = folder / "ready.json"
        places = ["--port", "0", "--root", str(folder / "containers")]
        command = [sys.executable, "-m", "aowhisk", "serve", *places, *options]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "--auth-file", keys, "--ready-file", ready],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for pytest, which then stops it
            )
        self.apihost = self._await(ready)

    def take(self) -> Namespace | None:
        """A namespace that nobody has had; None where all have been used."""
        if not self._unused:
            return None
        name, key = self._unused.pop()
        return Namespace(self.apihost, key, name, self._folder)

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _await(self, ready: Path) -> str:
        assert self._process.stdout is not None
        impatience = threading.Timer(_START_SECONDS, self._process.kill)
        impatience.start()
        try:
            self._process.stdout.readline()  # or its end
        finally:
            impatience.cancel()
        if not ready.exists():
            self.stop()
            said = self.log.read_text(encoding="utf-8", errors="replace").strip()
            pytest.fail(f"the local OpenWhisk did not start: {said or 'it said nothing'}", False)
        found: str = json.loads(ready.read_text(encoding="utf-8"))["url"]
        return found


class _Servers:
    """The running server, and those before it, of which the namespaces are used up."""

    def __init__(self, factory: pytest.TempPathFactory, options: list[str]) -> None:
        self._factory = factory
        self._options = options
        self._all: list[OpenWhiskServer] = []

    def current(self) -> OpenWhiskServer:
        """The newest one."""
        return self._all[-1] if self._all else self._start()

    def take(self) -> Namespace:
        """A namespace that nobody has had."""
        return self.current().take() or self._start().take() or pytest.fail("no namespace is left")

    def stop(self) -> None:
        """End all."""
        for server in self._all:
            server.stop()

    def _start(self) -> OpenWhiskServer:
        server = OpenWhiskServer(self._factory.mktemp("openwhisk"), self._options)
        self._all.append(server)
        return server


def pytest_addoption(parser: pytest.Parser) -> None:
    """The setting `aowhisk_serve`."""
    parser.addini("aowhisk_serve", "options of the local OpenWhisk (aowhisk serve)", type="args")


@pytest.fixture(scope="session")
def _openwhisk_servers(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[_Servers]:
    servers = _Servers(tmp_path_factory, list(pytestconfig.getini("aowhisk_serve")))
    try:
        yield servers
    finally:
        servers.stop()


@pytest.fixture(scope="session")
def openwhisk_server(_openwhisk_servers: _Servers) -> OpenWhiskServer:
    """The local OpenWhisk of this session: `apihost`, `log`, `take()` for more namespaces."""
    return _openwhisk_servers.current()


@pytest.fixture
def openwhisk(_openwhisk_servers: _Servers) -> Namespace:
    """A namespace for one test: `apihost`, `auth`, `api`, `environ`."""
    return _openwhisk_servers.take()
