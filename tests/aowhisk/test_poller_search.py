"""Looking for activations by the marks that they bear, on a virtual clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import anyio
import pytest
from client_server import AUTH
from poller_platform import DAWN, Platform, clock, poller_of
from virtual import VirtualLoop

from aowhisk import errors
from aowhisk.client import Client
from aowhisk.models import Activation
from aowhisk.poller import Look


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


def text(activation: Activation) -> str | None:
    assert isinstance(activation.result, dict)
    return str(activation.result["text"])


def platform_of(count: int, *, size: int = 10, ends: Callable[[int], float] | None = None) -> Any:
    """One with so many activations, and their ids; the n-th bears the mark "n"."""
    platform = Platform(size=size)
    ids = [platform.add(n, ends=0 if ends is None else ends(n)) for n in range(count)]
    platform.texts = {id_: str(n).ljust(size) for n, id_ in enumerate(ids)}
    return platform, ids


def mark_of(activation: Activation) -> str | None:
    return (text(activation) or "").strip()


async def look_for(platform: Platform, *wanted: str, **options: Any) -> list[Look]:
    """What looking for these one after another gives."""
    given = {"mark": mark_of, "since": DAWN, **options}
    async with Client(app=platform, auth=AUTH) as client:
        poller = poller_of(client)
        return [await poller.find("pkg/a", wanted=each, **given) for each in wanted]


async def search_for(
    platform: Platform, wanted: list[str], *, apart: float = 0.0, until: float = 1000.0
) -> dict[str, tuple[Activation | None, float]]:
    """What looking for all of these at the same time gives, and when; the looks of each begin
    `apart` seconds after those of the one before."""
    got: dict[str, tuple[Activation | None, float]] = {}
    async with Client(app=platform, auth=AUTH) as client:
        poller = poller_of(client)

        async def one(mark: str, wait: float) -> None:
            await anyio.sleep(wait)
            pause, slack = 0.25, 0.0
            while True:
                look = await poller.find(
                    "a", wanted=mark, mark=mark_of, since=DAWN - timedelta(seconds=9), slack=slack
                )
                if look.record is not None or clock() >= until:
                    got[mark] = (look.record, clock())
                    return
                slack = pause / 2
                await anyio.sleep(pause / 2)
                pause = min(pause * 1.5, 10.0)

        async with anyio.create_task_group() as group:
            for n, mark in enumerate(wanted):
                group.start_soon(one, mark, n * apart)
    return got


async def test_a_look_goes_through_the_list_until_it_finds_the_mark() -> None:
    platform, ids = platform_of(300)
    seen: list[str] = []

    def mark(activation: Activation) -> str | None:
        seen.append(activation.id)
        return mark_of(activation)

    found, nothing = await look_for(platform, "50", "none", mark=mark)
    assert found.record is not None
    assert found.record.id == ids[50]
    assert len(seen) == 250 + 300
    assert nothing.record is None
    assert platform.lists[0]["name"] == "pkg/a"
    assert platform.lists[0]["since"] == "1767225600000"


async def test_a_look_tells_the_newest_that_it_saw() -> None:
    platform, ids = platform_of(300)
    [look] = await look_for(platform, "none")
    assert look.newest == tuple(reversed(ids[-20:]))


async def test_large_records_are_fetched_one_by_one_and_once() -> None:
    platform, ids = platform_of(5, size=100_000)
    async with Client(app=platform, auth=AUTH) as client:
        poller = poller_of(client)
        assert await poller.wait(ids[0], deadline=10) is not None
        for _ in range(3):
            look = await poller.find("a", wanted="2", mark=mark_of, since=DAWN)
            assert look.record is not None
            assert look.record.id == ids[2]
    assert "docs" not in platform.lists[0]
    assert platform.gets == [ids[0], ids[4], ids[3], ids[2], ids[2], ids[2]]


async def test_what_a_sequence_or_a_composition_began_is_left_out() -> None:
    platform, ids = platform_of(3)
    platform.texts = dict.fromkeys(ids, "same")
    platform.causes = {ids[1]: ids[0], ids[2]: ids[0]}
    [look] = await look_for(platform, "same")
    assert look.record is not None
    assert look.record.id == ids[0]
    assert look.newest == (ids[0],)


async def test_a_passing_fault_means_not_now() -> None:
    platform, _ = platform_of(2)
    platform.broken_until = 10
    async with Client(app=platform, auth=AUTH) as client:
        poller = poller_of(client)
        look = await poller.find("a", wanted="1", mark=mark_of, since=DAWN)
        assert look.record is None
        await anyio.sleep(10)
        look = await poller.find("a", wanted="1", mark=mark_of, since=DAWN)
        assert look.record is not None


async def test_a_fault_that_does_not_pass_reaches_all_who_look_with_one_request() -> None:
    asked = 0
    faults: list[errors.Unauthorized] = []

    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        nonlocal asked
        asked += 1
        await anyio.sleep(0.05)
        await send({"type": "http.response.start", "status": 401, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    async with Client(app=refuse, auth=AUTH) as client:
        poller = poller_of(client)

        async def one(mark: str) -> None:
            try:
                await poller.find("a", wanted=mark, mark=mark_of, since=DAWN)
            except errors.Unauthorized as error:
                faults.append(error)

        async with anyio.create_task_group() as group:
            for n in range(10):
                group.start_soon(one, str(n))
    assert len(faults) == 10
    assert asked == 1


async def test_a_thousand_that_look_at_once_share_one_walk() -> None:
    platform, ids = platform_of(1000)
    got = await search_for(platform, [str(n) for n in range(1000)])
    assert {int(mark): record.id for mark, (record, _) in got.items() if record} == dict(
        enumerate(ids)
    )
    assert len(platform.lists) <= 6  # 1,000 rows are 5 full pages


async def test_a_thousand_that_look_for_what_is_yet_to_end_send_few_lists() -> None:
    platform, ids = platform_of(1000, ends=lambda n: 5 + n / 20)
    got = await search_for(platform, [str(n) for n in range(1000)])
    assert all(record and record.id == ids[int(mark)] for mark, (record, _) in got.items())
    assert max(at - platform.ends[ids[int(mark)]] for mark, (_, at) in got.items()) < 11
    assert len(platform.lists) < 50


async def test_a_thousand_that_began_to_look_at_other_times_send_few_lists() -> None:
    platform, ids = platform_of(1000, ends=lambda n: 30 + n / 20)
    got = await search_for(platform, [str(n) for n in range(1000)], apart=0.01)
    assert all(record and record.id == ids[int(mark)] for mark, (record, _) in got.items())
    assert max(at - platform.ends[ids[int(mark)]] for mark, (_, at) in got.items()) < 11
    assert len(platform.lists) < 120


async def test_a_thousand_that_are_never_found_send_few_lists() -> None:
    platform, _ = platform_of(600)
    got = await search_for(platform, [f"lost {n}" for n in range(1000)], apart=0.01, until=60)
    assert len(got) == 1000
    assert all(record is None for record, _ in got.values())
    assert max(at for _, at in got.values()) < 75
    assert len(platform.lists) < 250


async def test_who_looks_for_newer_ones_is_answered_before_the_walk_ends() -> None:
    platform, _ = platform_of(2000)
    at: dict[str, float] = {}
    async with Client(app=platform, auth=AUTH) as client:
        poller = poller_of(client)

        async def one(name: str, since: float) -> None:
            await poller.find("a", wanted=name, mark=mark_of, since=DAWN + timedelta(seconds=since))
            at[name] = clock()

        async with anyio.create_task_group() as group:
            group.start_soon(one, "from all", 0)
            group.start_soon(one, "from the newest", 1.9)
    assert at["from the newest"] < at["from all"] / 3
    assert len(platform.lists) <= 11


async def test_a_look_does_not_find_what_began_before() -> None:
    platform, _ = platform_of(100)
    looks: list[Look] = []
    async with Client(app=platform, auth=AUTH) as client:
        poller = poller_of(client)

        async def one(wanted: str, since: float) -> None:
            at = DAWN + timedelta(milliseconds=since)
            looks.append(await poller.find("a", wanted=wanted, mark=mark_of, since=at))

        async with anyio.create_task_group() as group:
            group.start_soon(one, "50", 51)
            group.start_soon(one, "none", 0)
    assert [look.record for look in looks] == [None, None]
    assert len(platform.lists) == 1


async def test_one_who_joins_a_walk_under_way_is_served_by_the_next() -> None:
    """It may look for what is newer than the walk has seen."""
    platform, _ = platform_of(1000)
    async with Client(app=platform, auth=AUTH) as client:
        poller = poller_of(client)
        looks: list[Look] = []

        async def one(wait: float, wanted: str) -> None:
            await anyio.sleep(wait)
            looks.append(await poller.find("a", wanted=wanted, mark=mark_of, since=DAWN))

        async with anyio.create_task_group() as group:
            group.start_soon(one, 0, "none")
            group.start_soon(one, 0.1, "1000")
            await anyio.sleep(0.15)
            platform.texts[platform.add(1000, ends=0)] = "1000"
    assert [look.record is None for look in looks] == [True, False]


async def test_a_walk_whose_walker_was_cancelled_is_taken_over() -> None:
    platform, ids = platform_of(500)
    got: list[Activation | None] = []
    async with Client(app=platform, auth=AUTH) as client:
        poller = poller_of(client)

        async def one(mark: str, patience: float) -> None:
            with anyio.move_on_after(patience):
                look = await poller.find("a", wanted=mark, mark=mark_of, since=DAWN)
                got.append(look.record)

        async with anyio.create_task_group() as group:
            for n in range(10):
                group.start_soon(one, str(n), 0.1 if n < 5 else 100)
    assert {record.id for record in got if record} == set(ids[5:10])
    assert len(platform.lists) <= 8


async def test_searches_for_different_actions_take_turns() -> None:
    """The platform allows one list at a time."""
    platform, _ = platform_of(500)
    async with Client(app=platform, auth=AUTH) as client:
        poller = poller_of(client)

        async def one(action: str) -> None:
            assert (await poller.find(action, wanted="7", mark=mark_of, since=DAWN)).record

        async with anyio.create_task_group() as group:
            for action in ("a", "b", "pkg/c"):
                group.start_soon(one, action)
    assert {query["name"] for query in platform.lists} == {"a", "b", "pkg/c"}
