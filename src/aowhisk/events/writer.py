"""A queue of numbered events with at most one batch in the writer.

What every journal with a database needs: events get their numbers, wait, and are written in order
by one task, which takes whatever is queued as soon as it is free. While the database is away it
waits, says so once, and goes on when it is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import anyio
import anyio.to_thread

from aowhisk.errors import Fenced, JournalError
from aowhisk.events.model import Ended, Event, Intended, RunEnded, Taken
from aowhisk.events.sink import Told, new_owner
from aowhisk.events.spool import Spool, Spooled

__all__ = ["Away", "Hold", "Row", "Writer"]

_log = logging.getLogger("aowhisk")
_CROWD = 16  # turns without writing at once, after one in which several have committed
_TURNS = 3  # of the loop, for which what nobody waits for may stay in the queue
_PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0)  # between tries while the database is away


class Away(Exception):
    """The database cannot be written or asked now; the same again may succeed later."""


@dataclass(slots=True, eq=False)
class Hold:
    """Our hold on a run, from its first event or from Taken on: the next number, whether another
    owner has it by now, and the number of its RunEnded."""

    run: str
    next: int = 0
    lost: bool = False
    last: int | None = None


class Row(Protocol):
    """An event as a database takes it."""

    @property
    def hold(self) -> Hold:
        """The hold on its run that it was put under."""

    @property
    def seq(self) -> int:
        """Its number in the run."""

    @property
    def event(self) -> Event:
        """The event itself."""


R = TypeVar("R", bound=Row)
T = TypeVar("T")


class Writer(Generic[R]):
    """Writes what is put, in order, one batch at a time.

    `make` turns an event into a row (with its hold, its number, and the writes that its attempt had
    declared). `store` makes a batch durable: it marks the holds of runs that are another owner's
    (`lost`) and leaves out their rows; it raises Away where it should be tried again with the same
    rows, of which some may be stored by then, and JournalError where that cannot help. `most` is
    the largest batch.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[Event, Hold, int, tuple[str, ...]], R],
        store: Callable[[list[R]], Awaitable[None]],
        *,
        most: int = 10_000,
        at_once: Callable[[list[R]], bool] | None = None,
        few: int = 0,
    ) -> None:
        self.owner = new_owner()
        self._name = name
        self._make = make
        self._store = store
        self._most = most
        self._at_once = at_once
        self._few = few
        self._holds: dict[str, Hold] = {}
        self._declared: dict[str, tuple[str, ...]] = {}
        self._queue: list[R] = []
        self._batch: list[R] = []
        self._put = 0
        self._durable = 0
        self._waiters: deque[tuple[int, Hold | None, asyncio.Future[None]]] = deque()
        """In the order of the numbers that they wait for."""
        self._task: asyncio.Task[None] | None = None
        self._turn: asyncio.Handle | None = None
        self._turns = 0  # since somebody wanted something to be durable
        self._commits = 0  # in this turn
        self._crowd = 0  # turns for which commits are likely to come together
        self._failure: JournalError | None = None
        self._is_away = False
        self._watchers: list[Told] = []

    def watch(self, told: Told) -> None:
        """Call `told` when the database is away and when it is back."""
        self._watchers.append(told)

    def put(self, event: Event) -> R | None:
        """Queue an event, unless its run is another owner's by now; gives its row."""
        hold = self._holds.get(event.run)
        if hold is None:
            hold = self._holds[event.run] = Hold(event.run)
        if hold.lost:
            return None
        row = self._make(event, hold, hold.next, self._declarations(event))
        if isinstance(event, RunEnded):
            hold.last = hold.next
        hold.next += 1
        self._queue.append(row)
        self._put += 1
        self._take_turn()
        return row

    async def commit(self, run: str | None = None) -> None:
        """Return once everything put so far is durable. Raises JournalError, and Fenced where
        another owner has `run`."""
        if self._failure is not None:
            raise self._failure
        hold = None if run is None else self._holds.get(run)
        self._commits += 1
        if self._commits == 1 and not self._crowd:
            self._write_at_once()
        if self._durable < self._put:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append((self._put, hold, waiter))
            await waiter
        elif hold is not None and hold.lost:
            raise _fence(hold)

    async def take(self, run: str, *, after: int) -> None:
        """Hold a run from the number `after` on, and put Taken there. Raises Fenced."""
        await self.commit()
        self._holds[run] = Hold(run, after)
        self.put(Taken(run=run, owner=self.owner))
        await self.commit(run)

    async def append(
        self,
        run: str,
        events: Sequence[Event],
        *,
        after: int,
        declared: Iterable[tuple[str, tuple[str, ...]]] = (),
    ) -> None:
        """Put events behind the `after` ones that a run has, past the queue; `declared` are the
        keys that attempts which end with them said to write. Raises Fenced, Away."""
        hold = Hold(run, after)
        self.declare(declared)
        rows = [
            self._make(event, hold, after + n, self._declarations(event))
            for n, event in enumerate(events)
        ]
        for n in range(0, len(rows), self._most):
            await self._save(rows[n : n + self._most])
            if hold.lost:
                raise _fence(hold)

    def let_go(self, run: str) -> Fenced:
        """Hold the run no more, for it was forgotten while we took it."""
        self._holds.pop(run, None)
        return Fenced(f"run {run} was forgotten by a pruning of the journal; it cannot be gone on")

    def declare(self, open_attempts: Iterable[tuple[str, tuple[str, ...]]]) -> None:
        """Know of attempts, intended by an earlier owner, which keys they said to write."""
        self._declared.update(open_attempts)

    async def insist(self, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` returns, once it does not raise Away any more."""
        tries = 0
        while True:
            try:
                result = await work()
            except Away as error:
                if not self._is_away:
                    self._is_away = True
                    _log.warning(
                        "journal %s is away (%s): nothing new is invoked until it is back; "
                        "%d events wait",
                        self._name,
                        error,
                        self.waiting,
                    )
                    self._tell(str(error))
                await asyncio.sleep(_PAUSES[min(tries, len(_PAUSES) - 1)])
                tries += 1
            else:
                if self._is_away:
                    self._is_away = False
                    _log.warning(
                        "journal %s is back; %d events waited for it",
                        self._name,
                        self.waiting,
                    )
                    self._tell(None)
                return result

    async def finish(self, seconds: float, spool: Spool) -> None:
        """Write what is queued, for so long at most, and stop; what was not written is left in the
        spool."""
        try:
            with contextlib.suppress(JournalError), anyio.move_on_after(seconds, shield=True):
                await self.commit()
            if self._task is not None:
                self._task.cancel()
            if left := self._left():
                with anyio.CancelScope(shield=True):
                    said = await anyio.to_thread.run_sync(_keep, left, spool)
                self._failure = JournalError(
                    f"the journal {self._name} was away when it was closed: {said}"
                )
                _log.error("%s", self._failure)
        finally:
            if self._task is not None:
                self._task.cancel()
            if self._failure is not None:
                self._release(self._failure)

    @property
    def waiting(self) -> int:
        """How many events are not durable yet."""
        return self._put - self._durable

    def _left(self) -> list[Spooled]:
        """What was not written, by run, but for runs that are another's or were not taken yet."""
        rows: dict[Hold, list[R]] = {}
        for row in (*self._batch, *self._queue):
            if not row.hold.lost:
                rows.setdefault(row.hold, []).append(row)
        return [
            Spooled(hold.run, self.owner, mine[0].seq, tuple(row.event for row in mine))
            for hold, mine in rows.items()
            if not isinstance(mine[0].event, Taken)
        ]

    def _tell(self, why: str | None) -> None:
        for told in self._watchers:
            told(why, self.waiting)

    def _declarations(self, event: Event) -> tuple[str, ...]:
        if isinstance(event, Intended) and event.writes:
            self._declared[event.attempt] = event.writes
        elif isinstance(event, Ended) and self._declared:
            return self._declared.pop(event.attempt, ())
        return ()

    def _take_turn(self) -> None:
        """Look at the queue in the loop's next turn, unless somebody does."""
        if self._turn is None and self._task is None and self._failure is None:
            self._turn = asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        """One turn is over: write what it has brought."""
        self._turn = None
        self._crowd = _CROWD if self._commits > 1 else max(0, self._crowd - 1)
        self._commits = 0
        if not self._queue or self._task is not None or self._failure is not None:
            return
        self._turns += 1
        if not self._waiters and self._turns < _TURNS:  # what follows from an end, an intent,
            self._take_turn()  # shares its commit
        elif not self._write_at_once():
            self._task = asyncio.get_running_loop().create_task(self._write())

    def _write_at_once(self) -> bool:
        """Write what is queued here and now, if it is little; gives whether that was done."""
        batch = self._queue
        if self._at_once is None or not 0 < len(batch) <= self._few:
            return False
        if self._task is not None or self._failure is not None:
            return False
        try:
            is_done = self._at_once(_held(batch))
        except Exception:  # noqa: BLE001 -- whatever it is, the task meets it too, and says so
            is_done = False
        if not is_done:
            return False
        self._queue = []
        self._written(batch)
        return True

    async def _write(self) -> None:
        """Write one batch, however long that takes; the one task of this journal."""
        batch, self._queue = self._queue[: self._most], self._queue[self._most :]
        self._batch = batch
        try:
            await self.insist(lambda: self._save(_held(batch)))
        except JournalError as error:
            self._failure = error
            self._release(error)
        else:
            self._batch = []
            self._written(batch)
        finally:
            self._task = None
        if self._queue:
            self._take_turn()

    def _written(self, batch: list[R]) -> None:
        self._turns = 0
        self._durable += len(batch)
        self._forget(batch)
        self._release(None)

    async def _save(self, rows: list[R]) -> None:
        try:
            await self._store(rows)
        except (Away, JournalError):
            raise
        except Exception as error:  # whatever it is, nobody must wait for it to pass
            what = f"{type(error).__name__}: {error}"
            raise JournalError(f"the journal {self._name} cannot be written: {what}") from error

    def _forget(self, batch: list[R]) -> None:
        for row in batch:
            hold = row.hold
            if row.seq == hold.last and not hold.lost and self._holds.get(hold.run) is hold:
                del self._holds[hold.run]

    def _release(self, error: JournalError | None) -> None:
        """Let those go on whose events are durable by now, or all, because of the error."""
        while self._waiters and (error is not None or self._waiters[0][0] <= self._durable):
            _, hold, waiter = self._waiters.popleft()
            if waiter.done():
                continue
            if error is not None:
                waiter.set_exception(error)
            elif hold is not None and hold.lost:
                waiter.set_exception(_fence(hold))
            else:
                waiter.set_result(None)


def _keep(left: Sequence[Spooled], spool: Spool) -> str:
    """Write spool files; says in a sentence where they are."""
    said: list[str] = []
    for each in left:
        what = f"{len(each.events)} events of run {each.run}"
        try:
            said.append(f"{what} wait in {spool.keep(each)}, and the next start takes them in")
        except OSError as error:
            said.append(f"{what} are lost, for there is no room for a spool file ({error})")
    return "; ".join(said)


def _held(rows: list[R]) -> list[R]:
    return [row for row in rows if not row.hold.lost]


def _fence(hold: Hold) -> Fenced:
    return Fenced(
        f"run {hold.run} is another process's by now; this one has stopped sending for it"
    )
