"""Waiting for many activations, on a virtual clock: the loop's time jumps to the next timer."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import anyio
import pytest
from client_server import AUTH
from poller_platform import DAWN, Platform, clock, poller_of
from virtual import VirtualLoop

from aowhisk import errors
from aowhisk.client import Client
from aowhisk.models import Activation
from aowhisk.poller import Poller


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


async def wait_for(
    platform: Platform,
    ids: list[str],
    *,
    deadline: float = 600,
    expected: float | None = None,
    sent: datetime | None = None,
) -> tuple[Poller, dict[str, tuple[Activation | None, float]]]:
    """What each wait gave, and when."""
    got: dict[str, tuple[Activation | None, float]] = {}
    async with Client(app=platform, auth=AUTH) as client:
        poller = poller_of(client)

        async def one(id_: str) -> None:
            record = await poller.wait(id_, deadline=deadline, expected=expected, sent=sent)
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
    assert late[500] < 0.5
    assert late[-1] < 2
    assert poller.lists < 75
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


async def test_ends_that_are_spread_evenly_are_noticed_soon_without_many_lists() -> None:
    platform = Platform()
    ids = [platform.add(n, ends=5 + (n * 7919) % 1000 / 100) for n in range(1000)]
    poller, got = await wait_for(platform, ids)
    late = sorted(at - platform.ends[id_] for id_, (_, at) in got.items())
    assert late[500] < 0.5
    assert late[-1] < 2
    assert poller.lists < 75
    assert len(platform.gets) < 100


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


@pytest.mark.parametrize("skew", [-3600.0, -30.0, 0.0, 30.0])
async def test_once_the_clocks_are_compared_lists_go_back_no_further_than_they_have_to(
    skew: float,
) -> None:
    platform = Platform(skew=skew)
    ids = [platform.add(n, ends=5 + n / 20) for n in range(400)]
    for n in range(3000):  # of others, from the half minute before
        platform.ends[f"{10**6 + n:032x}"] = 0.0
        platform.earlier[f"{10**6 + n:032x}"] = 6.0 + n / 100
    poller, got = await wait_for(platform, ids, sent=DAWN)
    late = sorted(at - platform.ends[id_] for id_, (_, at) in got.items())
    assert late[200] < 0.5
    assert poller.lists < 140  # in 20 s
    assert poller.lag == pytest.approx(late[200], abs=0.2)


async def test_what_others_did_in_the_minute_before_is_not_listed_again_and_again() -> None:
    platform = Platform()
    ids = [platform.add(n, ends=10 + n / 2000) for n in range(1000)]
    for n in range(1000):
        platform.ends[f"{10**6 + n:032x}"] = 0.0
        platform.earlier[f"{10**6 + n:032x}"] = 20.0 + n / 100
    poller, got = await wait_for(platform, ids, sent=DAWN)
    late = sorted(at - platform.ends[id_] for id_, (_, at) in got.items())
    assert late[500] < 0.5
    assert poller.lists <= 50


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
