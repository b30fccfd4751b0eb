"""The kinds of actions that this machine can run, and how a container of each is started."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from aowhisk.local.http import Refusal
from aowhisk.models import JSON

__all__ = ["PYTHON", "Proxy", "Runtime", "Runtimes"]

PYTHON = "python:3.10"
"""What `python:default` is."""

_HERE = Path(__file__).parent
_PYTHONS = ("python:3", *(f"python:3.{minor}" for minor in range(9, 15)))
_NODES = range(10, 100, 2)  # even numbers are the ones with long support, of which there are images
_EXECUTABLES = {
    "go": ("go:1.15", "go:1.17", "go:1.20", "go:1.22"),
    "rust": ("rust:1.34",),
}
_EXECUTABLE_DEFAULTS = ("go:1.20", "rust:1.34")
_VERSION = re.compile(r"v(\d+)\.")


@dataclass(frozen=True, slots=True)
class Proxy:
    """What stands between the invoker and the action in the real container, and so words some
    errors. `exited` and `not_started` are what is told when the process ends before it answers;
    `newline`, whether an answer's size counts its newline."""

    exited: str
    not_started: str
    answered: bool
    newline: bool


ACTION_LOOP = Proxy(
    exited="command exited",
    not_started="Cannot start action. Check logs for details.",
    answered=True,
    newline=True,
)
"""openwhisk-runtime-go's, which python, go and rust have."""
NODE = Proxy(
    exited="The action did not produce a valid response and exited unexpectedly.",
    not_started="The action did not initialize and exited unexpectedly.",
    answered=False,
    newline=False,
)
"""openwhisk-runtime-nodejs answers by itself: with it ends the one who could tell."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """One kind. A container is `command` with three file descriptors as arguments: where requests
    come from, where answers go, and the pipe whose other end is closed when the server is gone;
    then `arguments`. `environ` is what this kind gets beside what all get. `concurrent`: a
    container runs several activations at once, if the action's limits say so."""

    kind: str
    command: tuple[str, ...]
    proxy: Proxy
    arguments: tuple[str, ...] = ()
    environ: tuple[tuple[str, str], ...] = ()
    default: bool = False
    concurrent: bool = False

    @property
    def family(self) -> str:
        """Such as `python`."""
        return self.kind.partition(":")[0]

    def to_json(self) -> dict[str, JSON]:
        """As `GET /` shows it."""
        return {
            "kind": self.kind,
            "image": "local",
            "deprecated": False,
            "default": self.default,
            "attached": False,
            "requireMain": False,
        }


class Runtimes:
    """The kinds there are."""

    def __init__(self, runtimes: Iterable[Runtime]) -> None:
        self._by_kind = {runtime.kind: runtime for runtime in runtimes}
        self._defaults = {
            f"{runtime.family}:default": runtime
            for runtime in self._by_kind.values()
            if runtime.default
        }

    @classmethod
    def here(cls, python: str = sys.executable) -> Runtimes:
        """What this machine has: `python`, Node.js where `node` is on PATH, and executables that
        speak the ActionLoop protocol."""
        starter = str(_HERE / "starter.py")
        found = [
            Runtime(
                kind,
                (python, "-u", str(_HERE / "worker.py")),
                ACTION_LOOP,
                default=kind == PYTHON,
            )
            for kind in _PYTHONS
        ]
        node = shutil.which("node")
        major = _major(node) if node else None
        if node is not None and major is not None:
            found += [
                Runtime(
                    f"nodejs:{number}",
                    (python, "-S", starter),
                    NODE,
                    arguments=(node, "--expose-gc", str(_HERE / "worker.js")),
                    environ=(("NODE_PATH", _modules(node)),),
                    default=number == major,
                    concurrent=True,
                )
                for number in sorted({*(n for n in _NODES if n < major), major})
            ]
        found += [
            Runtime(
                kind,
                (python, "-S", starter),
                ACTION_LOOP,
                default=kind in _EXECUTABLE_DEFAULTS,
            )
            for kinds in _EXECUTABLES.values()
            for kind in kinds
        ]
        return cls(found)

    def find(self, kind: str) -> Runtime | None:
        """The runtime of a concrete kind."""
        return self._by_kind.get(kind)

    def resolve(self, kind: str) -> Runtime:
        """The runtime that `kind`, also a `family:default`, stands for; refused (400) where there
        is none here."""
        found = self._by_kind.get(kind) or self._defaults.get(kind)
        if found is None:
            valid = ", ".join(f"'{one}'" for one in (*self._by_kind, "sequence", "blackbox"))
            raise Refusal.malformed(
                f"The specified runtime '{kind}' is not supported by this platform. "
                f"Valid values are: {valid}."
            )
        return found

    def to_json(self) -> dict[str, JSON]:
        """The `runtimes` of `GET /`, by family."""
        families: dict[str, JSON] = {}
        for runtime in self._by_kind.values():
            families.setdefault(runtime.family, []).append(runtime.to_json())
        return families


def _modules(node: str) -> str:
    """Where Node.js finds what OpenWhisk's images bring (npm's `openwhisk`): where NODE_PATH says,
    in the folder where we were started, and among what is installed for all."""
    given = [Path(one) for one in os.environ.get("NODE_PATH", "").split(os.pathsep) if one]
    installed = Path(node).resolve().parents[1] / "lib" / "node_modules"
    places = [*given, Path("node_modules"), installed]
    return os.pathsep.join(str(one.absolute()) for one in places if one.is_dir())


@functools.cache
def _major(node: str) -> int | None:
    """The major version of a Node.js; None where it does not run."""
    try:
        told = subprocess.run(
            [node, "--version"], capture_output=True, text=True, timeout=10, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION.match(told)
    return int(match[1]) if match else None
