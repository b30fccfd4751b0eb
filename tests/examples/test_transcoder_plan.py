"""Where a film is cut; nothing here needs a film."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from loading import load

actions = load("transcoder/actions.py")
plan, Shot = actions.plan, actions.Shot


def shots(frames: int, every: int) -> list[object]:
    return [Shot(time, time % every == 0) for time in range(frames)]


def ranges(film: list[object], count: int) -> list[tuple[int, int, int, int]]:
    return [(r.start, r.end, r.first, r.last) for r in plan(film, count)]


def test_a_film_is_cut_at_the_keyframes_next_to_equal_parts() -> None:
    starts = [start for start, _, _, _ in ranges(shots(100, 9), 5)]
    assert starts == [0, 18, 36, 63, 81]


def test_where_no_keyframe_is_near_a_piece_takes_along_what_it_needs() -> None:
    assert ranges(shots(100, 1000), 2) == [(0, 50, 0, 49), (50, 100, 0, 99)]


def test_there_are_no_more_pieces_than_frames() -> None:
    assert len(plan(shots(3, 1), 10)) == 3


def test_a_film_of_one_frame_is_one_piece() -> None:
    assert ranges(shots(1, 1), 5) == [(0, 1, 0, 0)]


def test_frames_shown_before_the_keyframe_that_they_follow_stay_in_the_earlier_piece() -> None:
    # decoded I0 P3 B1 B2 | I6 B4 B5 P9 B7 B8: an open group, whose B4 and B5 are shown before I6
    order = [0, 3, 1, 2, 6, 4, 5, 9, 7, 8]
    film = [Shot(time, time in (0, 6)) for time in order]
    first, second = plan(film, 2)
    assert second.start == 6
    assert (first.first, first.last) == (0, 6)  # up to B5, so I6 too, which the decoder drops
    assert (second.first, second.last) == (4, 9)


def test_a_cut_among_late_frames_goes_back_to_the_keyframe_before() -> None:
    order = [0, 3, 1, 2, 6, 4, 5, 9, 7, 8]
    film = [Shot(time, time in (0, 6)) for time in order]
    for part in plan(film, 10):
        if part.start in (4, 5):
            assert part.first == 0


def test_hidden_packets_are_shown_in_no_piece() -> None:
    film = [Shot(-2, True, True), Shot(-1, False, True), *shots(10, 5)[1:]]
    pieces = plan([film[0], film[1], *film[2:]], 2)
    assert pieces[0].start == 1
    assert pieces[0].first == 0


@pytest.mark.parametrize("seed", range(30))
def test_each_frame_is_in_one_piece_that_can_decode_it(seed: int) -> None:
    dice = random.Random(seed)
    times = sorted(dice.sample(range(500), dice.randint(1, 60)))
    decoded = list(times)
    for at in range(2, len(decoded) - 1, 4):
        if dice.random() < 0.5:
            decoded[at - 1], decoded[at] = decoded[at], decoded[at - 1]
    film = [Shot(time, not n or dice.random() < 0.15) for n, time in enumerate(decoded)]
    pieces = plan(film, dice.randint(1, 12))
    assert pieces[0].start == times[0]
    assert pieces[-1].end == times[-1] + 1
    assert all(one.end == other.start for one, other in pairwise(pieces))
    for piece in pieces:
        inside = [n for n, shot in enumerate(film) if piece.start <= shot.time < piece.end]
        assert piece.first <= min(inside)
        assert max(inside) == piece.last
        entry = film[piece.first]
        assert piece.first == 0 or (entry.keyframe and entry.time <= piece.start)


@pytest.mark.parametrize(
    ("width", "height", "shape", "lines", "wanted"),
    [
        (1280, 720, "1", 360, (640, 360)),
        (1920, 1080, "1", 480, (854, 480)),
        (720, 1280, "1", 360, (360, 640)),
        (720, 576, "16/15", 360, (480, 360)),
        (320, 180, "1", 720, (320, 180)),
        (101, 57, "1", 360, (100, 56)),
        (1, 1, "1", 144, (2, 2)),
    ],
)
def test_the_shorter_side_gets_the_lines_and_no_picture_grows(
    width: int, height: int, shape: str, lines: int, wanted: tuple[int, int]
) -> None:
    assert actions.size_for(width, height, actions.Fraction(shape), lines) == wanted
