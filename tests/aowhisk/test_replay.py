"""Replay: what the events of a run say, cut off wherever a process may have died."""

from __future__ import annotations

import contextlib
import json

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from world import World, chain, keys

from aowhisk.dag import Dag, item
from aowhisk.errors import (
    ActionError,
    AowhiskError,
    DeveloperError,
    GraphError,
    JournalError,
    Lost,
    MissingObject,
    NotFound,
    PlatformError,
    RecoveryFailed,
    RunFailed,
    ServerFault,
    Throttled,
    Unreachable,
)
from aowhisk.events import Event, MemoryJournal
from aowhisk.events.codec import dumps, from_json, to_json
from aowhisk.events.model import (
    Accepted,
    CallFailed,
    Cause,
    Ended,
    Intended,
    Renewed,
    RunEnded,
    RunInterrupted,
    RunStarted,
    RunState,
    Taken,
)
from aowhisk.invoker import Attempt
from aowhisk.lineage import CallRef
from aowhisk.models import Failed, Succeeded
from aowhisk.replay import replay
from aowhisk.retry import RetryPolicy

CALL = {"run": "r", "of": "r", "call": "c", "action": "a"}
STARTED = RunStarted(run="r", name="n")


def intended(attempt: str, **more: object) -> Intended:
    return Intended(**{**CALL, "attempt": attempt, "params": {}, **more})  # type: ignore[arg-type]


def ended(attempt: str, **more: object) -> Ended:
    return Ended(**{**CALL, "attempt": attempt, "result": {"by": attempt}, **more})  # type: ignore[arg-type]


async def events_of(world: World, dag: Dag) -> list[Event]:
    parts = world.parts()
    with contextlib.suppress(RunFailed):
        await world.run(dag, parts=parts)
    journal = parts.recorder.journal
    assert isinstance(journal, MemoryJournal)
    return journal.events["r1"]


def test_an_attempt_without_an_end_is_pending_with_what_is_known_of_it() -> None:
    history = replay([STARTED, intended("t")])
    pending = history.pending[CallRef("r", "c")]
    assert (pending.intended.attempt, pending.activation_id) == ("t", None)
    accepted = Accepted(run="r", of="r", call="c", attempt="t", activation_id="f")
    assert (
        replay([STARTED, intended("t"), accepted]).pending[CallRef("r", "c")].activation_id == "f"
    )
    assert not replay([STARTED, intended("t"), accepted, ended("t")]).pending


def test_an_attempt_that_was_sent_late_is_looked_for_from_then_on() -> None:
    begun = intended("t")
    late = Renewed(run="r", of="r", call="c", attempt="t", at=begun.at + 60)
    [pending] = replay([STARTED, begun, late]).pending.values()
    assert (pending.intended, pending.at) == (begun, begun.at + 60)
    assert replay([STARTED, begun, late]).tries == {CallRef("r", "c"): 1}
    other = Renewed(run="r", of="r", call="c", attempt="another", at=begun.at + 60)
    assert replay([STARTED, begun, other]).pending[CallRef("r", "c")].at == begun.at


def test_the_first_result_of_a_call_stands_whatever_its_recoveries_returned() -> None:
    again = [intended("u", cause=Cause.RECOVERY), ended("u", cause=Cause.RECOVERY)]
    outcome = replay([STARTED, intended("t"), ended("t"), *again]).outcomes["c"]
    assert isinstance(outcome, Succeeded)
    assert outcome.result == {"by": "t"}


def test_a_recovery_that_failed_leaves_the_call_a_success() -> None:
    failed = CallFailed(run="r", of="r", call="c", error="no", error_class="RecoveryFailed")
    history = replay([STARTED, intended("t"), ended("t"), intended("u"), failed])
    assert isinstance(history.outcomes["c"], Succeeded)


def test_an_error_that_was_not_final_is_no_outcome() -> None:
    history = replay(
        [STARTED, intended("t"), ended("t", error="x", error_class="ActionError", final=False)]
    )
    assert history.outcomes == {}
    assert history.tries[CallRef("r", "c")] == 1


def test_an_error_comes_back_as_one_of_its_class() -> None:
    history = replay([STARTED, intended("t"), ended("t", error="x", error_class="DeveloperError")])
    outcome = history.outcomes["c"]
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, DeveloperError)
    assert str(outcome.error) == "x"
    assert history.without_failures().outcomes == {}


def test_a_failed_run_that_was_taken_has_its_failures_before_it_again() -> None:
    failure = ended("t", error="x", error_class="DeveloperError")
    ending = RunEnded(run="r", state=RunState.FAILED)
    taken = Taken(run="r", owner="o")
    assert replay([STARTED, intended("t"), failure, ending]).state is RunState.FAILED
    history = replay([STARTED, intended("t"), failure, ending, taken])
    assert history.state is RunState.RUNNING
    assert history.outcomes == {}


@pytest.mark.parametrize("name", ["Lost", "TimedOut"])
def test_a_call_that_may_have_been_sent_and_must_not_be_sent_twice_stays_failed(name: str) -> None:
    doubt = ended("t", error="?", error_class=name, activation=None)
    for idempotent in (True, False):
        history = replay([STARTED, intended("t", idempotent=idempotent), doubt])
        assert ("c" in history.without_failures().outcomes) is not idempotent


@pytest.mark.parametrize(
    ("last", "state"),
    [
        (Taken(run="r", owner="o"), RunState.RUNNING),
        (RunInterrupted(run="r"), RunState.INTERRUPTED),
        (RunEnded(run="r", state=RunState.CANCELLED), RunState.CANCELLED),
        (intended("t"), RunState.RUNNING),
    ],
)
def test_where_a_run_stands_is_what_its_last_word_says(last: Event, state: RunState) -> None:
    assert replay([STARTED, last]).state is state


def test_events_that_do_not_begin_as_a_run_does_are_refused() -> None:
    with pytest.raises(JournalError):
        replay([])
    with pytest.raises(JournalError):
        replay([ended("t")])


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(0, 5)), st.integers(0, 5), st.booleans())
def test_of_any_prefix_what_ended_is_known_and_what_did_not_is_pending_or_unknown(
    lost: set[int], when: int, fails: bool
) -> None:
    world = World()
    dag = chain(6)
    dag.map("step", {"n": item}, over=[1, 2, 3], id="m", tolerate=1, retry=RetryPolicy(retries=0))
    dag.call("step", {"reads": ["b/o5"]}, id="end", after=["c5"])
    if fails:
        world.broken["m.1"] = DeveloperError("no", action="step", call="m.1")

    def after(attempt: Attempt) -> None:
        if attempt.call == f"c{when}" and world.runs[attempt.call] == 1:
            for key in keys(lost):
                world.objects.pop(key, None)

    world.after = after
    events = anyio.run(events_of, world, dag)
    whole = replay(events)
    assert whole.state is RunState.SUCCEEDED
    assert set(whole.outcomes) == {f"c{n}" for n in range(6)} | {"m.0", "m.1", "m.2", "end"}
    assert not whole.pending
    for cut in range(1, len(events) + 1):
        history = replay(events[:cut])
        assert history.count == cut
        for call, outcome in history.outcomes.items():
            assert type(outcome) is type(whole.outcomes[call])
        open_attempts = {p.intended.attempt for p in history.pending.values()}
        intents = {e.attempt for e in events[:cut] if isinstance(e, Intended)}
        ends = {e.attempt for e in events[:cut] if isinstance(e, Ended)}
        assert open_attempts == intents - ends


ERRORS = [
    MissingObject("no", keys=["b/x", "b/y"], code="NoSuchKey", meta={"key": "b/x"}, action="a"),
    ActionError("no", code="No", meta={"retry": False}, action="a"),
    DeveloperError("no", action="a"),
    PlatformError("no", throttled=True, action="a"),
    Lost("no", candidates=["f" * 32], action="a"),
    RecoveryFailed("no", key="b/x", reason="overwritten"),
    Unreachable("no", request="POST a", sent=True),
    Throttled("no", request="POST a", per_minute=True, count=61, allowed=60, code="c"),
    ServerFault("no", request="POST a", status=503, accepted=False),
    NotFound("no", request="GET a", status=404, code="c"),
    GraphError("no", node="n"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_the_error_of_a_call_comes_back_with_what_it_says(error: AowhiskError) -> None:
    told = Ended(
        run="r",
        of="r",
        call="c",
        attempt="t",
        action="a",
        error=str(error),
        error_class=type(error).__name__,
        error_facts=error.facts(),
    )
    stored = from_json("ended", "r", 1.0, json.loads(dumps(to_json(told))))
    [outcome] = replay([STARTED, intended("t"), stored]).outcomes.values()
    assert isinstance(outcome, Failed)
    assert type(outcome.error) is type(error)
    assert str(outcome.error) == str(error)
    assert outcome.error.facts() == error.facts()


def test_an_error_of_which_an_older_journal_kept_no_facts_is_of_the_nearest_class() -> None:
    told = {"error": "gone", "error_class": "MissingObject"}
    [outcome] = replay([STARTED, intended("t"), ended("t", **told)]).outcomes.values()
    assert isinstance(outcome, Failed)
    assert type(outcome.error) is ActionError
    assert (outcome.error.action, outcome.error.call) == ("a", "c")
    late = CallFailed(run="r", of="r", call="c", error="no", error_class="RecoveryFailed")
    [outcome] = replay([STARTED, intended("t"), late]).outcomes.values()
    assert isinstance(outcome, Failed)
    assert (type(outcome.error), str(outcome.error)) == (AowhiskError, "no")
