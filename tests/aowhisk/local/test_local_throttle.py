"""The namespace's limits, with the controller's two texts."""

from typing import Any

import anyio
import pytest

from aowhisk.local import Limits
from aowhisk.local.http import Refusal
from aowhisk.local.throttle import Throttle


def test_refused_calls_count_until_the_minute_of_the_clock_is_over() -> None:
    now = [59.0]
    throttle = Throttle(Limits(invocations_per_minute=2), lambda: now[0])
    throttle.charge()
    throttle.charge()

    with pytest.raises(Refusal, match=r"\(count: 3, allowed: 2\)"):
        throttle.charge()
    with pytest.raises(Refusal, match=r"\(count: 4, allowed: 2\)"):
        throttle.charge()
    now[0] = 60.0
    throttle.charge()


async def test_one_too_many_in_flight_is_refused_and_a_free_place_is_given_again(
    opened: Any,
) -> None:
    code = "import time\ndef main(args):\n    time.sleep(args['s'])\n    return {}\n"
    async with opened(limits=Limits(concurrent_invocations=1)) as (_, rest):
        await rest.put("slow", code)
        first = await rest.invoke("slow", "", s=0.5)

        second = await rest.invoke("slow", s=0)

        assert second.status_code == 429
        assert second.json()["error"] == (
            "Too many concurrent requests in flight (count: 1, allowed: 1)."
        )
        await rest.record(first.json()["activationId"])
        assert (await rest.invoke("slow", s=0)).status_code == 200


async def test_a_call_of_an_action_that_is_not_there_uses_up_the_minute(opened: Any) -> None:
    now = 90.0
    async with opened(limits=Limits(invocations_per_minute=1), clock=lambda: now) as (_, rest):
        answers = [await rest.invoke("nothing") for _ in range(2)]

    assert [a.status_code for a in answers] == [404, 429]
    assert answers[1].json()["error"] == (
        "Too many requests in the last minute (count: 2, allowed: 1)."
    )


async def test_limits_are_told_as_they_were_set(opened: Any) -> None:
    limits = Limits(10, 2, 3, 0.2)
    async with opened(limits=limits) as (_, rest):
        told = (await rest.http.get("limits")).json()
        await rest.put("slow", "import time\ndef main(args):\n    time.sleep(1)\n    return {}\n")
        with anyio.fail_after(0.9):
            answer = await rest.invoke("slow")
        too_long = await rest.invoke("slow", "timeout=201")

    assert told["invocationsPerMinute"] == 10
    assert told["concurrentInvocations"] == 2
    assert told["firesPerMinute"] == 3
    assert answer.status_code == 202
    assert "number of milliseconds up to 200." in too_long.json()["error"]


async def test_fires_have_a_minute_of_their_own_also_without_rules(opened: Any) -> None:
    now = [90.0]
    async with opened(limits=Limits(1, fires_per_minute=2), clock=lambda: now[0]) as (_, rest):
        await rest.put("a")
        await rest.http.put("triggers/t", json={})
        fires = [await rest.http.post(f"triggers/{name}", json={}) for name in ("t", "none", "t")]
        invoked = await rest.invoke("a")
        now[0] = 120.0
        later = await rest.http.post("triggers/t", json={})

    assert [answer.status_code for answer in fires] == [204, 404, 429]
    assert fires[2].json()["error"] == (
        "Too many requests in the last minute (count: 3, allowed: 2)."
    )
    assert invoked.status_code == 200
    assert later.status_code == 204
