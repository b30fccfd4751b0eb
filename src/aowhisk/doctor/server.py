"""OpenWhisk itself: is it one, does it take the key, what time is it there."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from aowhisk.doctor.finding import Finding, failed, ok, refused, skipped, warning
from aowhisk.doctor.subject import Subject
from aowhisk.errors import OpenWhiskError, Rejected, Unauthorized

__all__ = ["PUBLIC_KEYS", "check_clock", "check_key", "check_openwhisk"]

PUBLIC_KEYS = ("23bc46b1-71f6-4ed5-8c54-816aa4f8c502", "789c46b1-71f6-4ed5-8c54-816aa4f8c502")
"""The users of the keys that OpenWhisk comes with (ansible/files/auth.*); anyone knows them."""
_SLOW = 1.0
_AGREE, _SKEW, _FAR = 2.0, 5.0, 900.0  # S3 refuses requests that are 15 minutes off


async def check_openwhisk(subject: Subject) -> Finding:
    """Does OpenWhisk's API answer."""
    client = await subject.client(keyed=False)
    start = time.monotonic()
    try:
        info = await client.info()
    except Rejected as error:
        if "HTTPS port" in str(error):
            return failed(f"{subject.base} wants https", "write apihost with https://")
        return refused(error)
    seconds = time.monotonic() - start
    if not isinstance(info.get("runtimes"), dict):
        return failed(
            f"{subject.base} answers, but not as OpenWhisk does: no runtimes in GET /",
            "check host and port of apihost; a dashboard or gateway may be there",
        )
    subject.info = info
    told = f"OpenWhisk's API answers ({seconds * 1000:.0f} ms)"
    facts = {"answer_ms": round(seconds * 1000), "description": str(info.get("description", ""))}
    if seconds > _SLOW:
        return warning(
            told, "every poll costs as much: look at the network and the controller", **facts
        )
    return ok(told, **facts)


async def check_key(subject: Subject) -> Finding:
    """Is the key right, and for which namespace."""
    client = await subject.client()
    try:
        names = await client.namespaces.list()
    except Unauthorized as error:
        source = subject.survey.sources.get("auth", "?")
        return failed(
            f"the key was refused ({error.status})",
            f"it comes from {source}; is it the one of this host, whole and without quotes? "
            "`wskadmin user get NAMESPACE` on the cluster shows it",
            source=source,
        )
    except OpenWhiskError as error:
        return refused(error)
    wanted = subject.get("namespace") or "_"
    told = f"the key is that of namespace {', '.join(names)}"
    if wanted != "_" and wanted not in names:
        return failed(
            f"{told}, not of {wanted!r}",
            "unset AOWHISK_NAMESPACE, or use the key of that namespace",
            namespaces=list(names),
        )
    if str(subject.get("auth")).partition(":")[0] in PUBLIC_KEYS and not subject.is_local:
        return warning(
            f"{told}, and anyone knows it: it is the one that OpenWhisk comes with",
            "give the namespace a key of its own (`wskadmin user create`), or keep the host away "
            "from others",
            namespaces=list(names),
        )
    return ok(told, namespaces=list(names))


async def check_clock(subject: Subject) -> Finding:
    """Do our clock and the server's agree: polls say `since`, S3 signs with the time."""
    client = await subject.client(keyed=False)
    before = datetime.now(UTC)
    theirs = await client.server_time()
    after = datetime.now(UTC)
    if theirs is None:
        return skipped("the server does not tell its time")
    # the header is cut to the second
    early = (before - theirs).total_seconds() - 1
    late = (after - theirs).total_seconds()
    skew = 0.0 if early <= 0 <= late else min((early, late), key=abs)
    minute = 60 - (datetime.now(UTC) - timedelta(seconds=skew)).second
    facts = {"skew": round(skew, 1), "seconds_to_next_minute": minute}
    if abs(skew) <= _SKEW:
        agreed = "the clocks agree" if abs(skew) <= _AGREE else f"our clock is {skew:+.1f} s off"
        return ok(agreed, **facts)
    told = f"our clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the server's"
    todo = "let NTP set both clocks; finished activations are looked for by time"
    if abs(skew) > _FAR:
        return failed(f"{told}; S3 refuses signatures so far off", todo, **facts)
    return warning(told, todo, **facts)
