"""The invoker against a scripted server: one attempt, whatever becomes of its request."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from client_server import (
    AUTH,
    HANG_UP,
    ID,
    Answer,
    Request,
    Server,
    activated,
    record,
    refused,
    serve,
)

from aowhisk import errors
from aowhisk.client import Client
from aowhisk.events import MemoryJournal, Recorder
from aowhisk.events.model import RunStarted
from aowhisk.events.sqlite import SqliteJournal
from aowhisk.events.tenure import Tenure
from aowhisk.invoker import (
    Attempt,
    AttemptEnd,
    Catalog,
    Gate,
    Invoker,
    Patience,
    Protocol,
)
from aowhisk.lineage import CallRecord, CallRef
from aowhisk.pacing import Pacer
from aowhisk.poller import Poller
from object_store import ObjectStore, open_store

ATTEMPT = Attempt(
    run="r", record=CallRecord(ref=CallRef("r", "c"), action="hello", params={"x": 1}), id="t1"
)
QUICK = Patience(blocking_wait=0.2, allowance=0.5, refusal=0.5)
ACTION = {"name": "hello", "exec": {"kind": "python:3.11"}, "limits": {"timeout": 100}}
MISSING = refused(404, "The requested resource does not exist.")
Reply = Callable[[Request], Answer]


def echo(attempt: str = "t1", **result: Any) -> dict[str, Any]:
    """A result of an action that speaks the protocol."""
    io = {"v": 1, "attempt": attempt, "reads": [], "writes": []}
    return record({**result, "_io": io})


class World:
    """What the server does: `post` answers invocations, `get` one activation, `list_` all."""

    def __init__(self, *posts: Answer) -> None:
        self.posts = list(posts)
        self.bodies: list[Any] = []
        self.record: Answer = MISSING
        self.listed: list[Any] = []
        self.actions: dict[str, Any] = {"hello": ACTION}

    async def __call__(self, request: Request) -> Answer:
        if request.method == "POST":
            self.bodies.append(request.json)
            return self.posts.pop(0) if len(self.posts) > 1 else self.posts[0]
        if "/actions/" in request.path:
            name = request.path.rpartition("/")[2]
            return Answer(200, self.actions[name]) if name in self.actions else MISSING
        if request.path.endswith("/activations"):
            return Answer(200, self.listed)
        return self.record


@asynccontextmanager
async def opened(
    world: Callable[[Request], Awaitable[Answer]],
    patience: Patience = QUICK,
    store: ObjectStore | None = None,
    recorder: Recorder | None = None,
) -> AsyncIterator[tuple[Invoker, Server, MemoryJournal]]:
    journal = MemoryJournal()
    async with serve(world) as server, Client(server.url, AUTH) as client:
        invoker = Invoker(
            client,
            recorder or Recorder(journal),
            Protocol(store),
            catalog=Catalog(client),
            poller=Poller(client),
            gate=Gate(Pacer()),
            patience=patience,
        )
        yield invoker, server, journal


async def attempted(
    *posts: Answer, attempt: Attempt = ATTEMPT, patience: Patience = QUICK
) -> AttemptEnd:
    async with opened(World(*posts), patience) as (invoker, _, _):
        return await invoker.attempt(attempt)


async def test_the_intent_is_journalled_before_the_post_and_the_protocol_keys_are_taken_off() -> (
    None
):
    world = World(activated(200, echo(y=2)))
    async with opened(world) as (invoker, _, journal):
        end = await invoker.attempt(ATTEMPT)
        assert [event.kind for event in await journal.read("r")] == ["intended"]
    assert end.result == {"y": 2}
    assert end.reported
    context = {"v": 1, "run": "r", "call": "c", "attempt": "t1", "try": 1}
    assert world.bodies == [{"x": 1, "_aowhisk": context}]


class Sleeper:
    """A process that owns run `r` in a file, and may sleep; `takes` is another one, for which a
    lease of 10 seconds has run out by then."""

    def __init__(self, path: Path) -> None:
        self.journal, self.other = SqliteJournal(path), SqliteJournal(path)
        self.slept = 0.0
        self.recorder = Recorder(self.journal)
        self.recorder.tenure = Tenure(self.journal, 10.0, clock=lambda: self.slept)

    async def begin(self) -> None:
        await self.journal.open()
        await self.other.open()
        self.recorder.tenure.begin("r")
        await self.recorder.commit(RunStarted(run="r", name="n"))
        await self.recorder.tenure.renew(["r"])

    async def end(self) -> None:
        await self.journal.close()
        await self.other.close()

    def sleeps_after(self, kind: str, *, taken: bool) -> None:
        """Sleep for a minute as soon as an event of that kind is durable; `taken` says whether the
        other one takes the run."""
        commit = self.journal.commit

        async def then(run: str | None = None) -> None:
            await commit(run)
            known = await self.other.read("r")
            if known[-1].kind == kind and not self.slept:
                self.slept = 60.0
                if taken:
                    await self.other.take("r", after=len(known))

        self.journal.commit = then  # type: ignore[method-assign]


@pytest.fixture
async def sleeper(tmp_path: Path) -> AsyncIterator[Sleeper]:
    found = Sleeper(tmp_path / "j.db")
    await found.begin()
    yield found
    await found.end()


async def test_who_sleeps_between_intent_and_post_while_its_run_is_taken_sends_nothing(
    sleeper: Sleeper,
) -> None:
    sleeper.sleeps_after("intended", taken=True)
    async with opened(World(activated(200, echo())), recorder=sleeper.recorder) as (invoker, at, _):
        with pytest.raises(errors.Fenced):
            await invoker.attempt(ATTEMPT)
        assert at.posts == 0


async def test_who_renews_its_lease_as_it_wakes_up_has_slept_all_the_same(sleeper: Sleeper) -> None:
    sleeper.sleeps_after("intended", taken=True)
    sleeping = sleeper.journal.commit

    async def wakes(run: str | None = None) -> None:
        await sleeping(run)
        if sleeper.slept:
            await sleeper.recorder.tenure.renew(["r"])

    sleeper.journal.commit = wakes  # type: ignore[method-assign]
    async with opened(World(activated(200, echo())), recorder=sleeper.recorder) as (invoker, at, _):
        with pytest.raises(errors.Fenced):
            await invoker.attempt(ATTEMPT)
        assert at.posts == 0


async def test_who_loses_its_run_while_openwhisk_takes_nothing_sends_nothing_more(
    sleeper: Sleeper,
) -> None:
    world = World(refused(503, "The server is currently unavailable."))

    async def taken(request: Request) -> Answer:
        answer = await world(request)
        if request.method == "POST" and not sleeper.slept:
            sleeper.slept = 60.0
            await sleeper.other.take("r", after=len(await sleeper.other.read("r")))
        return answer

    async with opened(taken, recorder=sleeper.recorder) as (invoker, at, _):
        with pytest.raises(errors.Fenced):
            await invoker.attempt(ATTEMPT)
        assert at.posts == 1


async def test_who_slept_and_was_not_missed_says_that_it_sends_now_and_sends(
    sleeper: Sleeper,
) -> None:
    sleeper.sleeps_after("intended", taken=False)
    async with opened(World(activated(200, echo())), recorder=sleeper.recorder) as (invoker, at, _):
        end = await invoker.attempt(ATTEMPT)
        assert at.posts == 1
    assert end.error is None
    events = await sleeper.other.read("r")
    assert [event.kind for event in events] == ["run_started", "intended", "renewed"]
    lease = await sleeper.other.lease("r")
    assert lease is not None
    assert lease.beat == 1


async def test_a_call_without_params_is_sent_its_context_alone() -> None:
    world = World(activated(200, echo()))
    bare = replace(ATTEMPT, record=replace(ATTEMPT.record, params={}))
    async with opened(world) as (invoker, _, _):
        await invoker.attempt(bare)
    assert [list(body) for body in world.bodies] == [["_aowhisk"]]


async def test_without_the_protocol_nothing_is_added() -> None:
    world = World(activated(200, record({"y": 2})))
    plain = replace(ATTEMPT, record=replace(ATTEMPT.record, protocol=False))
    async with opened(world) as (invoker, _, _):
        await invoker.attempt(plain)
    assert world.bodies == [{"x": 1}]


async def test_the_io_of_another_attempt_says_nothing_of_this_one() -> None:
    end = await attempted(activated(200, echo("another", y=2)))
    assert (end.result, end.reported) == ({"y": 2}, False)


async def test_a_429_or_a_503_is_waited_out_and_is_no_failed_attempt() -> None:
    full = refused(429, "Too many concurrent requests in flight (count: 3, allowed: 2).")
    down = refused(503, "The server is currently unavailable.")
    world = World(full, down, activated(200, echo(y=2)))
    async with opened(world, Patience(refusal=20)) as (invoker, server, _):
        end = await invoker.attempt(ATTEMPT)
        assert server.posts == 3
    assert end.error is None


async def test_a_namespace_that_allows_nothing_is_an_error_and_not_a_wait_for_ever() -> None:
    none = refused(429, "Too many requests in the last minute (count: 1, allowed: 0).")
    assert isinstance((await attempted(none)).error, errors.Throttled)


async def test_a_server_that_takes_nothing_is_given_up_in_time() -> None:
    end = await attempted(refused(503, "The server is currently unavailable."))
    assert isinstance(end.error, errors.ServerFault)


async def test_a_lost_reply_is_found_by_the_id_that_its_result_echoes_and_sent_once() -> None:
    world = World(HANG_UP)
    other = echo("somebody else's") | {"activationId": "f" * 32}
    world.listed = [other, echo(y=2)]
    async with opened(world, Patience(allowance=5)) as (invoker, server, _):
        end = await invoker.attempt(ATTEMPT)
        assert server.posts == 1
    assert (end.result, end.activation and end.activation.id) == ({"y": 2}, ID)


async def test_a_reply_that_is_never_found_is_lost_and_names_what_it_may_have_been() -> None:
    world = World(Answer(504, "<html>gateway</html>", {"Content-Type": "text/html"}))
    world.listed = [record({"y": 2})]
    async with opened(world) as (invoker, server, _):
        end = await invoker.attempt(ATTEMPT)
        assert server.posts == 1
    assert isinstance(end.error, errors.Lost)
    assert end.error.candidates == (ID,)
    assert ID in str(end.error)


async def test_a_failed_activation_is_adopted_by_its_echo_as_well() -> None:
    world = World(HANG_UP)
    io = {"v": 1, "attempt": "t1", "reads": [], "writes": []}
    error = {"code": "Boom", "message": "no", "meta": {}, "io": io}
    world.listed = [record({"error": error}, status="application error")]
    async with opened(world, Patience(allowance=5)) as (invoker, _, _):
        end = await invoker.attempt(ATTEMPT)
    assert isinstance(end.error, errors.ActionError)
    assert end.error.code == "Boom"


async def test_a_202_is_polled_until_its_record_is_there() -> None:
    world = World(activated(202, {"activationId": ID}))
    seen = 0

    async def late(request: Request) -> Answer:
        nonlocal seen
        if "/activations/" in request.path:
            seen += 1
            return Answer(200, echo(y=2)) if seen > 2 else world.record
        return await world(request)

    async with opened(late, Patience(allowance=10)) as (invoker, _, journal):  # type: ignore[arg-type]
        end = await invoker.attempt(ATTEMPT)
        kinds = [event.kind for event in await journal.read("r")]
    assert end.result == {"y": 2}
    assert kinds == ["intended", "accepted"]


async def test_a_record_that_never_comes_is_replaced_by_the_receipt() -> None:
    world = World(activated(202, {"activationId": ID}))
    async with open_store("memory://receipts") as store:
        io = {"v": 1, "attempt": "t1", "reads": [], "writes": []}
        body = {"context": {}, "result": {"y": 3}, "io": io}
        await store.put("aowhisk/receipts/r/c/t1.json", json.dumps(body))
        async with opened(world, store=store) as (invoker, _, _):
            end = await invoker.attempt(ATTEMPT)
    assert (end.result, end.activation and end.activation.id) == ({"y": 3}, ID)


async def test_params_over_the_limit_go_into_the_store_and_are_named() -> None:
    world = World(activated(200, echo()))
    large = replace(ATTEMPT, record=replace(ATTEMPT.record, params={"x": "y" * 1_100_000}))
    async with open_store("memory://params") as store:
        async with opened(world, store=store) as (invoker, _, _):
            assert (await invoker.attempt(large)).error is None
        key = world.bodies[0]["_aowhisk"]["params"]
        assert key == "aowhisk/params/r/c/t1.json"
        assert json.loads(await store.get(key)) == large.record.params
        assert set(world.bodies[0]) == {"_aowhisk"}


async def test_a_namespace_that_takes_less_is_sent_less() -> None:
    world = World(activated(200, echo()))
    large = replace(ATTEMPT, record=replace(ATTEMPT.record, params={"x": "y" * 60_000}))
    async with (
        open_store("memory://small") as store,
        opened(world, store=store) as (invoker, _, _),
    ):
        invoker._protocol.limit(None)
        await invoker.attempt(large)
        invoker._protocol.limit(50_000)
        await invoker.attempt(large)
    assert ["params" in body["_aowhisk"] for body in world.bodies] == [False, True]


async def test_params_over_the_limit_without_a_store_are_refused_before_the_post() -> None:
    world = World(activated(200, echo()))
    large = replace(ATTEMPT, record=replace(ATTEMPT.record, params={"x": "y" * 1_100_000}))
    async with opened(world) as (invoker, server, _):
        end = await invoker.attempt(large)
        assert server.posts == 0
    assert isinstance(end.error, errors.TooLarge)
    assert "AOWHISK_STORE" in str(end.error)


async def test_a_result_that_lies_in_a_store_we_do_not_have_says_so() -> None:
    named = record({"_io": {"v": 1, "attempt": "t1", "receipt": "aowhisk/receipts/r/c/t1.json"}})
    end = await attempted(activated(200, named))
    assert isinstance(end.error, errors.ConfigError)
    assert "AOWHISK_STORE" in str(end.error)


async def test_a_timeout_of_the_users_is_told_from_an_attempt_that_is_lost() -> None:
    asked = replace(ATTEMPT, timeout=0.3)
    end = await attempted(activated(202, {"activationId": ID}), attempt=asked)
    assert isinstance(end.error, errors.TimedOut)
    assert ID in str(end.error)


async def test_a_foreign_protocol_version_is_an_error_that_says_what_to_install() -> None:
    end = await attempted(activated(200, record({"_io": {"v": 99, "attempt": "t1"}})))
    assert isinstance(end.error, errors.ActionError)
    assert "aowhisk-object-store" in str(end.error)


async def test_time_spent_before_openwhisk_takes_it_is_not_taken_from_what_it_may_last() -> None:
    full = refused(429, "Too many concurrent requests in flight (count: 3, allowed: 2).")
    down = refused(503, "The server is currently unavailable.")
    world = World(full, down, down, activated(202, {"activationId": ID}))
    world.record = Answer(200, echo(y=2))
    asked = replace(ATTEMPT, timeout=0.25)  # less than the refusals take
    async with opened(world, Patience(refusal=20)) as (invoker, _, _):
        end = await invoker.attempt(asked)
    assert (end.error, end.result) == (None, {"y": 2})


async def test_a_poll_that_is_refused_for_good_ends_the_attempt_with_that_error() -> None:
    world = World(activated(202, {"activationId": ID}))
    world.record = refused(401, "The supplied authentication is invalid.")
    async with opened(world) as (invoker, _, _):
        end = await invoker.attempt(ATTEMPT)
    assert isinstance(end.error, errors.Unauthorized)


async def test_a_receipt_that_is_damaged_is_an_error_that_names_it() -> None:
    key = "aowhisk/receipts/r/c/t1.json"
    named = record({"_io": {"v": 1, "attempt": "t1", "receipt": key}})
    for damage in (b"{", b"{}", b"[]"):
        async with open_store("memory://damaged") as store:
            await store.put(key, damage)
            async with opened(World(activated(200, named)), store=store) as (invoker, _, _):
                end = await invoker.attempt(ATTEMPT)
        assert isinstance(end.error, errors.ActionError)
        assert "cannot be read" in str(end.error)


@pytest.mark.parametrize("status", ["success", "application error", "action developer error"])
async def test_a_result_that_could_not_be_written_down_again_is_an_error(status: str) -> None:
    deep: Any = 1
    for _ in range(600):
        deep = [deep]
    answer = record({"error": deep} if status != "success" else {"deep": deep})
    answer["response"]["status"] = status
    async with opened(World(activated(200, answer))) as (invoker, _, _):
        end = await invoker.attempt(ATTEMPT)
    assert isinstance(end.error, errors.ActionError)
    assert "nested deeper" in str(end.error)
    assert end.result is None


async def test_an_action_is_asked_about_once_however_many_calls_begin_at_once() -> None:
    world = World(activated(200, echo(y=2)))
    async with opened(world) as (invoker, server, _):
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(invoker.attempt, ATTEMPT)
        assert len([r for r in server.requests if r.method == "GET"]) == 1


SEQUENCE = {
    "name": "hello",
    "exec": {"kind": "sequence", "components": ["/guest/a", "/guest/a", "/guest/p/b", "/guest/no"]},
    "limits": {"timeout": 100},
}
CONDUCTOR = ACTION | {"annotations": [{"key": "conductor", "value": True}]}


@pytest.mark.parametrize("action", [SEQUENCE, CONDUCTOR], ids=["sequence", "conductor"])
async def test_a_receipt_of_what_runs_other_actions_may_be_that_of_a_part_and_ends_nothing(
    action: dict[str, Any],
) -> None:
    world = World(activated(202, {"activationId": ID}))
    world.actions = {"hello": action, "a": ACTION, "b": ACTION, "no": ACTION}
    async with open_store("memory://parts") as store:
        body = {"context": {}, "result": {"y": 3}, "io": {"v": 1, "attempt": "t1"}}
        await store.put("aowhisk/receipts/r/c/t1.json", json.dumps(body))
        async with opened(world, store=store) as (invoker, _, _):
            assert isinstance((await invoker.attempt(ATTEMPT)).error, errors.Lost)


async def test_a_sequence_has_the_time_of_all_its_components() -> None:
    world = World(activated(200, echo(y=2)))
    world.actions = {
        "hello": SEQUENCE,
        "a": ACTION | {"limits": {"timeout": 300_000}},
        "b": SEQUENCE | {"exec": {"kind": "sequence", "components": ["/guest/c", "/guest/p/b"]}},
        "c": ACTION | {"limits": {"timeout": 1000}},
    }
    async with serve(world) as server, Client(server.url, AUTH) as client:
        facts = await Catalog(client).facts("hello")
    # a twice, c, and the default for what leads back to itself and for what is not there
    assert facts.timeout == 2 * 300 + 1 + 60 + 60
    assert facts.composed
