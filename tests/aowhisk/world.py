"""A world of actions and objects without time: the scheduler's tests run thousands of calls in it.

It stands in for OpenWhisk, the actions and the store at once, so that each test decides exactly
what is lost and when; tests/test_whole_*.py do the same with real ones.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from aowhisk.dag import Dag
from aowhisk.errors import ActionError, AowhiskError, Lost, MissingObject
from aowhisk.events import MemoryJournal, Recorder
from aowhisk.invoker import Attempt, AttemptEnd, intent
from aowhisk.recovery import RecoveryPolicy
from aowhisk.scheduler import Execution, Parts, Prober, Run
from object_store import NoSuchKey
from object_store.wire import IORecord


@dataclass(frozen=True)
class Info:
    etag: str
    by: str | None


@dataclass
class World:
    """Actions read what `reads` says and write what `writes` says, as their params have it.

    `after(attempt)` is called when an attempt has succeeded: it may delete objects. `broken` maps
    calls to the error that they end with.
    """

    objects: dict[str, Info] = field(default_factory=dict)
    runs: Counter[str] = field(default_factory=Counter)
    order: list[str] = field(default_factory=list)
    restores: dict[str, list[tuple[str, ...] | None]] = field(
        default_factory=lambda: defaultdict(list)
    )
    after: Callable[[Attempt], None] = lambda attempt: None
    broken: dict[str, AowhiskError] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    salt: Callable[[Attempt], str] = lambda attempt: ""
    at_once: int = 0
    most_at_once: int = 0
    heads: Counter[str] = field(default_factory=Counter)
    url: str = "world://"
    cluster: TaskGroup | None = None
    sent: dict[str, anyio.Event] = field(default_factory=dict)
    ends: dict[str, AttemptEnd] = field(default_factory=dict)

    def lose(self, *keys: str) -> None:
        for key in keys:
            del self.objects[key]

    async def head(self, key: str) -> Info:
        self.heads[key] += 1
        await anyio.lowlevel.checkpoint()
        if key not in self.objects:
            raise NoSuchKey(key)
        return self.objects[key]

    async def attempt(self, attempt: Attempt) -> AttemptEnd:
        """What Invoker.attempt does after the intent is recorded."""
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        call = attempt.call
        self.runs[call] += 1
        self.order.append(call)
        self.restores[call].append(attempt.restore)
        for _ in range(4):
            await anyio.lowlevel.checkpoint()
        self.at_once -= 1
        return self._act(attempt)

    def _act(self, attempt: Attempt) -> AttemptEnd:
        params, call = attempt.record.params, attempt.call
        reported = call not in self.silent
        reads, writes = [], []
        for key in params.get("reads", ()):
            if key not in self.objects:
                facts = {"action": attempt.action, "call": call}
                error: AowhiskError = MissingObject(f"{key} is gone", keys=[key], **facts)
                if not reported:
                    error = ActionError("something is wrong", **facts)
                return AttemptEnd(error=error, reads=tuple(reads), reported=reported)
            info = self.objects[key]
            reads.append(IORecord(key, 1, info.etag, by=info.by))
        if call in self.broken:
            return AttemptEnd(error=self.broken[call], reads=tuple(reads), reported=reported)
        for key in params.get("writes", ()):
            kept = attempt.restore is not None and key not in attempt.restore
            if kept and key in self.objects:
                there = self.objects[key]
                writes.append(IORecord(key, 1, there.etag, by=there.by, kept=True))
                continue
            seen = "".join(r.etag for r in reads)
            text = f"{key}{seen}{self.salt(attempt)}"
            etag = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
            self.objects[key] = Info(etag, attempt.context().by)
            writes.append(IORecord(key, 1, etag))
        self.after(attempt)
        return AttemptEnd(
            result={"writes": list(params.get("writes", ())), **params.get("result", {})},
            reads=tuple(reads),
            writes=tuple(writes),
            reported=reported,
        )

    def parts(
        self,
        *,
        probing: bool = True,
        policy: RecoveryPolicy | None = None,
        recorder: Recorder | None = None,
    ) -> Parts:
        """A fresh orchestrator's parts in this world."""
        recorder = recorder or Recorder(MemoryJournal())
        return Parts(
            invoker=_Invoker(self, recorder),  # type: ignore[arg-type]
            recorder=recorder,
            prober=Prober(self) if probing else None,  # type: ignore[arg-type]
            policy=policy or RecoveryPolicy(),
        )

    async def run(
        self,
        dag: Dag,
        *,
        concurrency: int = 4,
        parts: Parts | None = None,
        id: str = "r1",
        policy: RecoveryPolicy | None = None,
        probing: bool = True,
    ) -> Run:
        """Run a dag; hanging for 10 s of real time is a failure."""
        parts = parts or self.parts(policy=policy, probing=probing)
        execution = Execution(id, parts, name=dag.name, dag=dag, concurrency=concurrency)
        with anyio.fail_after(10):
            await execution.execute()
        assert not parts.flights.refs, "flights are left open"
        return execution.result()


class _Invoker:
    """Actions run in the world's own tasks, if it has some: like a cluster they go on when nobody
    waits for them any more."""

    def __init__(self, world: World, recorder: Recorder) -> None:
        self._world = world
        self._recorder = recorder

    async def attempt(self, attempt: Attempt) -> AttemptEnd:
        await self._recorder.commit(intent(attempt))
        cluster = self._world.cluster
        if cluster is None:
            return await self._world.attempt(attempt)
        await anyio.lowlevel.checkpoint()  # cancelled here, it was intended and never sent
        cluster.start_soon(self._act, attempt)
        return await self._end(attempt.id)

    async def take_up(
        self, attempt: Attempt, activation_id: str | None, *, since: float
    ) -> AttemptEnd:
        if attempt.id in self._world.sent:
            return await self._end(attempt.id)
        facts = {"action": attempt.action, "call": attempt.call}
        return AttemptEnd(error=Lost("it was never sent", **facts))

    async def _act(self, attempt: Attempt) -> None:
        self._world.sent[attempt.id] = ended = anyio.Event()
        self._world.ends[attempt.id] = await self._world.attempt(attempt)
        ended.set()

    async def _end(self, attempt: str) -> AttemptEnd:
        while attempt not in self._world.sent:
            await anyio.lowlevel.checkpoint()
        await self._world.sent[attempt].wait()
        return self._world.ends[attempt]


def chain(length: int, dag: Dag | None = None) -> Dag:
    """c0 writes b/o0, c1 reads it and writes b/o1, ..."""
    dag = Dag("chain") if dag is None else dag
    before = None
    for index in range(length):
        node = dag.call(
            "step",
            {
                "reads": [f"b/o{index - 1}"] if index else [],
                "writes": [f"b/o{index}"],
                "before": before["writes"] if before is not None else None,
            },
            id=f"c{index}",
        )
        before = node
    return dag


def keys(numbers: Iterable[int]) -> list[str]:
    return [f"b/o{number}" for number in numbers]
