"""Faults from a file and from the header of a request."""

from pathlib import Path
from typing import Any

import pytest

from aowhisk.errors import ConfigError
from aowhisk.local import Fail, FaultPlan, GatewayTimeout, load_faults
from aowhisk.models import Status

HEADER = "x-aowhisk-fault"


def written(tmp_path: Path, text: str, name: str = "faults.yaml") -> Path:
    (tmp_path / name).write_text(text)
    return tmp_path / name


async def test_a_file_is_a_plan(tmp_path: Path, opened: Any) -> None:
    file = written(
        tmp_path,
        "seed: 7\nfaults:\n"
        "  - {fault: fail, action: a, nth: 2, status: whisk internal error, message: {no: luck}}\n"
        "  - {fault: gateway-timeout, action: b}\n",
    )
    async with opened(faults=load_faults(file)) as (_, rest):
        for name in "ab":
            await rest.put(name)

        statuses = [(await rest.invoke(name)).status_code for name in "aab"]

    assert statuses == [200, 500, 504]


def test_json_and_a_bare_list_will_do(tmp_path: Path) -> None:
    plan = load_faults(written(tmp_path, '[{"fault": "fail", "probability": 1}]', "f.json"))

    found = plan.due(Fail, "a", {})

    assert found == Fail(probability=1)
    assert found.status is Status.APPLICATION_ERROR


def test_a_seed_decides_the_chances(tmp_path: Path) -> None:
    text = "seed: {}\nfaults: [{{fault: fail, probability: 0.5}}]"
    plans = [load_faults(written(tmp_path, text.format(seed))) for seed in (1, 1, 2)]

    first, again, other = ([plan.due(Fail, "a", {}) is None for _ in range(50)] for plan in plans)

    assert first == again != other


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("just text", "neither a list of faults"),
        ("seed: x\nfaults: []", "neither a list of faults"),
        ("speed: 1", "there is no field 'speed'"),
        ("- 5", "fault 1: is no mapping"),
        ("- {action: a}", "fault 1: is no mapping"),
        ("- {fault: explode}", "there is no fault 'explode'; there are lose, fail,"),
        ("- {fault: fail, seconds: 1}", "fail has no 'seconds'; it has action,"),
        ("- {fault: delay}", "fault 1: .*seconds"),
        ("- {fault: delay, seconds: long}", "seconds is 'long', which is no float"),
        ("- {fault: throttle, per_minute: 1}", "per_minute is 1, which is no bool"),
        ("- {fault: fail, times: true}", "times is True, which is no int"),
        ("- {fault: fail, status: odd}", "'odd' is not a valid Status"),
        ("- {fault: fail, probability: 2}", "a probability is between 0 and 1"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_place(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        load_faults(written(tmp_path, text))


async def test_a_header_is_for_its_request_alone(opened: Any) -> None:
    async with opened(faults=FaultPlan(header=True)) as (ow, rest):
        await rest.put("a")

        failed = await rest.http.post(
            "actions/a?blocking=true",
            json={},
            headers={HEADER: 'fail message="no"; delay-record seconds=60'},
        )
        number = failed.json()["activationId"]
        fine = await rest.invoke("a")

        assert failed.json()["response"]["result"] == {"error": "no"}
        assert (await rest.http.get(f"activations/{number}")).status_code == 404
        assert fine.status_code == 200
        await ow.settled()


@pytest.mark.parametrize(
    ("method", "path", "fault", "status"),
    [
        ("POST", "actions/a?blocking=true", "gateway-timeout", 504),
        ("POST", "actions/a?blocking=true", "throttle per_minute=false", 429),
        ("GET", "actions/a", "unavailable", 503),
        ("GET", "activations", "gateway-timeout seconds=0.01", 504),
        ("PUT", "packages/p", "throttle", 429),
        ("GET", "actions/a", "explode", 400),
        ("GET", "actions/a", "delay seconds", 400),
        ("GET", "activations", "; gateway-timeout;", 504),
    ],
)
async def test_a_header_can_be_about_any_request(
    opened: Any, method: str, path: str, fault: str, status: int
) -> None:
    async with opened(faults=FaultPlan(header=True)) as (_, rest):
        await rest.put("a")
        body = {} if method != "GET" else None

        hit = await rest.http.request(method, path, json=body, headers={HEADER: fault})
        missed = await rest.http.request(method, path, json=body)

    assert hit.status_code == status
    assert missed.status_code == 200


async def test_the_faults_of_the_server_befall_a_request_with_a_header_too(opened: Any) -> None:
    plan = FaultPlan([GatewayTimeout(nth=2)], header=True)
    async with opened(faults=plan) as (_, rest):
        await rest.put("a")
        headers = {HEADER: "delay seconds=0.01"}

        statuses = [
            (await rest.http.post("actions/a?blocking=true", json={}, headers=headers)).status_code
            for _ in range(3)
        ]

    assert statuses == [200, 504, 200]


async def test_a_header_that_is_not_allowed_is_ignored(rest: Any) -> None:
    answer = await rest.http.get("actions", headers={HEADER: "unavailable"})

    assert answer.status_code == 200


async def test_a_header_from_another_machine_is_ignored(opened: Any) -> None:
    import httpx

    async with opened(faults=FaultPlan(header=True)) as (ow, rest):
        far = httpx.ASGITransport(ow.app, client=("10.0.0.9", 5))
        near = httpx.ASGITransport(ow.app, client=("127.0.0.1", 5))
        statuses = []
        for transport in (far, near):
            async with httpx.AsyncClient(transport=transport, auth=rest.http.auth) as http:
                url = "http://ow/api/v1/namespaces/_/actions"
                statuses.append((await http.get(url, headers={HEADER: "unavailable"})).status_code)

    assert statuses == [200, 503]
