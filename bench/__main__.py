"""`python -m bench [NAME...]`: run benches, say what they found."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.catalog import BENCHES
from bench.report import as_json, as_text, far_off, read
from bench.results import publish, told
from bench.runner import Runner
from bench.work import ROOT

SCRIPTS: dict[str, list[str]] = {
    "journal": ["--calls", "2000", "--seconds", "3"],
    "history": ["--events", "20000", "--slack", "4"],
    "store_memory": ["--mib", "64"],
}
"""Benches that are programs of their own, and their arguments in the short form."""
SHORT = ("50", "1000-gc", "100ms", "chain", "10k", "tight", "lost-chain", "plan", "sqlite")


def main() -> int:
    """Run what the command line says; 1 if something is far from its goal."""
    given = _parse()
    if given.list:
        for bench in BENCHES.values():
            print(f"{bench.name:12} {bench.about}")
        print(f"{', '.join(SCRIPTS)}: programs of their own, without goals beside bare")
        return 0
    names = given.names or (SHORT if given.short else (*BENCHES, *SCRIPTS))
    runner = Runner(short=given.short, rounds=given.rounds)
    found: dict[str, Any] = {}
    failed: list[str] = []
    for name in names:
        if name in SCRIPTS:
            failed += _script(name, short=given.short)
            continue
        bench = BENCHES[name]
        rounds = runner.run(bench)
        print(as_text(bench, rounds), flush=True)
        failed += [f"{name}: {line}" for line in far_off(read(bench, rounds))]
        if rounds:
            found[name] = as_json(bench, rounds)
            if given.json is not None:
                given.json.write_text(json.dumps(told(found), indent=1) + "\n")
            if given.publish:
                publish(benches=found)
    for line in failed:
        print(f"far from its goal: {line}", file=sys.stderr)
    return 1 if failed else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    known = (*BENCHES, *SCRIPTS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}; else all")
    parser.add_argument("--list", action="store_true", help="say what there is")
    parser.add_argument("--short", action="store_true", help="less work, for CI")
    parser.add_argument("--rounds", type=int, help="how often each side takes its turn")
    parser.add_argument("--json", type=Path, help="where to write the findings")
    parser.add_argument("--publish", action="store_true", help="into bench/README.md, too")
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in known]
    if unknown:
        parser.error(f"no bench {unknown[0]!r}; there are {', '.join(known)}")
    return given


def _script(name: str, *, short: bool) -> list[str]:
    command = [sys.executable, f"bench/{name}.py", *(SCRIPTS[name] if short else ())]
    print(f"{name}:", flush=True)
    done = subprocess.run(command, cwd=ROOT, check=False)
    return [f"{name} ended with {done.returncode}"] if done.returncode else []


if __name__ == "__main__":
    sys.exit(main())
