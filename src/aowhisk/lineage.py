"""Which call wrote and read which version of which object.

Plain bookkeeping in memory, filled from what attempts report (`_io`) and what calls declare. The
writers of a key stand in the order of their writing: a writer that read the key proves, by the `by`
of what it saw, that the other's version came before; otherwise the order of `record` (the
journal's) holds. Clocks of containers are not asked. A call that writes its object again, because
it was retried or the object was lost, keeps its place in that order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from aowhisk.models import JSON
from aowhisk.retry import Terms
from object_store.wire import IORecord

__all__ = ["CallRecord", "CallRef", "Divergence", "Lineage", "Read", "Version"]

_ETAG = re.compile(r"[0-9a-f]{32}(-\d+)?")


class CallRef(NamedTuple):
    """A call of a run: the two ids."""

    run: str
    call: str

    def __str__(self) -> str:
        return f"{self.run}/{self.call}"

    @classmethod
    def of(cls, by: str | None) -> CallRef | None:
        """The call that `by` ("run/call/attempt") names, None if it names none."""
        parts = by.rsplit("/", 2) if by else ()
        return cls(parts[0], parts[1]) if len(parts) == 3 and all(parts) else None


class Read(NamedTuple):
    """What a call saw when it read a key: the writer ("run/call/attempt") and the ETag.

    Both are None where the read is declared only; then `at`, the lineage's clock when it was
    recorded, is all that tells the version.
    """

    by: str | None = None
    etag: str | None = None
    at: int = 0

    @property
    def is_declared(self) -> bool:
        """Whether nobody has said what was seen."""
        return self.by is None and self.etag is None


@dataclass(frozen=True, slots=True)
class CallRecord:
    """What is needed to run a call again.

    `params` are resolved: no references are left in them. `protocol` says that the action is told
    the context (and so what to restore).
    """

    ref: CallRef
    action: str
    params: JSON = field(default=None, hash=False)
    idempotent: bool = True
    protocol: bool = True
    ownership: Literal["last", "shared"] = "last"
    declared_reads: tuple[str, ...] = ()
    declared_writes: tuple[str, ...] = ()
    terms: Terms = field(default_factory=Terms)


@dataclass(frozen=True, slots=True)
class Version:
    """One writing of an object.

    `etag` is None where the writing was declared and never seen. `succeeded` says how the attempt
    ended: what a failed one wrote is in the store as well. `order` is the lineage's clock when it
    was recorded; the order that counts is that of `Lineage.versions`.
    """

    key: str
    writer: CallRef
    attempt: str
    etag: str | None
    size: int | None
    sha256: str | None
    order: int
    succeeded: bool = True

    @property
    def by(self) -> str:
        """`run/call/attempt`, as it stands in the object's metadata."""
        return f"{self.writer}/{self.attempt}"


class Divergence(NamedTuple):
    """A call wrote an object again and the bytes differ: its action is not deterministic."""

    key: str
    call: CallRef
    before: Version
    after: Version


@dataclass(slots=True)
class _Entry:
    call: CallRecord
    reads: dict[str, Read] = field(default_factory=dict)
    writes: dict[str, tuple[Version, ...]] = field(default_factory=dict)
    succeeded: bool = False
    has_read: bool = False


class Lineage:
    """The versions that are known, their writers and their readers."""

    def __init__(self) -> None:
        self._entries: dict[CallRef, _Entry] = {}
        self._writers: dict[str, list[CallRef]] = {}
        self._awaited: set[tuple[str, CallRef]] = set()  # seen by a later writer, not yet recorded
        self._clock = 0

    @property
    def clock(self) -> int:
        """A mark for `wrote_since`; grows with every new version."""
        return self._clock

    def record(
        self,
        call: CallRecord,
        attempt: str,
        *,
        reads: Iterable[IORecord] | None = None,
        writes: Iterable[IORecord] | None = None,
        succeeded: bool = True,
        earlier: bool = False,
    ) -> list[Divergence]:
        """Take in what an attempt read and wrote; gives the objects that it made differently.

        `reads` and `writes` are None where the attempt reported nothing; then what is declared
        counts (writes only if it succeeded, or if nobody else is known to write the key). Failed
        attempts belong here too: what they wrote is in the store. What a call wrote itself is no
        input of it, and a write that was `kept` is no new version. With `earlier` the call is of a
        run before all that are known here, whatever the moment it was found. An attempt may be
        recorded again. Calls that neither report nor declare anything take no room.
        """
        ref = call.ref
        reports = reads is not None or writes is not None
        declares = call.declared_reads or call.declared_writes
        if not (reports or declares or ref in self._entries):
            return []
        entry = self._entries.setdefault(ref, _Entry(call))
        entry.call = call
        self._note_reads(entry, reads or ())
        if succeeded:
            entry.has_read = entry.has_read or reads is not None
            if not entry.succeeded:
                entry.succeeded = True
                self._move_to_end(ref, entry)  # so far it only failed: this is its place
        found = []
        for version in self._versions_of(call, attempt, writes, succeeded):
            before = self._add(entry, version, earlier=earlier)
            if before is not None:
                found.append(Divergence(version.key, ref, before, version))
        return found

    def call(self, ref: CallRef) -> CallRecord | None:
        """How to run the call again, None if it is not known."""
        entry = self._entries.get(ref)
        return None if entry is None else entry.call

    def writers(self, key: str) -> Sequence[CallRef]:
        """The calls that wrote the key, in the order of their writing, each once."""
        return self._writers.get(key, ())

    def versions(self, key: str) -> list[Version]:
        """Every known version of the key, oldest first; one writer's attempts stand together."""
        return [v for ref in self.writers(key) for v in self._entries[ref].writes[key]]

    def latest(self, key: str) -> Version | None:
        """The newest version of the key, None if nothing known wrote it."""
        writers = self.writers(key)
        return self._entries[writers[-1]].writes[key][-1] if writers else None

    def written(self, ref: CallRef, key: str) -> tuple[Version, ...]:
        """The versions of the key that the call wrote, oldest first."""
        entry = self._entries.get(ref)
        return () if entry is None else entry.writes.get(key, ())

    def reads_of(self, ref: CallRef) -> Mapping[str, Read]:
        """What the call reads, declared or reported by any attempt, and the version that it saw.

        Of several attempts the first successful one counts, before it the last.
        """
        entry = self._entries.get(ref)
        return {} if entry is None else entry.reads

    def writes_of(self, ref: CallRef) -> tuple[str, ...]:
        """The keys that the call wrote."""
        entry = self._entries.get(ref)
        return () if entry is None else tuple(entry.writes)

    def has_read(self, ref: CallRef) -> bool:
        """Whether a successful attempt of the call ever reported reads."""
        entry = self._entries.get(ref)
        return entry is not None and entry.has_read

    def wrote_since(self, key: str, mark: int) -> bool:
        """Whether a version of the key was recorded after `clock` stood at `mark`."""
        return any(v.order > mark for v in self.versions(key))

    def _tick(self) -> int:
        self._clock += 1
        return self._clock

    def _note_reads(self, entry: _Entry, reads: Iterable[IORecord]) -> None:
        ref = entry.call.ref
        for key in entry.call.declared_reads:
            entry.reads.setdefault(key, Read(at=self._clock))
        for record in reads:
            source = CallRef.of(record.by)
            if source == ref:
                continue
            known = entry.reads.get(record.key)
            if entry.succeeded and known is not None and not known.is_declared:
                continue  # running again, it may see newer versions; what its success saw stands
            entry.reads[record.key] = Read(record.by, record.etag, self._clock)
            if record.key in entry.writes and not entry.succeeded:
                self._honour(record.key, ref, source)

    def _versions_of(
        self, call: CallRecord, attempt: str, writes: Iterable[IORecord] | None, succeeded: bool
    ) -> list[Version]:
        ref, out = call.ref, []
        for w in writes or ():
            wrote = attempt
            if w.kept:
                if w.by is None or CallRef.of(w.by) != ref:
                    continue
                wrote = w.by.rsplit("/", 1)[1]
                if any(v.attempt == wrote for v in self.written(ref, w.key)):
                    continue  # else the version of an attempt that we have no record of
            out.append(
                Version(w.key, ref, wrote, w.etag, w.size, w.sha256, self._tick(), succeeded)
            )
        if writes is None:
            for key in call.declared_writes:
                if not self.written(ref, key) and (succeeded or not self.writers(key)):
                    at = self._tick()
                    out.append(Version(key, ref, attempt, None, None, None, at, succeeded))
        return out

    def _move_to_end(self, ref: CallRef, entry: _Entry) -> None:
        for key in entry.writes:
            if self._writers[key][-1] != ref:
                self._writers[key].remove(ref)
                self._writers[key].append(ref)
                self._settle(key)

    def _add(self, entry: _Entry, version: Version, *, earlier: bool) -> Version | None:
        """Keep the version; gives an earlier one that proves the action not deterministic."""
        before = entry.writes.get(version.key)
        if before is None:
            entry.writes[version.key] = (version,)
            self._place(entry, version.key, earlier=earlier)
            return None
        others = tuple(v for v in before if v.attempt != version.attempt)
        if len(others) == len(before):
            entry.writes[version.key] = (*before, version)
        else:  # the same attempt again keeps its place
            entry.writes[version.key] = tuple(
                replace(version, order=v.order) if v.attempt == version.attempt else v
                for v in before
            )
        first = next((v for v in others if v.succeeded and v.etag is not None), None)
        differs = first is not None and version.succeeded and _differ(first, version)
        return first if differs else None

    def _place(self, entry: _Entry, key: str, *, earlier: bool) -> None:
        ref = entry.call.ref
        writers = self._writers.setdefault(key, [])
        writers.insert(0 if earlier else len(writers), ref)
        if key in entry.reads:
            self._honour(key, ref, CallRef.of(entry.reads[key].by))
        if (key, ref) in self._awaited:
            self._awaited.discard((key, ref))
            self._settle(key)

    def _honour(self, key: str, ref: CallRef, source: CallRef | None) -> None:
        """`ref` saw the version of `source` before it wrote its own: put them into that order."""
        if source is None:
            return
        writers = self._writers[key]
        if not self.written(source, key):
            self._awaited.add((key, source))
        elif writers[-1] != ref and writers.index(source) > writers.index(ref):
            self._settle(key)

    def _settle(self, key: str) -> None:
        """Order the writers of a key anew: what was seen comes before who saw it."""
        known = set(self._writers[key])
        placed: dict[CallRef, None] = {}
        for ref in self._writers[key]:
            chain: dict[CallRef, None] = {}
            at: CallRef | None = ref
            while at is not None and at in known and at not in placed and at not in chain:
                chain[at] = None
                read = self._entries[at].reads.get(key)
                at = None if read is None else CallRef.of(read.by)
            placed.update(dict.fromkeys(reversed(chain)))
        self._writers[key] = list(placed)


def _differ(one: Version, other: Version) -> bool:
    """Whether the two are known to hold other bytes; ETags of unequal form are no evidence."""
    if one.sha256 is not None and other.sha256 is not None:
        return one.sha256.lower() != other.sha256.lower()
    first, second = _ETAG.fullmatch(_plain(one.etag)), _ETAG.fullmatch(_plain(other.etag))
    if first is None or second is None or first[1] != second[1]:
        return False
    return first[0] != second[0]


def _plain(etag: str | None) -> str:
    return (etag or "").strip('"').lower()
