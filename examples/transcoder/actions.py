"""Three actions that make a film smaller: splitter -> transcoder (many at once) -> combiner.

The picture is cut into pieces that are encoded side by side; the sound is encoded in one piece, so
that it has no seams. One clock keeps them together: each piece knows its time in the finished film.

Needs PyAV (`av`), which brings FFmpeg along. It is imported late, so that the call says what is
wrong in an image without it.
"""

from __future__ import annotations

import bisect
import heapq
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from object_store import action

if TYPE_CHECKING:
    from av import AudioFrame, VideoFrame
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet
    from av.stream import Stream

FILMS = "input-video"
PIECES = "output-chunks"
RESULTS = "output-video"

MAX_CHUNKS = 256
LINES = (144, 240, 360, 480, 720, 1080, 1440, 2160)
SOUND_RATE = 48_000
SOUND_BITS = 128_000

# One thread: pieces are what runs in parallel, and the bytes must not depend on a machine's cores.
# No B-frames: frames are decoded in the order in which they are shown, so pieces join as they are.
X264 = {"preset": "veryfast", "crf": "23", "bf": "0", "threads": "1"}
# FFmpeg's `bitexact` scaler gives the same pixels on every processor.
SCALER = "bicubic+accurate_rnd+full_chroma_int+bitexact"

# Films only: a playlist or a text would make FFmpeg open other files or draw letters.
FORMATS = (
    "aac,asf,avi,flac,flv,gif,h264,hevc,ivf,matroska,mov,mp3,mpeg,mpegts,mpegvideo,mxf,nut,ogg,wav"
)


class BadInput(Exception):
    """What was asked for cannot be done, and another try would end the same way."""

    retryable = False

    def __init__(self, code: str, message: str, **meta: Any) -> None:
        super().__init__(message)
        self.code = code
        self.meta = meta


@action
async def splitter(args: dict[str, Any], store: Any) -> dict[str, Any]:
    """Cut the film `input` into at most `num_chunks` pieces of picture.

    `input` is a name in the bucket input-video, or "bucket/name". The result's `splits` are inputs
    of the transcoder: the pieces in order and then, where the film has sound, its sound.
    """
    count = _chunks(args.get("num_chunks", 5))
    key = _film_key(args.get("input"))
    name = PurePosixPath(key).name
    film = await store.download(key)
    with tempfile.TemporaryDirectory() as folder:
        cut = split(Path(film), Path(folder), count, name=key)
        splits: list[dict[str, Any]] = []
        for piece in cut.pieces:
            stored = store.key(f"{PIECES}/{name}/{piece['file']}")
            await store.upload(stored, Path(folder) / piece.pop("file"))
            splits.append({"input": stored, "film": name, **piece})
    if cut.sound is not None:
        splits.append({"input": key, "film": name, **cut.sound})
    return {
        "splits": splits,
        "chunks": len(cut.pieces),
        "frames": cut.frames,
        "seconds": cut.seconds,
    }


@action
async def transcoder(args: dict[str, Any], store: Any) -> dict[str, Any]:
    """Encode `input`, one of the splitter's `splits`: H.264 of `resolution` ("360p"), or AAC. The
    `output_file` is None where the piece is so damaged that nothing of it can be decoded."""
    lines = _lines(args.get("resolution", "360p"))
    piece = _piece(args.get("input"))
    source = await store.download(piece["input"])
    stem = "sound" if piece["kind"] == "sound" else PurePosixPath(piece["input"]).stem
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / f"{stem}-{lines}p.mp4"
        if piece["kind"] == "sound":
            facts = encode_sound(Path(source), target, piece)
        else:
            facts = encode_picture(Path(source), target, piece, lines)
        if not facts.get("frames") and not facts.get("samples"):
            return {"output_file": None, **facts}
        stored = store.key(f"{PIECES}/{piece['film']}/{target.name}")
        await store.upload(stored, target)
    return {"output_file": stored, **facts}


@action
async def combiner(args: dict[str, Any], store: Any) -> dict[str, Any]:
    """Join `input`, the transcoder's `output_file`s in any order, to one MP4, encoding nothing;
    `left_out` says how many of them are None."""
    given = args.get("input")
    if (
        not isinstance(given, list)
        or not all(isinstance(key, str | None) for key in given)
        or not given
    ):
        raise BadInput(
            "InvalidInput",
            f"'input' is {given!r:.200}, not a list of keys; give the transcoder's output files",
        )
    keys = [key for key in given if key is not None]
    if not keys:
        raise BadInput("Damaged", "nothing of the film can be decoded")
    parts = {key: Path(await store.download(key)) for key in dict.fromkeys(keys)}
    path = PurePosixPath(keys[0])
    resolution = path.stem.rpartition("-")[2]
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / f"{PurePosixPath(path.parent.name).stem}-{resolution}.mp4"
        facts = combine(parts, target)
        stored = store.key(f"{RESULTS}/{target.name}")
        await store.upload(stored, target)
    return {"output_file": stored, "left_out": len(given) - len(keys), **facts}


# What the actions were given


def _chunks(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_CHUNKS:
        raise BadInput(
            "InvalidInput", f"'num_chunks' is {value!r}; give a whole number from 1 to {MAX_CHUNKS}"
        )
    return value


def _film_key(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise BadInput(
            "InvalidInput", f"'input' is {value!r}; give the name of a film in the bucket {FILMS!r}"
        )
    return value if "/" in value else f"{FILMS}/{value}"


def _lines(value: object) -> int:
    if not isinstance(value, str) or value not in {f"{lines}p" for lines in LINES}:
        known = ", ".join(f"{lines}p" for lines in LINES)
        raise BadInput("InvalidInput", f"'resolution' is {value!r}; known are {known}")
    return int(value[:-1])


def _piece(value: object) -> dict[str, Any]:
    wanted: dict[str, type] = {
        "input": str,
        "film": str,
        "kind": str,
        "time_base": str,
        "shift": int,
    }
    if isinstance(value, dict) and value.get("kind") == "picture":
        wanted.update(start=int, end=int, rate=str, shape=str, rotation=int)
    if not isinstance(value, dict) or not all(
        isinstance(value.get(name), kind) for name, kind in wanted.items()
    ):
        raise BadInput(
            "InvalidInput", f"'input' is {value!r:.200}; give one of the splitter's 'splits'"
        )
    return value


# Cutting


@dataclass(frozen=True)
class Cut:
    """What `split` made.

    A piece names its `file`; `start` and `end` (exclusive) are times in the finished film in units
    of `time_base`, and `shift` is what to add to the file's own times to get there. `sound` says
    the same of the film's sound, None where there is none.
    """

    pieces: list[dict[str, Any]]
    sound: dict[str, Any] | None
    frames: int
    seconds: float


@dataclass(frozen=True)
class Shot:
    """A packet of the picture: when it is shown, if decoding can start here, if it is hidden."""

    time: int
    keyframe: bool
    hidden: bool = False


@dataclass(frozen=True)
class Range:
    """The frames shown from `start` until before `end`; the packets `first` to `last` give them."""

    start: int
    end: int
    first: int
    last: int


def plan(shots: list[Shot], count: int) -> list[Range]:
    """Where to cut a film into at most `count` pieces of like length; `shots` as they are decoded.

    A piece starts at a keyframe if one is near. If none is, it takes along the packets from the
    keyframe before it on, whose frames the transcoder decodes and drops. So each frame is in just
    one piece, however rare keyframes are; and frames that are shown in another order than decoded
    (B-frames, open groups of pictures) are in the piece where they are shown.
    """
    shown = sorted({shot.time for shot in shots if not shot.hidden})
    keys = sorted(shot.time for shot in shots if shot.keyframe and not shot.hidden)
    length = (shown[-1] - shown[0]) * len(shown) / max(1, len(shown) - 1) / count
    cuts = [shown[0]]
    for number in range(1, count):
        wanted = shown[0] + number * length
        near = _nearest(keys, wanted)
        cut = (
            near
            if near is not None and abs(near - wanted) <= length / 4
            else _nearest(shown, wanted)
        )
        if cut is not None and cut > cuts[-1]:
            cuts.append(cut)
    members: list[list[int]] = [[] for _ in cuts]
    for index, shot in enumerate(shots):
        if not shot.hidden:
            members[bisect.bisect_right(cuts, shot.time) - 1].append(index)
    ends = [*cuts[1:], shown[-1] + 1]
    return [
        Range(start, end, _entry(shots, inside[0], start), inside[-1])
        for start, end, inside in zip(cuts, ends, members, strict=True)
    ]


def _nearest(values: list[int], wanted: float) -> int | None:
    """The one of the sorted `values` next to `wanted`."""
    at = bisect.bisect_left(values, wanted)
    return min(values[max(at - 1, 0) : at + 1], key=lambda value: abs(value - wanted), default=None)


def _entry(shots: list[Shot], index: int, start: int) -> int:
    """The last packet up to `index` where decoding can start and has everything from `start` on."""
    while index > 0 and not (shots[index].keyframe and shots[index].time <= start):
        index -= 1
    return index


def split(film: Path, folder: Path, count: int, *, name: str) -> Cut:
    """Cut `film` into files in `folder`, encoding nothing; `name` is what errors call it."""
    rotation = _rotation(film, name)
    with _open(film, name) as source:
        picture, sound = _picture(source, name), _sound(source)
        unit, rate = (
            Fraction(picture.time_base),
            picture.average_rate or picture.guessed_rate or Fraction(25),
        )
        shape = picture.sample_aspect_ratio or Fraction(1)
        shots = _shots(source, picture, name)
        ranges = plan(shots, count)
        begin = ranges[0].start
        hear = (
            None
            if sound is None or sound.start_time is None
            else sound.start_time * sound.time_base
        )
    zero = (
        begin if hear is None else min(begin, int(hear // unit))
    )  # where the finished film starts
    order = _order(shots)
    files = _write(film, folder, ranges, order, name)
    pieces = [
        {
            "file": file,
            "kind": "picture",
            "time_base": str(unit),
            "shift": order[0] - zero,
            "start": part.start - zero,
            "end": part.end - zero,
            "rate": str(rate),
            "shape": str(shape),
            "rotation": rotation,
        }
        for file, part in zip(files, ranges, strict=True)
    ]
    return Cut(
        pieces=pieces,
        sound=None if hear is None else {"kind": "sound", "time_base": str(unit), "shift": -zero},
        frames=len({shot.time for shot in shots if not shot.hidden}),
        seconds=round(float((ranges[-1].end - 1 - zero) * unit + 1 / rate), 3),
    )


def _shots(source: InputContainer, picture: Stream, name: str) -> list[Shot]:
    """The packets of the picture."""
    shots = []
    for packet in _packets(source, picture):
        if packet.pts is None:
            raise BadInput(
                "NoTimestamps",
                f"{name} does not say when its frames are shown; convert it to MP4",
                key=name,
            )
        shots.append(Shot(packet.pts, packet.is_keyframe, packet.is_discard))
    if all(shot.hidden for shot in shots):
        raise BadInput("NoPicture", f"{name} has a picture track without a frame", key=name)
    return shots


def _order(shots: list[Shot]) -> list[int]:
    """When each packet is decoded: rising, and not after it is shown. Not every format says it."""
    rising: list[int] = []
    for time in sorted(shot.time for shot in shots):
        rising.append(max(time, rising[-1] + 1) if rising else time)
    late = max(time - shot.time for time, shot in zip(rising, shots, strict=True))
    return [time - late for time in rising]


def _write(film: Path, folder: Path, ranges: list[Range], order: list[int], name: str) -> list[str]:
    """Write each range into a file whose times count from `order[0]`; returns the files' names."""
    import av

    with ExitStack() as stack, _open(film, name) as source:
        picture = _picture(source, name)
        kind = _container(picture, folder)
        options = {"movie_timescale": str(picture.time_base.denominator)} if kind == "mov" else {}
        files = [f"chunk_{number}.{kind}" for number in range(len(ranges))]
        waiting = list(zip(ranges, files, strict=True))
        active: list[tuple[Range, OutputContainer, Stream]] = []
        for index, packet in enumerate(_packets(source, picture)):
            while waiting and waiting[0][0].first <= index:
                part, file = waiting.pop(0)
                target = stack.enter_context(
                    av.open(str(folder / file), "w", format=kind, options=options)
                )
                active.append((part, target, target.add_stream_from_template(picture, opaque=True)))
            for _, target, stream in active:
                target.mux(_copy(packet, stream, packet.pts - order[0], order[index] - order[0]))
            for _, target, _ in (entry for entry in active if entry[0].last <= index):
                target.close()
            active = [entry for entry in active if entry[0].last > index]
    return files


def _copy(packet: Packet, stream: Stream, pts: int, dts: int) -> Packet:
    from av.packet import Packet

    copy = Packet(bytes(packet))
    copy.stream, copy.time_base, copy.is_keyframe = stream, packet.time_base, packet.is_keyframe
    copy.pts, copy.dts, copy.duration = pts, dts, packet.duration
    return copy


def _container(picture: Stream, folder: Path) -> str:
    """NUT keeps times exactly and takes nearly every codec; what editors use besides, MOV takes."""
    import av

    with av.open(str(folder / "empty.nut"), "w", format="nut") as trial:
        return (
            "nut" if picture.codec_context.codec.canonical_name in trial.supported_codecs else "mov"
        )


# Encoding


def encode_picture(source: Path, target: Path, piece: dict[str, Any], lines: int) -> dict[str, Any]:
    """Encode the frames of a piece; the file's times are those in the finished film."""
    import av

    unit, rate = Fraction(piece["time_base"]), Fraction(piece["rate"])
    options = {
        "movie_timescale": str(unit.denominator)
    }  # or the start of the piece is rounded to milliseconds
    count, stream = 0, None
    with (
        _open(source, piece["input"]) as film,
        av.open(str(target), "w", format="mp4", options=options) as out,
    ):
        for frame in _scaled(_shown(film, piece), piece, lines):
            if stream is None:
                stream = out.add_stream("libx264", rate=rate, options=X264)
                _describe(stream.codec_context, frame, unit)
            frame.pict_type = 0  # let the encoder choose, whatever the source had
            out.mux(stream.encode(frame))
            count += 1
        if stream is None:
            return {"frames": 0}
        out.mux(stream.encode(None))
        size = {"width": stream.codec_context.width, "height": stream.codec_context.height}
    return {"frames": count, **size}


def _describe(encoder: Any, frame: VideoFrame, unit: Fraction) -> None:
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, "yuv420p"
    encoder.time_base, encoder.thread_count = unit, 1
    for name in ("color_range", "colorspace", "color_primaries", "color_trc"):
        setattr(encoder, name, getattr(frame, name))


def _shown(film: InputContainer, piece: dict[str, Any]) -> Iterator[VideoFrame]:
    """The frames of a piece, in order, with their times in the finished film."""
    unit, last = Fraction(piece["time_base"]), piece["start"] - 1
    for frame in _frames(film, _picture(film, piece["input"])):
        if frame.pts is None:
            continue
        time = round(frame.pts * Fraction(frame.time_base) / unit) + piece["shift"]
        if last < time < piece["end"]:
            last, frame.pts, frame.time_base = time, time, unit
            yield frame


def _scaled(
    frames: Iterator[VideoFrame], piece: dict[str, Any], lines: int
) -> Iterator[VideoFrame]:
    """Frames upright, with square pixels, the shorter side at most `lines`, both sides even."""
    import av

    first = next(frames, None)
    if first is None:
        return
    unit, turn = Fraction(piece["time_base"]), piece["rotation"]
    width, height = size_for(first.width, first.height, Fraction(piece["shape"]), lines)
    upright = [("transpose", "cclock" if turn == 90 else "clock")] if abs(turn) == 90 else []
    upright += [("hflip", None), ("vflip", None)] if abs(turn) == 180 else []
    graph = av.filter.Graph()
    graph.threads = 1
    node = graph.add_buffer(
        width=first.width, height=first.height, format=first.format, time_base=unit
    )
    scale = ("scale", f"{width}:{height}:flags={SCALER}")
    for name, options in [
        scale,
        ("format", "yuv420p"),
        ("setsar", "1"),
        *upright,
        ("buffersink", None),
    ]:
        following = graph.add(name, options)
        node.link_to(following)
        node = following
    graph.configure()
    for frame in chain([first], frames):
        graph.vpush(frame)
        yield graph.vpull()


def size_for(width: int, height: int, shape: Fraction, lines: int) -> tuple[int, int]:
    """The even size of a picture whose shorter side shall have `lines` pixels: it never grows.

    `shape` is width by height of one pixel of the source; in the result they are square.
    """
    wide = width * shape
    ratio = min(Fraction(1), Fraction(lines) / min(wide, Fraction(height)))
    even = [max(2, 2 * round(side * ratio / 2)) for side in (wide, Fraction(height))]
    return even[0], even[1]


def encode_sound(source: Path, target: Path, piece: dict[str, Any]) -> dict[str, Any]:
    """Encode the sound to stereo AAC from the finished film's start on; gaps become silence."""
    import av

    options = {"movie_timescale": str(SOUND_RATE)}
    samples = 0
    with (
        _open(source, piece["input"]) as film,
        av.open(str(target), "w", format="mp4", options=options) as out,
    ):
        stream = out.add_stream("aac", rate=SOUND_RATE, layout="stereo")
        stream.bit_rate, stream.codec_context.thread_count = SOUND_BITS, 1
        for frame in _even(_heard(film, piece)):
            out.mux(stream.encode(frame))
            samples += frame.samples
        if not samples:
            return {"samples": 0}
        out.mux(stream.encode(None))
    return {"samples": samples}


def _heard(film: InputContainer, piece: dict[str, Any]) -> Iterator[AudioFrame]:
    """The frames of the sound with their times in the finished film."""
    zero = piece["shift"] * Fraction(piece["time_base"])
    for frame in _frames(film, _sound(film)):
        if frame.pts is not None:
            seconds = frame.pts * Fraction(frame.time_base) + zero
            frame.pts, frame.time_base = (
                round(seconds * frame.sample_rate),
                Fraction(1, frame.sample_rate),
            )
        yield frame


def _even(frames: Iterator[AudioFrame]) -> Iterator[AudioFrame]:
    """Frames of one rate and layout from time 0 on without a gap."""
    import av

    first = next(frames, None)
    if first is None:
        return
    rate = first.sample_rate
    graph = av.filter.Graph()
    graph.threads = 1
    node = graph.add_abuffer(
        sample_rate=rate,
        format=first.format.name,
        layout=first.layout.name,
        time_base=Fraction(1, rate),
    )
    even = ("aresample", f"{SOUND_RATE}:async=1:first_pts=0")
    for name, options in [
        even,
        ("aformat", "sample_fmts=fltp:channel_layouts=stereo"),
        ("abuffersink", None),
    ]:
        following = graph.add(name, options)
        node.link_to(following)
        node = following
    graph.configure()
    for frame in chain([first], frames, [None]):
        graph.push(frame)
        with suppress(BlockingIOError, EOFError):  # it wants more; it is at its end
            while True:
                yield graph.pull()


# Joining


def combine(parts: dict[str, Path], target: Path) -> dict[str, Any]:
    """Join encoded pieces (key to file) to one MP4 that can be played while it is loaded."""
    import av

    with ExitStack() as stack:
        films = {key: stack.enter_context(_open(path, key)) for key, path in parts.items()}
        pictures = sorted(
            ((film.streams.video[0], key) for key, film in films.items() if film.streams.video),
            key=lambda entry: entry[0].start_time * entry[0].time_base,
        )
        sounds = [film.streams.audio[0] for film in films.values() if not film.streams.video]
        _check(pictures, len(sounds))
        out = stack.enter_context(
            av.open(str(target), "w", format="mp4", options={"movflags": "+faststart"})
        )
        picture = out.add_stream_from_template(pictures[0][0], opaque=True)
        tracks = [_joined(pictures, picture)]
        tracks += [
            _moved(sound, out.add_stream_from_template(sound, opaque=True)) for sound in sounds
        ]
        frames, last = 0, Fraction(0)
        for packet in heapq.merge(*tracks, key=lambda packet: packet.dts * packet.time_base):
            if packet.stream is picture:
                frames, last = (
                    frames + 1,
                    (packet.pts + packet.duration) * Fraction(packet.time_base),
                )
            out.mux(packet)
    return {"frames": frames, "seconds": round(float(last), 3)}


def _check(pictures: list[tuple[Stream, str]], sounds: int) -> None:
    if not pictures or sounds > 1:
        raise BadInput(
            "InvalidInput",
            f"there are {len(pictures)} pieces of picture and {sounds} of sound to join",
        )
    first, known = pictures[0]
    for stream, key in pictures[1:]:
        if stream.codec_context.extradata != first.codec_context.extradata:
            raise BadInput(
                "InvalidInput",
                f"{key} is not encoded as {known} is; give pieces of one film and resolution",
            )


def _joined(pictures: list[tuple[Stream, str]], target: Stream) -> Iterator[Packet]:
    """The packets of all pieces in the order of their times."""
    last, before = Fraction(-1), ""
    for stream, key in pictures:
        for packet in _moved(stream, target):
            time = packet.pts * Fraction(packet.time_base)
            if time <= last:
                raise BadInput(
                    "InvalidInput",
                    f"{key} and {before or key} hold the same part of the film",
                    key=key,
                )
            last = time
            yield packet
        before = key


def _moved(stream: Stream, target: Stream) -> Iterator[Packet]:
    for packet in _packets(stream.container, stream):
        packet.stream = target
        yield packet


# Reading


@contextmanager
def _open(film: Path, name: str) -> Iterator[InputContainer]:
    """A film to read; what FFmpeg says of its bytes becomes a BadInput that calls it `name`."""
    try:
        import av
    except ImportError as problem:
        raise BadInput(
            "NoPyAV", f"the action's image has no PyAV (pip install av): {problem}"
        ) from problem

    options = {"fflags": "+genpts", "format_whitelist": FORMATS}
    errors = av.error
    # titles in whatever code are no reason to refuse a film; PyAV 19 reads them as they are
    is_old = int(av.__version__.partition(".")[0]) < 19
    titles: dict[str, Any] = {"metadata_errors": "replace"} if is_old else {}
    try:
        with av.open(str(film), options=options, **titles) as source:
            yield source
    except (
        errors.InvalidDataError,
        errors.ArgumentError,
        errors.EOFError,
        errors.DecoderNotFoundError,
        errors.DemuxerNotFoundError,
        errors.PatchWelcomeError,
    ) as problem:
        raise BadInput(
            "NotAVideo",
            f"{name} cannot be read as a film ({problem.strerror}): "
            "it is damaged, cut off, or something else",
            key=name,
        ) from problem


def _picture(film: InputContainer, name: str) -> Stream:
    import av

    for stream in film.streams.video:
        if (
            not stream.disposition & av.stream.Disposition.attached_pic
        ):  # the cover of a song is no film
            stream.codec_context.thread_count = 1
            return stream
    raise BadInput("NoPicture", f"{name} has no picture track", key=name)


def _sound(film: InputContainer) -> Stream | None:
    return film.streams.best("audio")


def _rotation(film: Path, name: str) -> int:
    """Degrees by which the picture has to be turned counterclockwise, from its first frame."""
    with _open(film, name) as source:
        for frame in _frames(source, _picture(source, name)):
            return round(frame.rotation / 90) * 90
    raise BadInput(
        "NoPicture", f"no frame of {name} can be decoded; the file may be cut off", key=name
    )


def _packets(film: InputContainer, stream: Stream) -> Iterator[Packet]:
    """The packets of a stream up to the end of the file, or to where it was cut off."""
    import av

    try:
        for packet in film.demux(stream):
            if packet.size:
                yield packet
    except av.error.InvalidDataError:
        return


def _frames(film: InputContainer, stream: Stream) -> Iterator[Any]:
    """The frames of a stream; what is damaged is left out, as players do."""
    import av

    for packet in chain(_packets(film, stream), [None]):
        try:
            frames = stream.decode(packet)
        except av.error.InvalidDataError:
            continue
        for frame in frames:
            frame.time_base = (
                frame.time_base or stream.time_base
            )  # the last ones, given out at the end, have none
            yield frame
