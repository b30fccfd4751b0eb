"""docs/schema/protocol-1.json, the words of both sides of protocol 1, to hold messages against."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

SCHEMA = json.loads(
    (Path(__file__).parent.parent / "docs/schema/protocol-1.json").read_text(encoding="utf-8")
)


def faults(message: object, kind: str) -> list[str]:
    """What is wrong with a message that is to be a `kind` ("call", "answer", "receipt", ...)."""
    validator: Any = Draft202012Validator({**SCHEMA, "$ref": f"#{kind}"})
    return [
        f"{'/'.join(map(str, each.absolute_path))}: {each.message[:300]}"
        for each in validator.iter_errors(message)
    ]
