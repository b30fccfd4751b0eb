"""Where OpenWhisk is, and how to get there: base URL, TLS, proxy."""

from __future__ import annotations

import logging
import ssl
import urllib.request
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from aowhisk.errors import ConfigError

__all__ = ["base_url", "proxy_for", "tls_context"]

log = logging.getLogger("aowhisk")


def base_url(apihost: str) -> str:
    """`scheme://host[:port]` of an apihost; without a scheme it is https, as for wsk."""
    text = apihost.strip()
    parts = urlsplit(text if "://" in text else f"https://{text}")
    if parts.username is not None or parts.password is not None:
        raise ConfigError("apihost must not contain a key; give it as auth (AOWHISK_AUTH)")
    if parts.scheme not in ("http", "https") or not parts.hostname or not _port_is_fine(parts):
        raise ConfigError(f"apihost {apihost!r} is not HOST, HOST:PORT, http://... or https://...")
    path = parts.path.rstrip("/").removesuffix("/api/v1")
    if path or parts.query or parts.fragment:
        raise ConfigError(f"apihost {apihost!r} must end after the host: /api/v1 is added to it")
    return f"{parts.scheme}://{parts.netloc}"


def tls_context(base: str, *, ca_bundle: str | None, insecure: bool) -> ssl.SSLContext | bool:
    """How to verify the server. Reads files: call it in a thread (20 ms)."""
    if not base.startswith("https:"):
        return True
    if insecure:
        log.warning("TLS certificates of %s are NOT verified (insecure is set)", base)
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    try:
        return ssl.create_default_context(cafile=ca_bundle)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"ca_bundle {ca_bundle!r} cannot be used: {error}") from error


def proxy_for(base: str) -> str | None:
    """The proxy that the environment names for this host (HTTPS_PROXY, NO_PROXY...), else None.

    Read once for a client's life. A host on this machine is never asked for through a proxy.
    """
    parts = urlsplit(base)
    host = parts.hostname or ""
    if _is_loopback(host) or urllib.request.proxy_bypass(host):
        return None
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if proxy is None:
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    if not proxy.startswith(("http://", "https://")):
        scheme = proxy.partition(":")[0]
        raise ConfigError(
            f"the environment names a {scheme} proxy for {base}, and only http proxies are "
            "supported; name another one or add the host to NO_PROXY"
        )
    return proxy


def _port_is_fine(parts: SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
