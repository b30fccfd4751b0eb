"""What an action's answer, or its death, turns into: the `response` of the record
(ENT/ActivationResult.scala)."""

from __future__ import annotations

import json
from dataclasses import dataclass

from aowhisk.local.http import to_json
from aowhisk.local.records import Record
from aowhisk.models import JSON, Status, is_deeper

__all__ = ["RESULT_MAX", "Response"]

RESULT_MAX = 1024 * 1024
_DEEPEST = 900  # levels of a result; OpenWhisk and Python read 1000, with what is around it
NOT_AN_OBJECT = "The action did not return a dictionary or array."
OUT_OF_MEMORY = "The action exhausted its memory and was aborted."
WHISK_ERROR = "There was an internal server error."


@dataclass(frozen=True, slots=True)
class Response:
    """How an activation ended. `size` is that of the container's answer in UTF-16 units, None
    where it gave none."""

    status: Status
    result: JSON
    size: int | None = None
    timed_out: bool = False

    @property
    def keeps_container(self) -> bool:
        """Success and application errors keep the container warm; anything else costs it."""
        return self.status in (Status.SUCCESS, Status.APPLICATION_ERROR)

    def to_json(self) -> dict[str, JSON]:
        """The `response` of the record."""
        answer = {
            "result": self.result,
            "status": self.status.value,
            "success": self.status is Status.SUCCESS,
        }
        if self.size is not None:
            answer["size"] = self.size
        return answer

    @classmethod
    def of(cls, answer: str) -> Response:
        """From the line that a run was answered with."""
        size = _units(answer)
        if size > RESULT_MAX:
            return cls._too_large(answer, size)
        try:
            result = _DECODER.decode(answer)
        except (ValueError, RecursionError):
            return cls.proxy(NOT_AN_OBJECT)
        return cls.told(result, answer)

    @classmethod
    def told(cls, result: JSON, answer: str) -> Response:
        """From the `answer` of a run, which is the JSON of `result`."""
        size = _units(answer)
        if size > RESULT_MAX:
            return cls._too_large(answer, size)
        if result is None:
            text = f"The action did not produce a valid JSON or JSON Array response: {answer}"
            return cls(Status.DEVELOPER_ERROR, {"error": text}, size)
        if not isinstance(result, dict | list) or is_deeper(result, _DEEPEST):
            return cls.proxy(NOT_AN_OBJECT)
        if isinstance(result, dict) and "error" in result:  # whatever else is in it is thrown away
            return cls(Status.APPLICATION_ERROR, {"error": result["error"]}, size)
        return cls(Status.SUCCESS, result, size)

    @classmethod
    def _too_large(cls, answer: str, size: int) -> Response:
        text = (
            "The action produced a response that exceeded the allowed length: "
            f"{size} > {RESULT_MAX} bytes. "
            f"The truncated response was: {answer[:RESULT_MAX]}"
        )
        return cls(Status.APPLICATION_ERROR, {"error": text}, size)

    @classmethod
    def proxy(cls, text: str) -> Response:
        """A developer error that the action proxy tells: its answer is the error and a newline."""
        result = {"error": text}
        return cls(Status.DEVELOPER_ERROR, result, len(to_json(result)) + 1)

    @classmethod
    def failed(cls, answer: str) -> Response:
        """A developer error that the runtime tells in an answer of its own."""
        return cls(Status.DEVELOPER_ERROR, {"error": json.loads(answer)["error"]}, _units(answer))

    @classmethod
    def out_of_memory(cls) -> Response:
        """The memory limit ended it."""
        return cls.developer_error(OUT_OF_MEMORY)

    @classmethod
    def recorded(cls, record: Record) -> Response:
        """The response of a record, as that of what it is a part of."""
        response = record.response
        return cls(record.status, response["result"], response.get("size"))

    @classmethod
    def application_error(cls, text: str) -> Response:
        """An error that the controller tells in the action's place."""
        return cls(Status.APPLICATION_ERROR, {"error": text})

    @classmethod
    def developer_error(cls, text: str) -> Response:
        """A developer error that the invoker tells: there was no answer."""
        return cls(Status.DEVELOPER_ERROR, {"error": text})

    @classmethod
    def whisk_error(cls, text: str = WHISK_ERROR) -> Response:
        """The platform failed."""
        return cls(Status.WHISK_ERROR, {"error": text})

    @classmethod
    def over_time(cls, limit_ms: int, *, during_init: bool) -> Response:
        """The time limit ended it."""
        where = " during initialization" if during_init else ""
        text = f"The action exceeded its time limits of {limit_ms} milliseconds{where}."
        return cls(Status.DEVELOPER_ERROR, {"error": text}, timed_out=True)


def _units(text: str) -> int:
    """The length as Scala counts it."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def _constant(name: str) -> JSON:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_constant)
