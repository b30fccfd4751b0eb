"""Events: the recorder, the memory journal, and log lines."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from aowhisk.errors import ConfigError
from aowhisk.events import Event, MemoryJournal, Recorder, open_journal
from aowhisk.events.log import LogSink
from aowhisk.events.model import (
    Ended,
    Intended,
    ObjectsMissing,
    Retrying,
    RunEnded,
    RunStarted,
    RunState,
)
from aowhisk.events.sink import is_gone, new_owner
from aowhisk.models import Activation, Status
from object_store.wire import IORecord


def intended(run: str, call: str, attempt: str, **more: object) -> Intended:
    facts = {"run": run, "of": run, "call": call, "attempt": attempt, "action": "a", "params": {}}
    return Intended(**{**facts, **more})  # type: ignore[arg-type]


def ended(run: str, call: str, attempt: str, *keys: str, **more: object) -> Ended:
    writes = tuple(IORecord(key, 3, "0" * 32) for key in keys)
    facts = {"run": run, "of": run, "call": call, "attempt": attempt, "action": "a"}
    return Ended(**{**facts, "writes": writes, "reported": True, **more})  # type: ignore[arg-type]


class Collected:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def receive(self, event: Event) -> None:
        self.events.append(event)


class Broken:
    def receive(self, event: Event) -> None:
        raise OSError("full")


async def test_every_event_reaches_the_journal_and_every_sink_in_order() -> None:
    journal, sink = MemoryJournal(), Collected()
    recorder = Recorder(journal, [sink])
    events = [RunStarted(run="r", name="n"), RunEnded(run="r", state=RunState.SUCCEEDED)]
    await recorder.commit(*events)
    assert list(await journal.read("r")) == events
    assert sink.events == events
    assert recorder.count("r") == 2
    assert await journal.read("unknown") == ()


async def test_a_sink_that_fails_is_dropped_and_said_and_the_others_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sink = Collected()
    recorder = Recorder(MemoryJournal(), [Broken(), sink])
    with caplog.at_level(logging.WARNING, "aowhisk"):
        recorder.record(RunStarted(run="r", name="n"), RunStarted(run="s", name="n"))
    assert len(sink.events) == 2
    assert [record.message for record in caplog.records if "dropped" in record.message]
    assert len(caplog.records) == 1


async def test_the_journal_finds_who_wrote_an_object_last_in_another_run() -> None:
    journal = MemoryJournal()
    for run in ("r1", "r2", "r3"):
        for attempt in ("a", "b"):
            journal.put(intended(run, "c", run + attempt))
            journal.put(ended(run, "c", run + attempt, "b/x"))
    found = await journal.writers("b/x", other_than="r3")
    assert [w.intended.attempt for w in found] == ["r2a", "r2b"]
    assert await journal.writers("b/unknown", other_than="r3") == []


async def test_what_is_declared_counts_as_written() -> None:
    journal = MemoryJournal()
    journal.put(intended("r", "c", "a", writes=("b/x",)))
    journal.put(ended("r", "c", "a", reported=False))
    assert [w.ended.attempt for w in await journal.writers("b/x", other_than="")] == ["a"]


def test_a_journal_is_opened_by_url_and_another_scheme_is_refused() -> None:
    assert isinstance(open_journal("memory:"), MemoryJournal)
    mine = MemoryJournal()
    assert open_journal(mine) is mine
    with pytest.raises(ConfigError, match="carrier-pigeon"):
        open_journal("carrier-pigeon://loft")


def test_every_line_of_the_log_file_has_run_call_attempt_and_activation(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "events.log"
    sink = LogSink(console=None, path=path)
    record = Activation(id="f" * 32, name="a", status=Status.SUCCESS, duration=0.5)
    facts = {"run": "r", "of": "r", "call": "c", "attempt": "t"}
    sink.receive(ended("r", "c", "t", "b/x", activation=record, result={"secret": 1}))
    missing = ObjectsMissing(**facts, keys=("b/x",), activation_id=record.id)  # type: ignore[arg-type]
    sink.receive(missing)
    sink.receive(Retrying(**facts, delay=1.0, error="e", activation_id=record.id))  # type: ignore[arg-type]
    sink.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == 3
    for line in lines:
        assert (line["run"], line["call"], line["attempt"]) == ("r", "c", "t")
        assert line["activation_id"] == record.id
    assert lines[0]["bytes_written"] == 3
    assert "secret" not in path.read_text()


def test_the_console_shows_ends_and_not_intents() -> None:
    console = io.StringIO()
    sink = LogSink(console=console)
    sink.receive(intended("r", "c", "t", params={"password": "hunter2"}))
    sink.receive(ended("r", "c", "t", error="it broke", error_class="DeveloperError"))
    text = console.getvalue()
    assert text.count("\n") == 1
    assert "it broke" in text
    assert "error" in text
    assert "hunter2" not in text


def test_an_owner_is_gone_only_where_its_process_is_known_to_be() -> None:
    mine = new_owner()
    assert not is_gone(mine)
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    machine = mine.rsplit(":", 2)[0]
    known = "/" in machine  # Linux says in which namespace a process id counts
    assert is_gone(f"{machine}:{child.pid}:abc") is known
    assert not is_gone(f"elsewhere/{machine.partition('/')[2]}:{child.pid}:abc")
    assert not is_gone("elsewhere:1:abc")
    assert not is_gone("no owner at all")
