"""Handles of runs that another process is at work on; two orchestrators share a journal here."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from aowhisk import (
    Cancelled,
    Client,
    Dag,
    Interrupted,
    Orchestrator,
    Patience,
    RunFailed,
    UnknownRun,
    item,
)
from aowhisk.errors import AowhiskError, JournalError
from aowhisk.events import RunState, open_journal
from aowhisk.events.model import RunEnded
from aowhisk.local import LocalOpenWhisk


def wait(args: dict[str, Any]) -> dict[str, Any]:
    """Return once a file is there."""
    while not Path(args["file"]).exists():
        time.sleep(0.02)  # noqa: TID251 -- an action runs in its own process
    return {"file": args["file"]}


def fail(args: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"code": "No", "message": "no", "meta": {"retry": False}}}


@dataclass
class Two:
    """`here` begins runs, `there` knows of them by the journal alone."""

    here: Orchestrator
    there: Orchestrator
    folder: Path

    def waiting(self, *names: str) -> Dag:
        """A map with a call for each of these files, which waits for it."""
        dag = Dag("waiting")
        dag.map("wait", {"file": item}, over=[str(self.folder / name) for name in names])
        return dag

    def let(self, name: str) -> None:
        (self.folder / name).touch()


@asynccontextmanager
async def local(root: Path, journal: str) -> AsyncIterator[Orchestrator]:
    async with Orchestrator.local(
        actions={"wait": wait, "fail": fail},
        root=root,
        journal=journal,
        patience=Patience(lease=0.5, grace=1.0),
    ) as orchestrator:
        yield orchestrator


@pytest.fixture(params=["sqlite", "mongo"])
async def two(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Two]:
    url = f"sqlite://{tmp_path}/journal.db"
    if request.param == "mongo":
        url = request.getfixturevalue("mongo_url")
    async with local(tmp_path / "here", url) as here, local(tmp_path / "there", url) as there:
        yield Two(here, there, tmp_path)


async def until_ended(orchestrator: Orchestrator, run: str, calls: int) -> None:
    with anyio.fail_after(20):
        while len((await orchestrator.handle(run).look()).outcomes) < calls:
            await anyio.sleep(0.05)


async def until_accepted(orchestrator: Orchestrator, run: str, calls: int) -> None:
    with anyio.fail_after(20):
        async for event in orchestrator.handle(run).events():
            calls -= event.kind in ("accepted", "ended")
            if not calls:
                return


async def test_a_run_of_another_process_can_be_awaited(two: Two) -> None:
    two.let("a")
    two.let("b")
    await two.here.submit(two.waiting("a", "b"), id="r", labels={"who": "me"})
    with anyio.fail_after(20):
        run = await two.there.handle("r")
    assert run.state is RunState.SUCCEEDED
    assert run["wait"]["file"] == [str(two.folder / "a"), str(two.folder / "b")]
    assert (run.name, dict(run.labels)) == ("waiting", {"who": "me"})
    assert run.telemetry == (await two.here.handle("r")).telemetry


async def test_a_look_at_it_shows_what_has_ended_so_far(two: Two) -> None:
    two.let("a")
    await two.here.submit(two.waiting("a", "b"), id="r")
    handle = two.there.handle("r")
    with pytest.raises(AowhiskError, match=r"await handle.look\(\)"):
        _ = handle.state
    await until_ended(two.there, "r", 1)
    run = await handle.look()
    assert run.state is handle.state is RunState.RUNNING
    assert list(run.outcomes) == ["wait.0"]
    two.let("b")
    assert list((await handle).outcomes) == ["wait.0", "wait.1"]


async def test_its_events_come_while_it_goes_on(two: Two) -> None:
    two.let("a")
    await two.here.submit(two.waiting("a", "b"), id="r")
    seen = []
    with anyio.fail_after(20):
        async for event in two.there.handle("r").events():
            seen.append(event.kind)
            if event.kind == "ended":
                two.let("b")  # which comes only because we were told of the first
    stored = await two.here.recorder.journal.read("r")
    assert seen == [event.kind for event in stored]
    assert seen[-1] == "run_ended"


async def test_a_run_that_was_joined_is_followed_while_it_goes_on_elsewhere(two: Two) -> None:
    two.let("a")
    dag = two.waiting("a", "b")
    await two.here.submit(dag, id="r")
    handle = await two.there.submit(dag, id="r")
    seen = []
    with anyio.fail_after(20):
        async for event in handle.events():
            seen.append(event.kind)
            if event.kind == "ended" and not (two.folder / "b").exists():
                assert list((await handle.look()).outcomes) == ["wait.0"]
                two.let("b")
    assert seen == [event.kind for event in await two.here.recorder.journal.read("r")]


async def test_a_run_of_code_is_seen_from_elsewhere_call_by_call(two: Two) -> None:
    two.let("a")
    async with two.here.start("deciding", id="r") as run:
        await run.call("wait", {"file": str(two.folder / "a")}, id="first")
        await until_ended(two.there, "r", 1)
        seen = await two.there.handle("r").look()
        assert (seen.state, list(seen.outcomes)) == (RunState.RUNNING, ["first"])
    with anyio.fail_after(20):
        assert (await two.there.handle("r"))["first"].result == {"file": str(two.folder / "a")}


async def test_a_run_of_code_can_be_cancelled_from_elsewhere(two: Two) -> None:
    async def decide() -> None:
        with pytest.raises(Cancelled):
            async with two.here.start("deciding", id="r") as run:
                await run.call("wait", {"file": str(two.folder / "never")})

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(decide)
            while len(await two.there.recorder.journal.read("r")) < 2:
                await anyio.sleep(0.02)
            await two.there.handle("r").cancel()


async def test_a_run_that_failed_elsewhere_is_raised_as_such(two: Two) -> None:
    dag = Dag("failing")
    dag.call("fail", {})
    await two.here.submit(dag, id="r")
    with anyio.fail_after(20), pytest.raises(RunFailed) as caught:
        await two.there.handle("r")
    assert list(caught.value.failures) == ["fail"]


async def test_of_a_run_that_nobody_knows_each_method_says_so(two: Two) -> None:
    handle = two.there.handle("nothing")
    with pytest.raises(UnknownRun, match="'nothing'"):
        await handle
    with pytest.raises(UnknownRun):
        await handle.look()
    with pytest.raises(UnknownRun):
        _ = [event async for event in handle.events()]
    with pytest.raises(UnknownRun):
        await handle.cancel()


async def test_a_run_that_is_cancelled_from_elsewhere_ends_for_whoever_awaits_it(two: Two) -> None:
    async def run() -> None:
        with pytest.raises(Cancelled):
            await two.here.run(two.waiting("a", "b", "c"), id="r", concurrency=1)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(run)
            while not await two.there.recorder.journal.read("r"):
                await anyio.sleep(0.02)
            await two.there.handle("r").cancel()
            assert (await two.there.handle("r").look()).state is RunState.CANCELLED
        with pytest.raises(Cancelled):
            await two.there.handle("r")
    stored = await two.here.recorder.journal.read("r")
    assert [event.kind for event in stored].count("intended") == 1
    assert isinstance(stored[-1], RunEnded)
    assert await two.here.recorder.journal.lease("r") is None


async def test_a_run_that_ended_is_left_as_it_is_when_it_is_cancelled(two: Two) -> None:
    two.let("a")
    await two.here.run(two.waiting("a"), id="r")
    await two.there.handle("r").cancel()
    assert (await two.there.handle("r").look()).state is RunState.SUCCEEDED


async def test_a_run_that_waits_to_be_served_can_be_cancelled(two: Two) -> None:
    await two.here.enqueue(two.waiting("a"), id="r")
    await two.there.handle("r").cancel()
    with pytest.raises(Cancelled):
        await two.here.handle("r")
    assert await two.there.adopt() == []


async def test_whoever_left_a_run_in_the_queue_can_wait_for_it(two: Two) -> None:
    two.let("a")
    id = await two.here.enqueue(two.waiting("a"))
    async with anyio.create_task_group() as group:
        group.start_soon(partial(two.there.serve, every=0.05))
        with anyio.fail_after(20):
            run = await two.here.handle(id)
        group.cancel_scope.cancel()
    assert run.state is RunState.SUCCEEDED


@asynccontextmanager
async def cluster(root: Path, journal: str) -> AsyncIterator[Callable[[], Orchestrator]]:
    """One OpenWhisk, and what makes orchestrators for it, so that they find each other's calls."""
    patience = Patience(blocking_wait=0.1, lease=0.5, grace=1.0)
    async with LocalOpenWhisk(root=root) as server:
        await server.deploy_functions({"wait": wait})

        def orchestrator() -> Orchestrator:
            client = Client(app=server.app, auth=server.auth)
            return Orchestrator(client, journal=journal, concurrency=2, patience=patience)

        yield orchestrator


@pytest.mark.parametrize("kind", ["sqlite", "mongo"])
async def test_what_a_process_that_serves_had_taken_is_gone_on_with_by_the_next_one_when_it_stops(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite://{tmp_path}/journal.db"
    if kind == "mongo":
        url = request.getfixturevalue("mongo_url")
    async with cluster(tmp_path, url) as orchestrator, orchestrator() as there:
        async with orchestrator() as here:
            (tmp_path / "a").touch()
            await here.enqueue(Two(here, there, tmp_path).waiting("a", "b"), id="r")
            [taken] = await here.adopt()
            await until_accepted(here, "r", 2)
        assert taken.state is RunState.INTERRUPTED  # for whoever awaits it here
        assert (await there.handle("r").look()).state is RunState.QUEUED
        (tmp_path / "b").touch()
        async with anyio.create_task_group() as group:
            group.start_soon(partial(there.serve, every=0.05))
            with anyio.fail_after(20):
                run = await there.handle("r")
            group.cancel_scope.cancel()
    assert run.state is RunState.SUCCEEDED
    assert len(run.telemetry.attempts) == 2  # what was in flight was found, and not sent again


async def test_who_awaits_a_run_elsewhere_is_told_of_its_interruption(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/journal.db"
    async with cluster(tmp_path, url) as orchestrator, orchestrator() as there:
        async with orchestrator() as here:
            await here.submit(Two(here, there, tmp_path).waiting("a"), id="r")
            await until_accepted(here, "r", 1)
        with pytest.raises(Interrupted, match="resume"):
            await there.handle("r")
        (tmp_path / "a").touch()
        with anyio.fail_after(20):
            assert (await there.resume("r")).state is RunState.SUCCEEDED
            assert (await there.handle("r")).state is RunState.SUCCEEDED


async def test_a_run_of_which_pruning_left_the_lineage_alone_is_not_waited_for(
    tmp_path: Path,
) -> None:
    url = f"sqlite://{tmp_path}/journal.db"
    journal = open_journal(url)
    await journal.open()
    journal.put(RunEnded(run="old", state=RunState.SUCCEEDED))  # its first events are gone
    await journal.close()
    async with local(tmp_path, url) as orchestrator:
        with anyio.fail_after(5), pytest.raises(JournalError, match="pruning"):
            await orchestrator.handle("old")
