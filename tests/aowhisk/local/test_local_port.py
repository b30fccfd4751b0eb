"""A port of one's own."""

import socket
from pathlib import Path
from typing import Any

import anyio
import pytest

from aowhisk.errors import ConfigError
from aowhisk.local import LocalOpenWhisk
from aowhisk.local.port import check_certificate, listen


async def test_answers_are_not_held_back_by_nagle(ow: LocalOpenWhisk, rest_on_a_port: Any) -> None:
    async with rest_on_a_port(ow) as rest:
        await rest.put("echo")
        await rest.invoke("echo")

        with anyio.fail_after(50 * 0.04 / 2):  # half of what fifty delayed ACKs would take
            for _ in range(50):
                await rest.invoke("echo")


def test_a_port_that_cannot_be_had_is_a_config_error() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{port}"):
            listen("127.0.0.1", port)


def test_the_protocol_is_named_so_that_asyncio_knows_it() -> None:
    with listen("127.0.0.1", 0) as sock:
        assert sock.proto == socket.IPPROTO_TCP


async def test_a_whole_url_as_the_target_is_a_path_too(
    ow: LocalOpenWhisk, rest_on_a_port: Any
) -> None:
    async with rest_on_a_port(ow) as rest:
        url = rest.http.base_url
        async with await anyio.connect_tcp("127.0.0.1", url.port) as stream:
            target = f"http://127.0.0.1:{url.port}/ping?a=b"
            await stream.send(
                f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
            )
            answer = b"".join([part async for part in stream])

    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"pong")


@pytest.mark.parametrize("text", [None, "no certificate"])
def test_a_file_that_holds_no_certificate_is_a_config_error(
    tmp_path: Path, text: str | None
) -> None:
    file = tmp_path / "server.pem"
    if text is not None:
        file.write_text(text)

    with pytest.raises(ConfigError, match="holds no certificate with its key"):
        check_certificate(file)


def test_a_certificate_with_its_key_is_one(certificate: Path) -> None:
    check_certificate(certificate)
