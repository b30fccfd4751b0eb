"""How well dags are scheduled, on a virtual clock: against what no schedule can beat, and against
first come, first served."""

from __future__ import annotations

import asyncio
import math
import random
from dataclasses import dataclass, field, replace

import anyio
import pytest
from virtual import VirtualLoop
from world import World

from aowhisk.dag import Dag, item
from aowhisk.invoker import Attempt, AttemptEnd
from aowhisk.scheduler import Execution
from aowhisk.scheduler.forecast import Forecast


@dataclass
class Clock(World):
    """Actions take as long as `seconds` says; `ended` notes when each call did."""

    seconds: dict[str, float] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)

    async def attempt(self, attempt: Attempt) -> AttemptEnd:
        await anyio.sleep(self.seconds[attempt.action])
        self.ended[attempt.call] = asyncio.get_running_loop().time()
        return self._act(attempt)


class Blind(Forecast):
    """Knows nothing, so that who comes first goes first."""

    def note(self, action: str, seconds: float) -> None: ...

    def seconds(self, action: str) -> float:
        return 0.0


@dataclass
class Work:
    """A dag, the seconds of its actions, and the slots it has."""

    dag: Dag
    seconds: dict[str, float]
    slots: int
    sizes: dict[str, int] = field(default_factory=dict)

    @property
    def longest(self) -> float:
        """Seconds of the longest way through it."""
        after = self.dag.distances(self.seconds.__getitem__)
        ways = [after[id] + self.seconds[n.action] for id, n in self.dag.nodes.items()]
        return max(ways)

    @property
    def volume(self) -> float:
        """Seconds that all slots need for all of it."""
        all_ = sum(
            self.seconds[node.action] * self.sizes.get(id, 1) for id, node in self.dag.nodes.items()
        )
        return all_ / self.slots

    @property
    def bound(self) -> float:
        """What no schedule can beat."""
        return max(self.longest, self.volume)

    def makespan(self, forecast: Forecast | None = None) -> tuple[float, dict[str, float]]:
        """How long it takes, and when each call ends; the forecast knows all times unless one is
        given."""
        if forecast is None:
            forecast = Forecast()
            for action, seconds in self.seconds.items():
                forecast.note(action, seconds)
        world = Clock(seconds=self.seconds)

        async def run() -> float:
            parts = replace(world.parts(probing=False), forecast=forecast)
            execution = Execution("r", parts, name="d", dag=self.dag, concurrency=self.slots)
            execution.engine.clock = asyncio.get_running_loop().time
            began = asyncio.get_running_loop().time()
            await execution.execute()
            return asyncio.get_running_loop().time() - began

        took = anyio.run(run, backend_options={"loop_factory": VirtualLoop})
        return took, world.ended


def made(seed: int, *, nodes: int, maps: bool) -> Work:
    """A random dag: each node waits for up to three of the ten before it."""
    chance = random.Random(seed)
    seconds = {f"a{n}": round(math.exp(chance.uniform(-2.3, 1.6)), 3) for n in range(8)}
    work = Work(Dag("random"), seconds, slots=chance.choice([2, 4, 8, 16]))
    ids: list[str] = []
    for n in range(nodes):
        before = chance.sample(ids[-10:], min(len(ids), chance.choice([0, 0, 1, 1, 2, 3])))
        action = f"a{chance.randrange(8)}"
        if maps and chance.random() < 0.2:
            size = chance.randint(2, 60)
            work.dag.map(action, {"n": item}, over=list(range(size)), id=f"n{n}", after=before)
            work.sizes[f"n{n}"] = size
        else:
            work.dag.call(action, id=f"n{n}", after=before)
        ids.append(f"n{n}")
    return work


@pytest.mark.parametrize("maps", [False, True])
def test_random_dags_come_close_to_what_is_possible_and_closer_than_by_order(maps: bool) -> None:
    works = [made(seed, nodes=60, maps=maps) for seed in range(50)]
    ours = [work.makespan()[0] / work.bound for work in works]
    by_order = [work.makespan(Blind())[0] / work.bound for work in works]
    assert sum(ours) / len(ours) < 1.02
    assert sum(ratio <= 1.03 for ratio in ours) >= 0.9 * len(ours)
    assert 2 * (sum(ours) - len(ours)) < sum(by_order) - len(by_order)
    assert all(mine <= other * 1.01 for mine, other in zip(ours, by_order, strict=True))


def test_where_no_greedy_schedule_can_be_bad_ours_is_within_three_percent() -> None:
    seen = 0
    for seed in range(200):
        work = made(seed, nodes=30, maps=True)
        if work.volume + work.longest * (1 - 1 / work.slots) > 1.03 * work.bound:
            continue
        seen += 1
        assert work.makespan(Forecast())[0] <= 1.03 * work.bound  # it knows nothing at first
    assert seen >= 5


def test_what_the_actions_took_in_one_run_is_known_in_the_next() -> None:
    seconds = {"long": 8.0, "short": 1.0}
    dag = Dag("d")
    for n in range(8):
        dag.call("short", id=f"s{n}")
    dag.call("long")
    work, forecast = Work(dag, seconds, slots=2), Forecast()
    first, _ = work.makespan(forecast)
    second, _ = work.makespan(forecast)
    assert (first, second) == (12.0, 8.0)


def test_a_slow_map_does_not_starve_a_short_branch() -> None:
    dag = Dag("d")
    dag.map("slow", {"n": item}, over=list(range(400)), id="map")
    before = None
    for n in range(5):
        before = dag.call("short", id=f"c{n}", after=() if before is None else (before,))
    work = Work(dag, {"slow": 2.0, "short": 0.1}, slots=10, sizes={"map": 400})
    took, ended = work.makespan()
    assert ended["c4"] < 15  # of 80 s
    assert took <= 1.03 * work.bound


def test_a_long_chain_goes_before_a_map_that_would_hold_it_up() -> None:
    dag = Dag("d")
    dag.map("item", {"n": item}, over=list(range(100)), id="map")
    before = None
    for n in range(40):
        before = dag.call("step", id=f"c{n}", after=() if before is None else (before,))
    work = Work(dag, {"item": 1.0, "step": 1.0}, slots=4, sizes={"map": 100})
    assert work.makespan()[0] <= 1.03 * work.bound
    assert work.makespan(Blind())[0] > 1.03 * work.bound
