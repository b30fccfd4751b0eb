"""Reads what an action runs out of the body of a PUT: the kind, the code, the image
(ENT/Exec.scala)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from aowhisk.local.components import components_of
from aowhisk.local.entities import SEQUENCE
from aowhisk.local.http import Refusal, to_json
from aowhisk.local.limits import LARGEST_CODE
from aowhisk.local.runtimes import Runtimes
from aowhisk.models import JSON

__all__ = ["BLACKBOX", "check_binary", "exec_from"]

BLACKBOX = "blackbox"
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_DOMAIN = r"(?:[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+(?::[0-9]+)?|[A-Za-z0-9-]+:[0-9]+)"
_COMPONENT = r"[a-z0-9]+(?:(?:__|[_.]|-+)[a-z0-9]+)*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[+._-][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_IMAGE = re.compile(
    rf"((?:{_DOMAIN}/)?{_COMPONENT}(?:/{_COMPONENT})*(?::{_TAG})?)(?:@{_DIGEST})?", re.ASCII
)


def exec_from(value: JSON, namespace: str, runtimes: Runtimes) -> dict[str, JSON]:
    """The `exec` that PUT `value` gives an action in `namespace`; its kind is one of `runtimes`."""
    if not isinstance(value, dict):
        raise Refusal.malformed("JSON object expected")
    kind = value.get("kind")
    if not isinstance(kind, str):
        raise Refusal.malformed("'kind' must be a string defined in 'exec'")
    kind = kind.strip().lower()
    if kind == SEQUENCE:
        names = components_of(value, namespace.partition("/")[0])
        return {"kind": SEQUENCE, "components": [f"/{name}" for name in names]}
    found = _blackbox(value) if kind == BLACKBOX else _code(value, kind, runtimes)
    if "main" not in value:
        return found
    if not isinstance(value["main"], str):
        raise Refusal.malformed(f"if defined, 'main' be a string in 'exec' for '{kind}' actions")
    return found | {"main": value["main"]}


def check_binary(exec_: Mapping[str, JSON]) -> None:
    """Refuse (500) code that was taken for base64 and is not quite that: OpenWhisk finds it out
    where it stores it."""
    code = exec_.get("code")
    if exec_.get("binary") and isinstance(code, str) and code != code.strip():
        raise Refusal(500, "There was an internal server error.")


def _code(value: Mapping[str, JSON], kind: str, runtimes: Runtimes) -> dict[str, JSON]:
    runtime = runtimes.resolve(kind)
    if "code" not in value:
        raise Refusal.malformed(
            f"'code' must be a string or attachment object defined in 'exec' for '{kind}' actions"
        )
    code = _text(value["code"])
    size = len(code.encode("utf-8", "replace"))
    if size > LARGEST_CODE:
        raise Refusal(413, f"exec larger than allowed: {size} > {LARGEST_CODE} bytes.")
    return {"kind": runtime.kind, "code": code, "binary": _is_base64(code.strip())}


def _blackbox(value: Mapping[str, JSON]) -> dict[str, JSON]:
    image = value.get("image")
    if not isinstance(image, str):
        raise Refusal.malformed("'image' must be a string defined in 'exec' for 'blackbox' actions")
    named = _IMAGE.fullmatch(image)
    if named is None:
        raise Refusal.malformed("could not parse image name")
    found: dict[str, JSON] = {"kind": BLACKBOX, "image": named[1], "binary": False}
    code = _text(value["code"]) if "code" in value else ""
    if not code.strip():
        return found
    return found | {"code": code, "binary": _is_base64(code.strip())}


def _text(code: JSON) -> str:
    if isinstance(code, str):
        return code
    told = f"Could not deserialize as attachment record: {to_json(code).decode()}"
    raise Refusal.malformed(told)


def _is_base64(text: str) -> bool:
    """Whether it is nothing but base64, padded (isBinaryCode); code may have tens of megabytes."""
    if not text or len(text) % 4 or not text.isascii():
        return False
    body = text.rstrip("=")
    return 0 <= len(text) - len(body) <= 2 and not body.encode().translate(None, _BASE64)
