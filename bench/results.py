"""bench/results.json, and bench/README.md, which is made of it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from bench.catalog import BENCHES
from bench.report import as_readme
from bench.runner import machine
from bench.work import ROOT

__all__ = ["publish", "told"]

RESULTS = ROOT / "bench/results.json"
README = ROOT / "bench/README.md"


def told(benches: Mapping[str, Any]) -> dict[str, Any]:
    """The findings, with the machine and the day they come from."""
    return {"machine": machine(), "date": time.strftime("%Y-%m-%d"), "benches": dict(benches)}


def publish(*, benches: Mapping[str, Any] | None = None, peers: Any = None) -> None:
    """Let these take the place of older ones of the same name."""
    before = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    merged = {**before.get("benches", {}), **(benches or {})}
    found = told({name: merged[name] for name in BENCHES if name in merged})
    found["peers"] = before.get("peers") if peers is None else peers
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    README.write_text(as_readme(found))
