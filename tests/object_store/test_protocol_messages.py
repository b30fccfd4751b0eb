"""What the action's side says and takes, held against the schema of protocol 1."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from protocol import SCHEMA, faults

from object_store import NoSuchKey, action, open_store
from object_store.wire import IO, Context, Failure, IORecord, WireError, receipt_key

CONTEXT = Context("r1", "c.0", "a1")
NAMES = st.text("abc0189-_", min_size=1, max_size=12)
KEYS = st.builds("{}-b/{}".format, st.text("abc09", min_size=2, max_size=8), NAMES)
NUMBERS = st.integers(0, 2**53 - 1)
CONTEXTS = st.builds(
    Context,
    run=NAMES,
    call=NAMES,
    attempt=NAMES,
    try_=st.integers(1, 99),
    restore=st.none() | st.lists(KEYS, max_size=3).map(tuple),
    params=st.none() | KEYS,
)
FACTS: dict[str, Any] = {
    "key": KEYS,
    "size": NUMBERS,
    "etag": st.text(min_size=1),
    "sha256": st.none() | st.text("0123456789abcdef", min_size=64, max_size=64),
    "at": NUMBERS,
    "ms": NUMBERS,
}
READS = st.builds(IORecord, **FACTS, by=st.none() | NAMES)
WRITES = st.builds(IORecord, **FACTS) | st.builds(
    IORecord, **FACTS, by=st.none() | NAMES, kept=st.just(True)
)
IOS = st.builds(
    IO,
    attempt=NAMES,
    reads=st.lists(READS, max_size=3).map(tuple),
    writes=st.lists(WRITES, max_size=3).map(tuple),
    receipt=st.none() | KEYS,
    context=st.none() | CONTEXTS,
)
FAILURES = st.builds(
    Failure,
    code=st.text(max_size=10).filter(lambda code: code != "NoSuchKey"),
    message=st.text(max_size=10),
    meta=st.dictionaries(NAMES.filter(lambda n: n != "key"), st.integers(), max_size=2),
    io=st.none() | IOS,
) | st.builds(
    Failure,
    code=st.just("NoSuchKey"),
    message=st.text(max_size=10),
    meta=st.fixed_dictionaries({"key": KEYS}),
    io=st.none() | IOS,
)
READERS: dict[str, Any] = {
    "context": Context.from_json,
    "io": IO.from_json,
    "record": IORecord.from_json,
    "error": Failure.from_json,
}


def wrong() -> list[tuple[str, Any]]:
    context = CONTEXT.to_json()
    record = IORecord("films/a", 1, "e").to_json()
    io = IO("a1", (IORecord("films/a", 1, "e"),)).to_json()
    return [
        ("context", {**context, "v": 2}),
        ("context", {k: v for k, v in context.items() if k != "attempt"}),
        ("context", {**context, "restore": "films/a"}),
        ("context", {**context, "restore": [7]}),
        ("context", {**context, "try": "2"}),
        ("context", "r1/c/a1"),
        ("record", {**record, "size": "1"}),
        ("record", {**record, "size": 1.5}),
        ("record", {**record, "size": True}),
        ("record", {**record, "size": 1 << 60}),
        ("record", {**record, "at": 1e300}),
        ("record", {k: v for k, v in record.items() if k != "etag"}),
        ("io", {**io, "v": None}),
        ("io", {**io, "reads": {}}),
        ("io", {**io, "receipt": 7}),
        ("io", {**io, "context": {"v": 1}}),
        ("error", {"code": "E", "message": "m", "io": {"v": 1}}),
    ]


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@given(CONTEXTS)
def test_every_context_is_in_the_schema(context: Context) -> None:
    assert faults(context.to_json(), "context") == []


@given(IOS)
def test_every_io_is_in_the_schema(io: IO) -> None:
    assert faults(io.to_json(), "io") == []


@given(FAILURES)
def test_every_failure_is_in_the_schema(failure: Failure) -> None:
    assert faults({"error": failure.to_json()}, "failure") == []


@pytest.mark.parametrize(("kind", "message"), wrong())
def test_what_is_not_in_the_schema_is_refused(kind: str, message: Any) -> None:
    assert faults(message, kind)
    with pytest.raises(WireError):
        READERS[kind](message)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("record", {"key": "films/\ud800", "size": 1, "etag": "e"}),
        ("record", {"key": "films/a", "size": 1, "etag": "e", "by": "r/c/\udfff"}),
        ("context", {**CONTEXT.to_json(), "restore": ["films/\ud800"]}),
    ],
)
def test_text_that_no_store_could_take_is_refused(kind: str, message: Any) -> None:
    with pytest.raises(WireError, match="not valid Unicode"):
        READERS[kind](message)


def test_whole_numbers_may_be_written_with_a_point() -> None:
    """As some languages do: 1.764E12 in Java."""
    record = json.loads('{"key": "films/a", "size": 7.0, "etag": "e", "at": 1.764E12, "ms": 0}')
    assert faults(record, "record") == []
    read = IORecord.from_json(record)
    assert (read.size, read.at) == (7, 1764000000000)
    assert isinstance(read.size, int)


@pytest.mark.parametrize(
    "message",
    [
        {"code": "NoSuchKey", "message": "gone"},
        {"code": "NoSuchKey", "message": "gone", "meta": {}},
        {"code": "NoSuchKey", "message": "gone", "meta": {"keys": []}},
    ],
)
def test_a_missing_object_has_to_be_named(message: Any) -> None:
    assert faults({"error": message}, "failure")


@action
async def work(args: Any, store: Any) -> Any:
    """Reads, writes, and does what else it is told."""
    if "read" in args:
        await store.get(args["read"])
    await store.put("out/small", "x")
    if args.get("slow"):
        time.sleep(1.1)  # noqa: ASYNC251, TID251 -- over the time after which there is a receipt
    return [1, 2] if args.get("list") else {"size": "x" * args.get("bytes", 1)}


def answers(url: str, **params: Any) -> Any:
    return work({"object_store_url": url, "_aowhisk": CONTEXT.to_json(), **params})


async def receipt(url: str) -> Any:
    async with open_store(url) as store:
        return json.loads(await store.get(receipt_key("r1", "c.0", "a1")))


@pytest.mark.parametrize("bytes_", [1, 100_000, 600_000])
async def test_results_of_any_size_are_in_the_schema(tmp_path: Path, bytes_: int) -> None:
    url = f"folder://{tmp_path}"
    answer = answers(url, bytes=bytes_)
    assert faults(answer, "answer") == []
    if bytes_ > 1:
        assert faults(await receipt(url), "receipt") == []


async def test_so_are_a_list_and_its_receipt(tmp_path: Path) -> None:
    url = f"folder://{tmp_path}"
    answer = answers(url, list=True)
    assert answer == [1, 2]
    assert faults(answer, "answer") == []
    assert faults(await receipt(url), "receipt") == []


async def test_so_are_errors_and_those_of_slow_calls(tmp_path: Path) -> None:
    url = f"folder://{tmp_path}"
    answer = answers(url, read="films/gone")
    assert answer["error"]["code"] == NoSuchKey.__name__
    assert faults(answer, "failure") == []
    assert faults(answers(url, slow=True), "answer") == []
    assert faults(await receipt(url), "receipt") == []
    assert faults(answers(url, bytes="seven"), "failure") == []


def test_so_is_what_a_recovery_attempt_left_as_it_was(tmp_path: Path) -> None:
    url = f"folder://{tmp_path}"
    answers(url)
    again = Context("r1", "c.0", "a2", restore=("out/other",)).to_json()
    answer = work({"object_store_url": url, "_aowhisk": again})
    assert [w.get("kept") for w in answer["_io"]["writes"]] == [True]
    assert faults(answer, "answer") == []


def test_so_is_what_the_next_component_of_a_sequence_is_given(tmp_path: Path) -> None:
    first = answers(f"folder://{tmp_path}")
    assert faults(first, "call") == []
    assert faults(work({"object_store_url": f"folder://{tmp_path}", **first}), "answer") == []
