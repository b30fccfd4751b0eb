"""A run of a dag: which nodes are ready, what their calls are, and when all is over."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping

from aowhisk.dag import Dag, Item, NodeSpec, Ref, Template, expand, resolve, resolve_keys
from aowhisk.dag.references import walk
from aowhisk.errors import AowhiskError, GraphError
from aowhisk.events import Recorder
from aowhisk.events import model as events
from aowhisk.events.model import Cause
from aowhisk.lineage import CallRecord, CallRef, Lineage
from aowhisk.models import JSON, Abandoned, Failed, Outcome, Shelved, Succeeded
from aowhisk.replay import History
from aowhisk.retry import Terms
from aowhisk.scheduler.engine import Engine
from aowhisk.scheduler.forecast import Forecast, Paths
from aowhisk.scheduler.job import Gate, Job
from aowhisk.scheduler.mentions import named
from aowhisk.scheduler.queue import Limit
from aowhisk.scheduler.run import MapOutcome, NodeOutcome

__all__ = ["DagRun"]


class _NodeRun:
    """One node of the run. It is a source of jobs, one for each item that has not been started."""

    def __init__(self, owner: DagRun, spec: NodeSpec, *, waits: int) -> None:
        self.owner = owner
        self.spec = spec
        self.waits = waits
        self.ready_at = 0.0
        self.gate = Gate()
        self.limits: tuple[Limit, ...] = owner.limits_for(spec)
        self.terms = Terms(spec.retry, spec.timeout)
        self.items: list[JSON] = []
        self.outcomes: list[Outcome | None] = []
        self.results: list[JSON] = []
        """What others refer to of the results, None for what has not succeeded; empty where nobody
        refers to them."""
        self.started = 0
        """Items that were begun, or need not be; those from here on are to be looked at."""
        self.in_flight = 0
        self.ended = 0
        self.failures = 0
        self.is_running = False
        self.is_over = False
        self.is_broken = False

    @property
    def priority(self) -> float:
        """Seconds from the start of its next call to the end of the dag, as far as is known: of a
        map, what its other calls take beside that one, too."""
        return self.owner.way(self.spec, len(self.outcomes) - self.started)

    @property
    def is_empty(self) -> bool:
        self._skip()
        return self.gate.why is not None or self.started >= len(self.outcomes)

    def take(self) -> Job | None:
        self._skip()
        index = self.started
        self.started += 1
        self.in_flight += 1
        try:
            return self.owner.job(self, index)
        except GraphError as error:
            self.owner.fail(self, index, error)
            return None

    def call_id(self, index: int) -> str:
        return f"{self.spec.id}.{index}" if self.spec.is_map else self.spec.id

    @property
    def has_failed(self) -> bool:
        return self.is_broken or self.failures > self.spec.tolerate

    def _skip(self) -> None:
        """Pass over the items of which an earlier process knew the end."""
        while self.started < len(self.outcomes) and self.outcomes[self.started] is not None:
            self.started += 1


class DagRun:
    """Drives an engine through a dag. `over` is called once, when every node has ended."""

    def __init__(
        self,
        run: str,
        dag: Dag,
        *,
        recorder: Recorder,
        lineage: Lineage,
        action_limits: Mapping[str, int] | None = None,
        concurrency: int = 1,
        forecast: Forecast | None = None,
        history: History | None = None,
        over: Callable[[], None],
    ) -> None:
        self._run = run
        self._recorder = recorder
        self._lineage = lineage
        self._over = over
        self._actions = {name: Limit(size) for name, size in (action_limits or {}).items()}
        self._values: dict[str, JSON] = {}
        self._consumers = dag.consumers()
        self._wanted = _wanted(dag)
        self._concurrency = concurrency
        self._forecast = Forecast() if forecast is None else forecast
        self._paths = Paths(dag, self._forecast)
        self._nodes = {
            id: _NodeRun(self, spec, waits=len(spec.depends)) for id, spec in dag.nodes.items()
        }
        self._left = len(self._nodes)
        self._history = history
        self._ready: deque[_NodeRun] = deque()
        self._is_advancing = False
        self._downstream: dict[str, frozenset[str]] = {}
        self.engine: Engine

    def begin(self, engine: Engine) -> None:
        """Start what waits for nothing; of a run that goes on, also what had not ended."""
        self.engine = engine
        if self._history is not None:
            self._take_up_repairs(self._history)
        self._ready.extend(node for node in self._nodes.values() if node.waits == 0)
        self._advance()
        if not self._nodes:
            self._over()

    def recall(self) -> None:
        """Show how the nodes stood when the history ended; nothing is started."""
        items = {} if self._history is None else self._history.items
        for id, node in self._nodes.items():
            if node.spec.is_map and id not in items:
                continue
            node.is_running = True
            node.outcomes = [None] * (len(items[id]) if node.spec.is_map else 1)
            self._recall(node)

    def _advance(self) -> None:
        """Start the nodes that are ready, one after the other: chains of them are no recursion."""
        if self._is_advancing:
            return
        self._is_advancing = True
        try:
            while self._ready:
                node = self._ready.popleft()
                if not node.is_over:
                    self._start(node)
        finally:
            self._is_advancing = False

    def _take_up_repairs(self, history: History) -> None:
        """Writers that were being run again when the process before ended: others join them."""
        for ref, pending in history.pending.items():
            if pending.intended.cause is Cause.RECOVERY or ref.run != self._run:
                self.engine.take_up_repair(pending)

    def nodes(self, *, so_far: bool = False) -> dict[str, NodeOutcome]:
        """How the nodes stand; `so_far` leaves out what has not ended and may still."""
        if not so_far:
            return {id: self._outcome(node) for id, node in self._nodes.items()}
        found: dict[str, NodeOutcome] = {}
        for id, node in self._nodes.items():
            ended = tuple(outcome for outcome in node.outcomes if outcome is not None)
            if node.spec.is_map and node.is_running:
                found[id] = MapOutcome(id, ended)
            elif ended:
                found[id] = ended[0]
        return found

    @property
    def has_failed(self) -> bool:
        """Whether any node failed."""
        return any(node.has_failed for node in self._nodes.values())

    def fatal(self) -> dict[str, AowhiskError]:
        """The errors of the calls that made their nodes fail."""
        return {
            out.call: out.error
            for node in self._nodes.values()
            if node.has_failed
            for out in node.outcomes
            if isinstance(out, Failed)
        }

    def way(self, spec: NodeSpec, calls: int) -> float:
        """Seconds that so many calls of a node and all that waits for them will take."""
        one = self._forecast.seconds(spec.action)
        width = min(self._concurrency, spec.concurrency or self._concurrency)
        return max(one, one * calls / width) + self._paths.after(spec.id)

    def limits_for(self, spec: NodeSpec) -> tuple[Limit, ...]:
        """What bounds the calls of a node."""
        own = () if spec.concurrency is None else (Limit(spec.concurrency),)
        shared = self._actions.get(spec.action)
        return own if shared is None else (*own, shared)

    def limits_of(self, record: CallRecord) -> tuple[Limit, ...]:
        """What bounds a writer that runs again: its node's limits, if it is of this run."""
        node = self._node_of(record.ref)
        if node is not None:
            return node.limits
        shared = self._actions.get(record.action)
        return () if shared is None else (shared,)

    def may_write(self, job: Job, key: str) -> bool:
        """Whether a call of this run that is not over may still write the key, without waiting for
        the job first."""
        own = self._node_of(job.ref)
        if own is None or not self._moves(job):
            return False
        later = self._later(own.spec.id)
        return any(
            _declares(node, key)
            for id, node in self._nodes.items()
            if not node.is_over and id not in later and (node is not own or _others(node))
        )

    def job(self, node: _NodeRun, index: int) -> Job:
        """The job of one item. Raises GraphError where its params cannot be put together."""
        spec = node.spec
        facts: dict[str, JSON] = {"values": self._values, "node": spec.id}
        if spec.is_map:
            facts["item"] = node.items[index]
        record = CallRecord(
            ref=CallRef(self._run, node.call_id(index)),
            action=spec.action,
            params=resolve(spec.params, **facts),
            idempotent=spec.idempotent,
            protocol=spec.protocol,
            ownership=spec.ownership,
            declared_reads=resolve_keys(spec.reads, **facts) if spec.reads else (),
            declared_writes=resolve_keys(spec.writes, **facts) if spec.writes else (),
            terms=node.terms,
        )
        job = Job(
            record=record,
            flight=self.engine.start(record),
            ended=lambda job, outcome: self._ended(node, index, outcome),
            priority=node.priority,
            limits=node.limits,
            gate=node.gate,
            inputs=lambda: self._inputs(spec, index, record.params),
        )
        if self._history is not None:
            job.take_up(self._history)
        return job

    def fail(self, node: _NodeRun, index: int, error: AowhiskError) -> None:
        """A call that could not even be put together."""
        call = node.call_id(index)
        self._recorder.record(
            events.CallFailed(
                run=self._run,
                of=self._run,
                call=call,
                error=str(error),
                error_class=type(error).__name__,
                error_facts=error.facts() or None,
            )
        )
        self._ended(node, index, Failed(call, node.spec.action, error, attempts=0))

    def _start(self, node: _NodeRun) -> None:
        node.is_running = True
        if node.spec.is_map:
            try:
                node.items = self._items(node)
            except GraphError as error:
                node.outcomes = [None]
                node.started = node.in_flight = 1
                node.is_broken = True  # whatever it tolerates: it has no items to tolerate
                self.fail(node, 0, error)
                return
        node.outcomes = [None] * (len(node.items) if node.spec.is_map else 1)
        if node.spec.id in self._wanted:
            node.results = [None] * len(node.outcomes)
        self._recall(node)
        if node.is_empty and not node.in_flight:
            self._finish(node)
        else:
            self.engine.draw_from(node, node.limits)

    def _items(self, node: _NodeRun) -> list[JSON]:
        """The items of a map: those that the journal has, so that a join never has holes, else what
        `over` is now. Raises GraphError."""
        id = node.spec.id
        if self._history is not None and id in self._history.items:
            return list(self._history.items[id])
        items = list(expand(node.spec, self._values))
        self._recorder.record(events.Expanded(run=self._run, node=id, items=tuple(items)))
        return items

    def _recall(self, node: _NodeRun) -> None:
        """Take over the ends of calls that an earlier process knew."""
        if self._history is None:
            return
        for index in range(len(node.outcomes)):
            outcome = self._history.outcomes.get(node.call_id(index))
            if isinstance(outcome, Succeeded | Failed):
                self._note(node, index, outcome)

    def _ended(self, node: _NodeRun, index: int, outcome: Outcome) -> None:
        node.in_flight -= 1
        self._note(node, index, outcome)
        if node.ended == len(node.outcomes) or (node.gate.why is not None and not node.in_flight):
            self._finish(node)

    def _note(self, node: _NodeRun, index: int, outcome: Outcome) -> None:
        node.outcomes[index] = outcome
        node.ended += 1
        if node.results and isinstance(outcome, Succeeded):
            node.results[index] = _part(outcome, self._wanted[node.spec.id])
        if isinstance(outcome, Failed):
            node.failures += 1
            if node.has_failed and node.gate.why is None:
                node.gate.why = f"{outcome.call} failed"

    def _finish(self, node: _NodeRun) -> None:
        if node.is_over:
            return
        node.is_over = True
        self._left -= 1
        if node.gate.why is None:
            if node.spec.id in self._wanted:
                self._values[node.spec.id] = node.results if node.spec.is_map else node.results[0]
            for id in self._consumers[node.spec.id]:
                consumer = self._nodes[id]
                consumer.waits -= 1
                if consumer.waits == 0:
                    self._ready.append(consumer)
            self._advance()
        else:
            self._give_up(node)
        if self._left == 0:
            self._over()

    def _give_up(self, failed: _NodeRun) -> None:
        """Nothing that needs the node will start."""
        for id in self._later(failed.spec.id) - {failed.spec.id}:
            node = self._nodes[id]
            if not node.is_over:
                node.is_over = True
                node.gate.why = f"{failed.spec.id} failed"
                self._left -= 1
                self._recorder.record(
                    events.CallAbandoned(run=self._run, of=self._run, call=id, reason=node.gate.why)
                )

    def _outcome(self, node: _NodeRun) -> NodeOutcome:
        why = node.gate.why or "the run stopped"
        outcomes = tuple(
            outcome
            if outcome is not None
            else Abandoned(
                node.call_id(index), node.spec.action, why, attempts=int(index < node.started)
            )
            for index, outcome in enumerate(node.outcomes)
        )
        if node.spec.is_map and node.is_running:
            return MapOutcome(node.spec.id, outcomes)
        if outcomes:
            return outcomes[0]
        return Abandoned(node.spec.id, node.spec.action, why)

    def _inputs(self, spec: NodeSpec, index: int, params: JSON) -> Iterable[str]:
        """The keys written by the calls that the params come from. Of what a map goes over, only
        what this item is about: its own call, or the keys that its params name."""
        for id in _sources([spec.params, spec.reads]):
            yield from self._writes(self._nodes[id])
        over = spec.over
        if isinstance(over, Ref) and over.each:
            yield from self._writes(self._nodes[over.node], only=index)
        elif over is not None:
            written = [key for id in _sources([over]) for key in self._writes(self._nodes[id])]
            mentioned = named(params, written)
            yield from mentioned or written

    def _writes(self, node: _NodeRun, only: int | None = None) -> Iterable[str]:
        for index in range(node.started) if only is None else (only,):
            yield from self._lineage.writes_of(CallRef(self._run, node.call_id(index)))

    def _node_of(self, ref: CallRef) -> _NodeRun | None:
        if ref.run != self._run:
            return None
        return self._nodes.get(ref.call) or self._nodes.get(ref.call.partition(".")[0])

    def _later(self, id: str) -> frozenset[str]:
        """The node and all that wait for it, over however many others."""
        known = self._downstream.get(id)
        if known is None:
            found = {id}
            stack = [id]
            while stack:
                for consumer in self._consumers[stack.pop()]:
                    if consumer not in found:
                        found.add(consumer)
                        stack.append(consumer)
            known = self._downstream[id] = frozenset(found)
        return known

    def _moves(self, job: Job) -> bool:
        """Whether any call of the run but the job and others that are stuck can still end."""
        if self.engine.moves(job):
            return True
        return any(n.is_running and not n.is_over and not n.is_empty for n in self._nodes.values())


def _sources(templates: list[Template]) -> list[str]:
    """The nodes that templates refer to."""
    return list(dict.fromkeys(ref.node for ref in walk(templates) if isinstance(ref, Ref)))


def _wanted(dag: Dag) -> dict[str, frozenset[str] | None]:
    """The nodes that others refer to, and the fields of their results; None for the whole."""
    found: dict[str, frozenset[str] | None] = {}
    for spec in dag.nodes.values():
        for ref in walk([spec.params, spec.reads, spec.writes, spec.over]):
            if not isinstance(ref, Ref):
                continue
            head = ref.path[0] if ref.path else None
            known = found.get(ref.node, frozenset())
            if known is None or not isinstance(head, str):
                found[ref.node] = None
            else:
                found[ref.node] = known | {head}
    return found


def _part(outcome: Succeeded, fields: frozenset[str] | None) -> JSON:
    """The result, of one that is not held in memory only these fields; the whole if one is not
    there, for whoever wants it will say what there is."""
    result = outcome.result
    if fields is None or not isinstance(outcome, Shelved) or not isinstance(result, dict):
        return result
    return {name: result[name] for name in fields} if fields <= result.keys() else result


def _others(node: _NodeRun) -> bool:
    """Whether the node has calls besides one that are not over."""
    return len(node.outcomes) - node.ended > 1


def _declares(node: _NodeRun, key: str) -> bool:
    """Whether the node's calls may write the key: they declare it, or they declare nothing."""
    if not node.spec.writes:
        return True
    return any(isinstance(each, Ref | Item) or each == key for each in node.spec.writes)
