"""`aowhisk journal`, as a process of its own, on the journal of real runs."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
import whole_actions as actions

from aowhisk import Dag, Orchestrator, RunFailed
from aowhisk.events.model import RunStarted
from aowhisk.events.spool import Spooled
from aowhisk.events.sqlite import SqliteJournal

Done = subprocess.CompletedProcess[str]


async def made(folder: Path, url: str) -> list[str]:
    good, bad = Dag("good"), Dag("bad")
    first = good.call("link", {"writes": ["o0"]}, id="first")
    good.call("link", {"reads": [first["key"]], "writes": ["o1"]}, id="second")
    bad.call("fail", {})
    async with Orchestrator.local(
        actions={"link": actions.link, "fail": actions.fail}, root=folder, journal=url
    ) as orchestrator:
        run = await orchestrator.run(good)
        with pytest.raises(RunFailed) as failed:
            await orchestrator.run(bad)
        return [run.id, failed.value.run.id]


@pytest.fixture
def runs(tmp_path: Path) -> list[str]:
    """The ids of a run that succeeded and of one that failed, in the journal of `ask`."""
    return anyio.run(made, tmp_path, f"sqlite://{tmp_path}/j.db")


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., Done]:
    def run(*args: object, url: str = f"sqlite://{tmp_path}/j.db") -> Done:
        command = [sys.executable, "-m", "aowhisk", "journal", *map(str, args), "--journal", url]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    return run


def test_a_journal_is_asked_on_the_command_line(runs: list[str], ask: Callable[..., Done]) -> None:
    good, bad = runs
    listed = ask("runs").stdout.splitlines()
    assert [line.split()[:3] for line in listed] == [
        ["run", "name", "state"],
        [bad, "bad", "failed"],
        [good, "good", "succeeded"],
    ]
    assert ask("runs", "--state", "failed", "--since", "1h").stdout.count("\n") == 2
    shown = ask("show", good)
    assert [line.split()[:4] for line in shown.stdout.splitlines()[1:3]] == [
        ["first", "link", "succeeded", "1"],
        ["second", "link", "succeeded", "1"],
    ]
    assert "good: 2 calls in " in shown.stdout
    assert "ActionError" in ask("show", bad).stdout


def test_why_tells_who_wrote_and_who_read_an_object(
    runs: list[str], ask: Callable[..., Done]
) -> None:
    key = f"data/{runs[0]}/o0"
    lines = ask("why", key).stdout.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [
        ["wrote", f"{runs[0]}/first"],
        ["read", f"{runs[0]}/second"],
    ]
    assert f"of {runs[0]}/first/" in lines[2]


def test_prune_forgets_old_runs_and_keeps_the_lineage_of_what_is_there(
    runs: list[str], ask: Callable[..., Done], tmp_path: Path
) -> None:
    assert "0 runs ended before" in ask("prune", "--older-than", "1d").stdout
    refused = ask("prune", "--older-than", "0s")
    assert refused.returncode == 1  # nobody said yes
    assert len(ask("runs").stdout.splitlines()) == 3

    [store] = [each.parents[2] for each in tmp_path.rglob(f"data/{runs[0]}/o1")]
    pruned = ask("prune", "--older-than", "0s", "--yes", "--store", f"folder://{store}")
    assert pruned.returncode == 0, pruned.stderr
    assert "2 runs ended" in pruned.stdout
    assert "2 attempts, for 2 objects" in pruned.stdout
    assert [line.split()[0] for line in ask("runs").stdout.splitlines()[1:]] == [runs[0]]
    assert "wrote" in ask("why", f"data/{runs[0]}/o1").stdout

    assert ask("prune", "--older-than", "0s", "--yes", "--no-keep-lineage").returncode == 0
    assert len(ask("runs").stdout.splitlines()) == 1


async def test_what_an_earlier_process_could_not_write_is_shown_as_well(
    tmp_path: Path, ask: Callable[..., Done]
) -> None:
    journal = SqliteJournal(tmp_path / "j.db")
    await journal.open()
    await journal.close()
    journal.spool.keep(Spooled("late", "o:1:x", 0, (RunStarted(run="late", name="n"),)))
    shown = ask("runs")
    assert [line.split()[:3] for line in shown.stdout.splitlines()[1:]] == [
        ["late", "n", "interrupted"]
    ]
    assert "took in 1 of the 1 events of run late" in shown.stderr
    assert ask("runs").stderr == ""


def test_a_journal_in_mongodb_is_asked_and_pruned_by_the_same_commands(
    mongo_url: str, ask: Callable[..., Done], tmp_path: Path
) -> None:
    assert "there is no journal in mongodb://" in ask("runs", url=mongo_url).stderr
    good, bad = anyio.run(made, tmp_path, mongo_url)
    listed = ask("runs", url=mongo_url).stdout.splitlines()
    assert [line.split()[0] for line in listed[1:]] == [bad, good]
    assert "good: 2 calls in " in ask("show", good, url=mongo_url).stdout
    assert "knows no run 'none'" in ask("show", "none", url=mongo_url).stderr
    assert f"of {good}/first/" in ask("why", f"data/{good}/o0", url=mongo_url).stdout
    pruned = ask("prune", "--older-than", "0s", "--yes", url=mongo_url)
    assert pruned.returncode == 0, pruned.stderr
    assert "2 attempts, for 2 objects" in pruned.stdout
    listed = ask("runs", url=mongo_url).stdout.splitlines()
    assert [line.split()[0] for line in listed[1:]] == [good]


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["show", "none"], "knows no run 'none'"),
        (["why", "b/none"], "knows nobody who wrote or read 'b/none'"),
        (["prune", "--older-than", "month"], "is no age"),
        (["runs", "--since", "99999999d"], "longer ago than time goes back"),
    ],
)
async def test_what_is_not_known_is_one_line(
    tmp_path: Path, ask: Callable[..., Done], args: list[str], text: str
) -> None:
    journal = SqliteJournal(tmp_path / "j.db")
    await journal.open()
    await journal.close()
    done = ask(*args)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert text in done.stderr


def test_where_there_is_no_journal_is_said(ask: Callable[..., Done], tmp_path: Path) -> None:
    assert "there is no journal at" in ask("runs").stderr
    done = ask("prune", "--older-than", "1d", url="memory:")
    assert (done.returncode, "keeps nothing" in done.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == []
