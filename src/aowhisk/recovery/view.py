"""Whether an object that somebody wants to read can be read: lineage held against the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from enum import Enum, auto
from typing import NamedTuple

from aowhisk.lineage import CallRef, Lineage, Read
from aowhisk.recovery.plan import Seen

__all__ = ["Standing", "View", "Want"]


class Want(NamedTuple):
    """A version of a key that has to be there.

    `writer` is whose version, None if that is not known; `reader` the call that is to run again
    and reads it, None where it was asked for from outside; `level` the number of steps below it.
    """

    key: str
    writer: CallRef | None
    reader: CallRef | None = None
    read: Read = Read()
    level: int = 0


class Standing(Enum):
    """How it stands with an object that is wanted."""

    PRESENT = auto()
    LOST = auto()
    UNSEEN = auto()
    """Not probed yet."""
    FOREIGN = auto()
    """Something else is there, and it is by nobody we know."""


class View:
    """The lineage as one plan sees it.

    Writers of a key are ranked by their order. `clobber` says that the plan will overwrite what is
    there with the version of a rank: from then on, newer versions count as lost.
    """

    def __init__(
        self, lineage: Lineage, seen: Mapping[str, Seen], looked_up: Set[str], *, probing: bool
    ) -> None:
        self.lineage = lineage
        self.seen = seen
        self.looked_up = looked_up
        self.probing = probing
        self._ranks: dict[str, Mapping[CallRef, int]] = {}
        self._stands: dict[str, int | None] = {}
        self._clobbered: dict[str, int] = {}

    def ranks(self, key: str) -> Mapping[CallRef, int]:
        """The writers of the key by their place in its order."""
        if key not in self._ranks:
            self._ranks[key] = {ref: at for at, ref in enumerate(self.lineage.writers(key))}
        return self._ranks[key]

    def rank(self, want: Want) -> int:
        """The rank of the wanted version; -1 for one that is older than all that are known."""
        return -1 if want.writer is None else self.ranks(want.key)[want.writer]

    def owner(self, key: str) -> CallRef | None:
        """Who wrote the newest version."""
        writers = self.lineage.writers(key)
        return writers[-1] if writers else None

    def is_shared(self, key: str) -> bool:
        """Whether several calls made the object what it is."""
        writers = self.lineage.writers(key)
        calls = (self.lineage.call(ref) for ref in writers)
        return len(writers) > 1 and any(c is not None and c.ownership == "shared" for c in calls)

    def goal(self, key: str, reader: CallRef | None) -> Want:
        """What somebody means who asks for a key: its newest version; a call that wrote the key
        itself means the one before its own."""
        if reader is None or reader not in self.ranks(key):
            return Want(key, self.owner(key))
        read = self.lineage.reads_of(reader).get(key, Read())
        return Want(key, self.source(reader, key, read), read=read)

    def writers_for(self, want: Want) -> Sequence[CallRef]:
        """Who has to run again to bring the wanted version back."""
        if want.writer is None:
            return ()
        return self.lineage.writers(want.key) if self.is_shared(want.key) else (want.writer,)

    def source(self, reader: CallRef, key: str, read: Read) -> CallRef | None:
        """Whose version the call read: what `by` says, else what the ETag or the order tells."""
        ranks = self.ranks(key)
        if not ranks:
            return None
        named = CallRef.of(read.by)
        if named is not None and named in ranks:
            return named
        if named is not None and key not in self.looked_up:
            return None
        if read.etag is not None:
            for version in reversed(self.lineage.versions(key)):
                if version.writer != reader and _same(version.etag, read.etag):
                    return version.writer
        own = ranks.get(reader)
        if own is None:
            before = (v for v in reversed(self.lineage.versions(key)) if v.order <= read.at)
            last = next(before, None)
            return self.owner(key) if last is None else last.writer
        if own > 0:
            return self.lineage.writers(key)[own - 1]
        return reader if read.etag is None else None

    def clobber(self, key: str, rank: int) -> None:
        """The plan will write the version of this rank over what is there."""
        self._clobbered[key] = min(rank, self._clobbered.get(key, rank))

    def is_clobbered(self, key: str) -> bool:
        """Whether the plan overwrites the object."""
        return key in self._clobbered

    def judge(self, want: Want) -> Standing:
        """Whether the wanted version, or a newer one that is known, can be read."""
        rank = self.rank(want)
        if self._clobbered.get(want.key, rank) < rank:
            return Standing.LOST
        there = self.seen.get(want.key)
        if there is None:
            return Standing.UNSEEN if self.probing else Standing.PRESENT
        if there.etag is None:
            return Standing.LOST
        if want.key not in self._stands:
            self._stands[want.key] = self._rank_of(want.key, there)
        stands = self._stands[want.key]
        if stands is not None:
            return Standing.PRESENT if stands >= rank else Standing.LOST
        if self._is_as_good(want, there):
            return Standing.PRESENT
        if want.writer is not None:  # perhaps it is what the writer itself started from
            before = self.lineage.reads_of(want.writer).get(want.key)
            if before is not None and _same(before.etag, there.etag):
                return Standing.LOST
        return Standing.FOREIGN

    def _is_as_good(self, want: Want, there: Seen) -> bool:
        """Whether what is there, though no version that we know, is what is wanted."""
        read = want.read
        if _same(read.etag, there.etag):
            return True
        if want.writer is not None:
            return self.lineage.written(want.writer, want.key)[-1].etag is None
        named = CallRef.of(read.by)
        same_call = named is not None and there.by != read.by and CallRef.of(there.by) == named
        return read.etag is None or same_call

    def _rank_of(self, key: str, there: Seen) -> int | None:
        """The rank of the version that is there, None if it is none that we know."""
        ranks, blank = self.ranks(key), None
        for version in reversed(self.lineage.versions(key)):
            if _same(version.etag, there.etag):
                return ranks[version.writer]
            if version.etag is None and blank is None:
                blank = version.writer
        named = CallRef.of(there.by)
        if (
            named is not None and named in ranks
        ):  # an attempt without a record; with one, these are other bytes
            attempts = [v for v in self.lineage.written(named, key) if v.by == there.by]
            if all(v.etag is None for v in attempts):
                return ranks[named]
        return ranks[blank] if blank is not None and there.by is None else None


def _same(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and one.strip('"') == other.strip('"')
