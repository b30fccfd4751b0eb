"""An answer of HTTP/1.1, as its bytes come in (RFC 9112)."""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = ["Answer", "MalformedError"]

_LARGEST = 64 * 1024  # bytes of a head, or of a chunk's first line
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: .*)?")
_HEX = re.compile(rb"[0-9a-fA-F]{1,15}")


class MalformedError(Exception):
    """What came is no answer of HTTP/1.1."""


class Answer:
    """Give it the bytes with `feed`, until `is_whole`.

    `status` is 0 until the head is there. `headers` have lower-case names; several of one name are
    joined. `is_last` says that the connection is of no more use.
    """

    __slots__ = ("_buffer", "_left", "_read", "body", "headers", "is_last", "is_whole", "status")

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body: bytes | bytearray = b""
        self.is_whole = False
        self.is_last = False
        self._buffer = b""
        self._left = 0
        self._read: Callable[[bytes], None] = self._read_head

    def feed(self, data: bytes) -> None:
        """Take the next bytes. Raises MalformedError."""
        if self.is_whole:
            raise MalformedError("more came than was asked for")
        self._read(data)

    def end(self) -> None:
        """No more will come: that is the end of a body that does not say its length."""
        self.is_last = True
        if self._read == self._read_on:
            self.is_whole = True

    def _read_head(self, data: bytes) -> None:
        self._buffer = data = self._buffer + data if self._buffer else data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            if len(data) > _LARGEST:
                raise MalformedError("its head is too long")
            return
        lines = data[:end].split(b"\r\n")
        self._buffer = b""
        found = _STATUS.fullmatch(lines[0])
        if found is None:
            raise MalformedError(f"it begins with {lines[0][:50]!r}")
        self._read_fields(lines)
        self.status = int(found[2])
        rest = data[end + 4 :]
        if self.status < 200:  # a word before the answer
            if self.status == 101:
                raise MalformedError("it speaks another protocol")
            self.status, self.headers = 0, {}
            if rest:
                self._read_head(rest)
            return
        self._begin_body(rest, is_old=found[1] == b"0")

    def _read_fields(self, lines: list[bytes]) -> None:
        headers = self.headers
        for line in lines[1:]:
            name, colon, value = line.partition(b":")
            if not colon or not name or name != name.strip():
                raise MalformedError(f"it has a header {line[:50]!r}")
            key, text = name.decode("latin-1").lower(), value.strip().decode("latin-1")
            headers[key] = f"{headers[key]}, {text}" if key in headers else text

    def _begin_body(self, rest: bytes, *, is_old: bool) -> None:
        headers = self.headers
        tokens = headers.get("connection", "").lower()
        self.is_last = "close" in tokens or (is_old and "keep-alive" not in tokens)
        length = headers.get("content-length")
        coding = headers.get("transfer-encoding")
        if self.status in (204, 304):
            self._left, self._read = 0, self._read_counted
        elif coding is not None:
            is_chunked = coding.lower().rpartition(",")[2].strip() == "chunked"
            self.body, self._read = bytearray(), self._read_chunks if is_chunked else self._read_on
        elif length is not None:
            self._left, self._read = _length(length), self._read_counted
        else:
            self.body, self._read = bytearray(), self._read_on
        self._read(rest)

    def _read_counted(self, data: bytes) -> None:
        if len(data) > self._left:
            raise MalformedError("its body is longer than it says")
        if not self.body:
            self.body = data
        else:
            if isinstance(self.body, bytes):
                self.body = bytearray(self.body)
            self.body += data
        self._left -= len(data)
        self.is_whole = self._left == 0

    def _read_on(self, data: bytes) -> None:
        self.is_last = True
        assert isinstance(self.body, bytearray)
        self.body += data

    def _read_chunks(self, data: bytes) -> None:
        """Chunks: `_left` is what is missing of one, with the line's end behind it; 0 between."""
        assert isinstance(self.body, bytearray)
        data, self._buffer = self._buffer + data, b""
        while data:
            if not self._left:
                line, end, rest = data.partition(b"\r\n")
                if not end:
                    self._wait(data)
                    return
                size = _size(line)
                if size == 0:
                    self._read = self._read_trailer
                    self._read_trailer(rest)
                    return
                data, self._left = rest, size + 2
                continue
            piece, data = data[: self._left], data[self._left :]
            self._left -= len(piece)
            self.body += piece
            if not self._left:
                if not self.body.endswith(b"\r\n"):
                    raise MalformedError("a chunk is longer than it says")
                del self.body[-2:]

    def _read_trailer(self, data: bytes) -> None:
        data, self._buffer = self._buffer + data, b""
        if data.startswith(b"\r\n"):
            end = 0
        elif (end := data.find(b"\r\n\r\n")) < 0:
            self._wait(data)
            return
        else:
            end += 2
        if len(data) > end + 2:
            raise MalformedError("more came than was asked for")
        self.is_whole = True

    def _wait(self, data: bytes) -> None:
        """There is more to a line."""
        if len(data) > _LARGEST:
            raise MalformedError("a line is too long")
        self._buffer = data


def _length(text: str) -> int:
    """Of a body; repeated by a proxy, perhaps."""
    numbers = {each.strip() for each in text.split(",")}
    number = numbers.pop()
    if numbers or not (number.isascii() and number.isdigit()):
        raise MalformedError(f"its content-length is {text[:50]!r}")
    return int(number)


def _size(line: bytes) -> int:
    number = line.partition(b";")[0].strip()
    if _HEX.fullmatch(number) is None:
        raise MalformedError(f"a chunk begins with {line[:50]!r}")
    return int(number, 16)
