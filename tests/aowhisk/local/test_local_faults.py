"""Faults on purpose."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from aowhisk.local import (
    Delay,
    DropReply,
    Fail,
    Lose,
    LoseRecord,
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
