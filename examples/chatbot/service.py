"""The chatbot as a service: `python examples/chatbot/service.py --port 8000`, then

curl -d '{"text": "tell me a joke"}' -H 'content-type: application/json' localhost:8000/chat
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

import uvicorn
from bot import Bot
from fastapi import FastAPI, HTTPException, Request
from flow import Training, orchestrator_of, parser, training
from pydantic import BaseModel, Field

from aowhisk import RecoveryFailed


class Said(BaseModel):
    """What somebody says."""

    text: str = Field(min_length=1, max_length=10_000)


def application(wanted: Training, options: argparse.Namespace) -> FastAPI:
    """The service: one orchestrator as long as it runs; the bot is trained before it answers."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with orchestrator_of(options) as orchestrator:
            app.state.bot = Bot(orchestrator, await wanted.run(orchestrator))
            await app.state.bot.check()
            yield

    app = FastAPI(title="chatbot", lifespan=lifespan)

    @app.post("/chat")
    async def chat(said: Said, request: Request) -> dict[str, Any]:
        """The intent and a reply; what was lost of the model is made again first."""
        try:
            return asdict(await request.app.state.bot.answer(said.text))
        except RecoveryFailed as error:
            raise HTTPException(503, str(error)) from error

    @app.get("/model")
    async def model(request: Request) -> dict[str, Any]:
        """Which run trained it, what it is made of, and how good it is."""
        bot: Bot = request.app.state.bot
        result = bot.run["combine"].result
        told = {name: result[name] for name in ("metrics", "sure", "tested", "thresholds")}
        return {"run": bot.run.id, "objects": bot.keys, **told}

    return app


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until it is stopped."""
    made = parser("Serve the chatbot over HTTP; train it first where that was not done.")
    made.add_argument("--host", default="127.0.0.1", help="where to listen (%(default)s)")
    made.add_argument("--port", type=int, default=8000, help="where to listen (%(default)s)")
    options = made.parse_args(argv)
    app = application(training(options, made), options)
    uvicorn.run(app, host=options.host, port=options.port, log_level="info")


if __name__ == "__main__":
    sys.exit(main())
