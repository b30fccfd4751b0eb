"""A local OpenWhisk over restarts, however the one before ended."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from aowhisk.errors import ConfigError
from aowhisk.local import GUEST, Account, LocalOpenWhisk
from aowhisk.manifest import Manifest

USER, _, SECRET = GUEST.partition(":")


async def test_everything_is_there_after_a_restart(opened: Any, tmp_path: Path) -> None:
    async with opened(data=tmp_path / "data") as (_, rest):
        await rest.http.put("packages/p", json={"parameters": [{"key": "x", "value": 1}]})
        await rest.put("p/a")
        await rest.put("gone")
        await rest.http.delete("actions/gone")
        record = (await rest.invoke("p/a", y=2)).json()
        before = (await rest.http.get("actions/p/a")).json()

    async with opened(data=tmp_path / "data") as (_, rest):
        assert (await rest.http.get("actions/p/a")).json() == before
        assert [one["name"] for one in (await rest.http.get("actions")).json()] == ["a"]
        again = (await rest.http.get(f"activations/{record['activationId']}")).json()
        assert again == record
        summaries = (await rest.http.get("activations?name=p/a")).json()
        assert [one["activationId"] for one in summaries] == [record["activationId"]]
        assert await rest.result("p/a", y=3) == {"x": 1, "y": 3}
        updated = (await rest.put("p/a")).json()
        assert updated["version"] == "0.0.2"


async def test_triggers_and_rules_go_on_where_they_were(opened: Any, tmp_path: Path) -> None:
    rule = {"trigger": "/_/t", "action": "/_/a"}
    async with opened(data=tmp_path / "data") as (_, rest):
        await rest.put("a")
        await rest.http.put("triggers/t", json={"parameters": [{"key": "x", "value": 1}]})
        for name in ("on", "off"):
            assert (await rest.http.put(f"rules/{name}", json=rule)).status_code == 200
        await rest.http.post("rules/off", json={"status": "inactive"})
        before = (await rest.http.get("triggers/t")).json()

    async with opened(data=tmp_path / "data") as (ow, rest):
        assert (await rest.http.get("triggers/t")).json() == before
        assert (await rest.http.get("rules/off")).json()["status"] == "inactive"
        fired = await rest.http.post("triggers/t", json={"y": 2})
        await ow.settled()
        assert fired.status_code == 202
        assert [one.result["y"] for one in ow.activations("a")] == [2]

    async with opened(data=tmp_path / "data") as (_, rest):
        record = await rest.http.get(f"activations/{fired.json()['activationId']}")
        assert record.json()["logs"][0].startswith("{")


async def test_without_a_folder_nothing_is_kept(opened: Any) -> None:
    async with opened() as (_, rest):
        await rest.put("a")

    async with opened() as (_, rest):
        assert (await rest.http.get("actions")).json() == []


async def test_the_same_server_entered_again_has_what_it_had(tmp_path: Path, rest_of: Any) -> None:
    ow = LocalOpenWhisk(root=tmp_path / "ow", data=tmp_path / "data")
    for number in (1, 2):
        async with ow, rest_of(ow) as rest:
            await rest.put("a")
            await rest.invoke("a")
            assert len((await rest.http.get("activations")).json()) == number


async def test_a_deployed_manifest_is_kept(opened: Any, tmp_path: Path) -> None:
    (tmp_path / "manifest.yaml").write_text(
        "packages:\n  default:\n    actions:\n      a: {code: 'def main(a): return a', "
        "runtime: 'python:3'}\n"
    )
    async with opened(data=tmp_path / "data") as (ow, _):
        await ow.deploy(Manifest.load(tmp_path / "manifest.yaml"))

    async with opened(data=tmp_path / "data") as (_, rest):
        assert (await rest.http.get("actions/a")).status_code == 200


async def test_a_second_server_on_the_folder_is_refused(opened: Any, tmp_path: Path) -> None:
    async with opened(data=tmp_path / "data"):
        with pytest.raises(ConfigError, match="has the folder"):
            async with opened(data=tmp_path / "data"):
                pass
        assert len(list((tmp_path / "ow").iterdir())) == 1  # the refused one has left nothing


async def test_changed_stock_packages_are_kept_for_who_has_their_key(
    opened: Any, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {
        "data": tmp_path / "data",
        "auth": [Account("whisk.system", "system:secret")],
    }
    async with opened(**settings) as (_, system):
        await system.http.delete("packages/samples?force=true")
        await system.put("utils/echo", "def main(args):\n    return {'mine': 1}\n")

    async with opened(**settings) as (_, system):
        assert [one["name"] for one in (await system.http.get("packages")).json()] == ["utils"]
        assert await system.result("utils/echo") == {"mine": 1}
        assert await system.result("utils/namespace") == {"namespace": "whisk.system"}


async def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "aowhisk", "serve", "--port", "0"]
    command += ["--root", str(tmp_path / "ow"), "--data", str(tmp_path / "data")]
    code = "import time\ndef main(args):\n    time.sleep(args.get('s', 0))\n    return args\n"
    numbers = []
    for round_ in (1, 2):
        async with await anyio.open_process(command, stderr=subprocess.STDOUT) as server:
            assert server.stdout is not None
            url = (await server.stdout.receive()).decode().split()[2].rstrip(",")
            base = f"{url}/api/v1/namespaces/_/"
            async with httpx.AsyncClient(base_url=base, auth=(USER, SECRET), timeout=30) as http:
                for number in numbers:
                    assert (await http.get(f"activations/{number}")).status_code == 200
                body = {"exec": {"kind": "python:3", "code": code}}
                put = await http.put("actions/a?overwrite=true", json=body)
                assert put.json()["version"] == f"0.0.{round_}"
                for _ in range(5):
                    done = await http.post("actions/a?blocking=true", json={})
                    numbers.append(done.json()["activationId"])
                flying = (await http.post("actions/a", json={"s": 30})).json()["activationId"]
                os.kill(server.pid, signal.SIGKILL)
    async with LocalOpenWhisk(root=tmp_path / "ow", data=tmp_path / "data") as ow:
        assert [one.id for one in ow.activations("a")] == numbers
        assert flying not in numbers


@pytest.mark.parametrize("seconds", [0.2, 0.35])
async def test_a_kill_in_the_middle_takes_nothing_that_was_acknowledged(
    tmp_path: Path, seconds: float
) -> None:
    command = [sys.executable, "-m", "aowhisk", "serve", "--port", "0"]
    command += ["--root", str(tmp_path / "ow"), "--data", str(tmp_path / "data")]
    stored: list[str] = []
    ended: list[str] = []
    async with await anyio.open_process(command, stderr=subprocess.STDOUT) as server:
        assert server.stdout is not None
        url = (await server.stdout.receive()).decode().split()[2].rstrip(",")
        auth = (USER, SECRET)
        async with httpx.AsyncClient(base_url=f"{url}/api/v1/namespaces/", auth=auth) as http:

            async def write(writer: int) -> None:
                for number in range(100_000):
                    name = f"w{writer}-{number}"
                    try:
                        put = await http.put(f"_/triggers/{name}", json={})
                        stored.append(put.json()["name"])
                        path = "whisk.system/actions/utils/echo?blocking=true"
                        done = await http.post(path, json={})
                        ended.append(done.json()["activationId"])
                    except (httpx.TransportError, ValueError):
                        return

            async with anyio.create_task_group() as tasks:
                for writer in range(4):
                    tasks.start_soon(write, writer)
                await anyio.sleep(seconds)
                os.kill(server.pid, signal.SIGKILL)
    async with LocalOpenWhisk(root=tmp_path / "ow", data=tmp_path / "data") as ow:
        found = {one.id for one in ow.activations()}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(ow.app), auth=auth) as http:
            for name in stored:
                answer = await http.get(f"http://ow/api/v1/namespaces/_/triggers/{name}")
                assert answer.status_code == 200, name
    assert stored
    assert ended
    assert set(ended) <= found
