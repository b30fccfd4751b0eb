"""Reads the bodies of requests about triggers and rules, with the controller's words for what is
wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from aowhisk.local.bodies import (
    annotations_from,
    check_put,
    parameters_from,
    publish_from,
)
from aowhisk.local.entities import Parameter, Reference, Rule, Trigger
from aowhisk.local.http import Refusal, to_json
from aowhisk.local.names import is_name
from aowhisk.local.references import reference_from
from aowhisk.local.versions import bumped, version_from
from aowhisk.models import JSON

__all__ = ["Changes", "RuleChanges", "check_feed", "rule_changes", "state_from", "trigger_changes"]

E = TypeVar("E", Trigger, Rule)
_SPRAY = {dict: "JsObject", list: "JsArray", str: "JsString", int: "JsNumber", float: "JsNumber"}


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
        trigger=_named(body.get("trigger"), namespace),
        action=_named(body.get("action"), namespace),
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


def _named(value: JSON, namespace: str) -> Reference | None:
    return None if value is None else reference_from(value, namespace)
