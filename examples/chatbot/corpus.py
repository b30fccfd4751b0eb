"""The dialogues of the example: the English ones of the package chatterbot-corpus."""

from __future__ import annotations

import json
from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import yaml

PLACE = "chatterbot_corpus/data/english/"


def dialogues(intents: Collection[str] = ()) -> bytes:
    """JSON: {intent: [[text, answer, ...], ...]} of all intents, or of `intents`.

    An intent is a file of the package, which is about one thing, such as `humor`. The same package
    gives the same bytes. Raises FileNotFoundError that says how to get it, and ValueError for an
    intent that it does not have.
    """
    found = {path.stem: path for path in _paths()}
    if unknown := sorted(set(intents) - set(found)):
        raise ValueError(f"there is no intent {', '.join(unknown)}; there are: {', '.join(found)}")
    corpus = {
        intent: [
            [str(turn) for turn in dialogue]
            for dialogue in yaml.safe_load(path.read_text(encoding="utf-8"))["conversations"]
            if len(dialogue) > 1
        ]
        for intent, path in found.items()
        if intent in intents or not intents
    }
    return json.dumps(corpus, sort_keys=True).encode()


def _paths() -> list[Path]:
    """The files, by name; the package itself need not be imported."""
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
