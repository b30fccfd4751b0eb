"""The dialogues of the example: the English ones of the package chatterbot-corpus, or your own."""

from __future__ import annotations

import json
from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

import yaml

PLACE = "chatterbot_corpus/data/english/"
ENDINGS = (".yml", ".yaml")


def dialogues(intents: Collection[str] = (), place: Path | None = None) -> bytes:
    """JSON: {intent: [[text, answer, ...], ...]} of all intents, or of `intents`.

    An intent is a file, which is about one thing, such as `humor.yml`: those of the package, or
    those in the folder `place`, in the package's format. The same files give the same bytes. Raises
    FileNotFoundError that says how to get them, and ValueError for an intent or a file that is not
    as it should be, and where there are not two intents to tell apart.
    """
    found = {path.stem: path for path in (_paths() if place is None else _own(place))}
    if unknown := sorted(set(intents) - set(found)):
        raise ValueError(f"there is no intent {', '.join(unknown)}; there are: {', '.join(found)}")
    corpus = {name: _read(path) for name, path in found.items() if name in intents or not intents}
    if len(corpus) < 2:
        raise ValueError(
            f"there are dialogues of {', '.join(corpus) or 'no intent'} only, and there is nothing "
            "to tell apart; an intent is a file, and there have to be 2"
        )
    return json.dumps(corpus, sort_keys=True).encode()


def _paths() -> list[Path]:
    """The package's files, by name; the package itself need not be imported."""
    try:
        listed = files("chatterbot-corpus") or []
    except PackageNotFoundError:
        listed = []
    named = [entry for entry in listed if str(entry).startswith(PLACE) and entry.suffix == ".yml"]
    paths = sorted(Path(str(entry.locate())) for entry in named)
    if not paths:
        raise FileNotFoundError(
            "there are no dialogues; get them with: python -m pip install chatterbot-corpus"
        )
    return paths


def _own(place: Path) -> list[Path]:
    if not place.is_dir():
        what = "a file" if place.exists() else "not there"
        raise FileNotFoundError(f"{place} is {what}; give a folder with a YAML file an intent")
    paths = sorted(path for path in place.iterdir() if path.suffix in ENDINGS and path.is_file())
    if not paths:
        raise FileNotFoundError(
            f"there is no {' or '.join('*' + one for one in ENDINGS)} in {place}"
        )
    return paths


def _read(path: Path) -> list[list[str]]:
    """The dialogues of a file; those in which nobody answers are left out."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as problem:
        raise ValueError(f"{path} cannot be read: {problem}") from problem
    listed = document.get("conversations") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError(f"{path}: there is no list `conversations` of dialogues, [text, answer]")
    found = [
        [_turn(turn) for turn in dialogue]
        for dialogue in listed
        if isinstance(dialogue, list) and len(dialogue) > 1
    ]
    if not found:
        raise ValueError(
            f"{path}: of {len(listed)} `conversations`, none is a text with an answer; write\n"
            "conversations:\n- - a text\n  - its answer"
        )
    return found


def _turn(value: Any) -> str:
    """What somebody says. In the package, too, YAML takes some of it for something else: a number,
    or, where there is a colon, a mapping."""
    if isinstance(value, dict):
        return ", ".join(f"{key}: {said}" for key, said in value.items())
    return "" if value is None else str(value)
