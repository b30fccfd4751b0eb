"""Waiting for many activations, on a virtual clock: the loop's time jumps to the next timer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from urllib.parse import parse_qs

import anyio
import pytest
from client_server import AUTH
from virtual import VirtualLoop

from aowhisk import errors
from aowhisk.client import Client
from aowhisk.models import Activation, to_ms
from aowhisk.poller import Poller

DAWN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


def clock() -> float:
    return asyncio.get_running_loop().time()


def now() -> datetime:
    return DAWN + timedelta(seconds=clock())


@dataclass
class Platform:
    """An ASGI app with OpenWhisk's two ways to read activations.

    `ends` says when each record is there, `lag` how much later a list shows it, `hidden` is never
    listed, `causes` are shown with what they caused. `skew` is how far its clock is ahead of ours.
    """

    ends: dict[str, float] = field(default_factory=dict)
    lag: float = 0.0
    hidden: set[str] = field(default_factory=set)
    causes: dict[str, str] = field(default_factory=dict)
    size: int = 10
    skew: float = 0.0
    broken_until: float = 0.0
    on_list: Callable[[dict[str, str]], Awaitable[None]] | None = None
    gets: list[str] = field(default_factory=list)
    lists: list[dict[str, str]] = field(default_factory=list)
    lists_at_once: int = 0

    def add(self, n: int, ends: float) -> str:
        id_ = f"{n:032x}"
        self.ends[id_] = ends
        return id_

    def row(self, id_: str, *, whole: bool) -> dict[str, Any]:
        start = to_ms(DAWN + timedelta(seconds=self.skew)) + int(id_, 16)
        row: dict[str, Any] = {"activationId": id_, "name": "a", "start": start, "end": start + 1}
        if id_ in self.causes:
            row["cause"] = self.causes[id_]
        if whole:
            row["response"] = {"status": "success", "result": {"text": "." * self.size}}
        return row

    def get(self, id_: str) -> tuple[int, Any]:
        self.gets.append(id_)
        if self.ends.get(id_, 1e9) > clock():
            return 404, {"error": "The requested resource does not exist.", "code": "1"}
        return 200, self.row(id_, whole=True)

    def list(self, query: dict[str, str]) -> tuple[int, Any]:
        self.lists.append(query)
        shown = [
            self.row(id_, whole=query.get("docs") == "true")
            for id_, end in self.ends.items()
            if end + self.lag <= clock() and id_ not in self.hidden
        ]
        low, high = int(query.get("since", 0)), int(query.get("upto", 1e15))
        rows = sorted((r for r in shown if low <= r["start"] <= high), key=lambda r: -r["start"])
        skip = int(query["skip"])
        return 200, rows[skip : skip + int(query["limit"])]

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        await anyio.sleep(0.01)
        path = scope["path"]
        if clock() < self.broken_until:
            status, body = 503, {"error": "unavailable", "code": "1"}
        elif path.endswith("/activations"):
            assert self.lists_at_once == 0, "two lists in flight"
            self.lists_at_once += 1
            try:
                await anyio.sleep(0.05)
                raw = parse_qs(scope["query_string"].decode())
                query = {key: values[0] for key, values in raw.items()}
                if self.on_list is not None:
                    await self.on_list(query)
                status, body = self.list(query)
            finally:
                self.lists_at_once -= 1
        else:
            status, body = self.get(path.rpartition("/")[2])
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(body).encode()})


def poller_of(client: Client) -> Poller:
    return Poller(client, clock=clock, now=now, random=Random(7).random)


async def wait_for(
    platform: Platform, ids: list[str], *, deadline: float = 600, expected: float | None = None
) -> tuple[Poller, dict[str, tuple[Activation | None, float]]]:
    """What each wait gave, and when."""
    got: dict[str, tuple[Activation | None, float]] = {}
    async with Client(app=platform, auth=AUTH) as client:
        poller = poller_of(client)

        async def one(id_: str) -> None:
            record = await poller.wait(id_, deadline=deadline, expected=expected)
            got[id_] = record, clock()

        async with anyio.create_task_group() as group:
            for id_ in ids:
                group.start_soon(one, id_)
    assert poller.waiting == 0
    return poller, got


async def test_a_few_are_asked_for_by_id_at_growing_intervals() -> None:
    platform = Platform()
    id_ = platform.add(1, ends=60)
    poller, got = await wait_for(platform, [id_])
    record, at = got[id_]
    assert record is not None
    assert record.result == {"text": "." * 10}
    assert 60 <= at <= 65
    assert platform.lists == []
    assert 10 <= len(platform.gets) == poller.polls <= 25


async def test_a_quick_one_is_seen_quickly() -> None:
    platform = Platform()
    id_ = platform.add(1, ends=0.5)
    _, got = await wait_for(platform, [id_])
    assert got[id_][1] < 0.9


async def test_the_first_look_is_at_the_predicted_end() -> None:
    platform = Platform()
    id_ = platform.add(1, ends=119.5)
    _, got = await wait_for(platform, [id_], expected=120)
    assert len(platform.gets) == 1
    assert got[id_][1] == pytest.approx(120, abs=0.1)


async def test_what_does_not_come_ends_at_its_deadline_with_a_last_look() -> None:
    platform = Platform()
    late = platform.add(1, ends=29.99)
    never = platform.add(2, ends=1e9)
    _, got = await wait_for(platform, [late, never], deadline=30)
    assert got[late][0] is not None
    assert got[never][0] is None
    assert got[never][1] == pytest.approx(30, abs=0.1)


async def test_no_time_left_still_means_one_look() -> None:
    platform = Platform()
    id_ = platform.add(1, ends=0)
    _, got = await wait_for(platform, [id_], deadline=0)
    assert got[id_][0] is not None
    assert len(platform.gets) == 1


async def test_faults_that_pass_are_waited_out() -> None:
    platform = Platform(broken_until=40)
    ids = [platform.add(n, ends=5) for n in range(50)]
    _, got = await wait_for(platform, ids)
    assert all(record is not None for record, _ in got.values())
    assert max(at for _, at in got.values()) < 50


async def test_an_error_that_does_not_pass_reaches_the_waiter() -> None:
    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 401, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    async with Client(app=refuse, auth=AUTH) as client:
        with pytest.raises(errors.Unauthorized):
            await poller_of(client).wait("0" * 32, deadline=10)


async def test_many_are_settled_by_lists() -> None:
    platform = Platform()
    ids = [platform.add(n, ends=30 + n / 100) for n in range(1000)]
    poller, got = await wait_for(platform, ids)
    assert all(record is not None and record.result for record, _ in got.values())
    slowest = max(at - platform.ends[id_] for id_, (_, at) in got.items())
    assert slowest < 8
    assert poller.lists == len(platform.lists) > 0
    assert len(platform.gets) < 200


async def test_ends_far_apart_are_each_noticed_soon() -> None:
    platform = Platform()
    ids = [platform.add(n, ends=5 + 10 * (n % 10) / 9) for n in range(1000)]
    poller, got = await wait_for(platform, ids)
    late = sorted(at - platform.ends[id_] for id_, (_, at) in got.items())
    assert late[500] < 0.75
    assert late[-1] < 2
    assert poller.lists < 150
    assert len(platform.gets) < 100


async def test_many_of_the_same_length_take_few_lists_and_are_noticed_soon() -> None:
    platform = Platform()
    ids = [platform.add(n, ends=10 + n / 2000) for n in range(1000)]
    poller, got = await wait_for(platform, ids)
    late = sorted(at - platform.ends[id_] for id_, (_, at) in got.items())
    assert late[500] < 0.5
    assert poller.lists <= 40
    assert len(platform.gets) < 100
    assert len(platform.gets) + len(platform.lists) < 300
    assert any(query.get("docs") == "true" for query in platform.lists)


async def test_large_records_are_listed_without_results_and_fetched_by_id() -> None:
    platform = Platform(size=100_000)
    ids = [platform.add(n, ends=10) for n in range(100)]
    _, got = await wait_for(platform, ids)
    assert all(record is not None and record.result for record, _ in got.values())
    assert all("docs" not in query or query["limit"] == "8" for query in platform.lists)
    assert 90 <= len(platform.gets) < 160


async def test_pages_go_back_by_upto() -> None:
    platform = Platform()
    ids = [platform.add(n, ends=5) for n in range(700)]
    _, got = await wait_for(platform, ids, expected=6)
    assert all(record is not None for record, _ in got.values())
    assert sum("upto" in query for query in platform.lists) >= 3
    assert len(platform.gets) < 20


async def test_one_that_no_list_shows_is_asked_for_by_id() -> None:
    platform = Platform()
    ids = [platform.add(n, ends=20 if n == 7 else 300) for n in range(100)]
    platform.hidden.add(ids[7])
    _, got = await wait_for(platform, ids)
    assert got[ids[7]][1] < 65
    assert all(record is not None for record, _ in got.values())


async def test_lists_rest_while_they_lag() -> None:
    """A list that does not show what GET by id has brought is left alone for longer and longer."""
    platform = Platform(lag=1000)
    ids = [platform.add(n, ends=float(n)) for n in range(200)]
    _, got = await wait_for(platform, ids)
    assert all(record is not None for record, _ in got.values())
    assert len(platform.lists) < 30  # in 200 s
    settled_by_id = [at - platform.ends[id_] for id_, (_, at) in got.items()]
    assert sorted(settled_by_id)[150] < 10


async def test_a_cluster_whose_clock_is_wrong_is_asked_by_id() -> None:
    platform = Platform(skew=-3600)
    ids = [platform.add(n, ends=20) for n in range(100)]
    _, got = await wait_for(platform, ids)
    assert all(record is not None for record, _ in got.values())
    assert max(at for _, at in got.values()) < 65


async def test_thousands_do_not_flood_the_server() -> None:
    platform = Platform()
    ids = [platform.add(n, ends=60) for n in range(4000)]
    poller, got = await wait_for(platform, ids, expected=30)
    assert all(record is not None for record, _ in got.values())
    assert poller.polls + poller.lists < 1000


async def test_a_cancelled_waiter_leaves_nothing_and_the_others_go_on() -> None:
    platform = Platform()
    ids = [platform.add(n, ends=50) for n in range(60)]
    async with Client(app=platform, auth=AUTH) as client:
        poller = poller_of(client)
        got = []

        async def one(id_: str, patience: float) -> None:
            with anyio.move_on_after(patience):
                got.append(await poller.wait(id_, deadline=600))

        async with anyio.create_task_group() as group:
            for n, id_ in enumerate(ids):
                group.start_soon(one, id_, 1000 if n < 20 else n / 10)
        assert poller.waiting == 0
    assert len(got) == 20
    assert all(got)


async def test_a_list_whose_caller_was_cancelled_is_taken_over() -> None:
    """Whoever is inside a list is cancelled there; the others still get their records."""
    platform = Platform()
    ids = [platform.add(n, ends=25) for n in range(40)]
    scopes = {id_: anyio.CancelScope() for id_ in ids}
    got: list[Activation | None] = []
    interrupted = 0

    async def cut(query: dict[str, str]) -> None:
        """Cancel the task that this list runs in: an app runs in its caller's."""
        nonlocal interrupted
        scope = scopes[asyncio.current_task().get_name()]  # type: ignore[union-attr]
        if interrupted < 10:
            interrupted += 1
            scope.cancel()
            await anyio.sleep(1)

    platform.on_list = cut
    async with Client(app=platform, auth=AUTH) as client:
        poller = poller_of(client)

        async def one(id_: str) -> None:
            with scopes[id_]:
                got.append(await poller.wait(id_, deadline=600))

        async with anyio.create_task_group() as group:
            for id_ in ids:
                group.start_soon(one, id_, name=id_)
        assert poller.waiting == 0
    assert interrupted == 10
    assert len(got) == 30
    assert all(record is not None for record in got)


async def test_two_waiting_for_one_activation_both_get_it() -> None:
    platform = Platform()
    id_ = platform.add(1, ends=5)
    async with Client(app=platform, auth=AUTH) as client:
        poller = poller_of(client)
        got = []

        async def one() -> None:
            got.append(await poller.wait(id_, deadline=60))

        async with anyio.create_task_group() as group:
            group.start_soon(one)
            group.start_soon(one)
            await anyio.sleep(1)
            assert poller.waiting == 1
    assert len(got) == 2
    assert got[0] is got[1] is not None


async def test_find_looks_through_the_list_until_one_matches() -> None:
    platform = Platform()
    for n in range(300):
        platform.add(n, ends=0)
    async with Client(app=platform, auth=AUTH) as client:
        poller = poller_of(client)
        seen: list[str] = []

        def match(activation: Activation) -> bool:
            seen.append(activation.id)
            return int(activation.id, 16) == 50

        found = await poller.find("pkg/a", since=DAWN, match=match)
        assert found is not None
        assert int(found.id, 16) == 50
        assert len(seen) == 250
        assert await poller.find("a", since=DAWN, match=lambda _: False) is None
    assert platform.lists[0]["name"] == "pkg/a"
    assert platform.lists[0]["since"] == str(to_ms(DAWN))


async def test_find_fetches_large_records_one_by_one() -> None:
    platform = Platform(size=100_000)
    ids = [platform.add(n, ends=0) for n in range(5)]
    async with Client(app=platform, auth=AUTH) as client:
        poller = poller_of(client)
        assert await poller.wait(ids[0], deadline=10) is not None
        found = await poller.find(
            "a", since=DAWN, match=lambda a: bool(a.result) and a.id == ids[2]
        )
    assert found is not None
    assert "docs" not in platform.lists[0]
    assert platform.gets == [ids[0], ids[4], ids[3], ids[2]]


async def test_find_leaves_out_what_a_sequence_or_a_composition_began() -> None:
    platform = Platform()
    ids = [platform.add(n, ends=0) for n in range(3)]
    platform.causes = {ids[1]: ids[0], ids[2]: ids[0]}
    async with Client(app=platform, auth=AUTH) as client:
        found = await poller_of(client).find("a", since=DAWN, match=lambda _: True)
    assert found is not None
    assert found.id == ids[0]


async def test_find_takes_a_passing_fault_for_not_now() -> None:
    platform = Platform(broken_until=10)
    platform.add(1, ends=0)
    async with Client(app=platform, auth=AUTH) as client:
        poller = poller_of(client)
        assert await poller.find("a", since=DAWN, match=lambda _: True) is None
        await anyio.sleep(10)
        assert await poller.find("a", since=DAWN, match=lambda _: True) is not None
