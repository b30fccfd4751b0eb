"""A real S3 server in a process of its own, for the tests."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import ProxyHandler, build_opener

import pytest

TOOLS = Path(os.environ.get("TOOLS", Path.home() / ".cache/aowhisk-tools"))
VERSITYGW = TOOLS / "bin/versitygw-v1.8.0"
SECRET = "s3cr3t/with+signs"


class S3Server:
    """A real S3 server: versitygw, else moto's. Killed at the end, whatever happens."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kind = "versitygw" if VERSITYGW.exists() else "moto"
        self.port = _free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"s3+http://test:{quote(SECRET, safe='')}@127.0.0.1:{self.port}"

    @property
    def secret(self) -> str:
        return SECRET

    def start(self, *, same_port: bool = False) -> None:
        for _ in range(1 if same_port else 5):
            log = (self.folder / "log").open("ab")
            with log:
                self.process = subprocess.Popen(
                    self._command(), env=self._environment(), stdout=log, stderr=log
                )
            if self._is_ready():
                return
            self.kill()
            self.port = _free_port()
        pytest.fail("the S3 server did not start: " + (self.folder / "log").read_text()[-2000:])

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def _command(self) -> list[str]:
        if self.kind == "moto":
            return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        (self.folder / "data").mkdir(exist_ok=True)
        (self.folder / "meta").mkdir(exist_ok=True)
        side = [] if _has_attributes(self.folder) else ["--sidecar", str(self.folder / "meta")]
        address = f"127.0.0.1:{self.port}"
        options = ["--port", address, "--health", "/health", "--keep-alive", "--quiet"]
        return [str(VERSITYGW), *options, "posix", *side, str(self.folder / "data")]

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "ROOT_ACCESS_KEY": "test", "ROOT_SECRET_KEY": SECRET}

    def _is_ready(self) -> bool:
        assert self.process is not None
        opener = build_opener(ProxyHandler({}))
        end = time.monotonic() + 20
        while time.monotonic() < end and self.process.poll() is None:
            try:
                opener.open(f"http://127.0.0.1:{self.port}/health", timeout=2).close()
            except HTTPError as answer:
                answer.close()
                return True
            except (URLError, OSError):
                time.sleep(0.02)  # noqa: TID251  polls a process that cannot tell us
                continue
            return True
        return False


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _has_attributes(folder: Path) -> bool:
    try:
        os.setxattr(folder, "user.t", b"1")
    except (OSError, AttributeError):
        return False
    return True


def new_server(folder: Path) -> S3Server:
    """One that runs, with its files in `folder`; skips the test where there is none to be had."""
    server = S3Server(folder)
    if server.kind == "moto":
        if os.environ.get("CI"):
            pytest.fail(f"{VERSITYGW} is not there; run tests/servers/install-servers.sh")
        if importlib.util.find_spec("moto") is None:
            pytest.skip(
                "no S3 server: run tests/servers/install-servers.sh, or install moto[server]"
            )
    if importlib.util.find_spec("aioboto3") is None:
        pytest.skip("aioboto3 is not installed")
    server.start()
    return server
