"""What `@action` makes of a function: called as OpenWhisk calls it, over real stores."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import anyio
import pytest

import object_store
from object_store import NoSuchKey, ObjectStore, StoreError, action, open_store
from object_store.blocking import BlockingStore
from object_store.failures import KEYS, MESSAGE
from object_store.wire import IO, Context, receipt_key

CONTEXT = Context(run="r1", call="split", attempt="a1")
BY = "r1/split/a1"
RECEIPT = receipt_key("r1", "split", "a1")
Args = dict[str, Any]


@pytest.fixture(params=["memory", "folder"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store that actions of this process are deployed with."""
    found = f"memory://{uuid.uuid4().hex}"
    if request.param == "folder":
        found = f"folder://{tmp_path / 'store'}"
    monkeypatch.setenv("OBJECT_STORE_URL", found)
    return found


def call(main: Any, context: Context | None = CONTEXT, **args: Any) -> Any:
    if context is not None:
        args["_aowhisk"] = context.to_json()
    answer = main(args)
    return json.loads(json.dumps(answer, allow_nan=False, ensure_ascii=False).encode())


async def put(url: str, key: str, data: bytes | str, context: Context | None = None) -> str:
    async with open_store(url, context=context) as store:
        return (await store.put(key, data)).etag


async def get(url: str, key: str) -> bytes:
    async with open_store(url) as store:
        return await store.get(key)


async def has(url: str, key: str) -> bool:
    async with open_store(url) as store:
        return await store.exists(key)


@action
async def copy(args: Args, store: ObjectStore) -> Args:
    await store.put(store.key("out/copy"), await store.get(args["of"]))
    return {"key": store.key("out/copy")}


@action
def copy_plainly(args: Args, store: BlockingStore) -> Args:
    path = store.download(args["of"])
    store.upload(store.key("out/copy"), path)
    return {"key": store.key("out/copy")}


@pytest.mark.parametrize("main", [copy, copy_plainly])
async def test_what_an_action_reads_and_writes_goes_back(url: str, main: Any) -> None:
    other = Context(run="r0", call="up", attempt="a0")
    etag = await put(url, "src/x", b"hello", other)
    answer = call(main, of="src/x")
    assert answer["key"] == "out/r1/copy"
    io = IO.from_json(answer["_io"])
    assert (io.attempt, io.context) == ("a1", CONTEXT)
    (read,), (write,) = io.reads, io.writes
    sha256 = hashlib.sha256(b"hello").hexdigest()
    assert (read.key, read.size, read.etag, read.by) == ("src/x", 5, etag, "r0/up/a0")
    assert (write.key, write.size, write.etag, write.by) == ("out/r1/copy", 5, etag, None)
    assert read.sha256 == write.sha256 == sha256
    async with open_store(url) as store:
        assert (await store.head("out/r1/copy")).by == BY


async def test_without_a_context_keys_are_as_they_are(url: str) -> None:
    await put(url, "src/x", b"hello")
    answer = call(copy, None, of="src/x")
    assert answer["key"] == "out/copy"
    assert answer["_io"]["attempt"] == ""
    assert "context" not in answer["_io"]


def test_reserved_params_do_not_reach_the_function(url: str) -> None:
    @action()
    def main(args: Args) -> Args:
        return {"args": args}

    assert call(main, a=1, _io=IO("a0").to_json(), object_store_url=url)["args"] == {"a": 1}


def test_the_callers_params_are_left_alone(url: str) -> None:
    args = {"_aowhisk": CONTEXT.to_json(), "a": 1}
    action(lambda args: args.clear() or {})(args)
    assert args == {"_aowhisk": CONTEXT.to_json(), "a": 1}


def test_an_action_has_the_signature_that_openwhisk_calls() -> None:
    assert copy.__name__ == "copy"  # type: ignore[attr-defined]
    assert asyncio.iscoroutinefunction(copy.__wrapped__)
    assert not asyncio.iscoroutinefunction(copy)


def by_position(args: Args, bucket: BlockingStore) -> Args:
    return {"store": bucket.url}


def by_name(args: Args, *, store: BlockingStore) -> Args:
    return {"store": store.url}


def by_default(args: Args, store: BlockingStore | None = None) -> Args:
    return {"store": store and store.url}


async def by_name_async(args: Args, retries: int = 3, *, store: ObjectStore) -> Args:
    return {"store": store.url}


def with_options(args: Args, verbose: bool = False, **more: object) -> Args:
    return {"store": None, "verbose": verbose, "more": more}


@pytest.mark.parametrize("function", [by_position, by_name, by_default, by_name_async])
def test_a_function_gets_the_store_where_it_asks_for_it(url: str, function: Any) -> None:
    assert call(action(function))["store"] == url


def test_a_second_parameter_with_a_default_is_no_store(url: str) -> None:
    answer = call(action(with_options))
    assert (answer["store"], answer["verbose"], answer["more"]) == (None, False, {})


def test_a_partial_is_a_function_too(url: str) -> None:
    def main(args: Args, store: BlockingStore, unit: str) -> Args:
        return {"unit": unit, "store": store.url}

    answer = call(action(functools.partial(main, unit="px")))
    assert (answer["unit"], answer["store"]) == ("px", url)


def test_a_function_that_cannot_be_called_so_is_refused_at_once() -> None:
    def nothing() -> Args:
        return {}

    def too_much(args: Args, store: object, more: object) -> Args:
        return {}

    for function in (nothing, too_much):
        with pytest.raises(TypeError, match=r"main\(args, store\)"):
            action(function)


async def test_a_missing_object_is_told_by_its_key(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for main in (copy, copy_plainly):
        error = call(main, of="src/gone")["error"]
        assert error["code"] == "NoSuchKey"
        assert error["meta"] == {"key": "src/gone", "store": url}
        assert error["io"]["attempt"] == "a1"
        assert "Traceback" in capsys.readouterr().err


def test_missing_objects_in_a_group_are_all_told(url: str) -> None:
    @action
    async def main(args: Args, store: ObjectStore) -> Args:
        async def read(name: str) -> None:
            try:
                await store.get(name)
            except NoSuchKey as error:
                missing.append(error)

        missing: list[NoSuchKey] = []
        async with anyio.create_task_group() as group:
            for n in range(args["n"]):
                group.start_soon(read, f"src/{n}")
        raise Group(missing)

    class Group(Exception):
        def __init__(self, errors: list[NoSuchKey]) -> None:
            super().__init__("several")
            self.exceptions = (ValueError("x"), *sorted(errors, key=lambda e: e.key))

    meta = call(main, n=3)["error"]["meta"]
    assert (meta["key"], meta["keys"]) == ("src/0", ["src/0", "src/1", "src/2"])
    assert len(call(main, n=KEYS + 9)["error"]["meta"]["keys"]) == KEYS


def test_a_real_group_of_exceptions_is_told_by_its_first(url: str) -> None:
    @action
    async def main(args: Args, store: ObjectStore) -> Args:
        async with anyio.create_task_group() as group:
            group.start_soon(store.get, "src/gone")
        return {}

    assert call(main)["error"]["meta"]["key"] == "src/gone"


class Odd(Exception):
    code = "TooOdd"
    retryable = False

    def __init__(self, meta: object) -> None:
        super().__init__("seven")
        self.meta = meta


def test_an_exception_says_its_code_meta_and_whether_to_retry(url: str) -> None:
    @action
    def main(args: Args) -> Args:
        raise Odd({"number": 7, "path": Path("/x")})

    error = call(main)["error"]
    assert (error["code"], error["message"]) == ("TooOdd", "seven")
    assert error["meta"] == {"number": 7, "path": "/x", "retry": False}


def test_an_exception_without_a_code_is_told_by_its_class(url: str) -> None:
    @action
    def main(args: Args) -> Args:
        raise KeyError

    error = call(main)["error"]
    assert (error["code"], error["message"], error["meta"]) == ("KeyError", "KeyError", {})


def test_meta_that_is_no_json_does_not_hide_the_error(url: str) -> None:
    held: dict[str, Any] = {}
    held["self"] = held
    for meta in ({"x": float("nan")}, {(1, 2): 3}, held, {"big": "x" * 100_000}):
        error = call(action(functools.partial(fail, Odd(meta))))["error"]
        assert (error["code"], error["meta"]) == ("TooOdd", {"retry": False})


def fail(error: BaseException, args: Args) -> Args:
    raise error


def test_a_message_is_made_fit_to_be_sent(url: str) -> None:
    error = call(action(functools.partial(fail, OSError("bad \udcff name"))))["error"]
    assert error["message"] == r"bad \udcff name"
    error = call(action(functools.partial(fail, OSError("x" * 2_000_000))))["error"]
    assert len(error["message"]) < MESSAGE + 10


@pytest.mark.parametrize("status", [0, 1, "bye", None])
def test_an_action_that_exits_is_an_error_and_the_process_goes_on(url: str, status: Any) -> None:
    @action
    async def main(args: Args, store: ObjectStore) -> Args:
        sys.exit(status)

    error = call(main)["error"]
    assert error["code"] == "SystemExit"
    assert error["message"] == f"the action called sys.exit({status!r})"
    assert "error" in call(copy, of="src/gone")


def test_a_function_that_cancels_itself_is_an_error(url: str) -> None:
    @action
    async def main(args: Args, store: ObjectStore) -> Args:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.Event().wait()
        return {}

    assert call(main)["error"]["code"] == "CancelledError"


@pytest.mark.parametrize(
    "result",
    [None, "text", 3, (1,), {"x": float("nan")}, {"x": {1}}, {"x": "\udcff"}, [float("inf")]],
)
def test_a_result_that_is_no_json_object_is_refused(url: str, result: Any) -> None:
    error = call(action(lambda args: result))["error"]
    assert (error["code"], error["meta"]) == ("BadResult", {"retry": False})


def test_an_error_that_was_returned_keeps_its_fields(url: str) -> None:
    own = {"code": "NoFilm", "message": "no film", "meta": {"a": 1}, "hint": "h", "io": "mine"}
    error = call(action(lambda args: {"error": own, "lost": 1}))["error"]
    assert IO.from_json(error.pop("io")).attempt == "a1"
    assert error == {"code": "NoFilm", "message": "no film", "meta": {"a": 1}, "hint": "h"}
    error = call(action(lambda args: {"error": "no film"}))["error"]
    assert (error["code"], error["message"], error["io"]["attempt"]) == ("Error", "no film", "a1")


def test_an_error_that_is_too_large_is_made_short(url: str) -> None:
    own = {"code": "C", "message": "m", "meta": {"retry": False, "x": "x" * 600_000}}
    error = call(action(lambda args: {"error": own}))["error"]
    assert (error["code"], error["message"], error["meta"]) == ("C", "m", {"retry": False})
    assert error["io"]["receipt"] == RECEIPT


async def test_a_small_and_quick_result_leaves_no_receipt(url: str) -> None:
    assert call(action(lambda args: {"a": 1}))["a"] == 1
    assert not await has(url, RECEIPT)


async def test_a_result_over_64_kib_leaves_a_receipt_and_is_sent(url: str) -> None:
    text = "x" * (64 * 1024)
    answer = call(action(lambda args: {"text": text}))
    assert answer["text"] == text
    receipt = json.loads(await get(url, RECEIPT))
    assert receipt["result"] == {"text": text}
    assert Context.from_json(receipt["context"]) == CONTEXT
    assert IO.from_json(receipt["io"]) == IO.from_json(answer["_io"])


async def test_a_result_over_512_kib_is_named(url: str) -> None:
    text = "é" * (256 * 1024)
    answer = call(action(lambda args: {"text": text}))
    assert answer == {
        "_io": {"v": 1, "attempt": "a1", "context": CONTEXT.to_json(), "receipt": RECEIPT}
    }
    assert json.loads(await get(url, RECEIPT))["result"] == {"text": text}


async def test_many_records_are_named(url: str) -> None:
    @action
    async def main(args: Args, store: ObjectStore) -> Args:
        for n in range(400):
            await store.put(f"out/{n}", b"x")
        if args.get("fail"):
            raise ValueError("late")
        return {"n": 400}

    assert call(main)["_io"]["receipt"] == RECEIPT
    receipt = json.loads(await get(url, RECEIPT))
    assert receipt["result"] == {"n": 400}
    assert len(receipt["io"]["writes"]) == 400
    error = call(main, fail=True)["error"]
    assert (error["code"], error["io"]["receipt"]) == ("ValueError", RECEIPT)
    receipt = json.loads(await get(url, RECEIPT))
    assert (receipt["error"]["code"], len(receipt["io"]["writes"])) == ("ValueError", 400)


async def test_a_call_that_took_long_leaves_a_receipt(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["object_store.action"], "RECEIPT_AFTER", 0.0)
    assert call(action(lambda args: {"a": 1}))["a"] == 1
    assert json.loads(await get(url, RECEIPT))["result"] == {"a": 1}


async def test_a_list_goes_as_it_is_and_its_receipt_has_the_io(url: str) -> None:
    @action
    async def main(args: Args, store: ObjectStore) -> list[int]:
        await store.put("out/x", b"x")
        return [1, 2]

    assert call(main) == [1, 2]
    receipt = json.loads(await get(url, RECEIPT))
    assert receipt["result"] == [1, 2]
    assert receipt["io"]["writes"][0]["key"] == "out/x"


def test_a_receipt_that_cannot_be_left_does_not_lose_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("OBJECT_STORE_URL", f"folder://{tmp_path}/file/store")
    answer = call(action(lambda args: {"text": "x" * 600_000}))
    assert len(answer["text"]) == 600_000
    assert "no receipt could be left" in capsys.readouterr().err


async def test_params_that_lie_in_the_store_are_fetched(url: str) -> None:
    await put(url, "aowhisk/params/p.json", json.dumps({"a": 1, "b": 2}))
    context = Context("r1", "split", "a1", params="aowhisk/params/p.json")
    answer = call(action(lambda args: {"args": args}), context, a=0, c=3)
    assert answer["args"] == {"a": 1, "b": 2, "c": 3}
    assert answer["_io"]["reads"] == []


async def test_params_that_are_not_there_are_no_missing_object(url: str) -> None:
    context = Context("r1", "split", "a1", params="aowhisk/params/p.json")
    error = call(copy, context)["error"]
    assert (error["code"], error["io"]["attempt"]) == ("NoParams", "a1")
    await put(url, "aowhisk/params/p.json", "[1]")
    error = call(copy, context)["error"]
    assert (error["code"], error["meta"]) == ("WireError", {"retry": False})


def test_another_protocol_is_refused_by_name(url: str) -> None:
    error = copy({"_aowhisk": {**CONTEXT.to_json(), "v": 2}})["error"]
    assert error["code"] == "WireError"
    assert "protocol 1" in error["message"]


async def test_a_later_component_of_a_sequence_goes_on_for_the_same_call(url: str) -> None:
    await put(url, "src/x", b"hello")
    first = call(copy, of="src/x")
    second = copy_plainly({"_io": first["_io"], "of": first["key"]})
    io = IO.from_json(second["_io"])
    assert (io.attempt, io.context) == ("a1", CONTEXT)
    assert [r.key for r in io.reads] == ["src/x", "out/r1/copy"]
    assert [w.key for w in io.writes] == ["out/r1/copy", "out/r1/copy"]
    assert json.loads(await get(url, RECEIPT))["result"] == {"key": "out/r1/copy"}


async def test_a_large_result_passes_through_a_sequence(url: str) -> None:
    context = Context("r1", "split", "a1", params="aowhisk/params/p.json")
    await put(url, "aowhisk/params/p.json", json.dumps({"text": "first"}))

    @action
    async def first(args: Args, store: ObjectStore) -> Args:
        await store.put("out/x", args["text"])
        return {"text": "x" * 600_000}

    answer = call(first, context)
    assert list(answer) == ["_io"]
    last = action(lambda args: {"length": len(args["text"])})(answer)
    assert last["length"] == 600_000
    assert [w["key"] for w in last["_io"]["writes"]] == ["out/x"]
    assert json.loads(await get(url, RECEIPT))["result"] == {"length": 600_000}


def test_a_list_from_the_component_before_reaches_the_function(url: str) -> None:
    assert action(lambda args: {"got": args})([1, 2])["got"] == [1, 2]


async def test_a_recovery_attempt_restores_what_is_asked_and_leaves_the_rest(url: str) -> None:
    @action
    async def main(args: Args, store: ObjectStore) -> Args:
        await store.put("out/a", b"new a")
        await store.put("out/b", b"new b")
        await store.delete("out/b")
        await store.put("out/c", b"draft")
        await store.put("out/c", b"new c")
        return {}

    await put(url, "out/a", b"old", Context("r1", "split", "a0"))
    await put(url, "out/b", b"old", Context("r1", "other", "a0"))
    io = IO.from_json(call(main, Context("r1", "split", "a1", restore=("out/a",)))["_io"])
    assert [(w.key, w.kept, w.by) for w in io.writes] == [
        ("out/a", False, None),
        ("out/b", True, "r1/other/a0"),
        ("out/c", False, None),
        ("out/c", False, None),
    ]
    assert await get(url, "out/a") == b"new a"
    assert await get(url, "out/b") == b"old"
    assert await get(url, "out/c") == b"new c"


def test_what_an_action_wrote_and_deleted_is_no_output(url: str) -> None:
    @action
    async def main(args: Args, store: ObjectStore) -> Args:
        for name in ("x", "y", "x"):
            await store.put(f"scratch/{name}", b"x")
        await store.delete("scratch/x")
        return {}

    assert [w["key"] for w in call(main)["_io"]["writes"]] == ["scratch/y"]


def test_an_action_without_objects_needs_no_store(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("OBJECT_STORE_URL", raising=False)
    monkeypatch.setattr(sys.modules["object_store.action"], "RECEIPT_AFTER", 0.0)
    answer = call(action(lambda args: {"a": args["a"]}), a=1)
    assert (answer["a"], answer["_io"]["attempt"]) == (1, "a1")
    assert capsys.readouterr().err == ""
    error = call(copy, of="src/x")["error"]
    assert (error["code"], error["meta"]) == ("NoStore", {"retry": False})
    assert "OBJECT_STORE_URL" in error["message"]


def test_a_wrong_url_is_told_with_the_attempts_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OBJECT_STORE_URL", "ftp://user:hidden@host")
    answer = call(copy, of="src/x")
    assert (answer["error"]["code"], answer["error"]["io"]["attempt"]) == ("StoreError", "a1")
    assert "hidden" not in json.dumps(answer)


def test_credentials_are_in_no_answer_and_no_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("aioboto3")
    for url in ("s3+http://access:hidden@127.0.0.1:9", "s3+http://access:hidden@127.0.0.1:9/path"):
        monkeypatch.setenv("OBJECT_STORE_URL", url)
        error = call(copy, of="src/x")["error"]
        assert error["code"] in ("StoreError", "StoreUnavailable")
        assert "hidden" not in json.dumps(error) + capsys.readouterr().err


async def test_stores_of_several_urls_are_kept_apart(tmp_path: Path) -> None:
    for name in ("one", "two"):
        url = f"folder://{tmp_path}/{name}"
        await put(url, "src/x", name)
        answer = call(copy, of="src/x", object_store_url=url)
        assert await get(url, answer["key"]) == name.encode()


def test_activations_share_a_loop_and_a_connection(url: str) -> None:
    seen: list[tuple[int, int]] = []

    @action
    async def main(args: Args, store: ObjectStore) -> Args:
        seen.append((id(asyncio.get_running_loop()), id(store._backend)))
        return {}

    call(main)
    call(main)
    assert seen[0] == seen[1]


async def test_an_action_may_be_called_beside_a_running_loop(url: str) -> None:
    await put(url, "src/x", b"hello")
    assert call(copy, of="src/x")["key"] == "out/r1/copy"


def test_an_action_inside_an_action_is_refused_and_its_function_is_not(url: str) -> None:
    @action
    async def wrong(args: Args, store: ObjectStore) -> Args:
        return dict(copy(args))

    @action
    async def right(args: Args, store: ObjectStore) -> Args:
        await store.put("src/x", b"hello")
        return dict(await copy.__wrapped__({"of": "src/x"}, store))

    error = call(wrong, of="src/x")["error"]
    assert error["code"] == "RuntimeError"
    assert "__wrapped__" in error["message"]
    assert call(right)["key"] == "out/r1/copy"


def test_the_plain_store_does_what_the_other_does(url: str, tmp_path: Path) -> None:
    @action
    def main(args: Args, store: BlockingStore) -> Args:
        assert store.put("b-1/x", "text").size == 4
        assert store.head("b-1/x").size == 4
        assert (store.exists("b-1/x"), store.exists("b-1/y")) == (True, False)
        assert b"".join(store.stream("b-1/x")) == store.get("b-1/x") == b"text"
        assert [info.key for info in store.list("b-1")] == ["b-1/x"]
        with pytest.raises(StoreError):
            store.presign("b-1/x")
        store.delete("b-1/x")
        assert store.context == CONTEXT
        return {"reads": len(store.io.reads)}

    answer = call(main)
    assert answer["reads"] == 2
    assert answer["_io"]["writes"] == []


async def test_a_download_is_gone_when_the_activation_ends(url: str) -> None:
    @action
    async def main(args: Args, store: ObjectStore) -> Args:
        path = await store.download("src/film.mp4")
        return {"name": path.name, "path": str(path)}

    await put(url, "src/film.mp4", b"x")
    answer = call(main)
    assert answer["name"] == "film.mp4"
    assert not os.path.exists(answer["path"])


INTERRUPTED = """
import asyncio, json, os, signal, sys
from threading import get_ident
from object_store import action

@action
async def main(args, store):
    try:
        await asyncio.sleep(0.2)  # by now the caller waits
        %s
        await asyncio.sleep(60)
    finally:
        print("cleaned up", flush=True)

main({})
"""


@pytest.mark.parametrize(
    "sent",
    ["os.kill(os.getpid(), signal.SIGINT)", "signal.pthread_kill(get_ident(), signal.SIGINT)"],
)
def test_an_interrupt_cancels_the_function_and_comes_through(tmp_path: Path, sent: str) -> None:
    """To whichever thread the kernel hands it."""
    done = run_python(INTERRUPTED % sent)
    assert done.returncode in (-signal.SIGINT, 130)
    assert "cleaned up" in done.stdout
    assert "KeyboardInterrupt" in done.stderr


SERVER = """
import json, os, sys
from object_store import action

@action
async def main(args, store):
    await store.put(f"out/{os.getpid()}", b"x")
    if args.get("exit"):
        sys.exit(3)
    return {"pid": os.getpid()}

parent = main({})
child = os.fork()
if child == 0:
    assert main({})["pid"] == os.getpid() != parent["pid"]
    sys.stdout.flush()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert main({"exit": True})["error"]["code"] == "SystemExit"
assert main({})["pid"] == parent["pid"]
print("done")
"""


def test_a_process_serves_on_after_a_fork_and_after_an_exit(tmp_path: Path) -> None:
    done = run_python(SERVER, OBJECT_STORE_URL=f"folder://{tmp_path}/store")
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    assert len(list((tmp_path / "store/out").iterdir())) == 2


IMPORTS = """
import sys
import object_store
before = set(sys.modules)
print(sorted(m for m in ("aiohttp", "botocore", "aioboto3", "httpx", "aowhisk") if m in before))
"""


def test_the_import_brings_only_the_standard_library() -> None:
    assert run_python(IMPORTS).stdout == "[]\n"


def run_python(code: str, **environ: str) -> subprocess.CompletedProcess[str]:
    source = str(Path(object_store.__file__).parents[1])
    return subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", code],
        env={**os.environ, "PYTHONPATH": source, **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )
