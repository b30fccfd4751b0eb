"""Small films made for a test, and what can be seen and heard in any film."""

from __future__ import annotations

import array
import math
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

FLASHES = (0.48, 1.4, 2.2)
"""Seconds at which a made film turns white for 0.12 s, and beeps as long."""
FLASH = 0.12


@dataclass(frozen=True)
class Film:
    """How a film is made; `frames` of it, at `rate` a second or (`uneven`) at changing distances.

    `start` is when picture and sound begin, `late` by how much the sound begins later; seconds.
    """

    codec: str = "libx264"
    options: dict[str, str] = field(default_factory=lambda: {"g": "12", "bf": "2"})
    sound: str | None = "aac"
    size: tuple[int, int] = (160, 90)
    pixels: str = "yuv420p"
    frames: int = 75
    rate: int = 25
    uneven: bool = False
    start: Fraction = Fraction(0)
    late: float = 0.0
    shape: Fraction | None = None
    turned: int = 0
    title: str = ""

    def write(self, path: Path) -> Path:
        """Make it; the name's end says in which format."""
        with av.open(str(path), "w") as out:
            if self.title:
                out.metadata["title"] = self.title
            picture: Any = out.add_stream(self.codec, rate=self.rate, options=self.options)
            picture.width, picture.height = self.size
            picture.pix_fmt = self.pixels
            picture.codec_context.time_base = Fraction(1, self.rate * 4)
            picture.codec_context.thread_count = 1
            if self.shape is not None:
                picture.codec_context.sample_aspect_ratio = self.shape
            if self.turned:
                picture.set_display_rotation(self.turned)
            sound: Any = self.sound and out.add_stream(self.sound, rate=48000, layout="mono")
            for frame in self._frames():
                out.mux(picture.encode(frame))
            out.mux(picture.encode(None))
            if sound:
                for block in self._blocks():
                    out.mux(sound.encode(block))
                out.mux(sound.encode(None))
        return path

    def _frames(self) -> Any:
        width, height = self.size
        rows = [bytes((x * 5 + y * 3) % 97 for x in range(width)) for y in range(height)]
        unit, tick = Fraction(1, self.rate * 4), 0
        for number in range(self.frames):
            now, turn = float(tick * unit), number * 3 % width
            white = any(flash <= now < flash + FLASH for flash in FLASHES)
            frame = av.VideoFrame(width, height, "gray")
            pad = bytes(frame.planes[0].line_size - width)
            shown = [b"\xff" * width if white else row[turn:] + row[:turn] for row in rows]
            data = b"".join(row + pad for row in shown)
            frame.planes[0].update(data.ljust(frame.planes[0].buffer_size, b"\0"))
            frame = frame.reformat(format=self.pixels)
            frame.pts, frame.time_base = tick + int(self.start / unit), unit
            yield frame
            tick += (4, 7, 2, 5, 3)[number % 5] if self.uneven else 4

    def _blocks(self) -> Any:
        samples = array.array("f", bytes(4 * 48000 * 3))
        for flash in FLASHES:
            for n in range(int(FLASH * 48000)):
                samples[int(flash * 48000) + n] = 0.5 * math.sin(2 * math.pi * 1000 * n / 48000)
        for at in range(int(self.late * 48000), len(samples), 1024):
            block = samples[at : at + 1024]
            frame = av.AudioFrame("fltp", "mono", len(block))
            frame.planes[0].update(block.tobytes().ljust(frame.planes[0].buffer_size, b"\0"))
            frame.sample_rate, frame.time_base = 48000, Fraction(1, 48000)
            frame.pts = at + int(self.start * 48000)
            yield frame


def frame_times(path: Path) -> list[Fraction]:
    """When each frame is shown."""
    with av.open(str(path)) as film:
        return [frame.pts * frame.time_base for frame in film.decode(video=0)]


def thumbnails(path: Path) -> list[bytes]:
    """Every frame in grey, 32 by 18 pixels, one line behind the other."""
    with av.open(str(path)) as film:
        small = (frame.reformat(32, 18, "gray") for frame in film.decode(video=0))
        return [_rows(frame) for frame in small]


def _rows(frame: Any) -> bytes:
    plane = frame.planes[0]
    data = bytes(plane)
    return b"".join(data[y * plane.line_size :][: frame.width] for y in range(frame.height))


def distance(one: bytes, other: bytes) -> float:
    """Mean difference of two thumbnails, of 255."""
    return sum(abs(a - b) for a, b in zip(one, other, strict=True)) / len(one)


def flashes(path: Path) -> list[float]:
    """When the picture turns white."""
    white = [sum(small) / len(small) > 180 for small in thumbnails(path)]
    times = frame_times(path)
    return [float(times[n]) for n in range(1, len(white)) if white[n] and not white[n - 1]]


def envelope(path: Path) -> list[float]:
    """How loud it is in each millisecond from time 0 on."""
    loud: dict[int, float] = {}
    mono = av.AudioResampler(format="flt", layout="mono", rate=48000)
    with av.open(str(path)) as film:
        for frame in film.decode(audio=0):
            for even in mono.resample(frame):
                start = round(even.pts * even.time_base * 48000)
                values = array.array("f", bytes(even.planes[0])[: even.samples * 4])
                for n, value in enumerate(values):
                    loud[(start + n) // 48] = loud.get((start + n) // 48, 0.0) + abs(value) / 48
    return [loud.get(ms, 0.0) for ms in range(max(loud, default=-1) + 1)]


def beeps(path: Path) -> list[float]:
    """When it gets loud."""
    loud = [value > 0.1 for value in envelope(path)]
    starts = [n for n in range(20, len(loud)) if loud[n] and not any(loud[n - 20 : n])]
    return [n / 1000 for n in starts]


def lag(one: list[float], other: list[float], most: int = 60) -> int:
    """By how many milliseconds `other` is late, at best likeness."""

    def likeness(shift: int) -> float:
        return sum(
            one[n] * other[n + shift]
            for n in range(most, len(one) - most)
            if n + shift < len(other)
        )

    return max(range(-most, most + 1), key=likeness)


def span(path: Path, kind: str) -> float:
    """Seconds of the first track of this kind ("video", "audio"), as the file says."""
    with av.open(str(path)) as film:
        stream: Any = next(stream for stream in film.streams if stream.type == kind)
        return float(stream.duration * stream.time_base)


def size(path: Path) -> tuple[int, int]:
    """Width and height."""
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        return stream.width, stream.height
