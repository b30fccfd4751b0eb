"""YAML documents, and nothing else: what they hold, and how they are written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from aowhisk.errors import ConfigError
from aowhisk.models import JSON

__all__ = ["dump", "parse", "scalar"]


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, where YAML would drop the first silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def parse(file: Path) -> object:
    """The document in `file`; raises ConfigError."""
    try:
        return yaml.load(file.read_text(encoding="utf-8"), _Loader)
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigError(f"cannot read {file}: {problem}") from problem
    except yaml.YAMLError as problem:
        raise ConfigError(f"{file}: is not YAML: {problem}") from problem


def scalar(text: str) -> JSON:
    """What `text` would be as a value in a document; the text itself where it would be nothing
    that is allowed there."""
    try:
        found: JSON = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    return found


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def dump(document: Mapping[str, JSON]) -> str:
    """The document as YAML, its keys in their order."""
    return yaml.dump(
        document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False
    )
