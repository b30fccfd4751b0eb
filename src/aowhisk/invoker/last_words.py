"""What an action that crashed, or did not start, said last: only its log says why."""

from __future__ import annotations

from dataclasses import replace

from aowhisk.client import Client
from aowhisk.errors import DeveloperError, OpenWhiskError
from aowhisk.invoker.attempt import AttemptEnd
from aowhisk.models import Activation

__all__ = ["with_last_words"]

_MISSING_LOG = "The action did not initialize or run as expected."  # http/ErrorResponse.scala


async def with_last_words(client: Client, end: AttemptEnd) -> AttemptEnd:
    """`end` with the log of the action that failed, if it can be had. Of a sequence or a
    composition that is its last part; the record of the whole keeps naming its parts."""
    error, record = end.error, end.activation
    if not isinstance(error, DeveloperError) or record is None:
        return end
    if record.logs and not record.is_composed:
        return end
    try:
        logs = await _logs(client, record)
    except OpenWhiskError:
        return end
    if not record.is_composed:
        record = replace(record, logs=logs)
    error.activation = record
    said = [line for line in map(_text, logs) if line and not line.startswith(_MISSING_LOG)]
    if said:
        error.args = (f"{error}; its log ends with: {said[-1]}",)
    return replace(end, activation=record)


async def _logs(client: Client, record: Activation) -> tuple[str, ...]:
    while record.is_composed:
        if not record.logs:
            return ()
        record = await client.activations.get(record.logs[-1])
    return record.logs or tuple(await client.activations.logs(record.id))


def _text(line: str) -> str:
    """A line of an activation's log without its time and stream."""
    _, _, rest = line.partition(" ")
    stream, colon, text = rest.partition(": ")
    return (text if colon and stream.strip() in ("stdout", "stderr") else line).strip()
