"""What is there without the extras."""

from __future__ import annotations

import subprocess
import sys

BLOCKED = """
import sys
for name in ("bson", "pymongo", "motor", "fastapi", "uvicorn", "pytest"):
    sys.modules[name] = None  # any import of it fails
import aowhisk.cli, aowhisk.history, aowhisk.retention, aowhisk.orchestrator
from aowhisk.errors import ConfigError
from aowhisk.events import open_journal
print(type(open_journal("sqlite:/tmp/unused")).__name__)
try:
    open_journal("mongodb://host/database")
except ConfigError as error:
    print(error)
"""


def test_without_the_libraries_of_extras_everything_else_is_there() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    journal, told = done.stdout.splitlines()
    assert journal == "SqliteJournal"
    assert told.endswith("pip install 'aowhisk[mongo]'")
