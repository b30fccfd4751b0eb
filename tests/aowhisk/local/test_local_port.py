"""A port of one's own."""

import socket
from typing import Any

import anyio
import pytest

from aowhisk.errors import ConfigError
from aowhisk.local import LocalOpenWhisk
from aowhisk.local.port import listen


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
