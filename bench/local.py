"""How fast the local OpenWhisk answers, beside a bare uvicorn application with the same bytes.

Both are in processes of their own, behind uvicorn with the same settings, and are sent the same
POSTs over as many kept connections, in turns: a blocking no-op in a pool of warm processes, and
the built-in whisk.system/utils/echo. Prints requests a second (medians of the rounds), their
ratios, the time from the start of the server to its first answer, and what 1,000 idle actions
take. With --check it fails where a goal is missed.
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
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

AUTH = "23bc46b1-71f6-4ed5-8c54-816aa4f8c502:" + "x" * 64
BASIC = "Basic " + base64.b64encode(AUTH.encode()).decode()
HERE = "/api/v1/namespaces/_"
NOOP = f"{HERE}/actions/noop?blocking=true"
ECHO = "/api/v1/namespaces/whisk.system/actions/utils/echo?blocking=true"
BODY = b'{"n": 1}'
GOALS = {"no-op": 0.35, "echo": 0.55}
BARE = """
import asyncio, socket, sys, uvicorn
from pathlib import Path
ANSWER = Path(sys.argv[1]).read_bytes()
HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(ANSWER))]
async def app(scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": ANSWER})
sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
sock.bind(("127.0.0.1", 0))
sock.listen(2048)
print(f"http://127.0.0.1:{sock.getsockname()[1]}", flush=True)
config = uvicorn.Config(app, lifespan="off", log_level="warning", access_log=False)
asyncio.run(uvicorn.Server(config).serve(sockets=[sock]))
"""


@contextmanager
def server(*command: str) -> Iterator[tuple[str, int]]:
    """The URL and the process id of a server that prints where it is."""
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                yield found[0], process.pid
                return
        raise SystemExit(f"{command} did not start")
    finally:
        process.terminate()
        process.wait(10)


def ask(method: str, url: str, body: bytes | None = None) -> bytes:
    headers = {"authorization": BASIC, "content-type": "application/json"}
    request = urllib.request.Request(url, body, headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as reply:
        data: bytes = reply.read()
    return data


class Caller(asyncio.Protocol):
    """One kept connection that sends the same request again as soon as it was answered."""

    def __init__(self, request: bytes, calls: Iterator[int]) -> None:
        self._request = request
        self._calls = calls
        self._received = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next()

    def _next(self) -> None:
        if next(self._calls, None) is None:
            self._transport.close()
            self.done.set_result(None)
        else:
            self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, rest = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        at = head.lower().index(b"content-length:") + 15
        if len(rest) >= int(head[at:].split(b"\r\n", 1)[0]):
            if not head.startswith(b"HTTP/1.1 200"):
                self.done.set_exception(RuntimeError(self._received.decode()))
            self._received = b""
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("closed"))


async def speed(url: str, path: str, calls: int, connections: int) -> float:
    """Requests a second."""
    host, _, port = url.removeprefix("http://").partition(":")
    request = (
        f"POST {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: {BASIC}\r\n"
        f"content-type: application/json\r\naccept: */*\r\ncontent-length: {len(BODY)}\r\n\r\n"
    ).encode() + BODY
    numbers = iter(range(calls))
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    callers = [
        (await loop.create_connection(lambda: Caller(request, numbers), host, int(port)))[1]
        for _ in range(connections)
    ]
    await asyncio.gather(*(caller.done for caller in callers))
    return calls / (time.perf_counter() - began)


async def measure(options: argparse.Namespace, here: str, bare: dict[str, str]) -> dict[str, float]:
    """The ratio to the bare application, of each kind of call."""
    ratios = {}
    for name, path in (("no-op", NOOP), ("echo", ECHO)):
        sides = {"bare": bare[name], "ours": here}
        for url in sides.values():  # warm
            await speed(url, path, options.connections * 4, options.connections)
        found: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(options.rounds):
            for side, url in sides.items():
                found[side].append(await speed(url, path, options.calls, options.connections))
        medians = {side: statistics.median(values) for side, values in found.items()}
        pairs = zip(found["ours"], found["bare"], strict=True)
        ratios[name] = statistics.median(ours / bare for ours, bare in pairs)
        told = ", ".join(f"{side} {value:,.0f}/s" for side, value in medians.items())
        print(f"{name:6} {told}, ratio {ratios[name]:.2f} (goal {GOALS[name]:.2f})")
    return ratios


def resident(pid: int) -> float:
    """MiB of resident memory."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024  # type: ignore[index]


def put(url: str, name: str) -> None:
    exec_ = {"kind": "python:default", "code": "def main(args):\n    return {}\n"}
    ask("PUT", f"{url}{HERE}/actions/{name}?overwrite=true", json.dumps({"exec": exec_}).encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=5000)
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--check", action="store_true", help="fail where a goal is missed")
    options = parser.parse_args()
    missed = []
    with tempfile.TemporaryDirectory() as folder:
        serve = ("-m", "aowhisk", "serve", "--port", "0", "--auth", AUTH, "--root", folder)
        began = time.perf_counter()
        with server(*serve) as (ours, pid):
            put(ours, "noop")
            answers = {"no-op": ask("POST", ours + NOOP, BODY)}
            first = time.perf_counter() - began
            answers["echo"] = ask("POST", ours + ECHO, BODY)
            print(f"start to first answer: {first:.2f} s (goal 1 s)")
            files = {name: Path(folder, name) for name in answers}
            for name, answer in answers.items():
                files[name].write_bytes(answer)
            with (
                server("-c", BARE, str(files["no-op"])) as (bare_noop, _),
                server("-c", BARE, str(files["echo"])) as (bare_echo, _),
            ):
                bare = {"no-op": bare_noop, "echo": bare_echo}
                ratios = asyncio.run(measure(options, ours, bare))
            missed += [name for name, ratio in ratios.items() if ratio < GOALS[name]]
        with server(*serve) as (ours, pid):
            for number in range(1000):
                put(ours, f"idle{number}")
            memory = resident(pid)
            print(f"1,000 idle actions: {memory:.0f} MiB (goal 100 MiB)")
        missed += ["start"] * (first >= 1) + ["memory"] * (memory >= 100)
    if options.check and missed:
        raise SystemExit(f"goals missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
