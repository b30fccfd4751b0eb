"""The live line, the table and the sums behind them."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from aowhisk.dag import Dag, item
from aowhisk.events.model import (
    CallAbandoned,
    CallFailed,
    Cause,
    Ended,
    Event,
    Expanded,
    Intended,
    JournalAway,
    JournalBack,
    ObjectsMissing,
    Recovered,
    RecoveryPlanned,
    Retrying,
    RunEnded,
    RunInterrupted,
    RunStarted,
    RunState,
    Throttled,
)
from aowhisk.models import Activation
from aowhisk.progress import Progress, Tally, report, table
from object_store.wire import IORecord

RUN = "run1"
PIECE = "output/run1/piece.1"


def film() -> Dag:
    dag = Dag("film")
    split = dag.call("split")
    encode = dag.map("encode", {"input": item}, over=split["splits"])
    dag.call("join", {"input": encode["output"]})
    return dag


def started(run: str = RUN, at: float = 100.0) -> RunStarted:
    return RunStarted(run=run, name="film", dag=film().to_json(), at=at)


def sent(call: str, attempt: str = "a", *, cause: Cause = Cause.FIRST, of: str = RUN) -> Intended:
    action = call.partition(".")[0]
    return Intended(
        run=RUN, of=of, call=call, attempt=attempt, action=action, params={}, cause=cause
    )


def ended(
    call: str,
    attempt: str = "a",
    *,
    cold: bool = False,
    seconds: float = 1.0,
    read: int = 0,
    written: int = 0,
    kept: bool = False,
    final: bool = True,
    error: str | None = None,
) -> Ended:
    annotations = {"initTime": 20} if cold else {}
    return Ended(
        run=RUN,
        of=RUN,
        call=call,
        attempt=attempt,
        action=call.partition(".")[0],
        activation=Activation("id", call, duration=seconds, annotations=annotations),
        reads=(IORecord("b/in", read, "e"),),
        writes=(IORecord("b/out", written, "e", kept=kept),),
        final=final,
        error=error,
    )


def recovered_run() -> list[Event]:
    """split, two pieces, a join that misses the second piece, its writer again, the join again."""
    return [
        started(),
        sent("split"),
        ended("split", cold=True, written=2000),
        Expanded(run=RUN, node="encode", items=("x", "y")),
        sent("encode.0"),
        sent("encode.1"),
        ended("encode.0", cold=True, read=1000, written=10),
        ended("encode.1", read=1000, written=20),
        sent("join"),
        ended("join", seconds=0.25, final=False, error="gone"),
        ObjectsMissing(run=RUN, of=RUN, call="join", attempt="a", keys=(PIECE,)),
        RecoveryPlanned(
            run=RUN, of=RUN, call="join", lost=(PIECE,), steps=((f"{RUN}/encode.1", (PIECE,)),)
        ),
        sent("encode.1", "b", cause=Cause.RECOVERY),
        ended("encode.1", "b", read=1000, written=20),
        Recovered(run=RUN, of=RUN, call="join", seconds=1.5),
        sent("join", "b", cause=Cause.RERUN),
        ended("join", "b", seconds=0.5, read=30, written=25),
        RunEnded(run=RUN, state=RunState.SUCCEEDED, at=104.5),
    ]


def shown(tally: Tally) -> str:
    out = io.StringIO()
    report(tally, Console(file=out, width=160))
    return out.getvalue()


def test_a_call_adds_up_over_its_attempts() -> None:
    join = {call.call: call for call in Tally.of(recovered_run()).calls}["join"]
    assert (join.attempts, join.warm, join.cold, join.seconds) == (2, 2, 0, 0.75)
    assert (join.read, join.written, join.error) == (30, 25, None)


def test_an_object_that_was_kept_is_not_counted_as_written() -> None:
    (call,) = Tally.of([sent("split"), ended("split", written=500, kept=True)]).calls
    assert call.written == 0


def test_the_calls_of_a_map_are_counted_once_it_is_expanded() -> None:
    events = recovered_run()
    before, after = Tally.of(events[:3]), Tally.of(events[:4])
    assert (before.total, before.open_ended) == (2, True)
    assert (after.total, after.open_ended) == (4, False)


def test_a_run_that_decides_as_it_goes_counts_the_calls_it_made() -> None:
    free = RunStarted(run=RUN, name="free")
    tally = Tally.of([free, sent("one"), ended("one"), sent("two")])
    assert (tally.done, tally.total, tally.running) == (1, 2, 1)


def test_running_counts_attempts_that_have_not_ended() -> None:
    tally = Tally.of(recovered_run()[:6])
    assert (tally.done, tally.running) == (1, 2)


@pytest.mark.parametrize(
    "event",
    [
        CallFailed(run=RUN, of=RUN, call="split", error="no writer", error_class="RecoveryFailed"),
        CallAbandoned(run=RUN, of=RUN, call="split", reason="no writer"),
        ended("split", error="no writer"),
    ],
)
def test_a_call_that_fails_in_any_way_is_counted_and_named(event: Event) -> None:
    tally = Tally.of([started(), sent("split"), event])
    assert (tally.done, tally.failed) == (1, 1)
    assert "split failed: no writer" in shown(tally)


def test_a_recovery_attempt_does_not_change_how_its_call_ended() -> None:
    again = [sent("split", "b", cause=Cause.RECOVERY), ended("split", "b", error="boom")]
    tally = Tally.of([started(), sent("split"), ended("split"), *again])
    assert (tally.done, tally.failed) == (1, 0)


def test_events_of_another_run_are_left_out() -> None:
    tally = Tally.of([started(), RunEnded(run="run2", state=RunState.FAILED)])
    assert tally.state is RunState.RUNNING


def test_a_resumed_run_is_running_again() -> None:
    events = [started(), RunInterrupted(run=RUN, at=101.0), started(at=110.0)]
    tally = Tally.of(events)
    assert tally.state is RunState.RUNNING
    assert tally.seconds(112.0) == 12.0


def test_the_table_has_a_row_for_each_call() -> None:
    made = table(Tally.of(recovered_run()))
    assert [column.header for column in made.columns][:4] == [
        "call",
        "attempts",
        "cold/warm",
        "seconds",
    ]
    assert list(made.columns[0].cells) == ["split", "encode.0", "encode.1", "join"]
    assert list(made.columns[1].cells) == ["1", "1", "2", "2"]


def test_the_rows_stand_in_the_order_of_nodes_and_items() -> None:
    sends = [sent("b"), *(sent(f"a.{number}") for number in (10, 2, 0)), sent("c")]
    made = table(Tally.of([started(), *sends]))
    assert list(made.columns[0].cells) == ["b", "a.0", "a.2", "a.10", "c"]


def test_the_report_says_what_was_lost_and_who_wrote_it_again() -> None:
    text = shown(Tally.of(recovered_run()))
    assert f"recovered for join in 1.50 s: {PIECE} was missing" in text
    assert f"encode.1 ran again and wrote {PIECE}" in text
    assert "recovery" in text


def test_the_report_says_why_a_recovery_failed() -> None:
    events = [
        *recovered_run()[:12],
        Recovered(run=RUN, of=RUN, call="join", seconds=1, reason="budget"),
    ]
    assert f"not recovered for join: {PIECE} (budget)" in shown(Tally.of(events))


def test_a_writer_of_an_earlier_run_is_shown_with_its_run() -> None:
    tally = Tally.of([started(), sent("split", cause=Cause.RECOVERY, of="run0")])
    assert list(table(tally).columns[0].cells) == ["run0/split"]
    assert tally.done == 0


def test_square_brackets_in_a_message_are_shown_as_they_are() -> None:
    assert "[bold]oops" in shown(
        Tally.of([started(), sent("split"), ended("split", error="[bold]oops")])
    )


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def console(*, terminal: bool) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=160, force_terminal=terminal, color_system=None), out


def test_without_a_terminal_a_line_is_printed_now_and_then() -> None:
    plain, out = console(terminal=False)
    clock = Clock()
    with Progress(plain, interval=5.0, clock=clock) as progress:
        progress.receive(started())
        for number in range(12):
            progress.receive(sent(f"split.{number}"))
            progress.receive(ended(f"split.{number}"))
            clock.now += 1.0
    lines = [line for line in out.getvalue().splitlines() if "running" in line]
    assert len(lines) == 2


def test_out_of_the_ordinary_events_get_a_line_of_their_own() -> None:
    plain, out = console(terminal=False)
    with Progress(plain, interval=1e9) as progress:
        for event in recovered_run():
            progress.receive(event)
        progress.receive(Throttled(run=RUN, seconds=2.0, text="too many"))
        progress.receive(
            Retrying(run=RUN, of=RUN, call="join", attempt="a", delay=0.5, error="[no] luck")
        )
    text = out.getvalue()
    assert f"join: missing {PIECE}" in text
    assert "join: running again encode.1" in text
    assert "run run1 succeeded: 4/4 calls in 4.5 s" in text
    assert "waiting 2.0 s: too many" in text
    assert "trying again in 0.5 s: [no] luck" in text


def test_that_the_journal_is_away_is_said_once_and_in_the_line_until_it_is_back() -> None:
    plain, out = console(terminal=False)
    with Progress(plain, interval=1e9) as progress:
        for run in (RUN, "run2"):
            progress.receive(started(run))
        for run in (RUN, "run2"):
            progress.receive(JournalAway(run=run, error="disk full", waiting=3))
        progress.receive(ended("split"))
        assert "journal away, 4 events wait" in str(progress.line())
        for run in (RUN, "run2"):
            progress.receive(JournalBack(run=run, waiting=4))
        assert "journal" not in str(progress.line())
    lines = [line for line in out.getvalue().splitlines() if "the journal is" in line]
    assert lines == [
        "the journal is away, nothing new is invoked until it is back: disk full",
        "the journal is back; 4 events waited for it",
    ]


def test_the_line_says_how_far_the_run_is() -> None:
    progress = Progress(console(terminal=False)[0], clock=lambda: 103.0)
    for event in recovered_run()[:12]:
        progress.receive(event)
    line = progress.line().plain
    assert "film run1  3.0 s  3/4 calls  0 running  1 waiting for lost objects" in line


def test_several_runs_share_the_line() -> None:
    progress = Progress(console(terminal=False)[0])
    progress.receive(started())
    progress.receive(started("run2"))
    assert progress.line().plain == "2 runs  0/4+ calls  0 running"


def test_on_a_terminal_the_line_is_live_and_gone_in_the_end() -> None:
    terminal, out = console(terminal=True)
    with Progress(terminal, clock=lambda: 101.0) as progress:
        for event in recovered_run()[:5]:
            progress.receive(event)
    text = out.getvalue()
    assert "run run1 of film started" in text
    assert text.rstrip().endswith("\x1b[2K")  # the last thing is that the line was wiped


def test_a_finished_run_can_be_reported() -> None:
    progress = Progress(console(terminal=False)[0])
    for event in recovered_run():
        progress.receive(event)
    assert progress.tally(RUN).state is RunState.SUCCEEDED
    with pytest.raises(KeyError):
        progress.tally("unknown")
