"""Where an S3 store is, and who we are there, as its URL and the AWS environment say."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from object_store.errors import StoreError

__all__ = ["Address"]

_FORM = (
    "write s3://[ACCESS:SECRET@][host[:port]][?region=..&tls=0&bucket_prefix=..], "
    "ACCESS and SECRET percent-encoded"
)
_OPTIONS = {"region", "tls", "bucket_prefix"}


@dataclass(frozen=True)
class Address:
    """One S3 service. `endpoint` None means AWS itself; `credentials` None the AWS environment's.

    `bucket_prefix` stands before the name of every bucket in S3 (bucket names are world-wide on
    AWS), never in a key.
    """

    endpoint: str | None
    region: str
    bucket_prefix: str = ""
    credentials: tuple[str, str] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """This address as a URL, without credentials."""
        scheme, _, host = (self.endpoint or "https://").partition("://")
        query = f"?bucket_prefix={self.bucket_prefix}" if self.bucket_prefix else ""
        return f"{'s3+http' if scheme == 'http' else 's3'}://{host}{query}"

    @classmethod
    def from_url(cls, url: str, environ: Mapping[str, str] = os.environ) -> Address:
        """Read a URL; raises StoreError, which never repeats it: it may hold a secret."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
            query = (
                dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True))
                if (parts.query)
                else {}
            )
        except ValueError:
            raise StoreError(f"the S3 store's URL cannot be read; {_FORM}") from None
        if parts.path.strip("/") or parts.fragment:
            raise StoreError(f"the S3 store's URL has a path, but buckets stand in keys; {_FORM}")
        if not set(query) <= _OPTIONS or query.get("tls", "1") not in ("0", "1"):
            raise StoreError(f"the S3 store's URL has an option that is not known; {_FORM}")
        plain = parts.scheme == "s3+http" or query.get("tls") == "0"
        return cls(
            endpoint=_endpoint(host, port, plain) or _endpoint_of(environ),
            region=query.get("region")
            or environ.get("AWS_REGION")
            or environ.get("AWS_DEFAULT_REGION")
            or "us-east-1",
            bucket_prefix=query.get("bucket_prefix", ""),
            credentials=_credentials(parts.username, parts.password),
        )


def _endpoint(host: str | None, port: int | None, plain: bool) -> str | None:
    if not host:
        return None
    name = f"[{host}]" if ":" in host else host
    return f"{'http' if plain else 'https'}://{name}" + (f":{port}" if port is not None else "")


def _endpoint_of(environ: Mapping[str, str]) -> str | None:
    value = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL")
    if not value:
        return None
    scheme, mark, rest = value.rstrip("/").partition("://")
    if not mark or scheme not in ("http", "https"):
        raise StoreError("AWS_ENDPOINT_URL_S3 must begin with http:// or https://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def _credentials(access: str | None, secret: str | None) -> tuple[str, str] | None:
    if access is None and secret is None:
        return None
    if not access or not secret:
        raise StoreError(f"the S3 store's URL has only one of ACCESS and SECRET; {_FORM}")
    return unquote(access), unquote(secret)
