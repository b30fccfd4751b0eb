"""The examples of the documentation, run as they stand there."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any

import pytest

from object_store import open_store
from object_store.wire import IO, Context, Failure

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page: str, kind: str) -> list[str]:
    found = re.findall(rf"^```{kind}\n(.*?)^```$", (DOCS / page).read_text(), re.S | re.M)
    assert found, f"{page} has no example {kind!r}"
    return found


async def test_the_actions_of_the_page_run(monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"memory://{uuid.uuid4().hex}"
    monkeypatch.setenv("OBJECT_STORE_URL", url)
    names: dict[str, Any] = {}
    for code in blocks("object-store.md", "python")[:2]:
        exec(code, names)
    async with open_store(url) as store:
        await store.put("input-video/film.mp4", b"0123456789")
        context = Context("r1", "split", "a1").to_json()
        answer = names["main"]({"input": "film.mp4", "bytes": 4, "_aowhisk": context})
        assert answer["part"] == "parts/r1/part_0.bin"
        assert await store.get(answer["part"]) == b"0123"
    error = names["check"]({"input": "film.mp4"})["error"]
    assert (error["code"], error["message"]) == ("NoFilm", "film.mp4 is not a film")
    assert error["meta"] == {"name": "film.mp4", "retry": False}


def test_the_methods_of_the_page_run(capsys: pytest.CaptureFixture[str]) -> None:
    exec(blocks("object-store.md", "python")[2], {})
    assert "films/b.txt is gone True" in capsys.readouterr().out


def test_the_messages_of_the_protocol_are_read_and_written_alike() -> None:
    (given,) = blocks("protocol.md", "json in")
    context = json.loads(given)["_aowhisk"]
    assert Context.from_json(context).to_json() == context
    for answer in blocks("protocol.md", "json out"):
        io = json.loads(answer)["_io"]
        read = IO.from_json(io)
        assert IO.from_json(read.to_json()) == read
        assert read.receipt is not None or [w.kept for w in read.writes] == [False, True]
    (failed,) = blocks("protocol.md", "json failure")
    assert Failure.from_json(json.loads(failed)["error"]).missing == ("chunks/r1/3.mp4",)
    assert Failure.from_json(json.loads(failed)["error"]).to_json() == json.loads(failed)["error"]
    (receipt,) = map(json.loads, blocks("protocol.md", "json receipt"))
    assert Context.from_json(receipt["context"]).attempt == IO.from_json(receipt["io"]).attempt
