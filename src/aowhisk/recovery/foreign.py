"""Foreign objects: what a call read where it should have read something of ours."""

from __future__ import annotations

from collections.abc import Iterable

from aowhisk.errors import RecoveryFailed
from aowhisk.lineage import CallRef, Lineage
from object_store.wire import IORecord

__all__ = ["foreign_read"]


def foreign_read(
    lineage: Lineage, reader: CallRef, reads: Iterable[IORecord], *, run: str
) -> RecoveryFailed | None:
    """The error (`overwritten`) of a call that read an object which a stranger had put in the place
    of one that is known: neither one of its versions, nor by one of its writers, nor by the run at
    work or the reader's own. None where it read what it should."""
    for read in reads:
        versions = lineage.versions(read.key)
        if not versions or any(v.etag is None or v.etag == read.etag for v in versions):
            continue
        source = CallRef.of(read.by)
        if source is not None and (
            source.run in (run, reader.run) or source in lineage.writers(read.key)
        ):
            continue
        last = versions[-1]
        whose = f"by {read.by}" if read.by else "by somebody unknown"
        return RecoveryFailed(
            f"call {reader.call!r} read {read.key!r} as it was overwritten {whose} "
            f"(ETag {read.etag}); {last.by} had written it (ETag {last.etag}). Give every run keys "
            "of its own (store.key), and start this run again",
            key=read.key,
            reason="overwritten",
        )
    return None
