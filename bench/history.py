"""How long each question to a journal takes, on a journal of many events.

In SQLite, or with --mongodb on the server of MONGO_URI, else on mongo-java-server where that is
installed (tests/servers). It is filled with runs of maps of 100 calls, one run of 2,000 calls, 1 %
failures, an object read and one written by each call: a file through the schema, in large
transactions, a database through the journal. The questions go through `History`, as a user's do;
the median and the worst of 20 are shown, each asked of something else, after one to warm up. In
SQLite all but the worst of each must keep within the bound.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sqlite3
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from aowhisk.errors import MissingObject, PlatformError, TimedOut
from aowhisk.events import open_journal
from aowhisk.events.codec import to_json
from aowhisk.events.model import Ended, Event, Intended, RunEnded, RunStarted, RunState
from aowhisk.events.schema import prepare
from aowhisk.history import History
from aowhisk.models import Activation, Status, attempt_id, from_ms
from object_store.wire import IORecord

BEGIN = 1_700_000_000.0
CALLS, LARGE = 100, 2_000
NAMES = tuple(f"flow-{n}" for n in range(50))
ERRORS = tuple(each.__name__ for each in (TimedOut, PlatformError, MissingObject))
CHANCE = random.Random(1)
BOUND = 0.050


def run_events(n: int, calls: int) -> Iterator[Event]:
    """A run of so many calls, two events each."""
    run, at = f"run{n:017d}", BEGIN + n * 60.0
    yield RunStarted(run=run, name=NAMES[n % len(NAMES)], concurrency=16, at=at)
    for number in range(calls):
        at += 0.01
        call, attempt, size = f"encode.{number}", attempt_id(), CHANCE.randrange(10**7)
        action = f"action-{number % 5}"
        yield Intended(
            run=run, of=run, call=call, attempt=attempt, action=action, params={"n": number}, at=at
        )
        failed = CHANCE.random() < 0.01
        yield Ended(
            run=run,
            of=run,
            call=call,
            attempt=attempt,
            action=action,
            result={"output": f"encoded/{run}/{number}.mp4"},
            error="it failed" if failed else None,
            error_class=CHANCE.choice(ERRORS) if failed else None,
            activation=Activation(
                id=attempt + "01234567",
                name=action,
                status=Status.SUCCESS,
                start=from_ms(at * 1000),
                end=from_ms(at * 1000 + 500),
                duration=0.5,
                annotations={"waitTime": 10, "limits": {"memory": 256, "timeout": 60000}},
            ),
            reads=(record(f"chunks/shared/{number}.mp4", size), record(f"chunks/{run}/{number}")),
            writes=(record(f"encoded/{run}/{number}.mp4", size),),
            reported=True,
            sent=at,
            at=at + 0.6,
        )
    yield RunEnded(run=run, state=RunState.FAILED if n % 20 == 0 else RunState.SUCCEEDED, at=at + 1)


def record(key: str, size: int = 1000) -> IORecord:
    return IORecord(key, size, "0" * 32, at=1_700_000_000_000, ms=12)


def fill(path: Path, count: int) -> int:
    """A journal of about so many events; gives the number of its runs."""
    connection = sqlite3.connect(path, isolation_level=None)
    prepare(connection, path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = OFF")
    done, n = 0, 0
    connection.execute("BEGIN")
    while done < count:
        events = list(run_events(n, LARGE if n == 1 else CALLS))
        insert(connection, events)
        done, n = done + len(events), n + 1
        if n % 100 == 0:
            connection.execute("COMMIT")
            connection.execute("BEGIN")
    connection.execute("COMMIT")
    connection.close()
    return n


def insert(connection: sqlite3.Connection, events: list[Event]) -> None:
    rows, objects = [], []
    for seq, event in enumerate(events):
        call, attempt = getattr(event, "call", None), getattr(event, "attempt", None)
        body = json.dumps(to_json(event), separators=(",", ":"))
        rows.append((event.run, seq, event.at, event.kind, call, attempt, body))
        if isinstance(event, Ended):
            used = [("read", r) for r in event.reads] + [("write", w) for w in event.writes]
            who = (event.of, call, attempt)
            objects += [
                (r.key, event.at, event.run, seq, i, mode, *who, r.size, r.etag, r.by)
                for i, (mode, r) in enumerate(used)
            ]
    connection.executemany("INSERT INTO events VALUES (?,?,?,?,?,?,?)", rows)
    connection.executemany("INSERT INTO objects VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", objects)
    first, last = events[0], events[-1]
    assert isinstance(first, RunStarted)
    assert isinstance(last, RunEnded)
    values = (first.run, first.name, last.state.value, "{}", first.at, last.at)
    connection.execute("INSERT INTO runs VALUES (?,?,?,?,?,?)", values)


Question = Callable[[History, int], Awaitable[object]]


def questions(runs: int) -> dict[str, Question]:
    """Each question, of the n-th of something."""

    def run(n: int) -> str:
        return f"run{2 + n * 31 % max(1, runs - 2):017d}"

    def day(n: int) -> dict[str, datetime]:
        since = BEGIN + (n * 31 % max(1, runs)) * 60.0
        ends = (since, since + 86_400.0)
        begin, end = (datetime.fromtimestamp(each, tz=UTC) for each in ends)
        return {"since": begin, "until": end}

    return {
        "runs, the newest": lambda h, n: h.runs(limit=100 + n),
        "runs by name": lambda h, n: h.runs(name=NAMES[n]),
        "runs by state": lambda h, n: h.runs(state=RunState.FAILED, limit=100 + n),
        "runs of a name, state and day": lambda h, n: h.runs(
            name=NAMES[n], state=RunState.FAILED, **day(n)
        ),
        "calls of a run of 100": lambda h, n: h.calls(run(n)),
        "calls of a run of 2,000": lambda h, n: h.calls(f"run{1:017d}"),
        "telemetry of a run of 100": lambda h, n: h.telemetry(run(n)),
        "who wrote an object": lambda h, n: h.who_wrote(f"encoded/{run(n)}/{n}.mp4"),
        "who read an object": lambda h, n: h.who_read(f"chunks/{run(n)}/{n}"),
        "who read one that all runs read": lambda h, n: h.who_read(f"chunks/shared/{n}.mp4"),
        "failures of a day by class": lambda h, n: h.failures(**day(n)),
        "failures of all time by class": lambda h, n: h.failures(),
        "activations by input size": lambda h, n: h.activations(f"action-{n % 5}", near=n * 10**5),
    }


async def fill_mongo(url: str, count: int) -> int:
    """The same in MongoDB."""
    journal = open_journal(url)
    await journal.open()
    done, n = 0, 0
    while done < count:
        for event in run_events(n, LARGE if n == 1 else CALLS):
            journal.put(event)
            done += 1
        await journal.commit()
        n += 1
    await journal.close()
    return n


@contextmanager
def mongo_database() -> Iterator[str]:
    """The URL of a database that is gone afterwards."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "aowhisk"))
    from mongo_server import INSTALL, MongoServer, with_database
    from pymongo import MongoClient

    name, given = f"aowhisk_bench_{uuid.uuid4().hex[:8]}", os.environ.get("MONGO_URI")
    with tempfile.TemporaryDirectory() as folder:
        server = MongoServer("fake", Path(folder))
        if not given:
            if not MongoServer.is_installed("fake"):
                sys.exit(f"no MONGO_URI, and mongo-java-server is not installed; {INSTALL}")
            server.start()
        try:
            yield with_database(given or server.url, name)
            with MongoClient[dict[str, object]](given or server.url) as client:
                client.drop_database(name)
        finally:
            server.kill()


async def measure(url: str, runs: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    began = time.perf_counter()
    async with History.open(url) as history:
        found["opening"] = [time.perf_counter() - began]
        for name, ask in questions(runs).items():
            await ask(history, 20)
            found[name] = []
            for n in range(20):
                began = time.perf_counter()
                await ask(history, n)
                found[name].append(time.perf_counter() - began)
    return found


def in_sqlite(count: int, slack: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.db"
        began = time.perf_counter()
        runs = fill(path, count)
        took, size = time.perf_counter() - began, path.stat().st_size
        print(f"{count} events, {runs} runs, {size / 1e6:.0f} MB, made in {took:.0f} s")
        found = asyncio.run(measure(f"sqlite://{path}", runs))
    show(found)
    slow = {name: sorted(times)[:19][-1] for name, times in found.items()}
    for name, time_ in slow.items():
        if time_ > BOUND:
            print(f"{name}: {time_ * 1e3:.0f} ms, over {BOUND * 1e3:.0f} ms")
    if any(time_ > slack * BOUND for time_ in slow.values()):
        sys.exit(1)


def in_mongodb(count: int) -> None:
    with mongo_database() as url:
        began = time.perf_counter()
        runs = asyncio.run(fill_mongo(url, count))
        took = time.perf_counter() - began
        print(f"{count} events, {runs} runs in MongoDB, written in {took:.0f} s")
        show(asyncio.run(measure(url, runs)))


def show(found: Mapping[str, list[float]]) -> None:
    print(f"{'question':34} {'median':>8} {'worst':>8}")
    for name, times in found.items():
        print(f"{name:34} {statistics.median(times) * 1e3:5.1f} ms {max(times) * 1e3:5.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, help="1,000,000, in MongoDB 50,000")
    parser.add_argument("--mongodb", action="store_true", help="in MongoDB, not in SQLite")
    parser.add_argument(
        "--slack", type=float, default=1.0, help="fail beyond so many times the bound"
    )
    options = parser.parse_args()
    if options.mongodb:
        in_mongodb(options.events or 50_000)
    else:
        in_sqlite(options.events or 1_000_000, options.slack)


if __name__ == "__main__":
    main()
