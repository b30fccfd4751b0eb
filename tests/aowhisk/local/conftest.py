"""A running local OpenWhisk, and someone who speaks its REST API."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import uvicorn

from aowhisk.local import GUEST, LocalOpenWhisk
from aowhisk.local.port import listen

ECHO = "def main(args):\n    return args\n"


class Rest:
    """The REST API below `namespaces/_`."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def put(self, name: str, code: str = ECHO, **body: Any) -> httpx.Response:
        exec_ = {"kind": "python:3.11", "code": code}
        if main := body.pop("main", None):
            exec_["main"] = main
        answer = await self.http.put(f"actions/{name}?overwrite=true", json={"exec": exec_} | body)
        assert answer.status_code == 200, answer.text
        return answer

    async def invoke(
        self, name: str, query: str = "blocking=true", **params: Any
    ) -> httpx.Response:
        return await self.http.post(f"actions/{name}?{query}", json=params)

    async def result(self, name: str, **params: Any) -> Any:
        return (await self.invoke(name, "blocking=true&result=true", **params)).json()

    async def record(self, activation_id: str) -> dict[str, Any]:
        """The record, as soon as there is one."""
        with anyio.fail_after(20):
            while True:
                answer = await self.http.get(f"activations/{activation_id}")
                if answer.status_code == 200:
                    found: dict[str, Any] = answer.json()
                    return found
                await anyio.sleep(0.01)


def annotations(record: dict[str, Any]) -> dict[str, Any]:
    return {item["key"]: item["value"] for item in record["annotations"]}


def client(ow: LocalOpenWhisk, url: str | None = None, key: str = "") -> httpx.AsyncClient:
    user, _, secret = (key or ow.auth).partition(":")
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(ow.app) if url is None else None,
        base_url=f"{url or 'http://ow'}/api/v1/namespaces/_/",
        auth=(user, secret),
        timeout=30,
    )


@asynccontextmanager
async def on_a_port(ow: LocalOpenWhisk) -> AsyncIterator[str]:
    """The URL of `ow` on a real loopback port."""
    with listen("127.0.0.1", 0) as sock:
        config = uvicorn.Config(ow.app, lifespan="off", log_level="critical", access_log=False)
        server = uvicorn.Server(config)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: server.serve(sockets=[sock]))
            yield f"http://127.0.0.1:{sock.getsockname()[1]}"
            server.should_exit = True


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    """Waits for what happens in another process, of which no event tells."""

    async def until_(condition: Callable[[], bool]) -> None:
        with anyio.fail_after(15):
            while not condition():
                await anyio.sleep(0.01)

    return until_


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., Any]:
    """Opens a local OpenWhisk with settings of its own, and a client for it."""

    @asynccontextmanager
    async def open_(**settings: Any) -> AsyncIterator[tuple[LocalOpenWhisk, Rest]]:
        settings = {"root": tmp_path / "ow", "auth": GUEST} | settings
        async with LocalOpenWhisk(**settings) as ow, client(ow) as http:
            yield ow, Rest(http)

    return open_


@pytest.fixture
def rest_of() -> Callable[..., Any]:
    """Opens a client for a local OpenWhisk, whether or not that is running; `key` is that of the
    namespace, by default of the first."""

    @asynccontextmanager
    async def open_(ow: LocalOpenWhisk, key: str = "") -> AsyncIterator[Rest]:
        async with client(ow, key=key) as http:
            yield Rest(http)

    return open_


@pytest.fixture
def rest_on_a_port() -> Callable[..., Any]:
    """Opens a client for a local OpenWhisk on a loopback port."""

    @asynccontextmanager
    async def open_(ow: LocalOpenWhisk) -> AsyncIterator[Rest]:
        async with on_a_port(ow) as url, client(ow, url) as http:
            yield Rest(http)

    return open_


@pytest.fixture
async def ow(tmp_path: Path) -> AsyncIterator[LocalOpenWhisk]:
    async with LocalOpenWhisk(root=tmp_path / "ow") as running:
        yield running


@pytest.fixture
async def url(ow: LocalOpenWhisk) -> AsyncIterator[str]:
    """Where `ow` is on a loopback port."""
    async with on_a_port(ow) as found:
        yield found


@pytest.fixture
async def rest(ow: LocalOpenWhisk) -> AsyncIterator[Rest]:
    async with client(ow) as http:
        yield Rest(http)


@pytest.fixture(params=["in process", "on a port"])
async def mounted(request: pytest.FixtureRequest, ow: LocalOpenWhisk) -> AsyncIterator[Rest]:
    """The same over both mounts."""
    if request.param == "in process":
        async with client(ow) as http:
            yield Rest(http)
    else:
        async with on_a_port(ow) as url, client(ow, url) as http:
            yield Rest(http)
