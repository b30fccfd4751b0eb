"""How a request crosses: httpx's transport interface over one aiohttp session, or into an ASGI app.

The only module that knows httpx and aiohttp. `AiohttpTransport` is lean on purpose: no cookies, no
redirects, no compression, no environment, and it says truthfully whether a request may have been
sent. What has no proxy and is not large goes over connections of our own (pool.py). `exchange`
sends one request over any httpx transport and knows our errors only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from functools import lru_cache
from io import BytesIO
from ssl import SSLContext, SSLError
from typing import Any, TypeAlias

import aiohttp
import httpx
from multidict import CIMultiDict
from yarl import URL

from aowhisk.client.pool import BrokenError, NotSentError, Pool, SilentError
from aowhisk.errors import Unreachable

__all__ = [
    "ASGIApp",
    "AiohttpTransport",
    "AppTransport",
    "Headers",
    "Reply",
    "Transport",
    "exchange",
]

log = logging.getLogger("aowhisk")

Transport: TypeAlias = httpx.AsyncBaseTransport
"""What a client may be given to send its requests with."""
Headers: TypeAlias = CIMultiDict[str]
"""Those of a request; names in any case."""

_Message: TypeAlias = MutableMapping[str, Any]
ASGIApp: TypeAlias = Callable[
    [_Message, Callable[[], Awaitable[_Message]], Callable[[_Message], Awaitable[None]]],
    Awaitable[None],
]

KEEP_ALIVE = 2.0
"""Seconds an idle connection is kept: less than any server's, so that a POST never meets a
connection which its server is just closing."""
CONNECT = 10.0
"""Seconds to wait for a connection."""
LARGE = 256 * 1024
"""Bytes of a body that are sent in one piece."""
UPLOAD = 120.0
"""Seconds a whole exchange may take beyond its read timeout."""

_NOT_SENT = (
    aiohttp.ClientConnectorError,  # refused, DNS, TLS, proxy
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,  # the proxy refused to CONNECT
    aiohttp.ServerFingerprintMismatch,
    aiohttp.InvalidURL,
)
_LOST = (aiohttp.ClientError, OSError)
_TROUBLE = (NotSentError, BrokenError, SilentError)


class Reply:
    """An answer: its status, its headers, its body.

    `complete` is False where the connection broke inside the body.
    """

    __slots__ = ("body", "complete", "headers", "status")

    def __init__(
        self, status: int, headers: Mapping[str, str], body: bytes, *, complete: bool = True
    ) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.complete = complete


class _Bytes(httpx.AsyncByteStream):
    """A body that is there already; reading it may still end in the error that cut it short."""

    def __init__(self, data: bytes, error: httpx.ReadError | None = None) -> None:
        self.data = data
        self.error = error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.data
        if self.error is not None:
            raise self.error


class AiohttpTransport(httpx.AsyncBaseTransport):
    """An httpx transport over one aiohttp session; make it inside a running loop.

    Raises httpx.ConnectError or ConnectTimeout only where the request never left; ReadTimeout or
    RemoteProtocolError once it may have. A cancelled request gives its connection up. `proxy` is a
    URL, None for a direct connection.
    """

    def __init__(
        self,
        *,
        tls: SSLContext | bool = True,
        proxy: str | None = None,
        connections: int = 1000,
    ) -> None:
        connector = aiohttp.TCPConnector(ssl=tls, limit=connections, keepalive_timeout=KEEP_ALIVE)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            proxy=proxy,
        )
        self._pool = None if proxy is not None else _pool(tls, connections)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it and read the whole answer."""
        headers = Headers((k.decode("ascii"), v.decode("latin-1")) for k, v in request.headers.raw)
        headers.setdefault("accept-encoding", "identity")
        limits = request.extensions.get("timeout", {})
        try:
            reply = await self.send(
                request.method,
                str(request.url),
                headers=headers,
                body=await request.aread(),
                timeout=_timeout(limits.get("connect"), limits.get("read")),
            )
        except (*_LOST, TimeoutError) as error:
            raise _to_httpx(error, request) from error
        cut = None if reply.complete else httpx.ReadError("the answer broke off", request=request)
        return httpx.Response(
            reply.status,
            headers=list(reply.headers.items()),
            stream=_Bytes(reply.body, cut),
            request=request,
        )

    async def exchange(
        self, method: str, url: str, *, headers: Headers, body: bytes | None, read_timeout: float
    ) -> Reply:
        """The same without httpx's objects, and over connections of our own unless there is a proxy
        or much to send: those cost less than half. Raises httpx's errors."""
        try:
            if self._pool is None or (body is not None and len(body) > LARGE):
                timeout = _timeout(CONNECT, read_timeout)
                return await self.send(method, url, headers=headers, body=body, timeout=timeout)
            answer = await self._pool.ask(
                method,
                url,
                headers=headers,
                body=body,
                patience=read_timeout,
                longest=read_timeout + UPLOAD,
            )
        except (*_LOST, *_TROUBLE, TimeoutError) as error:
            raise _to_httpx(error, httpx.Request(method, url)) from error
        if not answer.is_whole:
            return Reply(answer.status, answer.headers, b"", complete=False)
        return Reply(answer.status, answer.headers, bytes(answer.body))

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Headers,
        body: bytes | None,
        timeout: aiohttp.ClientTimeout,
    ) -> Reply:
        """Over aiohttp; raises what it raises."""
        response = await self._session.request(
            method,
            _url(url),
            headers=headers,
            data=_payload(body),
            allow_redirects=False,
            timeout=timeout,
            # aiohttp repeats what HTTP calls idempotent; for us only a GET is
            middlewares=_ONCE if method in _REPEATED else (),
        )
        try:
            content = await response.read()
        except (*_LOST, TimeoutError):
            return Reply(response.status, response.headers, b"", complete=False)
        return Reply(response.status, response.headers, content)

    async def aclose(self) -> None:
        """Close every connection."""
        if self._pool is not None:
            await self._pool.close()
        await self._session.close()


def _pool(tls: SSLContext | bool, connections: int) -> Pool:
    return Pool(tls=tls, connections=connections, keep=KEEP_ALIVE, connect=CONNECT)


class _OnceError(aiohttp.ClientError):
    """Carries an error past aiohttp's own repetition of PUT and DELETE."""


async def _once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    try:
        return await handler(request)
    except _NOT_SENT:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _OnceError(_say(error)) from error


_ONCE = (_once,)
_REPEATED = frozenset({"HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})


def _payload(body: bytes | None) -> bytes | BytesIO | None:
    # above 1 MiB aiohttp writes bytes in one piece and warns; a file goes in pieces
    if not body:
        return None
    return body if len(body) <= 1024 * 1024 else BytesIO(body)


@lru_cache(maxsize=4096)
def _url(url: str) -> URL:
    return URL(url, encoded=True)


@lru_cache(maxsize=64)
def _timeout(connect: float | None, read: float | None) -> aiohttp.ClientTimeout:
    total = None if read is None else read + UPLOAD
    return aiohttp.ClientTimeout(total=total, sock_connect=connect, sock_read=read)


def _to_httpx(error: Exception, request: httpx.Request) -> httpx.TransportError:
    text = _say(error)
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return httpx.ConnectTimeout(text, request=request)
    if isinstance(error, (*_NOT_SENT, NotSentError)):
        return httpx.ConnectError(text, request=request)
    if isinstance(error, TimeoutError | SilentError):
        return httpx.ReadTimeout(text, request=request)
    return httpx.RemoteProtocolError(text, request=request)


def _say(error: BaseException) -> str:
    return str(error) or type(error).__name__


class AppTransport(httpx.AsyncBaseTransport):
    """Requests go straight into an ASGI app, without a socket.

    The app runs in the caller's task: cancelling the request cancels the app's handling of it, as a
    dropped connection would. An exception in the app is a 500, as behind a server. The app's
    lifespan is its owner's affair.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._inner = httpx.ASGITransport(app=app, raise_app_exceptions=True)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Let the app answer, within the read timeout."""
        read = request.extensions.get("timeout", {}).get("read")
        try:
            async with asyncio.timeout(read) as scope:
                return await self._inner.handle_async_request(request)
        except TimeoutError as error:
            if scope.expired():
                raise httpx.ReadTimeout(f"no answer in {read:g} s", request=request) from error
            return _crash(request)
        except Exception:  # noqa: BLE001 - an app may raise anything; a server answers 500
            return _crash(request)


def _crash(request: httpx.Request) -> httpx.Response:
    log.exception("the app failed to answer %s %s", request.method, request.url.path)
    return httpx.Response(500, text="There was an internal server error.", request=request)


async def exchange(
    transport: Transport,
    method: str,
    url: str,
    *,
    headers: Headers,
    body: bytes | None,
    read_timeout: float,
) -> Reply:
    """Send one request once and read the answer; raises Unreachable.

    An answer whose body broke off is a Reply with `complete=False`: its headers may hold an
    activation id.
    """
    if isinstance(transport, AiohttpTransport):
        try:
            return await transport.exchange(
                method, url, headers=headers, body=body, read_timeout=read_timeout
            )
        except httpx.TransportError as error:
            raise _unreachable(error, error.request) from error
    extensions: Mapping[str, Any] = {
        "timeout": {"connect": CONNECT, "read": read_timeout, "write": read_timeout, "pool": None}
    }
    request = httpx.Request(method, url, headers=headers, content=body, extensions=dict(extensions))
    try:
        response = await transport.handle_async_request(request)
    except httpx.TransportError as error:
        raise _unreachable(error, request) from error
    try:
        content = await response.aread()
    except httpx.TransportError:
        return Reply(response.status_code, response.headers, b"", complete=False)
    finally:
        await response.aclose()
    return Reply(response.status_code, response.headers, content)


def _unreachable(error: httpx.TransportError, request: httpx.Request) -> Unreachable:
    url = request.url
    host = f"{url.scheme}://{url.netloc.decode('ascii')}"
    sent = not _never_left(error)
    if _is_tls(error):
        what = (
            f"TLS with {host} failed: {error}; give its CA with ca_bundle (AOWHISK_CA_BUNDLE), "
            "or, knowingly, insecure (AOWHISK_INSECURE=1)"
        )
    elif not sent:
        what = f"{host} cannot be reached: {error}; check apihost and that OpenWhisk is up"
    elif isinstance(error, httpx.TimeoutException):
        what = f"no answer from {host} in time; the request may have been carried out"
    else:
        what = f"{host} broke the connection: {error}; the request may have been carried out"
    label = f"{request.method} {url.path}"
    return Unreachable(f"{label}: {what}", request=label, sent=sent)


def _never_left(error: httpx.TransportError) -> bool:
    """Whether the request provably was not sent.

    The stock httpx-aiohttp transport calls a connection that was closed *after* the request was
    read a ConnectTimeout; only its cause tells.
    """
    cause = error.__cause__
    if isinstance(cause, aiohttp.ClientError):
        return isinstance(cause, _NOT_SENT)
    return isinstance(
        error,
        httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.UnsupportedProtocol,
    )


def _is_tls(error: httpx.TransportError) -> bool:
    cause = error.__cause__
    if isinstance(cause, aiohttp.ClientSSLError | aiohttp.ServerFingerprintMismatch):
        return True
    if isinstance(cause, NotSentError):
        return isinstance(cause.__cause__, SSLError)
    return isinstance(error, httpx.ConnectError) and "CERTIFICATE_VERIFY_FAILED" in str(error)
