"""The chatbot's modules, which import each other by bare name as those of a script do."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

from loading import EXAMPLES

sys.path.append(str(EXAMPLES / "chatbot"))

FEW = ("ai", "food", "humor", "literature", "money", "sports")
"""Intents enough to see something by, and quick."""


def module(name: str) -> ModuleType:
    """A module of the example, by its bare name."""
    return importlib.import_module(name)
