"""The way to OpenWhisk: does its host answer, and is its certificate one that we trust."""

from __future__ import annotations

import socket
import ssl
import time
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
from anyio.abc import ByteStream
from anyio.streams.tls import TLSAttribute

from aowhisk.client.address import proxy_for, tls_context
from aowhisk.doctor.finding import Finding, failed, ok, skipped, warning
from aowhisk.doctor.subject import Subject
from aowhisk.models import JSON

__all__ = ["check_host", "check_tls"]

_PATIENCE = 10.0
_SELF_SIGNED, _SELF_SIGNED_CHAIN, _UNKNOWN_CA, _UNKNOWN_LEAF = 18, 19, 20, 21
_EXPIRED, _OTHER_HOST, _OTHER_ADDRESS = 10, 62, 64
_SOON = 14 * 86400
_NOT_TLS = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNEXPECTED_EOF"}
_CA = "set AOWHISK_CA_BUNDLE to a file with the CA's certificate"


async def check_host(subject: Subject) -> Finding:
    """Can a connection be made."""
    base = subject.base
    proxy = proxy_for(base)
    host, port = _place(proxy or base)
    through = f" (the proxy for {base})" if proxy else ""
    start = time.monotonic()
    try:
        with anyio.fail_after(_PATIENCE):
            async with await anyio.connect_tcp(host, port):
                pass
    except TimeoutError:
        return failed(
            f"{host}:{port}{through} gives no answer within {_PATIENCE:g} s",
            "check the port of apihost, and firewalls, VPN and port mappings on the way",
        )
    except OSError as error:
        return _unreachable(f"{host}:{port}{through}", host, error)
    ms = round((time.monotonic() - start) * 1000, 1)
    return ok(f"{host}:{port}{through} takes connections ({ms:g} ms)", connect_ms=ms)


def _unreachable(place: str, host: str, error: OSError) -> Finding:
    cause = error.__cause__ or error
    if _is_lookup(error):
        return failed(
            f"there is no host {host!r}: its name cannot be resolved",
            "check apihost (AOWHISK_APIHOST), and DNS or VPN if it is a name of an inner network",
        )
    return failed(
        f"{place} takes no connections: {cause}",
        "start OpenWhisk there (`aowhisk serve`, `make cluster`), or correct apihost "
        "(AOWHISK_APIHOST)",
    )


def _is_lookup(error: BaseException) -> bool:
    return isinstance(error, socket.gaierror) or isinstance(error.__cause__, socket.gaierror)


async def check_tls(subject: Subject) -> Finding:
    """Is the connection encrypted, with a certificate that is verified."""
    base = subject.base
    host, port = _place(base)
    if base.startswith("http:"):
        if subject.is_local:
            return ok("plain http, which does not leave this machine")
        return warning(
            f"plain http: the key and all params cross the network to {host} readably",
            "give apihost as https://, if the server offers it",
        )
    if proxy_for(base):
        return skipped("the handshake goes through a proxy; the next check makes it")
    context = await anyio.to_thread.run_sync(
        lambda: tls_context(base, ca_bundle=subject.get("ca_bundle"), insecure=False)
    )
    assert isinstance(context, ssl.SSLContext)
    try:
        return _trusted(subject, host, await _handshake(host, port, context))
    except ssl.SSLCertVerificationError as error:
        return _distrusted(subject, host, port, error)
    except (OSError, anyio.BrokenResourceError, anyio.EndOfStream) as error:  # TimeoutError, too
        return _no_tls(base, error)


def _trusted(subject: Subject, host: str, facts: dict[str, JSON]) -> Finding:
    left = facts["seconds_left"]
    told = f"{facts['version']}, certificate of {facts['issuer']} for {host} is verified"
    if isinstance(left, int) and left < _SOON:
        ends = f"{told}, and ends in {left / 86400:.1f} days"
        return warning(ends, "let the certificate be renewed", **facts)
    if subject.get("insecure"):
        return warning(
            f"{told}, yet insecure (AOWHISK_INSECURE) switches that off",
            "unset AOWHISK_INSECURE: it is not needed",
            **facts,
        )
    return ok(told, **facts)


async def _handshake(host: str, port: int, context: ssl.SSLContext) -> dict[str, JSON]:
    with anyio.fail_after(_PATIENCE):
        stream: ByteStream
        async with await anyio.connect_tcp(
            host, port, ssl_context=context, tls_standard_compatible=False
        ) as stream:
            found = stream.extra(TLSAttribute.peer_certificate, None) or {}
            version = stream.extra(TLSAttribute.tls_version)
    until = str(found.get("notAfter", ""))
    left = round(ssl.cert_time_to_seconds(until) - time.time()) if until else None
    names = {str(pair[0]): str(pair[1]) for part in found.get("issuer", ()) for pair in part}
    name = names.get("organizationName") or names.get("commonName") or "an unnamed CA"
    return {"version": version, "issuer": name, "not_after": until, "seconds_left": left}


def _distrusted(
    subject: Subject, host: str, port: int, error: ssl.SSLCertVerificationError
) -> Finding:
    reason = error.verify_message
    if subject.get("insecure"):
        return warning(
            f"the certificate of {host} is not verified, for insecure is set ({reason}): anyone on "
            "the way can read the key",
            f"fine for a cluster on your machine; elsewhere {_CA}",
            reason=reason,
        )
    return failed(
        f"the certificate of {host} is not to be trusted: {reason}",
        f"{_trust(subject, host, port, error.verify_code)}. For a cluster on your own machine "
        "AOWHISK_INSECURE=1 will do",
        reason=reason,
        code=error.verify_code,
    )


def _trust(subject: Subject, host: str, port: int, code: int) -> str:
    """What to do about a certificate that OpenSSL refused with this code."""
    if code == _SELF_SIGNED:
        get = f"import ssl; print(ssl.get_server_certificate(('{host}', {port})))"
        return (
            f'if that is your server, save its certificate (`python -c "{get}" > ca.pem`), compare '
            "it with the original, and set AOWHISK_CA_BUNDLE=ca.pem"
        )
    if code in (_SELF_SIGNED_CHAIN, _UNKNOWN_CA, _UNKNOWN_LEAF):
        given = subject.get("ca_bundle")
        return f"{_CA} that signed it" + (f"; none in {given} did" if given else "")
    if code == _EXPIRED:
        return "let the certificate be renewed, and check the clock of this machine"
    if code in (_OTHER_HOST, _OTHER_ADDRESS):
        return "use the name that the certificate is for as apihost"
    return _CA


def _no_tls(base: str, error: Exception) -> Finding:
    place = base.removeprefix("https://")
    reason = getattr(error, "reason", None) or type(error).__name__
    if reason in _NOT_TLS or not isinstance(error, ssl.SSLError):
        return failed(
            f"{place} does not speak TLS ({reason})",
            f"write the scheme that it speaks: apihost http://{place}, or another port",
        )
    return failed(f"no TLS connection with {place} can be made: {reason}", _CA)


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
