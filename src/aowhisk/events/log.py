"""Events as log lines, for a console and for a file; the only door to structlog.

Nothing global is configured: a `LogSink` has loggers of its own.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, TextIO

import structlog

from aowhisk.events.model import CallFailed, Ended, Event, Expanded, Intended, RunStarted
from aowhisk.models import Activation

__all__ = ["LogSink"]

_QUIET = {"intended", "accepted", "expanded"}  # in a file only: two lines a call are enough to read
_LOUD = {"objects_missing", "recovery_planned", "diverged", "throttled", "run_interrupted"}
_LOUD |= {"journal_away", "journal_back"}
_CLIP = 500


class LogSink:
    """Writes each event as one line with `run`, `call`, `attempt` and `activation_id` where they
    are known.

    `console` is a text stream for people (None: no console); `path` is a file of JSON lines that is
    appended to (None: no file). Params and results are not logged, only their sizes.
    """

    def __init__(
        self, *, console: TextIO | None = sys.stderr, path: Path | str | None = None
    ) -> None:
        self._file: TextIO | None = None
        self._loggers: list[tuple[Any, bool]] = []
        if console is not None:
            colors = console.isatty()
            renderer = structlog.dev.ConsoleRenderer(colors=colors, pad_event_to=18)
            self._loggers.append((_logger(console, renderer, "%H:%M:%S"), False))
        if path is not None:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._file = Path(path).open("a", encoding="utf-8", buffering=1)  # noqa: SIM115
            renderer_json = structlog.processors.JSONRenderer(default=str)
            self._loggers.append((_logger(self._file, renderer_json, "iso"), True))

    def receive(self, event: Event) -> None:
        """Write the event's line."""
        facts = self._facts(event)
        level = _level(event)
        for logger, everything in self._loggers:
            if everything or event.kind not in _QUIET:
                getattr(logger, level)(event.kind, **facts)

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._file is not None:
            self._file.close()

    def _facts(self, event: Event) -> dict[str, Any]:
        facts = event.facts()
        facts.pop("at")
        if facts.get("of") == event.run:
            del facts["of"]
        if isinstance(event, Intended):
            facts.pop("params")
        elif isinstance(event, RunStarted):
            facts["dag"] = None if event.dag is None else len(event.dag.get("nodes", ()))
        elif isinstance(event, Expanded):
            facts["items"] = len(event.items)
        elif isinstance(event, Ended):
            facts.pop("result")
            facts.update(_ended(event))
        return {k: _clip(v) for k, v in facts.items() if v is not None and v != () and v != {}}


def _ended(event: Ended) -> dict[str, Any]:
    activation: Activation | None = event.activation
    return {
        "activation": None,
        "activation_id": activation.id if activation else None,
        "seconds": activation.duration if activation else None,
        "cold": activation.init_time is not None if activation else None,
        "reads": len(event.reads) or None,
        "writes": len(event.writes) or None,
        "bytes_read": sum(r.size for r in event.reads) or None,
        "bytes_written": sum(w.size for w in event.writes) or None,
    }


def _level(event: Event) -> str:
    if isinstance(event, Ended) and event.error is not None:
        return "error" if event.final else "warning"
    if isinstance(event, CallFailed):
        return "error"
    return "warning" if event.kind in _LOUD else "info"


def _clip(value: object) -> object:
    if hasattr(value, "value") and isinstance(getattr(value, "value", None), str):
        return value.value
    text = value if isinstance(value, str) else None
    if text is not None and len(text) > _CLIP:
        return f"{text[:_CLIP]}... ({len(text)} characters)"
    if isinstance(value, tuple) and len(value) > 10:
        return [*value[:10], f"... {len(value)} in all"]
    return value


def _logger(stream: TextIO, renderer: Any, stamp: str) -> Any:
    return structlog.wrap_logger(
        structlog.PrintLogger(stream),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt=stamp, utc=stamp == "iso"),
            renderer,
        ],
        wrapper_class=structlog.BoundLogger,
    )
