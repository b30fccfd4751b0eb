"""A damaged SQLite journal is said, left alone, and moved aside when somebody says so."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from aowhisk.errors import ConfigError, JournalError
from aowhisk.events.damage import damages, move_aside
from aowhisk.events.model import Throttled
from aowhisk.events.sqlite import SqliteJournal
from aowhisk.history import History

PAGE = 4096
Done = subprocess.CompletedProcess[str]


async def fill(path: Path) -> None:
    journal = SqliteJournal(path)
    await journal.open()
    for n in range(1000):
        journal.put(Throttled(run="r", seconds=n, text="x" * 100))
    await journal.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal that is sound."""
    anyio.run(fill, tmp_path / "j.db")
    return tmp_path / "j.db"


def overwritten(data: bytes) -> bytes:
    """Without the pages in the middle."""
    return data[: 20 * PAGE] + b"\xff" * (20 * PAGE) + data[40 * PAGE :]


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def headless(data: bytes) -> bytes:
    return b"\0" * PAGE + data[PAGE:]


@pytest.fixture(params=[overwritten, cut, headless], ids=lambda harm: harm.__name__)
def damaged(path: Path, request: pytest.FixtureRequest) -> Path:
    harm: Callable[[bytes], bytes] = request.param
    path.write_bytes(harm(path.read_bytes()))
    return path


@pytest.fixture
def repair(path: Path) -> Callable[..., Done]:
    def run(*args: str, answer: str = "") -> Done:
        command = [sys.executable, "-m", "aowhisk", "journal", "repair", *args]
        return subprocess.run(
            [*command, "--journal", f"sqlite://{path}"],
            capture_output=True,
            text=True,
            input=answer,
            timeout=60,
            check=False,
        )

    return run


async def test_who_uses_it_is_told_what_is_damaged_and_what_to_do(damaged: Path) -> None:
    before = damaged.read_bytes()
    journal = SqliteJournal(damaged)
    with pytest.raises((ConfigError, JournalError), match=f"{damaged} is damaged") as caught:
        try:
            await journal.open()
            await journal.read("r")
        finally:
            await journal.close()
    assert f"aowhisk journal repair --journal sqlite://{damaged}" in str(caught.value)
    assert damaged.read_bytes() == before


async def test_so_is_who_asks_for_its_history(damaged: Path) -> None:
    with pytest.raises((ConfigError, JournalError), match=f"{damaged} is damaged"):
        async with History.open(f"sqlite://{damaged}") as history:
            await history.events("r")


async def test_a_run_whose_journal_turns_out_to_be_damaged_stops_and_keeps_its_events(
    path: Path,
) -> None:
    path.write_bytes(overwritten(path.read_bytes()))
    journal = SqliteJournal(path)
    await journal.open()
    journal.put(Throttled(run="r", seconds=0, text=""))
    with pytest.raises(JournalError, match="is damaged"):
        await journal.commit("r")
    await journal.close()
    assert len(journal.spool.files()) == 1


def test_a_sound_file_is_left_alone(path: Path, repair: Callable[..., Done]) -> None:
    before = path.read_bytes()
    assert damages(path) == []
    done = repair("--yes")
    assert (done.returncode, done.stdout) == (0, f"{path} is sound; nothing was changed\n")
    assert path.read_bytes() == before


def test_a_damaged_file_is_moved_aside_when_told_and_not_before(
    damaged: Path, repair: Callable[..., Done]
) -> None:
    before = damaged.read_bytes()
    refused = repair(answer="n\n")
    assert refused.returncode == 1
    assert "is damaged:\n  " in refused.stdout
    assert damaged.read_bytes() == before

    done = repair("--yes")
    assert done.returncode == 0, done.stderr
    [aside] = damaged.parent.glob("j.db.damaged-*Z")
    assert str(aside) in done.stdout
    assert aside.read_bytes() == before
    assert not damaged.exists()
    anyio.run(fill, damaged)
    assert damages(damaged) == []


def test_what_is_in_the_log_beside_it_goes_with_it(path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("INSERT INTO leases VALUES ('r', 'o', 0)")
    log = path.with_name("j.db-wal")
    kept = log.with_name("kept")
    shutil.copy(log, kept)
    other.close()
    path.write_bytes(headless(path.read_bytes()))
    shutil.copy(kept, log)  # as a kill -9 leaves it
    aside = move_aside(path)
    assert aside.with_name(f"{aside.name}-wal").read_bytes() == kept.read_bytes()
    assert not log.exists()


async def test_a_file_that_is_in_use_is_not_moved(path: Path, repair: Callable[..., Done]) -> None:
    path.write_bytes(overwritten(path.read_bytes()))
    journal = SqliteJournal(path)
    await journal.open()
    done = repair("--yes")
    assert (done.returncode, f"{path} is in use" in done.stderr) == (2, True)
    await journal.close()
    assert path.exists()


def test_where_there_is_nothing_to_repair_is_said(path: Path, repair: Callable[..., Done]) -> None:
    path.unlink()
    done = repair()
    assert (done.returncode, f"there is no journal at {path}" in done.stderr) == (2, True)
