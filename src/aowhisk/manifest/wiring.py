"""Reads what connects actions: sequences, triggers, rules, and bindings to other packages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from aowhisk.manifest.spec import BindingSpec, RuleSpec, SequenceSpec, TriggerSpec
from aowhisk.manifest.values import Values
from aowhisk.models import JSON

__all__ = ["NOTES", "WiringReader"]

NOTES = ("version", "license", "displayName", "outputs", "repositories", "exposedUrl")
"""Fields of the format that OpenWhisk keeps nowhere."""
_NAME = re.compile(r"\w([\w@.& -]{0,254}[\w@.&-])?", re.ASCII)
_ENTITY = {"description", "annotations", *NOTES}
_SEQUENCE = {"actions", "web", "web-export", *_ENTITY}
_TRIGGER = {"feed", "source", "inputs", *_ENTITY}
_RULE = {"trigger", "action", "rule", *_ENTITY}
_DEPENDENCY = {"location", "version", "inputs", "annotations"}
_WEB: dict[str, dict[str, JSON]] = {
    "true": {"web-export": True, "final": True, "raw-http": False},
    "raw": {"web-export": True, "final": True, "raw-http": True},
    "false": {"web-export": False, "final": False, "raw-http": False},
}
_WEB |= {"yes": _WEB["true"], "no": _WEB["false"]}


class WiringReader(Values):
    """Knows which fields they have, and what they mean."""

    def name(self, value: str, where: str) -> str:
        """A legal name."""
        name = str(self.filled(value, where))
        if not _NAME.fullmatch(name):
            raise self.error(
                where, f"{name!r} is no name: letters, digits and _ @ . & - inside, at most 256"
            )
        return name

    def reference(self, value: object, package: str, where: str) -> str:
        """An action's full name; without a slash it lies in `package`."""
        text = self.text(value, where).strip()
        path = text if text.startswith("/") else f"/_/{text}"
        if "/" not in text and package:
            path = f"/_/{package}/{text}"
        parts = path.split("/")[1:]
        if not 2 <= len(parts) <= 3 or not all(map(_NAME.fullmatch, parts)):
            raise self.error(
                where, f"{text!r} is no action: action, package/action or /namespace/package/action"
            )
        return path

    def sequence(self, package: str, name: str, value: object, where: str) -> SequenceSpec:
        """One sequence."""
        body = self.fields(value, where, _SEQUENCE)
        name = self.name(name, where)
        written = body.get("actions")
        parts = written.split(",") if isinstance(written, str) else written
        if not isinstance(parts, list) or not parts:
            raise self.error(f"{where}.actions", "is no list of actions, such as `first, second`")
        return SequenceSpec(
            f"{package}/{name}" if package else name,
            tuple(self.reference(part, package, f"{where}.actions") for part in parts),
            self.annotations(body, where),
        )

    def trigger(self, package: str, name: str, value: object, where: str) -> TriggerSpec:
        """One trigger."""
        body = self.fields(value, where, _TRIGGER)
        feed = body.get("feed") or body.get("source")
        return TriggerSpec(
            self.name(name, where),
            self.inputs(body.get("inputs"), f"{where}.inputs"),
            self.annotations(body, where),
            self.reference(feed, "", f"{where}.feed") if feed else None,
        )

    def rule(self, package: str, name: str, value: object, where: str) -> RuleSpec:
        """One rule."""
        body = self.fields(value, where, _RULE)
        if body.get("rule", True) not in (True, "true"):
            raise self.error(f"{where}.rule", f"is {body['rule']!r}; there is nothing but true")
        trigger = self.name(self.text(body.get("trigger"), f"{where}.trigger"), f"{where}.trigger")
        return RuleSpec(
            self.name(name, where),
            f"/_/{trigger}",
            self.reference(body.get("action"), package, f"{where}.action"),
            self.annotations(body, where),
        )

    def binding(self, name: str, value: object, where: str) -> BindingSpec:
        """A dependency, which can be a binding to a package that is there."""
        body = self.fields(value, where, _DEPENDENCY)
        location = self.text(body.get("location"), f"{where}.location").strip()
        path = location.split("/")
        if path[0]:  # whisk.system/utils is as good as /whisk.system/utils
            path.insert(0, "")
        if len(path) != 3 or not all(map(_NAME.fullmatch, path[1:])) or "github.com" in path:
            raise self.error(
                f"{where}.location",
                f"the dependency {name!r} lies at {location}, and aowhisk fetches nothing from "
                "there: deploy it by itself and write its /namespace/package",
            )
        return BindingSpec(
            self.name(name, where),
            "/".join(path),
            self.inputs(body.get("inputs"), f"{where}.inputs"),
            self.plain(body.get("annotations"), f"{where}.annotations"),
        )

    def annotations(self, body: Mapping[str, Any], where: str) -> dict[str, JSON]:
        """The annotations, with those that `description` and `web` stand for."""
        found = self.plain(body.get("annotations"), f"{where}.annotations")
        if body.get("description"):
            found.setdefault("description", self.text(body["description"], f"{where}.description"))
        for name in ("web-export", "web"):  # the later one wins
            if body.get(name) not in (None, ""):
                value = str(self.filled(body[name], f"{where}.{name}")).lower()
                if value not in _WEB:
                    raise self.error(
                        f"{where}.{name}", f"is {body[name]!r}; allowed are true, false and raw"
                    )
                found |= _WEB[value]
        return found
