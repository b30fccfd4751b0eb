"""`python -m bench.peers [NAME...]`: Dask, Ray, Prefect and DBOS beside bare and ours, in turns.

Their tasks run on their own workers on this machine, ours go over HTTP to the stand-in server,
through a journal. An environment is made for each (`.venv-peers/NAME`); one that cannot be had here
is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.meter import Facts
from bench.peers.tasks import CALLS, LENGTH, NAP, NAPS, SLOTS
from bench.report import peers_table
from bench.results import publish
from bench.server import standin
from bench.work import ROOT, in_fresh_process

PACKAGES = {
    "dask": ("distributed",),
    "ray": ("ray",),
    "prefect": ("prefect", "fastapi<0.150"),  # which later ones do not let it start
    "dbos": ("dbos",),
}
VENVS = ROOT / ".venv-peers"
PEERS = Path(__file__).parent
LONGEST = 600.0
QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_LEVEL": "ERROR",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "RAY_DEDUP_LOGS": "0",
}


def main() -> None:
    """Install, run, tell."""
    known = ", ".join(PACKAGES)
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {known}; else all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="where to write the findings")
    parser.add_argument("--publish", action="store_true", help="into bench/README.md, too")
    given = parser.parse_args()
    if unknown := [name for name in given.names if name not in PACKAGES]:
        parser.error(f"no peer {unknown[0]!r}; there are {known}")
    pythons = {name: _environment(name) for name in given.names or PACKAGES}
    found: dict[str, list[Facts]] = {}
    with standin() as url:
        for _ in range(given.rounds):
            for side in ("bare", "ours"):
                found.setdefault(side, []).append(_over_http(side, url))
            for name, python in pythons.items():
                if python is not None and (facts := _peer(name, python)) is not None:
                    found.setdefault(name, []).append(facts)
    print("\n".join(peers_table(found)))
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    if given.publish:
        publish(peers=found)


def _environment(name: str) -> Path | None:
    """Its Python, once it is installed; None where it cannot be."""
    python = VENVS / name / "bin/python"
    if (VENVS / name / ".ready").exists():
        return python
    subprocess.run([sys.executable, "-m", "venv", str(VENVS / name)], check=True)
    install = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    if subprocess.run([*install, *PACKAGES[name]], check=False).returncode:
        print(f"{name}: left out, it cannot be installed here", file=sys.stderr)
        return None
    (VENVS / name / ".ready").touch()
    return python


def _peer(name: str, python: Path) -> Facts | None:
    command = [str(python), str(PEERS / f"use_{name}.py")]
    try:
        with tempfile.TemporaryDirectory(prefix="aowhisk-bench-") as home:
            done = subprocess.run(
                command,
                cwd=VENVS,
                env={**os.environ, **QUIET, "PREFECT_HOME": home},
                capture_output=True,
                text=True,
                timeout=LONGEST,
                check=True,
            )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        told = str(error.stderr or "").strip()[-500:]
        print(f"{name}: left out, it failed: {error}\n{told}", file=sys.stderr)
        return None
    facts: Facts = json.loads(done.stdout.splitlines()[-1])
    return facts


def _over_http(side: str, url: str) -> Facts:
    """The same from a bare loop, or through us."""

    def do(work: str, **options: Any) -> float:
        return float(in_fresh_process(f"bench.{side}:{work}", {"url": url, **options})["seconds"])

    naps = do("calls", action=f"wait-{NAP * 1000:.0f}", count=NAPS, concurrency=SLOTS)
    return {
        "calls/s": CALLS / do("calls", action="noop", count=CALLS, concurrency=SLOTS),
        "of ideal": NAPS / SLOTS * NAP / naps,
        "ms a step": do("chain", action="noop", length=LENGTH, times=1) / LENGTH * 1000,
    }


if __name__ == "__main__":
    main()
