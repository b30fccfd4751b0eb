"""Reads the bodies of requests about triggers and rules, with the controller's words for what is
wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from aowhisk.local.bodies import (
    annotations_from,
    bumped,
    check_put,
    parameters_from,
    publish_from,
    version_from,
)
from aowhisk.local.entities import Parameter, Reference, Rule, Trigger
from aowhisk.local.http import Refusal, to_json
from aowhisk.local.names import is_name
from aowhisk.models import JSON

__all__ = ["Changes", "RuleChanges", "check_feed", "rule_changes", "state_from", "trigger_changes"]

E = TypeVar("E", Trigger, Rule)
_SPRAY = {dict: "JsObject", list: "JsArray", str: "JsString", int: "JsNumber", float: "JsNumber"}
_MALFORMED = "fully qualified name malformed"
_TOO_SHORT = (
    "The fully qualified name of the entity must contain at least the namespace and the name of "
    "the entity."
)


@dataclass(frozen=True, slots=True)
class Changes:
    """What a PUT gives of any entity; None where it gives nothing."""

    version: str | None
    publish: bool | None
    annotations: Mapping[str, JSON] | None
    parameters: Mapping[str, Parameter] | None = None

    def made(self, entity: E) -> E:
        """A new entity with them."""
        return self._laid_over(entity, self.version or entity.version)

    def updated(self, entity: E) -> E:
        """The next version of one that is there."""
        return self._laid_over(entity, self.version or bumped(entity.version))

    def _laid_over(self, entity: E, version: str) -> E:
        return replace(
            entity,
            version=version,
            publish=entity.publish if self.publish is None else self.publish,
            annotations=entity.annotations if self.annotations is None else self.annotations,
            parameters=entity.parameters if self.parameters is None else self.parameters,
        )


@dataclass(frozen=True, slots=True)
class RuleChanges:
    """What a PUT gives of a rule."""

    trigger: Reference | None
    action: Reference | None
    others: Changes


def trigger_changes(body: JSON) -> Changes:
    """What PUT `body` gives of a trigger."""
    body = check_put(body)
    if not isinstance(body.get("limits") or {}, dict):  # a trigger has none, but for the word
        raise Refusal.malformed("Object expected")
    return Changes(
        version=version_from(body),
        publish=publish_from(body),
        annotations=annotations_from(body),
        parameters=parameters_from(body),
    )


def rule_changes(body: JSON, namespace: str) -> RuleChanges:
    """What PUT `body` gives of a rule in `namespace`, which is what `_` stands for."""
    body = check_put(body)
    return RuleChanges(
        trigger=_reference(body.get("trigger"), namespace),
        action=_reference(body.get("action"), namespace),
        others=Changes(
            version=version_from(body),
            publish=publish_from(body),
            annotations=annotations_from(body),
        ),
    )


def check_feed(annotations: Mapping[str, JSON]) -> None:
    """Refuse a trigger whose feed is no name; whether there is such a feed is not asked."""
    if "feed" not in annotations:
        return
    feed = annotations["feed"]
    segments = [part for part in feed.split("/") if part] if isinstance(feed, str) else []
    if not segments or not all(map(is_name, segments)):
        raise Refusal(400, "Feed name is not valid")


def state_from(body: JSON) -> bool:
    """Whether POST `body` wants a rule active (ENT/WhiskRule.scala, Status)."""
    if not isinstance(body, dict):
        raise Refusal.malformed(_unmatched(body))
    if "status" not in body:
        raise Refusal.malformed("key not found: status")
    status = body["status"]
    if not isinstance(status, str):
        raise Refusal.malformed(_unmatched(status))
    state = status.strip()
    if state not in ("active", "inactive"):
        problem = f"{state} is not a recognized rule state" if state else "argument undefined"
        raise Refusal.malformed(f"requirement failed: {problem}")
    return state == "active"


def _unmatched(value: JSON) -> str:
    """What Scala says of a value that no pattern matches."""
    if value is None or isinstance(value, bool):
        kind = f"Js{str(value).replace('None', 'Null')}$"
    else:
        kind = _SPRAY[type(value)]
    return f"{to_json(value).decode()} (of class spray.json.{kind})"


def _reference(value: JSON, namespace: str) -> Reference | None:
    """A full name, as a text or as an object (ENT/FullyQualifiedEntityName.scala)."""
    if value is None:
        return None
    if isinstance(value, str):
        segments = _segments(value)
        if len(segments) < 2:
            raise Refusal.malformed(f"requirement failed: {_TOO_SHORT}")
        return _resolved(segments[:-1], segments[-1], None, namespace)
    if not isinstance(value, dict):
        raise Refusal.malformed(_MALFORMED)
    path, name, binding = value.get("path"), value.get("name"), value.get("binding")
    if not isinstance(path, str) or not isinstance(name, str) or not is_name(name):
        raise Refusal.malformed(_MALFORMED)
    if binding is not None and not isinstance(binding, str):
        raise Refusal.malformed(_MALFORMED)
    try:
        version, segments = version_from(value), _segments(path)
        _segments("_" if binding is None else binding)
    except Refusal:
        raise Refusal.malformed(_MALFORMED) from None
    return _resolved(segments, name, version, namespace)


def _segments(path: str) -> list[str]:
    found = [part for part in path.split("/") if part]
    if not found:
        raise Refusal.malformed("requirement failed: path undefined")
    if not all(map(is_name, found)):
        parts = f"ArraySeq({', '.join(found)})"
        raise Refusal.malformed(f"requirement failed: path contains invalid parts {parts}")
    return found


def _resolved(path: list[str], name: str, version: str | None, namespace: str) -> Reference:
    root = namespace if path[0] == "_" else path[0]
    return Reference("/".join([root, *path[1:]]), name, version)
