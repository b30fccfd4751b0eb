"""What S3 answers and what its library raises, as errors of the store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from object_store.errors import InvalidKey, NoSuchKey, StoreError, StoreUnavailable
from object_store.keys import Key

__all__ = ["code_of", "translated"]

_MISSING = {"NoSuchKey", "NoSuchBucket", "404", "NotFound"}
_REFUSED = {
    "403",
    "AccessDenied",
    "AccountProblem",
    "ExpiredToken",
    "Forbidden",
    "InvalidAccessKeyId",
    "InvalidSecurity",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
    "XAdminUserNotFound",
}
_CLASH = {
    "ExistingObjectIsDirectory": "it is a folder of other objects",
    "ObjectParentIsFile": "an object is where it needs a folder",
    "KeyTooLongError": "this S3 service does not take names so long",
    "InvalidBucketName": "this S3 service does not take the bucket's name",
}


def code_of(error: Exception) -> str:
    """S3's code in a botocore ClientError, such as NoSuchBucket."""
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


@contextmanager
def translated(url: str, key: Key, doing: str) -> Iterator[None]:
    """Raise the store's errors in place of the library's; `doing` as in "while reading".

    The library's own texts are left out of messages: nothing of a request may show in them.
    """
    import aiohttp
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        NoCredentialsError,
        ParamValidationError,
        PartialCredentialsError,
    )

    where = f"{url}, while {doing} '{key}'"
    try:
        yield
    except ClientError as error:
        raise _answered(error, key, where) from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise StoreUnavailable(
            f"{where}: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "or put them into the store's URL"
        ) from error
    except ParamValidationError as error:
        raise InvalidKey(str(key), "the S3 library does not take it") from error
    except (BotoCoreError, aiohttp.ClientError, OSError, asyncio.TimeoutError) as error:
        raise StoreUnavailable(
            f"{where}: no answer ({type(error).__name__}); "
            "check the host, the port and tls in the store's URL, and that the server runs"
        ) from error


def _answered(error: Exception, key: Key, where: str) -> StoreError:
    code = code_of(error)
    if code in _MISSING:
        return NoSuchKey(str(key))
    if code in _CLASH:
        return InvalidKey(str(key), _CLASH[code])
    if code in _REFUSED:
        return StoreUnavailable(
            f"{where}: refused ({code}); check the access key, its secret and what they allow"
        )
    if code in ("412", "PreconditionFailed"):
        return StoreError(f"object '{key}' was overwritten while it was read; read it again")
    response = getattr(error, "response", None) or {}
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status == 429 or status >= 500:
        return StoreUnavailable(f"{where}: the server cannot serve us now ({code}); try again")
    return StoreError(f"{where}: S3 answered {code} ({status})")
