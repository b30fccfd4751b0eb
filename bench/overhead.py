"""What orchestration costs: no-op calls through aowhisk beside a bare aiohttp loop.

Both send the same POSTs to the same local OpenWhisk, in another process and over a socket, in
turns. Prints calls a second (medians of the rounds) and their ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

from aowhisk import Client, Dag, Orchestrator, item
from object_store.wire import Context

AUTH = "bench:" + "x" * 64
MANIFEST = """
packages:
  default:
    actions:
      noop:
        code: "def main(args): return {}"
        runtime: python:default
"""


def serve(folder: Path) -> tuple[subprocess.Popen[str], str]:
    (folder / "manifest.yaml").write_text(MANIFEST)
    command = [sys.executable, "-m", "aowhisk", "serve", "--port", "0", "--auth", AUTH]
    command += ["--manifest", str(folder / "manifest.yaml"), "--root", str(folder / "root")]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    for line in server.stdout:
        if found := re.search(r"http://127\.0\.0\.1:\d+", line):
            return server, found[0]
    raise SystemExit("the server did not start")


async def bare(url: str, calls: int, concurrency: int) -> float:
    """The same requests from a plain loop: a queue of bodies and `concurrency` workers."""
    target = f"{url}/api/v1/namespaces/_/actions/noop?blocking=true&timeout=5000"
    basic = base64.b64encode(AUTH.encode()).decode()
    headers = {
        "authorization": f"Basic {basic}",
        "content-type": "application/json",
        "x-ow-extra-logging": "on",
    }
    numbers = iter(range(calls))

    async def worker(session: aiohttp.ClientSession) -> None:
        for n in numbers:
            context = Context(run="0" * 20, call=f"noop.{n}", attempt=f"{n:024x}").to_json()
            body = json.dumps({"n": n, "_aowhisk": context}).encode()
            async with session.post(target, data=body, headers=headers) as reply:
                record = json.loads(await reply.read())
                assert record["response"]["success"], record

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        started = time.perf_counter()
        await asyncio.gather(*(worker(session) for _ in range(concurrency)))
        return calls / (time.perf_counter() - started)


async def ours(url: str, calls: int, concurrency: int) -> float:
    async with Orchestrator(Client(url, AUTH), concurrency=concurrency) as orchestrator:
        dag = Dag("noops")
        dag.map("noop", {"n": item}, over=list(range(calls)))
        started = time.perf_counter()
        run = await orchestrator.run(dag)
        seconds = time.perf_counter() - started
        assert len(run["noop"]) == calls
        return calls / seconds


async def measure(url: str, options: argparse.Namespace) -> dict[str, float]:
    await bare(url, options.concurrency * 2, options.concurrency)  # warm the containers
    speeds: dict[str, list[float]] = {"bare aiohttp": [], "aowhisk": []}
    for number in range(options.rounds):
        for name, run in (("bare aiohttp", bare), ("aowhisk", ours)):
            speeds[name].append(await run(url, options.calls, options.concurrency))
        print(f"round {number + 1}: " + ", ".join(f"{k} {v[-1]:.0f}/s" for k, v in speeds.items()))
    return {name: statistics.median(values) for name, values in speeds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--concurrency", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server, url = serve(Path(folder))
        try:
            medians = asyncio.run(measure(url, options))
        finally:
            server.terminate()
            server.wait(10)
    for name, speed in medians.items():
        print(f"{name:14} {speed:8.0f} calls/s")
    ratio = medians["aowhisk"] / medians["bare aiohttp"]
    print(
        f"ratio          {ratio:8.2f} of bare "
        f"({options.calls} no-op calls, {options.concurrency} in flight, journal in memory)"
    )


if __name__ == "__main__":
    main()
