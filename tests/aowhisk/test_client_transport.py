"""How requests cross: connections kept and lost, cancellation, TLS, proxies, apps, the key."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from client_server import (
    AUTH,
    HANG_UP,
    Answer,
    Request,
    activated,
    always,
    record,
    refused,
    serve,
)
from httpx_aiohttp import AiohttpTransport as StockTransport

from aowhisk import errors
from aowhisk.client import Client
from aowhisk.client.transport import AiohttpTransport
from aowhisk.models import Activation

OK = activated(200, record({"x": 1}))


async def test_posts_share_a_connection() -> None:
    async with serve(always(OK)) as server, Client(server.url, AUTH) as client:
        for _ in range(20):
            await client.actions.invoke("hello")
    assert (server.connections, server.posts) == (1, 20)


async def test_posts_across_the_keep_alive_boundary_have_no_unknown_outcome() -> None:
    """The server closes what is idle for 2.4 s, the client for 2 s; the pauses lie around both."""
    async with serve(always(OK), idle=2.4) as server, Client(server.url, AUTH) as client:

        async def after(pause: float) -> None:
            for _ in range(2):
                await client.actions.invoke("hello")
                await anyio.sleep(pause)
            await client.actions.invoke("hello")

        async with anyio.create_task_group() as group:
            for step in range(12):
                group.start_soon(after, 1.9 + step * 0.06)
    assert server.posts == 36


async def test_a_server_that_closes_at_once_makes_no_unknown_outcome() -> None:
    async with serve(always(OK), idle=0) as server, Client(server.url, AUTH) as client:
        for _ in range(20):
            await client.actions.invoke("hello")
            await anyio.sleep(0.005)
    assert (server.connections, server.posts) == (20, 20)


async def test_a_get_that_lost_its_connection_is_tried_once_more() -> None:
    async with (
        serve(always(HANG_UP, Answer(200, ["guest"]))) as server,
        Client(server.url, AUTH) as client,
    ):
        assert await client.namespaces.list() == ("guest",)
    assert len(server.requests) == 2


@pytest.mark.parametrize("verb", ["put", "delete", "invoke"])
async def test_nothing_but_a_get_is_ever_tried_again(verb: str) -> None:
    async with serve(always(HANG_UP)) as server, Client(server.url, AUTH) as client:
        with pytest.raises(errors.Unreachable) as caught:
            await getattr(client.actions, verb)("hello")
    assert caught.value.sent is True
    assert len(server.requests) == 1


async def test_a_refused_connection_was_not_sent() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with Client(f"http://127.0.0.1:{taken.getsockname()[1]}", AUTH) as client:
            with pytest.raises(errors.Unreachable, match="check apihost") as caught:
                await client.actions.invoke("hello")
    assert caught.value.sent is False


async def test_an_unknown_host_was_not_sent() -> None:
    async with Client("http://no-such-host.invalid", AUTH) as client:
        with pytest.raises(errors.Unreachable, match=r"no-such-host\.invalid") as caught:
            await client.actions.invoke("hello")
    assert caught.value.sent is False


async def test_an_answer_that_never_comes_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aowhisk.client.actions.READ", 0.05)
    monkeypatch.setattr("aowhisk.client.actions._MARGIN", 0.05)

    async def never(request: Request) -> Answer:
        await anyio.sleep_forever()
        raise AssertionError

    async with serve(never) as server, Client(server.url, AUTH) as client:
        with pytest.raises(errors.Unreachable, match="no answer") as caught:
            await client.actions.invoke("hello", timeout=0.001)
    assert caught.value.sent is True
    assert server.posts == 1


async def test_fact_2_the_read_timeout_outlives_the_servers_own() -> None:
    """The gateway gives up after 75 s, the controller after 60 s."""
    seen: list[float] = []

    class Watch(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            seen.append(request.extensions["timeout"]["read"])
            return httpx.Response(202, json={"activationId": "0" * 32})

    async with Client("http://x", AUTH, transport=Watch()) as client:
        await client.actions.invoke("hello")
        await client.actions.invoke("hello", timeout=5)
    assert min(seen) >= 75


async def test_thousands_of_cancelled_requests_leave_a_working_client() -> None:
    async def slow(request: Request) -> Answer:
        await anyio.sleep(0.02 if request.method == "POST" else 0)
        return OK if request.method == "POST" else Answer(200, ["guest"])

    async with serve(slow) as server, Client(server.url, AUTH) as client:
        gate = anyio.CapacityLimiter(50)

        async def cancelled(n: int) -> None:
            async with gate:
                with anyio.move_on_after((n % 20) / 1000):
                    await client.actions.invoke("hello")

        async with anyio.create_task_group() as group:
            for n in range(3000):
                group.start_soon(cancelled, n)
        with anyio.fail_after(5):
            for _ in range(5):
                assert isinstance(await client.actions.invoke("hello"), Activation)
                assert await client.namespaces.list() == ("guest",)


async def test_the_stock_transports_lie_about_sending_is_seen_through() -> None:
    """httpx-aiohttp calls a connection lost after the POST was read a ConnectTimeout."""
    async with serve(always(HANG_UP)) as server:
        stock = StockTransport(verify=False)
        async with Client(server.url, AUTH, transport=stock) as client:
            with pytest.raises(errors.Unreachable) as caught:
                await client.actions.invoke("hello")
        await stock.aclose()
    assert isinstance(caught.value.__cause__, httpx.ConnectTimeout)
    assert caught.value.sent is True


@pytest.mark.parametrize("make", [StockTransport, httpx.AsyncHTTPTransport])
async def test_any_httpx_transport_will_do(make: Callable[..., httpx.AsyncBaseTransport]) -> None:
    answers = always(OK, Answer(200, ["guest"]), refused(429, "Too many requests"))
    async with (
        serve(answers) as server,
        make(verify=False) as transport,
        Client(server.url, AUTH, transport=transport) as client,
    ):
        assert isinstance(await client.actions.invoke("hello", {"a": 1}), Activation)
        assert await client.namespaces.list() == ("guest",)
        with pytest.raises(errors.Throttled):
            await client.actions.invoke("hello")
    assert server.requests[0].json == {"a": 1}


async def test_our_transport_serves_an_httpx_client_as_well() -> None:
    async with (
        serve(always(Answer(200, {"a": 1}))) as server,
        httpx.AsyncClient(transport=AiohttpTransport()) as client,
    ):
        answer = await client.post(server.url + "/x", json={"b": 2})
    assert answer.json() == {"a": 1}
    assert server.requests[0].json == {"b": 2}


async def test_a_client_that_is_not_open_says_how_to_open_it() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await Client("localhost", AUTH).actions.invoke("hello")


async def test_a_transport_that_was_given_is_left_open() -> None:
    async with serve(always(OK)) as server:
        transport = AiohttpTransport()
        for _ in range(2):
            async with Client(server.url, AUTH, transport=transport) as client:
                await client.actions.invoke("hello")
        await transport.aclose()
    assert server.connections == 1


async def test_closing_leaves_no_socket_and_no_task() -> None:
    async with serve(always(OK)) as server:
        before = len(asyncio.all_tasks())
        async with Client(server.url, AUTH) as client:
            await client.actions.invoke("hello")
        await anyio.wait_all_tasks_blocked()
        assert len(asyncio.all_tasks()) <= before
    gc.collect()  # an unclosed session warns, and a warning is an error


Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


async def test_an_app_answers_without_a_socket() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        body = (await receive())["body"]
        assert dict(scope["headers"])[b"content-length"] == str(len(body)).encode()
        assert scope["path"] == "/api/v1/namespaces/_/actions/p k/hello"
        assert scope["raw_path"] == b"/api/v1/namespaces/_/actions/p%20k/hello"
        headers = [(b"x-openwhisk-activation-id", b"0" * 32)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'[{"got": ' + body + b"}]"})

    async with Client(app=app, auth=AUTH) as client:
        out = await client.actions.invoke("p k/hello", {"a": 1})
    assert isinstance(out, Activation)
    assert out.result == [{"got": {"a": 1}}]


async def test_a_dropped_request_cancels_the_apps_handling_of_it() -> None:
    ended = anyio.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    async with Client(app=app, auth=AUTH) as client:
        with anyio.move_on_after(0.01) as scope:
            await client.actions.invoke("hello")
    assert scope.cancelled_caught
    assert ended.is_set()


async def test_an_app_that_raises_is_a_server_fault(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        raise LookupError("a bug in the app")

    async with Client(app=app, auth=AUTH) as client:
        with pytest.raises(errors.ServerFault) as caught:
            await client.actions.invoke("hello")
    assert (caught.value.status, caught.value.accepted) == (500, None)
    assert "a bug in the app" in caplog.text


async def test_an_app_that_never_answers_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aowhisk.client.connection.READ", 0.01)
    monkeypatch.setattr("aowhisk.client.actions.READ", 0.01)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await anyio.sleep_forever()

    async with Client(app=app, auth=AUTH) as client:
        with pytest.raises(errors.Unreachable) as caught:
            await client.actions.invoke("hello", blocking=False)
    assert caught.value.sent is True


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


async def test_a_certificate_nobody_vouches_for_is_refused(tls: ssl.SSLContext) -> None:
    async with serve(always(OK), tls=tls) as server, Client(server.url, AUTH) as client:
        with pytest.raises(errors.Unreachable, match="AOWHISK_CA_BUNDLE") as caught:
            await client.actions.invoke("hello")
    assert caught.value.sent is False
    assert server.requests == []


async def test_a_ca_bundle_vouches_for_its_servers(tls: ssl.SSLContext, certificate: Path) -> None:
    async with (
        serve(always(OK), tls=tls) as server,
        Client(server.url, AUTH, ca_bundle=str(certificate)) as client,
    ):
        assert isinstance(await client.actions.invoke("hello"), Activation)


async def test_insecure_verifies_nothing_and_says_so(
    tls: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        serve(always(OK), tls=tls) as server,
        Client(server.url, AUTH, insecure=True) as client,
    ):
        assert isinstance(await client.actions.invoke("hello"), Activation)
    assert f"{server.url} are NOT verified" in caplog.text


async def test_a_ca_bundle_that_is_none_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    for path in (tmp_path / "missing.pem", tmp_path / "empty.pem"):
        with pytest.raises(errors.ConfigError, match="ca_bundle"):
            async with Client("https://localhost", AUTH, ca_bundle=str(path)):
                pass


async def test_the_environments_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve(always(OK)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        async with Client("http://openwhisk.invalid", AUTH) as client:
            await client.actions.invoke("hello")
    [request] = proxy.requests
    assert request.target.startswith("http://openwhisk.invalid/api/v1/")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_this_machine_is_never_asked_for_through_a_proxy(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.invalid:1")
    async with serve(always(OK)) as server:
        port = server.url.rpartition(":")[2]
        async with Client(f"http://{host}:{port}", AUTH) as client:
            assert isinstance(await client.actions.invoke("hello"), Activation)


async def test_a_proxy_of_another_kind_is_a_config_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:1")
    with pytest.raises(errors.ConfigError, match="socks5"):
        async with Client("openwhisk.example.com", AUTH):
            pass


@pytest.mark.parametrize(
    ("apihost", "base"),
    [
        ("openwhisk.example.com", "https://openwhisk.example.com"),
        ("localhost:31001", "https://localhost:31001"),
        ("http://localhost:3233/", "http://localhost:3233"),
        ("https://host/api/v1", "https://host"),
        (" host ", "https://host"),
        ("http://[::1]:3233", "http://[::1]:3233"),
    ],
)
def test_fact_12_a_host_without_a_scheme_is_https(apihost: str, base: str) -> None:
    assert Client(apihost, AUTH).base == base


@pytest.mark.parametrize(
    "apihost", ["", "ftp://x", "http://", "host:port", "host/somewhere", "x?y"]
)
def test_what_is_no_host_is_a_config_error(apihost: str) -> None:
    with pytest.raises(errors.ConfigError, match="apihost"):
        Client(apihost, AUTH)


def test_a_key_inside_the_host_is_refused_and_not_shown() -> None:
    with pytest.raises(errors.ConfigError) as caught:
        Client("https://user:secret@host", AUTH)
    assert "secret" not in str(caught.value).replace("user:secret", "")


def test_a_client_needs_a_key() -> None:
    for auth in (None, "no-colon"):
        with pytest.raises(errors.ConfigError, match="AOWHISK_AUTH"):
            Client("localhost", auth)


async def test_the_ca_files_are_read_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading the system's takes 20 ms."""
    threads = []

    def spy(*args: object, **kwargs: object) -> bool:
        threads.append(threading.get_ident())
        return True

    monkeypatch.setattr("aowhisk.client.tls_context", spy)
    async with Client("https://localhost", AUTH):
        assert threads
    assert threading.get_ident() not in threads
