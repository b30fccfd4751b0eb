"""The client and the poller against the local OpenWhisk, without a socket and over one."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest
import uvicorn

from aowhisk import errors
from aowhisk.client import ActionLimits, Client, RuleStatus
from aowhisk.local import GUEST, LocalOpenWhisk
from aowhisk.local.port import listen
from aowhisk.models import Accepted, Activation, Status
from aowhisk.poller import Poller

HELLO = """
def main(args):
    print("hello", args)
    return {"greeting": "hello " + args.get("name", "you"), "default": args.get("default")}
"""
SLOW = """
import time
def main(args):
    time.sleep(args["seconds"])
    return {"slept": args["seconds"], "n": args.get("n")}
"""
ODD = """
def main(args):
    if args.get("raise"):
        raise ValueError("no such luck")
    return [1, {"two": 2}]
"""


@contextlib.asynccontextmanager
async def on_a_port(platform: LocalOpenWhisk) -> AsyncIterator[str]:
    sock = listen("127.0.0.1", 0)
    config = uvicorn.Config(platform.app, lifespan="off", log_level="warning", access_log=False)
    server = uvicorn.Server(config)
    async with anyio.create_task_group() as group:
        group.start_soon(server.serve, [sock])
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
        server.should_exit = True
    sock.close()


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[LocalOpenWhisk]:
    async with LocalOpenWhisk(root=tmp_path, containers=4) as platform:
        yield platform


@pytest.fixture(params=["mounted", "socket"])
async def client(platform: LocalOpenWhisk, request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "mounted":
            made = Client(app=platform.app, auth=GUEST)
        else:
            made = Client(await stack.enter_async_context(on_a_port(platform)), GUEST)
        yield await stack.enter_async_context(made)


async def test_an_action_is_deployed_run_looked_at_and_deleted(client: Client) -> None:
    made = await client.actions.put(
        "hello", HELLO, limits=ActionLimits(timeout=10), parameters={"default": 1}
    )
    assert (made.version, made.limits.timeout, made.parameters) == ("0.0.1", 10, {"default": 1})
    out = await client.actions.invoke("hello", {"name": "world"})
    assert isinstance(out, Activation)
    assert (out.status, out.logs) == (Status.SUCCESS, ())
    assert out.result == {"greeting": "hello world", "default": 1}
    assert out.init_time is not None
    stored = await client.activations.wait(out.id, timeout=10)
    assert (stored.id, stored.result) == (out.id, out.result)
    assert any("hello {" in line for line in await client.activations.logs(out.id))
    assert await client.activations.result(out.id) == out.result
    assert [a.name async for a in client.actions.list()] == ["hello"]
    assert (await client.actions.get("hello")).code.text == HELLO
    await client.actions.delete("hello")
    with pytest.raises(errors.NotFound, match="deploy it with aowhisk deploy"):
        await client.actions.invoke("hello")


async def test_a_trigger_sets_off_what_its_rules_name(client: Client) -> None:
    await client.actions.put("hello", HELLO)
    made = await client.triggers.put("t", parameters={"name": "world"})
    assert await client.triggers.fire("t") is None
    rule = await client.rules.put("r", trigger="t", action="hello")
    assert (made.version, rule.status) == ("0.0.1", RuleStatus.ACTIVE)

    fired = await client.triggers.fire("t", {"default": 2})
    assert fired is not None
    record = await client.activations.wait(fired, timeout=10)
    begun = json.loads(record.logs[0])["activationId"]
    result = (await client.activations.wait(begun, timeout=10)).result
    assert result == {"greeting": "hello world", "default": 2}
    assert (record.status, record.end) == (Status.SUCCESS, None)

    await client.rules.disable("r")
    assert await client.triggers.fire("t") is None
    assert await client.rules.status("r") is RuleStatus.INACTIVE
    assert [one.name async for one in client.rules.list()] == ["r"]
    await client.triggers.delete("t")
    with pytest.raises(errors.NotFound, match="existing triggers"):
        await client.rules.enable("r")


async def test_an_existing_action_is_replaced_only_when_asked(client: Client) -> None:
    await client.actions.put("hello", HELLO)
    with pytest.raises(errors.Rejected, match="overwrite=True"):
        await client.actions.put("hello", ODD)
    assert (await client.actions.put("hello", ODD, overwrite=True)).version == "0.0.2"


async def test_a_failure_is_a_record_and_an_array_is_a_result(client: Client) -> None:
    await client.packages.put("p")
    await client.actions.put("p/odd", ODD)
    failed = await client.actions.invoke("p/odd", {"raise": True})
    assert isinstance(failed, Activation)
    assert failed.status is Status.APPLICATION_ERROR
    assert failed.result == {"error": "no such luck"}
    bare = await client.actions.invoke("p/odd")
    assert isinstance(bare, Activation)
    assert bare.result == [1, {"two": 2}]
    assert (await client.activations.wait(bare.id, timeout=10)).result == bare.result
    assert (await client.packages.get("p")).actions == ("odd",)
    with pytest.raises(errors.Rejected, match="Package not empty"):
        await client.packages.delete("p")
    await client.packages.delete("p", force=True)
    assert [p async for p in client.packages.list()] == []


async def test_a_call_longer_than_the_wait_is_polled_for(client: Client) -> None:
    await client.actions.put("slow", SLOW)
    out = await client.actions.invoke("slow", {"seconds": 0.8}, timeout=0.2)
    assert isinstance(out, Accepted)
    with pytest.raises(errors.NotFound):
        await client.activations.get(out.activation_id)
    record = await Poller(client).wait(out.activation_id, deadline=20)
    assert record is not None
    assert record.result == {"slept": 0.8, "n": None}


async def test_many_are_polled_for_together(client: Client) -> None:
    await client.actions.put("slow", SLOW)
    poller = Poller(client)
    results = []

    async def one(n: int) -> None:
        out = await client.actions.invoke("slow", {"seconds": 0.02, "n": n}, blocking=False)
        assert isinstance(out, Accepted)
        record = await poller.wait(out.activation_id, deadline=60)
        assert record is not None
        results.append(record.result["n"])

    async with anyio.create_task_group() as group:
        for n in range(29):
            group.start_soon(one, n)
    assert sorted(results) == list(range(29))
    assert poller.lists > 0


async def test_a_dropped_request_ends_no_activation_and_can_be_found(
    client: Client, platform: LocalOpenWhisk
) -> None:
    await client.actions.put("slow", SLOW)
    began = datetime.now(UTC) - timedelta(seconds=5)
    with anyio.move_on_after(0.3):
        await client.actions.invoke("slow", {"seconds": 1, "n": 7})
    poller = Poller(client)
    with anyio.fail_after(20):
        found = None
        while found is None:
            look = await poller.find(
                "slow", wanted="7", mark=lambda a: str(a.result["n"]), since=began
            )
            found = look.record
    assert found.succeeded
    assert platform.count("slow") == 1


async def test_what_the_server_refuses_is_typed(client: Client) -> None:
    async with Client(client.base, "some:key", transport=client._connection.transport) as stranger:
        with pytest.raises(errors.Unauthorized):
            await stranger.namespaces.list()
    await client.actions.put("hello", HELLO)
    with pytest.raises(errors.NotFound, match="not stored in namespace"):
        await client.activations.get("0" * 32)
    with pytest.raises(errors.Rejected, match="memory"):
        await client.actions.put("big", HELLO, limits=ActionLimits(memory_mb=100_000))


async def test_the_platform_describes_itself(client: Client) -> None:
    assert await client.namespaces.list() == ("guest",)
    limits = await client.limits.get()
    assert limits.concurrent_invocations
    assert limits.max_parameter_size == 1024 * 1024
    assert "python" in (await client.info())["runtimes"]
