"""The stand-in of the benches answers our client as OpenWhisk does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from aowhisk import Client
from aowhisk.errors import ActionError, NotFound, Throttled
from aowhisk.models import Accepted, Activation
from aowhisk.verdict import fault
from bench.server import spent, standin

AUTH = "bench:x"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with standin() as url:
        yield url


def context(attempt: str, **more: object) -> dict[str, object]:
    return {"_aowhisk": {"v": 1, "run": "r", "call": "c", "attempt": attempt, "try": 1, **more}}


async def test_a_no_op_is_answered_with_its_record(url: str) -> None:
    async with Client(url, AUTH) as client:
        record = await client.actions.invoke("noop", {}, blocking=True)
        assert isinstance(record, Activation)
        assert record.succeeded
        assert await client.activations.get(record.id) == record


async def test_what_takes_longer_than_the_wait_is_accepted_and_stored_when_it_ends(
    url: str,
) -> None:
    async with Client(url, AUTH) as client:
        reply = await client.actions.invoke("wait-300", {}, blocking=True, timeout=0.01)
        assert isinstance(reply, Accepted)
        with pytest.raises(NotFound):
            await client.activations.get(reply.activation_id)
        record = await client.activations.wait(reply.activation_id, timeout=10)
    assert record.duration is not None
    assert record.duration >= 0.3


async def test_a_list_has_the_newest_first_within_its_bounds(url: str) -> None:
    async with Client(url, AUTH) as client:
        made = [await client.actions.invoke("wait-2", {}, blocking=True) for _ in range(5)]
        starts = [each.start for each in made if isinstance(each, Activation)]
        rows = [r async for r in client.activations.list(name="wait-2", upto=starts[3], limit=3)]
        assert [row.start for row in rows] == [starts[3], starts[2], starts[1]]
        late = datetime.now(UTC) + timedelta(hours=1)
        assert [r async for r in client.activations.list(since=late)] == []


async def test_an_object_is_there_from_its_writing_on(url: str) -> None:
    async with Client(url, AUTH) as client:
        params = {"reads": ["bench/x"], **context("b" * 24)}
        missed = await client.actions.invoke("objects", params, blocking=True)
        assert isinstance(missed, Activation)
        error = fault(missed, action="objects")
        assert isinstance(error, ActionError)
        assert error.code == "NoSuchKey"
        written = {"writes": ["bench/x"], **context("a" * 24)}
        await client.actions.invoke("objects", written, blocking=True)
        found = await client.actions.invoke("objects", params, blocking=True)
    assert isinstance(found, Activation)
    assert found.succeeded
    assert found.result["_io"]["reads"][0]["by"] == f"r/c/{'a' * 24}"


async def test_more_than_the_namespaces_limit_is_refused() -> None:
    with standin("--concurrent", "1") as url:
        async with Client(url, AUTH) as client:
            await client.actions.invoke("wait-60000", {}, blocking=False)
            with pytest.raises(Throttled) as refused:
                await client.actions.invoke("wait-1", {}, blocking=True)
        assert (refused.value.per_minute, refused.value.allowed) == (False, 1)
        assert spent(url)["refused"] == 1
