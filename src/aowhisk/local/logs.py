"""The log lines of one container, collected from its two pipes."""

from __future__ import annotations

import codecs
import os
from datetime import UTC, datetime

__all__ = ["INCOMPLETE", "Logs"]

INCOMPLETE = "The action did not initialize or run as expected. Log data might be missing."
_CHUNK = 1 << 16
_READS = 4  # a pipe holds one chunk
_FRAME = (
    71  # what Docker writes around a line, which counts, too (INV/docker/DockerContainer.scala)
)
_LINE = 1 << 16  # a line longer than this is broken up


class Logs:
    """Reads the pipes `stdout` and `stderr` (file descriptors, not blocking) and stamps their
    lines.

    The lines are OpenWhisk's: `2024-01-01T00:00:00.000000000Z stdout: text`.
    """

    def __init__(self, stdout: int, stderr: int) -> None:
        self._pipes = {"stdout": stdout, "stderr": stderr}
        self._partial = {"stdout": "", "stderr": ""}
        self._decoders = {
            name: codecs.getincrementaldecoder("utf-8")("replace") for name in self._pipes
        }
        self._lines: list[str] = []
        self._left = 0
        self._limit = 0
        self._truncated = False

    def begin(self, limit: int) -> None:
        """A new activation begins; it may log `limit` bytes."""
        self._left = self._limit = limit
        self._truncated = False

    def end(self, *, last: bool = True) -> list[str]:
        """The lines of the activation that ends now. Until the next one begins there are no more,
        if it is the `last` one running."""
        self.drain()
        for name, rest in self._partial.items():
            if rest:
                self.add(name, rest)
            self._partial[name] = ""
        if self._truncated:
            text = (
                "Logs were truncated because the total bytes size exceeds the limit of "
                f"{self._limit} bytes."
            )
            self._lines.append(stamped("stderr", text))
        lines, self._lines = self._lines, []
        if last:
            self._limit = 0
        return lines

    def drain(self) -> None:
        """Take everything that the process has written so far.

        That is at most what a pipe holds; reading on until nothing is left could go on for ever
        beside a child that never stops writing.
        """
        for name in self._pipes:
            for _ in range(_READS):
                if not self.read(name):
                    break

    def read(self, name: str) -> bool:
        """Take one chunk of `name`; False when there is nothing (now, or ever again)."""
        try:
            data = os.read(self._pipes[name], _CHUNK)
        except BlockingIOError:
            return False
        if not data:
            return False
        if self._limit == 0 or self._truncated:
            return True  # nobody will see it
        *lines, rest = (self._partial[name] + self._decoders[name].decode(data)).split("\n")
        while len(rest) > _LINE:
            lines.append(rest[:_LINE])
            rest = rest[_LINE:]
        self._partial[name] = rest
        for line in lines:
            self.add(name, line)
        return True

    def add(self, name: str, line: str) -> None:
        """One line more."""
        if self._limit == 0 or self._truncated:
            return
        self._left -= len(line.encode("utf-8", "replace")) + _FRAME
        if self._left < 0:
            self._truncated = True
            return
        self._lines.append(stamped(name, line))


def stamped(stream: str, text: str) -> str:
    """One log line of now."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}000Z {stream}: {text}"
