"""The processes that benches need beside them, started and ended."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from bench.meter import Facts
from bench.work import ROOT

__all__ = ["cpu_of", "mongo", "mongo_is_here", "spent", "standin"]

_WITH_MONGO = ROOT / "tests/servers/with-mongo.sh"
_TOOLS = Path(os.environ.get("TOOLS", Path.home() / ".cache/aowhisk-tools"))


@contextlib.contextmanager
def standin(*arguments: str) -> Iterator[str]:
    """The stand-in server; gives its URL."""
    command = [sys.executable, "-m", "bench.standin", *arguments]
    with _start(command) as process:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        if not port:
            raise SystemExit("the stand-in server did not start")
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.communicate()  # closes its input


def _start(command: list[str]) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, text=True, stdin=pipe, stdout=pipe)


def spent(url: str) -> Facts:
    """What the stand-in has spent and answered so far."""
    with urllib.request.urlopen(f"{url}/spent") as reply:
        facts: Facts = json.loads(reply.read())
    return facts


def mongo_is_here() -> bool:
    """Whether there is a MongoDB to measure with."""
    return "MONGO_URI" in os.environ or (_TOOLS / "mongo-fake/classes/MongoSrv.class").exists()


@contextlib.contextmanager
def mongo() -> Iterator[tuple[str, int]]:
    """mongo-java-server, or what MONGO_URI names; gives its URI and the id of its process, 0 where
    that is not known."""
    script = 'echo "$MONGO_URI"; cat'
    command = [str(_WITH_MONGO), "sh", "-c", script]
    with _start(command) as process:
        assert process.stdout is not None
        uri = process.stdout.readline().strip()
        if not uri:
            raise SystemExit("no MongoDB; run tests/servers/install-servers.sh mongo")
        try:
            yield uri, _java(process.pid)
        finally:
            process.communicate()


def cpu_of(pid: int) -> float:
    """CPU seconds of a process, 0 where that cannot be known."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _java(parent: int) -> int:
    for child in _children(parent):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{child}/comm").read_text().strip() == "java":
                return child
    return 0


def _children(pid: int) -> list[int]:
    try:
        return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
