"""docs/durability.md names a test for each of its promises."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_every_test_that_is_named_exists() -> None:
    text = (ROOT / "docs" / "durability.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", text))
    sources = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    known = set(re.findall(r"def (test_\w+)\(", sources))
    assert named
    assert named <= known


def test_every_row_of_the_guarantees_names_a_test() -> None:
    text = (ROOT / "docs" / "durability.md").read_text()
    table = text.partition("| what fails |")[2].partition("\n\n")[0]
    rows = table.splitlines()[2:]
    assert len(rows) > 10
    assert [row for row in rows if "`test_" not in row] == []
