"""Lineage: versions, their order, and what proves that an action is not deterministic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aowhisk.lineage import CallRecord, CallRef, Lineage, Read
from object_store.wire import IORecord

RUN = "r1"
MD5 = "0123456789abcdef0123456789abcde"


def a_call(name: str, run: str = RUN, **fields: object) -> CallRecord:
    return CallRecord(CallRef(run, name), action=name, **fields)  # type: ignore[arg-type]


def io(key: str, etag: str = "e", by: str | None = None, **fields: object) -> IORecord:
    return IORecord(key, 1, etag, by=by, **fields)  # type: ignore[arg-type]


def ref(name: str) -> CallRef:
    return CallRef(RUN, name)


def names(lineage: Lineage, key: str) -> list[str]:
    return [writer.call for writer in lineage.writers(key)]


def test_a_write_is_a_version_of_its_key() -> None:
    lineage = Lineage()
    lineage.record(a_call("split"), "a1", writes=[IORecord("b/x", 7, "etag", sha256="sum")])
    version = lineage.latest("b/x")
    assert version is not None
    assert (version.writer, version.attempt, version.by) == (ref("split"), "a1", "r1/split/a1")
    assert (version.etag, version.size, version.sha256) == ("etag", 7, "sum")
    assert lineage.versions("b/x") == [version]
    assert lineage.writes_of(ref("split")) == ("b/x",)


def test_of_what_is_unknown_there_is_nothing() -> None:
    lineage = Lineage()
    assert lineage.latest("b/x") is None
    assert lineage.versions("b/x") == []
    assert list(lineage.writers("b/x")) == []
    assert lineage.call(ref("x")) is None
    assert (dict(lineage.reads_of(ref("x"))), lineage.writes_of(ref("x"))) == ({}, ())
    assert lineage.written(ref("x"), "b/x") == ()
    assert not lineage.has_read(ref("x"))


@pytest.mark.parametrize(
    ("by", "call"),
    [
        ("r/c/a", CallRef("r", "c")),
        ("team/r/c.3/a", CallRef("team/r", "c.3")),
        (None, None),
        ("", None),
        ("somebody", None),
        ("r//a", None),
    ],
)
def test_by_names_a_call_or_none(by: str | None, call: CallRef | None) -> None:
    assert CallRef.of(by) == call


def test_a_failed_attempt_counts_because_its_objects_are_in_the_store() -> None:
    lineage = Lineage()
    lineage.record(
        a_call("w"), "a1", reads=[io("b/in", by="r1/s/a")], writes=[io("b/x")], succeeded=False
    )
    assert names(lineage, "b/x") == ["w"]
    assert lineage.reads_of(ref("w")) == {"b/in": Read("r1/s/a", "e", 0)}
    assert not lineage.has_read(ref("w"))


def test_a_success_that_reports_has_read_even_if_it_read_nothing() -> None:
    lineage = Lineage()
    lineage.record(a_call("w"), "a1", reads=[], writes=[])
    lineage.record(a_call("v"), "a1")
    assert lineage.has_read(ref("w"))
    assert not lineage.has_read(ref("v"))


def test_what_is_declared_counts_for_a_call_that_reports_nothing() -> None:
    lineage = Lineage()
    lineage.record(a_call("w", declared_reads=("b/in",), declared_writes=("b/out",)), "a1")
    version = lineage.latest("b/out")
    assert version is not None
    assert version.etag is None
    assert lineage.reads_of(ref("w"))["b/in"].is_declared


def test_a_declared_write_that_a_report_leaves_out_was_not_made() -> None:
    lineage = Lineage()
    lineage.record(a_call("w", declared_writes=("b/out",)), "a1", reads=[], writes=[])
    assert lineage.latest("b/out") is None


def test_a_declared_write_of_a_failure_counts_only_where_nobody_else_wrote() -> None:
    lineage = Lineage()
    lineage.record(a_call("w", declared_writes=("b/x",)), "a1", succeeded=False)
    lineage.record(a_call("v", declared_writes=("b/x", "b/y")), "a1", succeeded=False)
    assert (names(lineage, "b/x"), names(lineage, "b/y")) == (["w"], ["v"])


def test_a_reported_read_says_more_than_a_declared_one() -> None:
    lineage = Lineage()
    lineage.record(a_call("w", declared_reads=("b/in",)), "a1", reads=[io("b/in", "e9", "r1/s/a")])
    assert lineage.reads_of(ref("w"))["b/in"][:2] == ("r1/s/a", "e9")


def test_what_a_call_wrote_itself_is_no_input_of_it() -> None:
    lineage = Lineage()
    lineage.record(a_call("w"), "a1", reads=[io("b/x", by="r1/v/a")], writes=[io("b/x")])
    lineage.record(a_call("w"), "a2", reads=[io("b/x", by="r1/w/a1")], writes=[io("b/x")])
    assert lineage.reads_of(ref("w")) == {"b/x": Read("r1/v/a", "e", 0)}


def test_without_proof_the_order_of_the_journal_holds() -> None:
    lineage = Lineage()
    for name in ("w1", "w2", "w3"):
        lineage.record(a_call(name), "a1", writes=[io("b/x", name)])
    assert names(lineage, "b/x") == ["w1", "w2", "w3"]


def test_a_writer_that_saw_another_comes_after_it_whenever_it_is_recorded() -> None:
    lineage = Lineage()
    lineage.record(a_call("w3"), "a", reads=[io("b/x", by="r1/w2/a")], writes=[io("b/x", "3")])
    lineage.record(a_call("w2"), "a", reads=[io("b/x", by="r1/w1/a")], writes=[io("b/x", "2")])
    lineage.record(a_call("w1"), "a", writes=[io("b/x", "1")])
    assert names(lineage, "b/x") == ["w1", "w2", "w3"]
    assert [v.etag for v in lineage.versions("b/x")] == ["1", "2", "3"]


def test_a_read_that_is_known_only_later_corrects_the_order() -> None:
    lineage = Lineage()
    lineage.record(a_call("w2"), "a1", writes=[io("b/x")], succeeded=False)
    lineage.record(a_call("other"), "a1", writes=[io("b/x")])
    lineage.record(a_call("w1"), "a1", writes=[io("b/x")])
    lineage.record(a_call("w2"), "a2", reads=[io("b/x", by="r1/w1/a1")], succeeded=False)
    assert names(lineage, "b/x") == ["w1", "w2", "other"]


def test_writers_that_claim_to_have_seen_each_other_keep_the_order_of_the_journal() -> None:
    lineage = Lineage()
    lineage.record(a_call("w1"), "a", reads=[io("b/x", by="r1/w2/a")], writes=[io("b/x")])
    lineage.record(a_call("w2"), "a", reads=[io("b/x", by="r1/w1/a")], writes=[io("b/x")])
    assert sorted(names(lineage, "b/x")) == ["w1", "w2"]


def test_a_call_that_writes_its_object_again_keeps_its_place() -> None:
    lineage = Lineage()
    lineage.record(a_call("w1"), "a1", writes=[io("b/x", "1")])
    lineage.record(a_call("w2"), "a1", writes=[io("b/x", "2")])
    lineage.record(a_call("w1"), "a2", writes=[io("b/x", "1")])
    assert names(lineage, "b/x") == ["w1", "w2"]
    assert [v.by for v in lineage.versions("b/x")] == ["r1/w1/a1", "r1/w1/a2", "r1/w2/a1"]


def test_a_call_that_sees_a_newer_version_when_it_runs_again_keeps_its_place() -> None:
    lineage = Lineage()
    lineage.record(a_call("w0"), "a1", writes=[io("b/x", "0")])
    lineage.record(a_call("w1"), "a1", reads=[io("b/x", by="r1/w0/a1")], writes=[io("b/x", "1")])
    lineage.record(a_call("w2"), "a1", writes=[io("b/x", "2")])
    lineage.record(a_call("w1"), "a2", reads=[io("b/x", by="r1/w2/a1")], writes=[io("b/x", "1")])
    assert names(lineage, "b/x") == ["w0", "w1", "w2"]
    assert lineage.reads_of(ref("w1"))["b/x"].by == "r1/w0/a1"


def test_a_call_that_only_failed_before_takes_the_place_of_its_success() -> None:
    lineage = Lineage()
    lineage.record(a_call("w1"), "a1", writes=[io("b/x", "1")], succeeded=False)
    lineage.record(a_call("w2"), "a1", writes=[io("b/x", "2")])
    lineage.record(a_call("w1"), "a2", writes=[io("b/x", "1")])
    assert names(lineage, "b/x") == ["w2", "w1"]


def test_a_call_of_an_earlier_run_comes_before_those_that_are_known() -> None:
    lineage = Lineage()
    lineage.record(a_call("w"), "a1", writes=[io("b/x")])
    lineage.record(a_call("w", "r0"), "a1", writes=[io("b/x"), io("b/y")], earlier=True)
    assert list(lineage.writers("b/x")) == [CallRef("r0", "w"), CallRef("r1", "w")]


def test_an_object_left_as_it_was_is_no_new_version() -> None:
    lineage = Lineage()
    lineage.record(a_call("w"), "a1", writes=[io("b/x"), io("b/y")])
    mark = lineage.clock
    kept = io("b/y", by="r1/w/a1", kept=True)
    assert lineage.record(a_call("w"), "a2", writes=[io("b/x"), kept]) == []
    assert [v.attempt for v in lineage.versions("b/x")] == ["a1", "a2"]
    assert [v.attempt for v in lineage.versions("b/y")] == ["a1"]
    assert lineage.wrote_since("b/x", mark)
    assert not lineage.wrote_since("b/y", mark)


def test_an_object_left_as_it_was_tells_of_an_attempt_without_a_record() -> None:
    lineage = Lineage()
    kept = io("b/y", "e7", by="r1/w/a0", kept=True)
    foreign = io("b/z", by="r9/else/a0", kept=True)
    lineage.record(a_call("w"), "a1", writes=[kept, foreign])
    assert [(v.attempt, v.etag) for v in lineage.versions("b/y")] == [("a0", "e7")]
    assert lineage.latest("b/z") is None


def test_recording_an_attempt_again_changes_nothing() -> None:
    lineage = Lineage()
    for _ in range(2):
        lineage.record(a_call("w1"), "a1", reads=[io("b/in")], writes=[io("b/x")])
    before = lineage.versions("b/x")
    assert len(before) == 1
    assert not lineage.wrote_since("b/x", before[0].order)


@pytest.mark.parametrize(
    ("before", "after", "differs"),
    [
        ((MD5 + "0", None), (MD5 + "1", None), True),
        ((MD5 + "0", None), ('"' + MD5.upper() + '0"', None), False),
        ((MD5 + "0-3", None), (MD5 + "1-3", None), True),
        ((MD5 + "0-3", None), (MD5 + "1-4", None), False),
        ((MD5 + "0", None), (MD5 + "1-1", None), False),
        (("opaque1", None), ("opaque2", None), False),
        ((MD5 + "0", "s1"), (MD5 + "1", "s1"), False),
        ((MD5 + "0", "s1"), (MD5 + "0", "s2"), True),
        ((MD5 + "0", "s1"), (MD5 + "1", None), True),
    ],
)
def test_other_bytes_from_the_same_call_are_a_divergence_if_there_is_evidence(
    before: tuple[str, str | None], after: tuple[str, str | None], differs: bool
) -> None:
    lineage = Lineage()
    lineage.record(a_call("w"), "a1", writes=[IORecord("b/x", 1, before[0], sha256=before[1])])
    again = [IORecord("b/x", 1, after[0], sha256=after[1])]
    found = lineage.record(a_call("w"), "a2", writes=again)
    assert [(d.key, d.call, d.before.attempt, d.after.attempt) for d in found] == (
        [("b/x", ref("w"), "a1", "a2")] if differs else []
    )


def test_a_failed_attempt_and_another_call_are_no_evidence() -> None:
    lineage = Lineage()
    lineage.record(a_call("w"), "a1", writes=[io("b/x", MD5 + "0")], succeeded=False)
    assert lineage.record(a_call("w"), "a2", writes=[io("b/x", MD5 + "1")]) == []
    assert lineage.record(a_call("v"), "a1", writes=[io("b/x", MD5 + "2")]) == []
    assert lineage.record(a_call("w"), "a3", writes=[io("b/x", MD5 + "3")], succeeded=False) == []


@given(st.permutations(range(6)))
def test_a_chain_of_writers_is_in_order_however_its_records_arrive(order: list[int]) -> None:
    lineage = Lineage()
    for n in order:
        reads = [io("b/x", by=f"r1/w{n - 1}/a")] if n else []
        lineage.record(a_call(f"w{n}"), "a", reads=reads, writes=[io("b/x", str(n))])
    assert names(lineage, "b/x") == [f"w{n}" for n in range(6)]
