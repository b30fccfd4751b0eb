"""Whole runs whose calls are sequences and compositions of the local OpenWhisk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import whole_actions as actions

from aowhisk import Dag, Orchestrator, Patience, RunFailed
from aowhisk.client import Code
from aowhisk.errors import ActionError, DeveloperError
from aowhisk.local import DropReply

CONDUCTOR = """
def main(args):
    if 'key' in args:
        return {'params': args}
    return {'action': 'first', 'params': args}
"""


@pytest.fixture
async def orchestrator(tmp_path: Path) -> AsyncIterator[Orchestrator]:
    """Knows `both`, the sequence of `first` and `second`, and `conduct`, which calls `first`."""
    names = {name: getattr(actions, name) for name in ("first", "second", "link", "wreck")}
    patience = Patience(blocking_wait=5, allowance=3)
    async with Orchestrator.local(actions=names, root=tmp_path, patience=patience) as opened:
        put = opened.client.actions.put
        await put("both", Code.sequence("first", "second"))
        await put("conduct", CONDUCTOR, annotations={"conductor": True})
        yield opened


def losing(*outputs: str) -> Dag:
    """A call of `both`, then these of its outputs vanish, then someone reads both."""
    dag = Dag("losing")
    both = dag.call("both", {"name": "o"}, id="both")
    gone = dag.call("wreck", {"keys": [both[one] for one in outputs]}, after=[both])
    dag.call("link", {"reads": [both["key"], both["twice"]]}, id="end", after=[gone])
    return dag


@pytest.mark.parametrize("lost", [["key"], ["twice"], ["key", "twice"]], ids=str)
async def test_an_object_lost_from_inside_a_sequence_runs_the_sequence_again(
    orchestrator: Orchestrator, lost: list[str]
) -> None:
    run = await orchestrator.run(losing(*lost))

    assert run["end"].result["text"] == "ooo"
    count = orchestrator.server.count
    assert [count("both"), count("first"), count("second"), count("link")] == [2, 2, 2, 2]
    record = orchestrator.server.activations("both")[0]
    assert record.is_composed
    parts = [one for one in orchestrator.server.activations() if one.cause == record.id]
    assert [one.id for one in parts] == list(record.logs)


async def test_a_sequence_that_lost_nothing_runs_once(orchestrator: Orchestrator) -> None:
    await orchestrator.run(losing())
    assert orchestrator.server.count("both") == 1


async def test_a_crash_inside_a_sequence_is_told_with_the_log_of_what_crashed(
    orchestrator: Orchestrator,
) -> None:
    dag = Dag("crash")
    dag.call("both", {"name": "o", "crash": True}, id="both")
    with pytest.raises(RunFailed) as failed:
        await orchestrator.run(dag)
    error = failed.value.run["both"].error
    assert isinstance(error, DeveloperError)
    assert "its log ends with: about to crash" in str(error)
    assert error.activation is not None
    assert len(error.activation.logs) == 2  # the ids of its parts, still


async def test_a_missing_component_is_told_as_openwhisk_tells_it(
    orchestrator: Orchestrator,
) -> None:
    await orchestrator.client.actions.delete("second")
    dag = Dag("missing")
    dag.call("both", {"name": "o"}, id="both")
    with pytest.raises(RunFailed) as failed:
        await orchestrator.run(dag)
    error = failed.value.run["both"].error
    assert isinstance(error, ActionError)
    assert "Sequence component does not exist." in str(error)


async def test_the_reply_of_a_sequence_that_is_lost_is_found_by_what_its_result_echoes(
    orchestrator: Orchestrator,
) -> None:
    orchestrator.server.inject(DropReply(action="both"))
    run = await orchestrator.run(losing())
    assert run["end"].result["text"] == "ooo"
    assert orchestrator.server.count("both") == 1


async def test_an_object_lost_from_inside_a_composition_runs_it_again(
    orchestrator: Orchestrator,
) -> None:
    dag = Dag("composition")
    made = dag.call("conduct", {"name": "o"}, id="made")
    gone = dag.call("wreck", {"keys": [made["key"]]}, after=[made])
    dag.call("link", {"reads": [made["key"]]}, id="end", after=[gone])
    run = await orchestrator.run(dag)
    assert run["end"].result["text"] == "o"
    assert orchestrator.server.count("first") == 2
