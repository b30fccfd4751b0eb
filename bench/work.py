"""One piece of work in a fresh process: `python -m bench.work MODULE:FUNCTION OPTIONS`.

OPTIONS is JSON, the keyword arguments of the coroutine function; what it returns is printed as
JSON, with the peak memory of the process.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import subprocess
import sys
from pathlib import Path

from bench.meter import Facts, peak

__all__ = ["ROOT", "command", "in_fresh_process"]

ROOT = Path(__file__).parents[1]


def command(work: str, options: Facts, *, python: str = sys.executable) -> list[str]:
    """The command line that does it."""
    return [python, "-m", "bench.work", work, json.dumps(options)]


def in_fresh_process(work: str, options: Facts, *, python: str = sys.executable) -> Facts:
    """Do it there and give what it tells."""
    line = command(work, options, python=python)
    done = subprocess.run(line, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"bench {work} failed")
    facts: Facts = json.loads(done.stdout.splitlines()[-1])
    return facts


def main() -> None:
    """Do the work named on the command line."""
    logging.getLogger("aowhisk").setLevel(logging.ERROR)
    module, _, function = sys.argv[1].partition(":")
    facts = asyncio.run(
        getattr(importlib.import_module(module), function)(**json.loads(sys.argv[2]))
    )
    print(json.dumps({**facts, "peak": peak()}))


if __name__ == "__main__":
    main()
