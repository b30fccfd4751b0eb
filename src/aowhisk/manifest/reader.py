"""Reads packages and actions, in wskdeploy's format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from aowhisk.manifest.code import CodeReader
from aowhisk.manifest.spec import ActionLimits, ActionSpec, PackageSpec
from aowhisk.manifest.wiring import NOTES, WiringReader
from aowhisk.models import JSON

__all__ = ["Reader"]

T = TypeVar("T")
REQUIREMENTS = "aowhisk-requirements"
"""The annotation that names an action's requirements; the format has no field for it."""
_FLAGS = {"final", "raw-http", "conductor", "feed"}
_PACKAGE = {"name", "actions", "sequences", "triggers", "rules", "dependencies", "inputs"}
_PACKAGE |= {"parameters", "annotations", "public", "description", *NOTES}
_ACTION = {"name", "function", "location", "code", "main", "runtime", "kind", "inputs", "limits"}
_ACTION |= {"annotations", "description", "web", "web-export", "docker", "native", "include"}
_ACTION |= {"exclude", *_FLAGS, *NOTES}
_LIMITS = {"timeout", "memorySize", "logSize", "concurrentActivations"}
_NAMESPACES = {"userInvocationRate", "codeSize", "parameterSize"}
_LARGEST = 2**53 - 1


class Reader(CodeReader, WiringReader):
    """Knows which fields packages and actions have, and what they mean."""

    def scope(self, value: object, where: str, given: Mapping[str, JSON]) -> None:
        """Read the project's inputs, which all packages may refer to; `given` ones win over what
        is written for an input of their name, wherever that is."""
        self._given = given
        self._scope = self.inputs(value, where)

    def package(self, name: str, value: object, where: str) -> PackageSpec:
        """One package and what is in it."""
        body = self.fields(value, where, _PACKAGE)
        name = "" if name.lower() == "default" else self.name(name, where)
        if not name and (lost := sorted({"annotations", "public"} & set(body))):
            raise self.error(
                f"{where}.{lost[0]}", "the default package is no package and cannot hold this"
            )
        field = "inputs" if "inputs" in body else "parameters"
        parameters = self.inputs(body.get(field), f"{where}.{field}")
        outer, self._scope = self._scope, {**self._scope, **parameters}
        try:
            return self._package(name, body, parameters if name else {}, where)
        finally:
            self._scope = outer

    def _package(
        self, name: str, body: Mapping[str, Any], parameters: Mapping[str, JSON], where: str
    ) -> PackageSpec:
        def each(field: str, read: Callable[[str, object, str], T]) -> Iterable[T]:
            entries = self.mapping(body.get(field), f"{where}.{field}").items()
            return [read(str(key), one, f"{where}.{field}.{key}") for key, one in entries]

        spec = PackageSpec(
            name=name,
            actions=tuple(each("actions", lambda n, b, w: self.action(name, n, b, w))),
            parameters=parameters,
            annotations=self.annotations(body, where),
            publish=self.boolean(body.get("public", False), f"{where}.public"),
            sequences=tuple(each("sequences", lambda n, b, w: self.sequence(name, n, b, w))),
            triggers=tuple(each("triggers", lambda n, b, w: self.trigger(name, n, b, w))),
            rules=tuple(each("rules", lambda n, b, w: self.rule(name, n, b, w))),
            bindings=tuple(each("dependencies", self.binding)),
        )
        actions = {action.name for action in spec.actions}
        if twice := [one.name for one in spec.sequences if one.name in actions]:
            key = twice[0].rpartition("/")[2]
            raise self.error(f"{where}.sequences.{key}", "is the name of an action, too")
        return spec

    def action(self, package: str, name: str, value: object, where: str) -> ActionSpec:
        """One action; its code is read now."""
        body = self.fields(value, where, _ACTION)
        name = self.name(name, where)
        code = self.code(body, where)
        annotations = self.annotations(body, where)
        for flag in sorted(_FLAGS & body.keys()):
            annotations[flag] = self.boolean(body[flag], f"{where}.{flag}")
        wanted = annotations.pop(REQUIREMENTS, None)
        main = body.get("main") or None
        return ActionSpec(
            name=f"{package}/{name}" if package else name,
            code=code.text,
            binary=code.binary,
            kind=self.kind(body, code, where),
            main=None if main is None else self.text(main, f"{where}.main"),
            parameters=self.inputs(body.get("inputs"), f"{where}.inputs"),
            limits=self.limits(body.get("limits"), f"{where}.limits"),
            annotations=annotations,
            source=code.source,
            image=self.image(body, where),
            requirements=self._requirements(wanted, f"{where}.annotations.{REQUIREMENTS}"),
        )

    def annotations(self, body: Mapping[str, Any], where: str) -> dict[str, JSON]:
        """The annotations, with those that other fields stand for."""
        found = super().annotations(body, where)
        if "require-whisk-auth" in found:
            self._check_secret(found, f"{where}.annotations.require-whisk-auth")
        return found

    def limits(self, value: object, where: str) -> ActionLimits:
        """The limits of one action; those of the whole namespace are none of its business."""
        body = self.fields(value, where, _LIMITS | _NAMESPACES)
        for name, limit in body.items():
            if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
                raise self.error(f"{where}.{name}", f"is {limit!r}, not a whole number")
        self.notes += [
            f"{where}.{name} is a limit of the namespace, and no action can change it"
            for name in body
            if name in _NAMESPACES
        ]
        return ActionLimits(
            body.get("timeout"),
            body.get("memorySize"),
            body.get("logSize"),
            body.get("concurrentActivations"),
        )

    def _check_secret(self, annotations: Mapping[str, JSON], where: str) -> None:
        """As wskdeploy does: true or false, a text, or a positive number that JavaScript can count
        to; and for web actions only."""
        value = annotations["require-whisk-auth"]
        counted = isinstance(value, int) and not isinstance(value, bool)
        if not (isinstance(value, bool | str) or counted) or value == "":
            raise self.error(where, "is neither true nor false, nor a text or a number")
        if counted and not 0 < int(str(value)) <= _LARGEST:
            raise self.error(where, f"is no number from 1 to {_LARGEST}")
        if value is not False and annotations.get("web-export") in (None, False):
            raise self.error(where, "protects a web action, and this is none; write `web: true`")

    def _requirements(self, value: object, where: str) -> tuple[str, ...] | None:
        """Lines of a requirements.txt: the file that is named, or a list of them."""
        if value is None:
            return None
        if isinstance(value, str):
            path = self._file.parent / value
            try:
                return tuple(path.read_text(encoding="utf-8").splitlines())
            except (OSError, UnicodeDecodeError) as problem:
                raise self.error(where, f"cannot read {path}: {problem}") from problem
        if not isinstance(value, list):
            raise self.error(where, "is neither a file nor a list of requirements")
        return tuple(self.text(line, where) for line in value)
