"""Processes that share a journal divide what their namespace allows."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import pytest

from aowhisk import Client, Dag, Orchestrator, Patience, item
from aowhisk.errors import JournalError
from aowhisk.events import Journal, open_journal
from aowhisk.invoker import Commons, Gate
from aowhisk.local import GUEST, Limits, LocalOpenWhisk
from aowhisk.local.port import listen, serve
from aowhisk.pacing import Pacer

CALLS, ROOM = 40, 4


def nap(args: dict[str, Any]) -> dict[str, Any]:
    """An action."""
    threading.Event().wait(0.1)
    return {}


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    """A local OpenWhisk that lets four invocations be in flight."""
    limits = Limits(invocations_per_minute=100_000, concurrent_invocations=ROOM)
    sock = listen("127.0.0.1", 0)
    ready = anyio.Event()
    async with LocalOpenWhisk(root=tmp_path / "ow", limits=limits, containers=ROOM) as server:
        await server.deploy_functions({"nap": nap})
        async with anyio.create_task_group() as group:

            async def answer() -> None:
                await serve(server, sock, ready=ready.set)

            group.start_soon(answer)
            await ready.wait()
            yield f"http://127.0.0.1:{sock.getsockname()[1]}"
            group.cancel_scope.cancel()
    sock.close()


async def test_two_orchestrators_share_what_may_be_in_flight(url: str, tmp_path: Path) -> None:
    dag = Dag("naps")
    dag.map("nap", {"n": item}, over=list(range(CALLS)))
    ended: list[float] = []
    refused: list[int] = []

    async def run(orchestrator: Orchestrator) -> None:
        done = await orchestrator.run(dag)
        ended.append(anyio.current_time())
        refused.append((await orchestrator.telemetry(done.id)).requests.throttled)

    async with AsyncExitStack() as stack:
        both = [
            await stack.enter_async_context(
                Orchestrator(Client(url, GUEST), journal=f"sqlite://{tmp_path}/j.db", concurrency=8)
            )
            for _ in range(2)
        ]
        began = anyio.current_time()
        async with anyio.create_task_group() as group:
            for each in both:
                group.start_soon(run, each)
    first, last = (at - began for at in sorted(ended))
    assert first > 0.6 * last  # neither went before the other
    assert sum(refused) <= 4


@pytest.fixture(params=["sqlite", "mongo"])
async def journals(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[Sequence[Journal]]:
    """Four at one place, as of four processes; open."""
    where = f"sqlite://{tmp_path}/journal.db"
    if request.param == "mongo":
        where = request.getfixturevalue("mongo_url")
    found = [open_journal(where) for _ in range(4)]
    for each in found:
        await each.open()
    yield found
    for each in found:
        await each.close()


async def test_of_many_that_claim_at_once_nobody_gets_what_another_got(
    journals: Sequence[Journal],
) -> None:
    gates = [Gate(Pacer(shared=True)) for _ in journals]
    for gate in gates:
        gate.limits(per_minute=100, concurrent=None)
        gate.wall = lambda: 1_800_000_059.0  # no minute ends meanwhile, and it is nearly over
    let_go: list[int] = []

    async def take(gate: Gate, commons: Commons) -> None:
        while (wait := gate.pacer.ask(gate.wall())) == 0 or gate.pacer.lacks:
            if wait == 0:
                let_go.append(1)
            else:
                await commons.claim(3)

    async with anyio.create_task_group() as group:
        for gate, journal in zip(gates, journals, strict=True):
            group.start_soon(take, gate, Commons(gate, journal, "x", patience=15.0))
    assert len(let_go) == 100


async def test_a_document_is_changed_by_one_at_a_time(journals: Sequence[Journal]) -> None:
    async def count(journal: Journal) -> None:
        for _ in range(25):
            await journal.amend("n", lambda known: ({"n": known.get("n", 0) + 1}, None))

    async with anyio.create_task_group() as group:
        for journal in journals:
            group.start_soon(count, journal)
    assert await journals[0].amend("n", lambda known: (known, known["n"])) == 100


async def test_a_process_that_stops_gives_up_its_part(url: str, tmp_path: Path) -> None:
    where = f"sqlite://{tmp_path}/j.db"
    patience = Patience(lease=0.4)
    async with Orchestrator(Client(url, GUEST), journal=where, patience=patience) as orchestrator:
        dag = Dag("one")
        dag.call("nap", {})
        await orchestrator.run(dag)
    journal = open_journal(where)
    await journal.open()
    async with Client(url, GUEST) as client:
        name = f"pacing {client.account}"
        known = await journal.amend(name, lambda known: (known, dict(known)))
    await journal.close()
    assert known["members"] == {}


async def test_a_journal_that_fails_is_no_reason_to_stop_attending(
    monkeypatch: pytest.MonkeyPatch, journals: Sequence[Journal]
) -> None:
    gate, journal = Gate(Pacer(shared=True)), journals[0]
    gate.limits(per_minute=None, concurrent=30)
    gate.pacer.ask(gate.wall())
    waits = iter([JournalError("for once"), None])
    amend = journal.amend

    async def failing(name: str, change: object) -> object:
        if (error := next(waits, None)) is not None:
            raise error
        return await amend(name, change)  # type: ignore[arg-type]

    monkeypatch.setattr(journal, "amend", failing)
    looks = 0

    async def sleep(seconds: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 4:
            raise TimeoutError

    commons = Commons(gate, journal, "x", patience=15.0, sleep=sleep)
    with pytest.raises(TimeoutError):
        await commons.run()
    assert gate.pacer.concurrent == 30
