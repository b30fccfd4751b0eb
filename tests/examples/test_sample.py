"""The sample: three actions in a chain, by themselves and as a person starts them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from loading import load, start

actions = load("sample/actions.py")


def call(root: Path, action: str, **params: Any) -> dict[str, Any]:
    context = {"v": 1, "run": "run1", "call": action, "attempt": f"of-{action}", "try": 1}
    url = f"folder://{root}"
    return getattr(actions, action)({**params, "object_store_url": url, "_aowhisk": context})


def test_each_action_reads_what_the_one_before_it_wrote(tmp_path: Path) -> None:
    first = call(tmp_path, "action1", text="so it goes")
    second = call(tmp_path, "action2", input=first["output"])
    third = call(tmp_path, "action3", input=second["output"])
    assert (tmp_path / third["output"]).read_text() == "GOES IT SO"
    assert third["words"] == 3
    assert [each["key"] for each in third["_io"]["reads"]] == [second["output"]]


def test_an_object_that_is_gone_is_named(tmp_path: Path) -> None:
    error = call(tmp_path, "action2", input="sample/run1/text.txt")["error"]
    assert (error["code"], error["meta"]["key"]) == ("NoSuchKey", "sample/run1/text.txt")


def test_the_flow_runs_as_it_is(tmp_path: Path) -> None:
    pytest.importorskip("aowhisk", reason="aowhisk needs Python 3.11", exc_type=ImportError)
    code, out, err = start("sample/flow.py", tmp_path)
    assert code == 0, err
    assert (tmp_path / ".aowhisk/store" / out.split()[-1]).read_text() == "FOX BROWN QUICK THE"
