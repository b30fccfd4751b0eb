"""Conversations recorded from a real Apache OpenWhisk, played against the local one.

The recordings lie beside the project, in ../shared/conformance; AOWHISK_CONFORMANCE names another
place.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from aowhisk.local import GUEST

ROOT = Path(__file__).parents[3]
RECORDINGS = Path(os.environ.get("AOWHISK_CONFORMANCE", ROOT.parent / "shared/conformance"))
PLAYER = RECORDINGS / "run.py"
TIGHT = (
    *("--invocations-per-minute", "10", "--concurrent-invocations", "2"),
    *("--fires-per-minute", "3", "--max-blocking-wait", "2"),
)
LONGEST = 400  # seconds for a conversation: several minutes of the clock have to begin


def recorded(folder: str) -> list[str]:
    return sorted(path.stem for path in (RECORDINGS / folder).glob("*.json"))


@contextmanager
def serving(root: Path, *options: str) -> Iterator[str]:
    """A local OpenWhisk in a process of its own; gives its URL."""
    command = [sys.executable, "-m", "aowhisk", "serve", "--port", "0", "--root", str(root)]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            line = next(line for line in server.stdout if "http://" in line)
            found = re.search(r"http://127\.0\.0\.1:\d+", line)
            assert found, line
            yield found[0]
        finally:
            server.terminate()


def player(url: str, name: str, folder: str) -> list[str]:
    what = ["--url", url, "--key", GUEST, "--dir", str(RECORDINGS / folder), "--only", name]
    return [sys.executable, str(PLAYER), *what]


def check(name: str, code: int, said: str) -> None:
    """It was played, and every answer agreed."""
    counts = re.search(rf"^{name}: (\d+) of (\d+) answers agree", said, re.MULTILINE)
    assert counts, said
    assert code == 0, said
    assert counts[1] == counts[2] != "0", said


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One without practical limits."""
    with serving(tmp_path_factory.mktemp("wide")) as found:
        yield found


@pytest.fixture(scope="module", autouse=True)
def throttled(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """The conversations with tight limits, each with a server of its own; they wait for the minutes
    of the clock while the others are played."""
    with ExitStack() as stack:
        players = {}
        for name in recorded("throttled"):
            at = stack.enter_context(serving(tmp_path_factory.mktemp(name), *TIGHT))
            players[name] = stack.enter_context(
                subprocess.Popen(player(at, name, "throttled"), stdout=subprocess.PIPE, text=True)
            )
            stack.callback(players[name].kill)
        yield players


@pytest.fixture(autouse=True)
def _there() -> None:
    if not PLAYER.exists():
        missing = f"the recordings are not at {RECORDINGS}"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)


def test_there_are_recordings() -> None:
    assert recorded("scenarios")
    assert recorded("throttled")


@pytest.mark.parametrize("name", recorded("scenarios"))
def test_every_answer_is_the_recorded_one(url: str, name: str) -> None:
    command = player(url, name, "scenarios")
    played = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, check=False)
    check(name, played.returncode, played.stdout)


@pytest.mark.parametrize("name", recorded("throttled"))
def test_every_answer_under_tight_limits_is_the_recorded_one(
    throttled: dict[str, subprocess.Popen[str]], name: str
) -> None:
    said, _ = throttled[name].communicate(timeout=LONGEST)
    check(name, throttled[name].returncode, said)
