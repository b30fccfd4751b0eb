"""Faults on purpose."""

from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from aowhisk.errors import ConfigError
from aowhisk.local import (
    ClockSkew,
    Crash,
    Delay,
    DelayRecord,
    DropReply,
    Fail,
    FaultPlan,
    GatewayTimeout,
    Lose,
    LoseRecord,
    SlowList,
    Throttle,
    Unavailable,
)
from aowhisk.models import Status
from object_store import open_store

WRITES = """
def main(args):
    records = [
        {"key": key, "size": 1, "etag": "x", "at": 0, "ms": 0} for key in args["keys"]
    ]
    return {"_io": {"v": 1, "attempt": "t", "reads": [], "writes": records}}
"""


async def test_lose_deletes_what_the_nth_success_wrote_before_anyone_hears_of_it(
    tmp_path: Path, opened: Any
) -> None:
    url = f"folder://{tmp_path / 'store'}"
    keys = ["out/chunk_0", "out/chunk_1", "out/other"]
    fault = Lose(action="split", nth=2, keys="out/chunk_*", store=url)
    async with opened(faults=[fault]) as (_, rest), open_store(url) as store:
        await rest.put("split", WRITES)
        found = []
        for _ in range(3):
            for key in keys:
                await store.put(key, b"x")
            await rest.invoke("split", keys=keys)
            found.append([await store.exists(key) for key in keys])

    assert found == [[True] * 3, [False, False, True], [True] * 3]


async def test_lose_takes_the_store_of_the_action_and_can_be_about_one_call(
    tmp_path: Path, opened: Any
) -> None:
    url = f"folder://{tmp_path / 'store'}"
    faults = [Lose(call="split.1")]
    async with (
        opened(faults=faults, init_params={"OBJECT_STORE_URL": url}) as (_, rest),
        open_store(url) as store,
    ):
        await rest.put("split", WRITES)
        for n in range(2):
            await store.put(f"out/{n}", b"x")
            context = {"v": 1, "run": "r", "call": f"split.{n}", "attempt": "t"}
            await rest.invoke("split", keys=[f"out/{n}"], _aowhisk=context)

        assert [await store.exists(f"out/{n}") for n in range(2)] == [True, False]


async def test_lose_waits_for_one_that_writes_what_it_is_about(tmp_path: Path, opened: Any) -> None:
    url = f"folder://{tmp_path / 'store'}"
    async with (
        opened(faults=[Lose(keys="out/b*", store=url)]) as (_, rest),
        open_store(url) as store,
    ):
        await rest.put("split", WRITES)
        for key in ("out/a", "out/b1", "out/b2"):
            await store.put(key, b"x")
            await rest.invoke("split", keys=[key])

        assert [await store.exists(f"out/{n}") for n in ("a", "b1", "b2")] == [True, False, True]


async def test_fail_fails_as_often_as_asked_with_the_status_asked_for(opened: Any) -> None:
    fault = Fail(action="p/*", times=2, status=Status.WHISK_ERROR, message="down")
    async with opened(faults=[fault]) as (ow, rest):
        await rest.http.put("packages/p", json={})
        await rest.put("p/echo")
        await rest.put("echo")

        assert (await rest.invoke("echo")).status_code == 200
        answers = [await rest.invoke("p/echo") for _ in range(3)]

        assert [a.status_code for a in answers] == [500, 500, 200]
        assert answers[0].json()["response"]["result"] == {"error": "down"}
        assert ow.counts == {"echo": 1, "p/echo": 3}


async def test_delay_makes_it_late(opened: Any) -> None:
    async with opened(faults=[Delay(action="echo", seconds=0.3)]) as (_, rest):
        await rest.put("echo")

        assert (await rest.invoke("echo", "blocking=true&timeout=100")).status_code == 202
        assert (await rest.invoke("echo", "blocking=true&timeout=5000")).status_code == 200


async def test_throttle_gives_the_text_of_its_kind_and_nothing_runs(opened: Any) -> None:
    faults = [Throttle(nth=1), Throttle(nth=2, per_minute=False)]
    async with opened(faults=faults) as (ow, rest):
        await rest.put("echo")

        answers = [await rest.invoke("echo") for _ in range(3)]

        assert [a.status_code for a in answers] == [429, 429, 200]
        assert answers[0].json()["error"].startswith("Too many requests in the last minute")
        assert answers[1].json()["error"].startswith("Too many concurrent requests in flight")
        assert ow.count() == 1


async def test_unavailable_is_503_without_an_activation(opened: Any) -> None:
    async with opened(faults=[Unavailable()]) as (ow, rest):
        await rest.put("echo")

        answer = await rest.invoke("echo")

        assert answer.status_code == 503
        assert "x-openwhisk-activation-id" not in answer.headers
        assert ow.count() == 0


async def test_a_lost_record_is_202_and_404_for_ever_though_it_ran(opened: Any) -> None:
    async with opened(faults=[LoseRecord()]) as (ow, rest):
        await rest.put("echo")

        answer = await rest.invoke("echo", "blocking=true&timeout=300")
        record = await rest.http.get(f"activations/{answer.json()['activationId']}")

        assert (answer.status_code, record.status_code) == (202, 404)
        assert ow.count("echo") == 1


async def test_a_dropped_reply_breaks_the_connection_and_the_activation_goes_on(
    opened: Any,
) -> None:
    async with opened(faults=[DropReply()]) as (ow, rest):
        await rest.put("echo")

        with pytest.raises((httpx.TransportError, ConnectionResetError)):
            await rest.invoke("echo")

        await ow.settled()
        assert len(ow.activations("echo")) == 1


async def test_an_injected_fault_counts_from_then_on(opened: Any) -> None:
    async with opened() as (ow, rest):
        await rest.put("echo")
        await rest.invoke("echo")

        ow.inject(Fail(action="echo"))

        assert [(await rest.invoke("echo")).status_code for _ in range(2)] == [502, 200]


SLOW = "import time\ndef main(args):\n    time.sleep(5)\n    return args\n"


async def test_a_late_record_is_told_at_once_and_can_be_read_later(opened: Any) -> None:
    async with opened(faults=[DelayRecord(seconds=0.3)]) as (_, rest):
        await rest.put("a")

        answer = await rest.invoke("a", x=1)
        number = answer.json()["activationId"]
        early = await rest.http.get(f"activations/{number}")
        listed = await rest.http.get("activations")
        record = await rest.record(number)

    assert answer.json()["response"]["result"] == {"x": 1}
    assert early.status_code == 404
    assert listed.json() == []
    assert record["response"]["result"] == {"x": 1}


async def test_a_gateway_that_gives_up_answers_in_html_and_the_activation_goes_on(
    opened: Any,
) -> None:
    async with opened(faults=[GatewayTimeout(action="a")]) as (ow, rest):
        await rest.put("a")

        answer = await rest.invoke("a", x=1)
        await ow.settled()

        assert answer.status_code == 504
        assert answer.headers["content-type"] == "text/html"
        assert "504 Gateway Time-out" in answer.text
        assert not {"x-request-id", "x-openwhisk-activation-id", "access-control-allow-origin"} & {
            *answer.headers
        }
        assert ow.activations("a")[0].result == {"x": 1}


async def test_a_container_that_crashes_is_a_developer_error_of_one_activation(
    opened: Any,
) -> None:
    async with opened(faults=[Crash(action="slow", seconds=0.2)]) as (_, rest):
        await rest.put("slow", SLOW)
        await rest.put("quick")

        crashed = (await rest.invoke("slow")).json()

        assert crashed["response"]["status"] == "action developer error"
        assert "command exited" in crashed["response"]["result"]["error"]
        assert await rest.result("quick", x=1) == {"x": 1}


async def test_a_container_can_be_dead_before_it_is_asked(opened: Any) -> None:
    async with opened(faults=[Crash(nth=2)]) as (_, rest):
        await rest.put("a")

        statuses = [(await rest.invoke("a")).json()["response"]["status"] for _ in range(3)]

    assert statuses == ["success", "action developer error", "success"]


async def test_a_wrong_clock_is_in_the_record_and_in_its_place_in_lists(opened: Any) -> None:
    async with opened(faults=[ClockSkew(action="a", seconds=-3600)]) as (_, rest):
        await rest.put("a")
        await rest.put("b")

        await rest.invoke("b")
        skewed = (await rest.invoke("a")).json()
        listed = (await rest.http.get("activations")).json()

    assert [one["name"] for one in listed] == ["b", "a"]
    assert listed[0]["start"] - skewed["start"] > 3_000_000
    assert skewed["end"] - skewed["start"] == skewed["duration"]


async def test_a_slow_list_is_late_and_a_record_by_its_id_is_not(opened: Any) -> None:
    async with opened(faults=[SlowList(seconds=0.3, times=5)]) as (_, rest):
        await rest.put("a")
        number = (await rest.invoke("a")).json()["activationId"]

        began = anyio.current_time()
        await rest.http.get(f"activations/{number}")
        by_id = anyio.current_time() - began
        await rest.http.get("activations?limit=1")
        listed = anyio.current_time() - began - by_id

    assert by_id < 0.3 <= listed


async def test_requests_that_invoke_nothing_can_go_wrong_too(opened: Any) -> None:
    faults = [
        Unavailable(requests="GET activations/*"),
        Throttle(requests="PUT actions/*", nth=2, per_minute=False),
        GatewayTimeout(requests="DELETE actions/a"),
    ]
    async with opened(faults=faults) as (_, rest):
        body = {"exec": {"kind": "python:3", "code": "def main(args):\n    return args\n"}}
        statuses = [
            (await rest.http.put("actions/a", json=body)).status_code,
            (await rest.http.put("actions/b", json=body)).status_code,
            (await rest.http.get(f"activations/{'0' * 32}")).status_code,
            (await rest.http.delete("actions/a")).status_code,
            (await rest.http.get("actions/a")).status_code,
        ]

    assert statuses == [200, 429, 503, 504, 404]


async def test_an_outage_lasts(opened: Any) -> None:
    async with opened(faults=[Throttle(nth=2, lasting=0.3)]) as (_, rest):
        await rest.put("a")

        statuses = [(await rest.invoke("a")).status_code for _ in range(4)]
        await anyio.sleep(0.35)
        statuses.append((await rest.invoke("a")).status_code)

    assert statuses == [200, 429, 429, 429, 200]


def hits(plan: FaultPlan, count: int = 200) -> list[int]:
    return [number for number in range(count) if plan.due(Fail, "a", {})]


def test_chance_is_the_same_in_every_run_of_a_seed_and_each_fault_has_its_own() -> None:
    fault = Fail(probability=0.2)

    found = hits(FaultPlan([fault], seed=1))

    assert found == hits(FaultPlan([fault], seed=1))
    assert found != hits(FaultPlan([fault], seed=2))
    assert found != hits(FaultPlan([Delay(seconds=1), fault], seed=1))
    assert 20 < len(found) < 60


def test_never_and_always_are_chances_too() -> None:
    assert hits(FaultPlan([Fail(probability=0)])) == []
    assert len(hits(FaultPlan([Fail(probability=1)]), 50)) == 50


@pytest.mark.parametrize(
    "settings",
    [
        {"nth": 0},
        {"times": -1},
        {"lasting": -1},
        {"probability": 1.5},
        {"probability": 0.5, "times": 2},
    ],
)
def test_a_fault_that_makes_no_sense_is_a_config_error(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Fail(**settings)
