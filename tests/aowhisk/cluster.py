"""A local OpenWhisk in a process of its own, and orchestrators in others, to be killed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aowhisk.local import GUEST

HERE = Path(__file__).parent
MANIFEST = """
packages:
  default:
    actions:
      link: {code: "ACTION(link)", limits: {timeout: 1500}}
      wreck: {code: "ACTION(wreck)", limits: {timeout: 500}}
      flaky: {code: "ACTION(flaky)", limits: {timeout: 500}}
      tally: {code: "ACTION(tally)", limits: {timeout: 1500}} # a busy machine is slow to begin
"""
SOURCE = """
import sys
sys.path.insert(0, HERE)
from whole_actions import NAME as main
"""
FLAKY = """
import os, sys
sys.path.insert(0, HERE)
from whole_actions import link
def main(args):
    if args["_aowhisk"]["try"] == 1:
        return {"error": {"code": "Flaky", "message": "the first try fails", "meta": {}}}
    return link(args)
"""
TALLY = """
import os, sys
sys.path.insert(0, HERE)
from whole_actions import nap
def main(args):
    me = args.get("_aowhisk") or {"run": "-", "call": str(args.get("n")), "attempt": "-"}
    ledger = os.open(args["ledger"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(ledger, (" ".join((me["run"], me["call"], me["attempt"])) + "\\n").encode())
    os.close(ledger)
    if "unless" in args and not os.path.exists(args["unless"]):
        return {"error": {"code": "NotYet", "message": "the marker is not there", "meta": {}}}
    if me["attempt"] == "-":
        import time
        time.sleep(args["seconds"])
        return {"n": args.get("n")}
    return nap(args)
"""
CODE = {
    "link": SOURCE.replace("NAME", "link"),
    "wreck": SOURCE.replace("NAME", "wreck"),
    "flaky": FLAKY,
    "tally": TALLY,
}


@dataclass
class Cluster:
    """A local OpenWhisk in a process of its own; it goes on when orchestrators die."""

    url: str
    root: Path

    @property
    def store(self) -> str:
        return f"folder://{self.root}/store"

    @property
    def sqlite(self) -> str:
        """The URL of a journal in a file beside it."""
        return f"sqlite://{self.root}/journal.db"

    @property
    def ledger(self) -> Path:
        """Where the action `tally` notes each of its activations: run, call, attempt."""
        return self.root / "ledger"

    def sent(self, run: str | None = None) -> list[tuple[str, str, str]]:
        """What arrived at `tally`: run, call and attempt of each activation, in order."""
        if not self.ledger.exists():
            return []
        rows = [line.split(" ") for line in self.ledger.read_text().splitlines()]
        return [(r, call, attempt) for r, call, attempt in rows if run in (None, r)]


@contextmanager
def running_cluster(root: Path) -> Iterator[Cluster]:
    """A cluster with its files under `root`."""
    text = MANIFEST
    for name, source in CODE.items():
        code = json.dumps(source.replace("HERE", repr(str(HERE))))
        text = text.replace(f'"ACTION({name})"', code)
    (root / "manifest.yaml").write_text(text)
    found = Cluster("", root)
    command = [sys.executable, "-m", "aowhisk", "serve", "--port", "0", "--containers", "8"]
    command += ["--manifest", str(root / "manifest.yaml"), "--store", found.store]
    command += ["--root", str(root / "server")]
    command += ["--invocations-per-minute", "100000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        for line in server.stdout:
            if match := re.search(r"http://127\.0\.0\.1:\d+", line):
                found.url = match[0]
                break
        try:
            yield found
        finally:
            server.terminate()


class Child:
    """An orchestrator in a process of its own (sharing.py), which does what it is asked to, as soon
    as it is ready."""

    def __init__(self, cluster: Cluster, journal: str, *, lease: float = 0.5) -> None:
        command = [sys.executable, str(HERE / "sharing.py")]
        command += [cluster.url, GUEST, journal, cluster.store, str(cluster.ledger), str(lease)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._answers: dict[str, dict[str, Any]] = {}
        self._watchdog = threading.Timer(300, self.process.kill)
        self._watchdog.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def ask(self, do: str, **facts: object) -> str:
        """Ask for something; gives what `answer` has to be asked with."""
        name = uuid.uuid4().hex
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"name": name, "do": do, **facts}) + "\n")
        self.process.stdin.flush()
        return name

    def answer(self, name: str) -> dict[str, Any]:
        """How it ended: `error` is the class or None, `text` the message or the result."""
        assert self.process.stdout is not None
        while name not in self._answers:
            line = self.process.stdout.readline()
            assert line, "the child died"
            found = json.loads(line)
            self._answers[found["name"]] = found
        return self._answers.pop(name)

    def wait(self) -> None:
        """Return when it is ready."""
        self.answer("ready")

    def do(self, do: str, **facts: object) -> dict[str, Any]:
        """Ask and wait."""
        return self.answer(self.ask(do, **facts))

    def kill(self) -> None:
        """kill -9."""
        self._watchdog.cancel()
        self.process.kill()
        self.process.communicate()
