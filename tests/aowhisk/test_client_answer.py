"""Answers of HTTP/1.1, however their bytes come in."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aowhisk.client.answer import Answer, MalformedError

WHOLE: dict[str, tuple[bytes, int, bytes]] = {
    "counted": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\n\r\nhello", 200, b"hello"),
    "empty": (b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", 202, b""),
    "repeated length": (b"HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\nok", 200, b"ok"),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    "no reason": (b"HTTP/1.1 502\r\ncontent-length: 1\r\n\r\nx", 502, b"x"),
    "chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n9;a=b\r\n there\r\n!"
        b"\r\n0\r\n\r\n",
        200,
        b"hello there\r\n!",
    ),
    "chunks with a trailer": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nA: b\r\nC: d\r\n\r\n",
        200,
        b"x",
    ),
    "a word before": (
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        200,
        b"ok",
    ),
}
MALFORMED: dict[str, bytes] = {
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "no number": b"HTTP/1.1 OK\r\n\r\n",
    "a switch of protocols": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "a line without colon": b"HTTP/1.1 200 OK\r\nwhat\r\n\r\n",
    "a folded line": b"HTTP/1.1 200 OK\r\nA: b\r\n c: d\r\n\r\n",
    "a space before the colon": b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n",
    "a length below 0": b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
    "more than it says": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nabc",
    "no size": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
    "a size below 0": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-1\r\n",
    "a chunk that is longer": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nxy\r\n",
    "more after its chunks": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n"
    ),
    "an endless head": b"HTTP/1.1 200 OK\r\nA: " + b"a" * 70_000,
    "an endless line": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"0" * 70_000,
}


def fed(*pieces: bytes) -> Answer:
    answer = Answer()
    for piece in pieces:
        answer.feed(piece)
    return answer


@pytest.mark.parametrize("name", WHOLE)
def test_an_answer_is_read_in_one_piece(name: str) -> None:
    data, status, body = WHOLE[name]
    answer = fed(data)
    assert (answer.is_whole, answer.status, bytes(answer.body)) == (True, status, body)
    assert not answer.is_last


@given(st.sampled_from([each[0] for each in WHOLE.values()]), st.lists(st.integers(0, 150)))
def test_however_it_is_cut_it_is_the_same_answer(data: bytes, cuts: list[int]) -> None:
    whole, places = fed(data), sorted({0, *(c for c in cuts if c < len(data)), len(data)})
    cut = fed(*(data[a:b] for a, b in itertools.pairwise(places)))
    assert cut.is_whole
    assert (cut.status, cut.headers, bytes(cut.body)) == (
        whole.status,
        whole.headers,
        bytes(whole.body),
    )


@given(st.binary(max_size=200), st.lists(st.integers(1, 50)))
def test_a_body_in_chunks_is_what_was_put_into_them(body: bytes, sizes: list[int]) -> None:
    data, left = b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n", body
    for size in sizes:
        if left:
            data += b"%x\r\n%b\r\n" % (len(left[:size]), left[:size])
            left = left[size:]
    if left:
        data += b"%X \r\n%b\r\n" % (len(left), left)
    answer = fed(data + b"0\r\n\r\n")
    assert answer.is_whole
    assert bytes(answer.body) == body


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_answer_is_refused(name: str) -> None:
    with pytest.raises(MalformedError):
        fed(MALFORMED[name])


def test_names_are_in_lower_case_and_several_of_one_name_are_joined() -> None:
    answer = fed(b"HTTP/1.1 200 OK\r\nX-A: 1 \r\nx-a:2\r\nContent-length: 0\r\n\r\n")
    assert answer.headers == {"x-a": "1, 2", "content-length": "0"}


def test_a_body_that_does_not_say_its_length_ends_with_the_connection() -> None:
    answer = fed(b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo")
    assert not answer.is_whole
    answer.end()
    assert (answer.is_whole, answer.is_last, bytes(answer.body)) == (True, True, b"hello")


def test_a_body_that_says_its_length_does_not_end_before() -> None:
    answer = fed(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhello")
    answer.end()
    assert not answer.is_whole


@pytest.mark.parametrize(
    ("head", "is_last"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close", True),
        (b"HTTP/1.1 200 OK\r\nConnection: keep-alive", False),
        (b"HTTP/1.0 200 OK\r\nA: b", True),
        (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive", False),
    ],
)
def test_it_says_whether_its_connection_can_be_used_again(head: bytes, is_last: bool) -> None:
    assert fed(head + b"\r\ncontent-length: 0\r\n\r\n").is_last is is_last
