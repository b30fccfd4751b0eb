"""Reads the bodies of PUTs into entities, with the controller's words for what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from aowhisk.local.entities import SEQUENCE, Action, Binding, Package, Parameter
from aowhisk.local.execs import exec_from
from aowhisk.local.http import Refusal, to_json
from aowhisk.local.limits import LARGEST_PARAMETERS, Limits
from aowhisk.local.names import is_name
from aowhisk.local.runtimes import Runtimes
from aowhisk.local.versions import bumped, version_from
from aowhisk.models import JSON

__all__ = [
    "action_from",
    "annotations_from",
    "binding_from",
    "check_put",
    "package_from",
    "parameters_from",
    "publish_from",
]

_NEGATIVE_SIZE = "a negative size of an object is not allowed."
_LIMITS = {
    "timeout": ("time limit", "time limit", ""),
    "memory": ("memory limit", "memory limit", _NEGATIVE_SIZE),
    "logs": ("log limit", "log limit", _NEGATIVE_SIZE),
    "concurrency": ("concurrency limit", "intra concurrency limit", ""),
    "instances": (
        "instance concurrency limit",
        "instance concurrency limit",
        "max action instance concurrency must be greater than or equal to 0.",
    ),
}
"""What the controller calls a limit that is no number, one with a fraction, and what it says of a
negative one at once."""


def action_from(
    body: JSON,
    *,
    namespace: str,
    name: str,
    old: Action | None,
    limits: Limits,
    runtimes: Runtimes,
) -> Action:
    """The action that PUT `body` makes, or makes of `old`; its kind is one of `runtimes`, its
    limits are within `limits`."""
    if not isinstance(body, dict):
        raise Refusal.malformed("Object expected in field 'exec'")
    given = body.get("exec")
    exec_ = None if given is None else exec_from(given, namespace, runtimes)
    parameters, annotations = parameters_from(body), annotations_from(body)
    asked = limits_from(body)
    version, publish = version_from(body), publish_from(body)
    unwanted = _unwanted_from(body)
    limits.check_action(asked or {})
    chosen = exec_ or (old.exec if old else None)
    if chosen is None:
        raise Refusal(400, "exec undefined")
    if chosen["kind"] == SEQUENCE and exec_ is not None:
        unwanted = []  # what to delete is forgotten where components are resolved (sic)
    return Action(
        namespace=namespace,
        name=name,
        version=version or (bumped(old.version) if old else "0.0.1"),
        publish=bool(old and old.publish) if publish is None else publish,
        annotations=_action_annotations(annotations or {}, unwanted, old, str(chosen["kind"])),
        parameters=_action_parameters(parameters, old, chosen),
        exec=chosen,
        limits={**(old.limits if old else limits.actions.defaults), **(asked or {})},
    )


def package_from(body: JSON, *, namespace: str, name: str, old: Package | None) -> Package:
    """The package that PUT `body` makes, or makes of `old`; its binding is not looked up here."""
    binding = binding_from(body, namespace) or (old.binding if old else None)
    assert isinstance(body, dict)
    annotations = annotations_from(body)
    if annotations is None:
        annotations = dict(old.annotations) if old else {}
    annotations.pop("binding", None)  # always ours
    if binding is not None:
        annotations["binding"] = binding.to_json()
    made = Package(
        namespace=namespace,
        name=name,
        version=_version(body, old),
        publish=_publish(body, old),
        annotations=annotations,
        parameters=_parameters(body, old),
    )
    return replace(made, binding=binding)


def binding_from(body: JSON, namespace: str) -> Binding | None:
    """What PUT `body` binds a package of `namespace` to, None where it binds none."""
    value = check_put(body).get("binding")
    if value is None or value == {}:
        return None
    if not isinstance(value, dict):
        raise Refusal.malformed("Object expected in field 'namespace'")
    for name in ("namespace", "name"):
        if name not in value:
            raise Refusal.malformed(f"Object is missing required member '{name}'")
        if not isinstance(value[name], str) or not is_name(value[name]):
            raise Refusal.malformed("entity name malformed")
    return Binding(namespace if value["namespace"] == "_" else value["namespace"], value["name"])


def limits_from(body: Mapping[str, JSON]) -> dict[str, int] | None:
    """The limits that a PUT gives an action, None where it gives none. Whether they are allowed
    is not looked at here."""
    value = body.get("limits")
    if value is None:
        return None
    if not isinstance(value, dict):
        raise Refusal.malformed("Object expected in field 'timeout'")
    given = {name: one for name in _LIMITS if (one := value.get(name)) is not None}
    return {name: _whole(name, one) for name, one in given.items()}


def _whole(name: str, value: JSON) -> int:
    malformed, fraction, negative = _LIMITS[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refusal.malformed(f"{malformed} malformed")
    if value != value // 1:
        raise Refusal.malformed(f"requirement failed: {fraction} must be whole number")
    number = (int(value) + (1 << 31)) % (1 << 32) - (1 << 31)  # as the JVM makes it an Int
    if number < 0 and negative:
        raise Refusal.malformed(f"requirement failed: {negative}")
    return number


def check_put(body: JSON) -> Mapping[str, JSON]:
    """`body` as the object that a PUT of any kind of entity needs, after what the controller looks
    at first in all of them (ENT/WhiskEntity.scala, LimitedWhiskEntityPut)."""
    if not isinstance(body, dict):
        raise Refusal.malformed("Object expected in field 'exec'")
    if body.get("exec") is not None:
        exec_from(body["exec"], "_", Runtimes.here())
    parameters_from(body)
    annotations_from(body)
    return body


def parameters_from(body: Mapping[str, JSON]) -> dict[str, Parameter] | None:
    """The parameters that a PUT gives, None where it gives none."""
    value = body.get("parameters")
    if value is None:
        return None
    found: dict[str, Parameter] = {}
    for key, item in _keyed(value):
        found[key] = Parameter(item.get("value"), item.get("init") is True)
    _check_size("parameters", {key: one.value for key, one in found.items()})
    return found


def _action_parameters(
    given: Mapping[str, Parameter] | None, old: Action | None, exec_: Mapping[str, JSON]
) -> Mapping[str, Parameter]:
    """A sequence has its components and no other parameters, and leaves none to what takes its
    place."""
    if exec_["kind"] == SEQUENCE:
        return {"_actions": Parameter(exec_["components"])}
    if given is not None:
        return given
    return {} if old is None or old.is_sequence else old.parameters


def annotations_from(body: Mapping[str, JSON]) -> dict[str, JSON] | None:
    """The annotations that a PUT gives, None where it gives none."""
    value = body.get("annotations")
    if value is None:
        return None
    found = {key: item.get("value") for key, item in _keyed(value)}
    _check_size("annotations", found)
    return found


def publish_from(body: Mapping[str, JSON]) -> bool | None:
    """Whether a PUT publishes, None where it does not say."""
    given = body.get("publish")
    if given is not None and not isinstance(given, bool):
        raise Refusal.malformed(f"Expected JsBoolean, but got {_shown(given)}")
    return given


def _parameters(body: Mapping[str, JSON], old: Package | None) -> dict[str, Parameter]:
    given = parameters_from(body)
    if given is not None:
        return given
    return dict(old.parameters) if old else {}


def _action_annotations(
    given: Mapping[str, JSON], unwanted: Sequence[str], old: Action | None, kind: str
) -> dict[str, JSON]:
    if old is None:
        return {"provide-api-key": False, **given, "exec": kind}
    kept = {key: value for key, value in old.annotations.items() if key not in unwanted}
    return {**kept, **given, "exec": kind}


def _unwanted_from(body: Mapping[str, JSON]) -> list[str]:
    """The annotations that a PUT wants an action to lose."""
    value = body.get("delAnnotations")
    if value is None:
        return []
    if not isinstance(value, list):
        raise Refusal.malformed(f"Expected Array as JsArray, but got {_shown(value)}")
    for one in value:
        if not isinstance(one, str):
            raise Refusal.malformed(f"Expected String as JsString, but got {_shown(one)}")
    return value


def _shown(value: JSON) -> str:
    return to_json(value).decode()


def _keyed(value: JSON) -> list[tuple[str, Mapping[str, JSON]]]:
    if not isinstance(value, list):
        raise Refusal.malformed("parameters malformed!")
    for item in value:
        if (
            not isinstance(item, dict)
            or not isinstance(item.get("key"), str)
            or "value" not in item
            or not isinstance(item.get("init", False), bool)
        ):
            raise Refusal.malformed("parameters malformed!")
    return [(item["key"], item) for item in value]


def _version(body: Mapping[str, JSON], old: Package | None) -> str:
    return version_from(body) or (bumped(old.version) if old else "0.0.1")


def _publish(body: Mapping[str, JSON], old: Package | None) -> bool:
    given = publish_from(body)
    if given is not None:
        return given
    return old.publish if old else False


def _check_size(field: str, values: Mapping[str, JSON]) -> None:
    size = sum(len(key.encode("utf-8", "replace")) + len(to_json(v)) for key, v in values.items())
    if size > LARGEST_PARAMETERS:
        told = f"{field} larger than allowed: {size} > {LARGEST_PARAMETERS} bytes."
        raise Refusal(413, told)
