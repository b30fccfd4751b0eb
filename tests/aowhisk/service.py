"""A FastAPI service that runs dags: `python service.py PORT ROOT`, for test_service.py."""

import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException

from aowhisk import Conflict, Dag, Orchestrator, Patience, UnknownRun, item
from aowhisk.events.log import LogSink

GRACE = 3.0


def nap(args: dict[str, Any]) -> dict[str, Any]:
    time.sleep(args["seconds"])  # noqa: TID251 -- an action runs in its own process
    return {"slept": args["seconds"]}


def napping(seconds: list[float]) -> Dag:
    dag = Dag("napping")
    dag.map("nap", {"seconds": item}, over=seconds)
    return dag


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    root = Path(sys.argv[2])
    log = LogSink(console=None, path=root / "events.log")
    async with Orchestrator.local(
        actions={"nap": nap}, root=root, sinks=[log], patience=Patience(grace=GRACE)
    ) as orchestrator:
        app.state.orchestrator = orchestrator
        yield
    log.close()


app = FastAPI(lifespan=lifespan)


@app.post("/runs/{run_id}")
async def start(run_id: str, seconds: list[float]) -> dict[str, str]:
    try:
        handle = await app.state.orchestrator.submit(napping(seconds), id=run_id)
    except Conflict as error:
        raise HTTPException(409, str(error)) from error
    return {"id": handle.id, "state": handle.state.value}


@app.get("/runs/{run_id}")
async def show(run_id: str) -> dict[str, Any]:
    try:
        run = await app.state.orchestrator.handle(run_id).look()
    except UnknownRun as error:
        raise HTTPException(404, "no such run") from error
    done = [call for call, out in run.outcomes.items() if hasattr(out, "result")]
    return {"id": run.id, "state": run.state.value, "done": done}


@app.get("/count")
async def count() -> int:
    found: int = app.state.orchestrator.server.count("nap")
    return found


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")
