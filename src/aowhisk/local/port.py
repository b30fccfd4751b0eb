"""Puts a local OpenWhisk on a port."""

from __future__ import annotations

import gc
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from aowhisk.errors import ConfigError
from aowhisk.local.gathering import gathering
from aowhisk.local.server import LocalOpenWhisk

if TYPE_CHECKING:
    import uvicorn

__all__ = ["check_certificate", "listen", "serve"]


def check_certificate(file: Path) -> None:
    """Raise ConfigError where `file` does not hold a certificate and its key."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(file)
    except (OSError, ssl.SSLError) as problem:
        raise ConfigError(f"{file} holds no certificate with its key (PEM): {problem}") from problem


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; `port` 0 takes any that is free. Raises ConfigError where that port
    cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio switches Nagle's algorithm off: an answer goes out in two
    # pieces, and the second would wait 40 ms for the client's delayed ACK.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(2048)
    except (OSError, OverflowError) as problem:
        sock.close()
        raise ConfigError(f"cannot listen on {host}:{port}: {problem}") from problem
    return sock


async def serve(
    ow: LocalOpenWhisk,
    sock: socket.socket,
    *,
    ready: Callable[[], None],
    certificate: Path | None = None,
) -> None:
    """Answer on `sock` until SIGINT or SIGTERM; calls `ready` once it does. `certificate` is a PEM
    file with key and certificate: HTTPS; None: HTTP. Needs uvicorn (extra `web`)."""
    try:
        import uvicorn
    except ImportError as problem:
        raise ConfigError(
            "serving on a port needs uvicorn: pip install 'aowhisk[web]'"
        ) from problem

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready()

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield  # uvicorn raises it again, which would end the process too early

    config = uvicorn.Config(
        ow.app,
        lifespan="off",
        log_level="warning",
        access_log=False,
        timeout_keep_alive=70,  # OpenWhisk's idle timeout
        timeout_graceful_shutdown=1,
        ssl_certfile=certificate,
        server_header=False,
        proxy_headers=False,
    )
    config.load()
    if not isinstance(config.http_protocol_class, str):
        config.http_protocol_class = gathering(config.http_protocol_class)
    server = Server(config)
    with _collecting_less():
        await _run(server, sock)


async def _run(server: uvicorn.Server, sock: socket.socket) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_stop_on_signal, server)
        await server.serve(sockets=[sock])
        tasks.cancel_scope.cancel()


@contextmanager
def _collecting_less() -> Iterator[None]:
    """What was loaded stays, and so do records: the collector need not look at them so often."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


async def _stop_on_signal(server: uvicorn.Server) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            server.force_exit = server.should_exit  # the second one is in a hurry
            server.should_exit = True
