"""The orchestrator's doors: joining, leaving, cancelling, failing; against a scripted server."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from client_server import AUTH, ID, Answer, Request, Server, activated, record, refused, serve

from aowhisk import (
    AowhiskError,
    Cancelled,
    Client,
    Dag,
    Interrupted,
    Load,
    Orchestrator,
    Patience,
    RunFailed,
    RunState,
    item,
)
from aowhisk.errors import GraphError, JournalError, NotFound, UnknownRun
from aowhisk.events import Event, MemoryJournal
from aowhisk.events import Journal as AnyJournal
from aowhisk.events.sqlite import SqliteJournal

ACTION = {"name": "hello", "exec": {"kind": "python:3.11"}, "limits": {"timeout": 100}}


class World:
    """Answers invocations at once, unless told to hold them or the questions before them."""

    def __init__(self) -> None:
        self.preflight = anyio.Event()
        self.preflight.set()
        self.action: Answer = Answer(200, ACTION)
        self.answers = anyio.Event()
        self.answers.set()

    async def __call__(self, request: Request) -> Answer:
        if request.method == "POST":
            await self.answers.wait()
            return activated(200, record({"y": 1}))
        if "/actions/" in request.path:
            await self.preflight.wait()
            return self.action
        return refused(404, "The requested resource does not exist.")


class Journal(MemoryJournal):
    """Fails once `when` holds for what it was given."""

    def __init__(self, when: Callable[[Event], bool]) -> None:
        super().__init__()
        self.closed = False
        self._when = when
        self._failed = False

    def put(self, event: Event) -> None:
        super().put(event)
        self._failed = self._failed or self._when(event)

    async def commit(self, run: str | None = None) -> None:
        await anyio.lowlevel.checkpoint()
        if self._failed:
            raise JournalError("the disk is full")

    async def close(self) -> None:
        await anyio.lowlevel.checkpoint()
        self.closed = True


@asynccontextmanager
async def opened(
    world: World, journal: AnyJournal | None = None
) -> AsyncIterator[tuple[Orchestrator, Server]]:
    async with serve(world) as server:
        orchestrator = Orchestrator(
            Client(server.url, AUTH), journal=journal, patience=Patience(grace=1.0)
        )
        async with orchestrator:
            yield orchestrator, server


def one() -> Dag:
    dag = Dag("one")
    dag.call("hello", {})
    return dag


async def until(holds: Callable[[], object]) -> None:
    with anyio.fail_after(5):
        while not holds():
            await anyio.sleep(0.005)


def asked(server: Server) -> int:
    return sum("/actions/hello" in r.path and r.method == "GET" for r in server.requests)


async def test_it_says_what_is_out_and_what_is_held_back_now() -> None:
    world = World()
    world.answers = anyio.Event()
    dag = Dag("three")
    dag.map("hello", {"n": item}, over=[1, 2, 3])
    async with opened(world) as (orchestrator, _):
        assert orchestrator.load == Load()
        handle = await orchestrator.submit(dag, concurrency=2)
        await until(lambda: orchestrator.load.in_flight == 2)
        assert orchestrator.load == Load(in_flight=2)
        world.answers.set()
        await handle
        assert orchestrator.load == Load()
    with pytest.raises(AowhiskError, match="not open"):
        _ = orchestrator.load


async def test_what_is_polled_is_counted_and_how_late_it_was_noticed_is_known() -> None:
    ended = anyio.Event()

    async def world(request: Request) -> Answer:
        if request.method == "POST":
            return activated(202, {"activationId": ID})
        if "/activations/" in request.path and ended.is_set():
            now = time.time() * 1000
            return Answer(200, record({"y": 1}, start=now - 1000, end=now))
        if "/actions/" in request.path:
            return Answer(200, ACTION)
        return refused(404, "The requested resource does not exist.")

    async with serve(world) as server, Orchestrator(Client(server.url, AUTH)) as orchestrator:
        handle = await orchestrator.submit(one(), concurrency=1)
        await until(lambda: orchestrator.load.polled == 1)
        assert orchestrator.load.lag is None
        ended.set()
        await handle
        assert orchestrator.load.polled == 0
        lag = orchestrator.load.lag
        assert lag is not None
        assert 0 <= lag < 5


async def test_three_that_join_in_the_preflight_start_one_run_though_the_first_leaves() -> None:
    world = World()
    world.preflight = anyio.Event()
    async with opened(world) as (orchestrator, server):
        results: list[Any] = []

        async def join() -> None:
            results.append(await orchestrator.run(one(), id="r"))

        async with anyio.create_task_group() as group:
            with anyio.CancelScope() as first:

                async def leave() -> None:
                    await until(lambda: asked(server))
                    group.start_soon(join)
                    await until(lambda: orchestrator._runs.get("r").followers == 2)
                    first.cancel()

                group.start_soon(leave)
                await orchestrator.run(one(), id="r")
            group.start_soon(join)
            await until(lambda: asked(server) == 2)
            world.preflight.set()
        assert [run.state for run in results] == [RunState.SUCCEEDED] * 2
        assert server.posts == 1


async def test_who_waits_for_the_preflight_of_another_keeps_the_run_when_that_one_leaves() -> None:
    world = World()
    world.preflight, world.answers = anyio.Event(), anyio.Event()
    async with opened(world) as (orchestrator, server):
        loop = asyncio.get_running_loop()
        first = loop.create_task(orchestrator.run(one(), id="r"))
        await until(lambda: asked(server))
        second = loop.create_task(orchestrator.run(one(), id="r"))
        await asyncio.sleep(0)
        world.preflight.set()
        await until(lambda: orchestrator._runs.get("r").is_launched)
        first.cancel()
        world.answers.set()
        assert (await second).state is RunState.SUCCEEDED
        with pytest.raises(asyncio.CancelledError):
            await first


async def test_a_run_goes_on_while_somebody_awaits_its_handle() -> None:
    world = World()
    world.answers = anyio.Event()
    async with opened(world) as (orchestrator, server):
        task = asyncio.get_running_loop().create_task(orchestrator.run(one(), id="r"))
        await until(lambda: server.posts)
        waiting = asyncio.get_running_loop().create_task(orchestrator.handle("r").wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        world.answers.set()
        assert (await waiting).state is RunState.SUCCEEDED


async def test_a_timeout_of_asyncio_around_a_run_interrupts_it() -> None:
    world = World()
    world.answers = anyio.Event()
    async with opened(world) as (orchestrator, _):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await orchestrator.run(one(), id="r")
        assert orchestrator.handle("r").state is RunState.INTERRUPTED


async def test_a_run_whose_preflight_failed_is_unknown_and_nobody_waits_for_it() -> None:
    world = World()
    world.preflight = anyio.Event()
    world.action = refused(404, "The requested resource does not exist.")
    async with opened(world) as (orchestrator, server):
        async with anyio.create_task_group() as group:

            async def start() -> None:
                with pytest.raises(NotFound):
                    await orchestrator.submit(one(), id="r")

            group.start_soon(start)
            await until(lambda: asked(server))
            handle = orchestrator.handle("r")
            world.preflight.set()
            with anyio.fail_after(5):
                assert [event async for event in handle.events()] == []
                with pytest.raises(NotFound):
                    await handle
        with pytest.raises(UnknownRun):
            await orchestrator.handle("r")
        world.action = Answer(200, ACTION)
        assert (await orchestrator.run(one(), id="r")).state is RunState.SUCCEEDED


async def test_leaving_does_not_wait_for_a_run_that_was_never_started() -> None:
    world = World()
    world.preflight = anyio.Event()
    async with anyio.create_task_group() as group, opened(world) as (orchestrator, server):

        async def start() -> None:
            with pytest.raises(AowhiskError):
                await orchestrator.run(one(), id="r")

        group.start_soon(start)
        await until(lambda: asked(server))
        before = anyio.current_time()
        world.preflight.set()
        await orchestrator.__aexit__(None, None, None)
        assert anyio.current_time() - before < 0.9
        await orchestrator.__aenter__()


async def test_an_orchestrator_that_is_not_open_says_so() -> None:
    orchestrator = Orchestrator(Client("http://127.0.0.1:9", AUTH))

    async def start() -> None:
        async with orchestrator.start("code"):
            raise AssertionError

    async def check() -> None:
        with pytest.raises(AowhiskError, match="not open; use it inside `async with`"):
            await orchestrator.run(one())
        with pytest.raises(AowhiskError, match="not open"):
            await orchestrator.submit(one())
        with pytest.raises(AowhiskError, match="not open"):
            await start()
        with pytest.raises(AowhiskError, match="not open"):
            await orchestrator.plan_recovery("b/k")

    await check()
    async with serve(World()) as server:
        orchestrator = Orchestrator(Client(server.url, AUTH))
        async with orchestrator:
            await orchestrator.run(one())
        await check()


async def test_an_orchestrator_can_be_opened_again_but_not_twice_at_once() -> None:
    async with serve(World()) as server:
        orchestrator = Orchestrator(Client(server.url, AUTH))
        async with orchestrator:
            await orchestrator.run(one(), id="r")
            with pytest.raises(AowhiskError, match="open already"):
                async with orchestrator:
                    raise AssertionError
            await orchestrator.run(one(), id="s")
        async with orchestrator:
            assert (await orchestrator.run(one(), id="r")).state is RunState.SUCCEEDED
        assert server.posts == 3


async def test_an_error_in_the_block_comes_out_as_it_is_and_interrupts_the_runs() -> None:
    world = World()
    world.answers = anyio.Event()
    with pytest.raises(LookupError, match="mine"):
        async with opened(world) as (orchestrator, server):
            handle = await orchestrator.submit(one(), id="r")
            await until(lambda: server.posts)
            raise LookupError("mine")
    assert handle.state is RunState.INTERRUPTED


@pytest.mark.parametrize("how", ["scope", "native"])
async def test_a_cancelled_block_still_says_the_last_word_and_closes_its_journal(how: str) -> None:
    world = World()
    world.answers = anyio.Event()
    journal = Journal(lambda event: False)
    async with serve(world) as server:

        async def main() -> None:
            async with Orchestrator(Client(server.url, AUTH), journal=journal) as orchestrator:
                await orchestrator.run(one(), id="r")

        if how == "scope":
            async with anyio.create_task_group() as group:
                group.start_soon(main)
                await until(lambda: server.posts)
                group.cancel_scope.cancel()
        else:
            task = asyncio.get_running_loop().create_task(main())
            await until(lambda: server.posts)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    assert journal.events["r"][-1].kind == "run_interrupted"
    assert journal.closed


async def test_a_journal_that_fails_is_raised_as_it_is_everywhere() -> None:
    world = World()
    journal = Journal(lambda event: event.kind == "ended")
    dag = Dag("many")
    dag.map("hello", {"n": item}, over=list(range(10)))
    async with opened(world, journal) as (orchestrator, _):
        with anyio.fail_after(5):
            with pytest.raises(JournalError):
                await orchestrator.run(dag)
            with pytest.raises(JournalError):
                handle = await orchestrator.submit(one())
                await handle
            with pytest.raises(JournalError):
                async with orchestrator.start("code") as run:
                    await run.call("hello")


async def test_a_journal_that_fails_in_the_middle_of_code_is_raised_as_it_is() -> None:
    journal = Journal(lambda event: event.kind == "ended")
    async with opened(World(), journal) as (orchestrator, _):
        with anyio.fail_after(5), pytest.raises(JournalError):
            async with orchestrator.start("code") as run:
                await run.call("hello")
                await run.call("hello")
        with anyio.fail_after(5), pytest.raises(JournalError):
            async with orchestrator.start("code") as run:
                await run.map("hello", [{}] * 5)


async def test_code_whose_run_is_cancelled_from_outside_ends_as_cancelled() -> None:
    world = World()
    world.answers = anyio.Event()
    async with opened(world) as (orchestrator, server):
        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:

                async def cancel() -> None:
                    await until(lambda: server.posts)
                    orchestrator.handle("c").cancel()

                group.start_soon(cancel)
                with pytest.raises(Cancelled):
                    async with orchestrator.start("code", id="c", concurrency=2) as run:
                        await run.map("hello", [{}] * 5)
            with pytest.raises(Cancelled):
                async with orchestrator.start("code", id="d") as run:
                    orchestrator.handle("d").cancel()
        assert orchestrator.handle("c").state is RunState.CANCELLED


async def test_an_error_of_the_code_fails_its_run_and_cancellation_interrupts_it() -> None:
    world = World()
    async with opened(world) as (orchestrator, _server):
        with pytest.raises(LookupError, match="mine"):
            async with orchestrator.start("code", id="a") as run:
                await run.call("hello")
                raise LookupError("mine")
        assert orchestrator.handle("a").state is RunState.FAILED
        world.answers = anyio.Event()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3), orchestrator.start("code", id="b") as run:
                await run.call("hello")
        assert orchestrator.handle("b").state is RunState.INTERRUPTED
        with pytest.raises(Interrupted):
            await orchestrator.handle("b")
        with pytest.raises(RunFailed):
            await orchestrator.handle("a")


async def test_a_single_call_may_be_left_and_goes_on() -> None:
    world = World()
    world.answers = anyio.Event()
    async with opened(world) as (orchestrator, server):
        async with orchestrator.start("code", id="c") as run:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await run.call("hello")
            world.answers.set()
        assert server.posts == 1
        assert orchestrator.handle("c").run["hello-1"].result == {"y": 1}  # type: ignore[union-attr]


async def test_every_follower_sees_every_event_and_one_that_leaves_early_is_forgotten() -> None:
    world = World()
    world.answers = anyio.Event()
    dag = Dag("many")
    dag.map("hello", {"n": item}, over=list(range(5)))
    async with opened(world) as (orchestrator, server):
        handle = await orchestrator.submit(dag, id="r")
        seen: dict[str, list[str]] = {"a": [], "b": []}

        async def follow(name: str) -> None:
            seen[name] += [event.kind async for event in handle.events()]

        async with anyio.create_task_group() as group:
            group.start_soon(follow, "a")
            await until(lambda: server.posts)
            group.start_soon(follow, "b")
            events = handle.events()
            async for event in events:
                if event.kind == "intended":
                    break
            await events.aclose()  # type: ignore[attr-defined]
            world.answers.set()
        seen["late"] = [event.kind async for event in handle.events()]
        assert seen["a"] == seen["b"] == seen["late"]
        assert seen["a"][0] == "run_started"
        assert seen["a"][-1] == "run_ended"
        assert seen["a"].count("ended") == 5
        assert orchestrator.recorder._sinks == []


async def test_a_sink_that_raises_is_dropped_and_the_run_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Bad:
        def receive(self, event: Event) -> None:
            raise RuntimeError("bad sink")

    async with opened(World()) as (orchestrator, _):
        orchestrator.recorder.add(Bad())
        assert (await orchestrator.run(one())).state is RunState.SUCCEEDED
        assert orchestrator.recorder._sinks == []
    assert "is dropped" in caplog.text


async def test_a_run_that_is_stopped_before_its_journal_knows_it_is_not_taken_for_an_orphan(
    tmp_path: Path,
) -> None:
    path = tmp_path / "j.db"
    journal = SqliteJournal(path)
    async with opened(World(), journal) as (orchestrator, server):
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with anyio.move_on_after(0.2) as scope:
            await orchestrator.run(one(), id="r")
        assert scope.cancelled_caught
        other.close()
        await journal.commit()
        kinds = [event.kind for event in await journal.read("r")]
        assert kinds == ["run_started", "run_interrupted"]
        assert await orchestrator.adopt() == []
        assert not server.posts


async def test_a_run_that_cannot_be_read_keeps_nobody_from_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "j.db"
    async with opened(World(), SqliteJournal(path)) as (orchestrator, server):
        await orchestrator.enqueue(one(), id="new")
        await orchestrator.enqueue(one(), id="old")
        with closing(sqlite3.connect(path)) as other, other:
            other.execute("INSERT INTO events VALUES ('new', 1, 0, 'of_tomorrow', '', '', '{}')")
        for _ in range(2):
            for handle in await orchestrator.adopt():
                assert handle.id == "old"
                await handle
        with pytest.raises(JournalError, match="of_tomorrow"):
            await orchestrator.resume("new")
        assert server.posts == 1
    assert caplog.text.count("run new cannot be gone on with") == 1


async def test_a_map_of_code_that_is_not_the_same_any_more_is_refused_before_any_is_sent() -> None:
    journal = MemoryJournal()
    async with opened(World(), journal) as (orchestrator, server):
        with pytest.raises(KeyError, match="mine"):
            async with orchestrator.start("code", id="r") as run:
                await run.map("hello", [{"n": 1}, {"n": 2}])
                raise KeyError("mine")
        with pytest.raises(GraphError, match="n was 2 and is 3"):
            async with orchestrator.start("code", id="r") as run:
                await run.map("hello", [{"n": 1}, {"n": 3}, {"n": 4}])
        assert server.posts == 2
