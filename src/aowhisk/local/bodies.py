"""Reads the bodies of PUTs into entities, with the controller's words for what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from aowhisk.local.components import components_of
from aowhisk.local.entities import SEQUENCE, Action, Binding, Package, Parameter
from aowhisk.local.http import Refusal, to_json
from aowhisk.local.limits import LARGEST_CODE, LARGEST_PARAMETERS, ActionRanges
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

_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def action_from(
    body: JSON,
    *,
    namespace: str,
    name: str,
    old: Action | None,
    ranges: ActionRanges,
    runtimes: Runtimes,
) -> Action:
    """The action that PUT `body` makes, or makes of `old`; its kind is one of `runtimes`."""
    if not isinstance(body, dict):
        raise Refusal.malformed("Object expected in field 'exec'")
    exec_ = _exec(body["exec"], namespace, runtimes) if body.get("exec") is not None else None
    if exec_ is None and old is None:
        raise Refusal(400, "exec undefined")
    chosen = exec_ if exec_ is not None else old.exec if old else {}
    return Action(
        namespace=namespace,
        name=name,
        version=_version(body, old),
        publish=_publish(body, old),
        annotations=_action_annotations(body, old, str(chosen["kind"])),
        parameters=_action_parameters(body, old, chosen),
        exec=chosen,
        limits=_limits(body.get("limits"), old, ranges),
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
        if not isinstance(value.get(name), str):
            raise Refusal.malformed(f"Object is missing required member '{name}'")
    return Binding(namespace if value["namespace"] == "_" else value["namespace"], value["name"])


def _exec(value: JSON, namespace: str, runtimes: Runtimes) -> dict[str, JSON]:
    if not isinstance(value, dict):
        raise Refusal.malformed("JSON object expected")
    kind, code, main = value.get("kind"), value.get("code"), value.get("main")
    if not isinstance(kind, str):
        raise Refusal.malformed("'kind' must be a string defined in 'exec'")
    if kind.strip().lower() == SEQUENCE:
        names = components_of(value, namespace.partition("/")[0])
        return {"kind": SEQUENCE, "components": [f"/{name}" for name in names]}
    if kind == "blackbox":
        return _blackbox(value)
    kind = runtimes.resolve(kind).kind
    if code is None:
        raise Refusal.malformed(
            f"'code' must be a string or attachment object defined in 'exec' for '{kind}' actions"
        )
    if not isinstance(code, str):
        shown = to_json(code).decode()
        raise Refusal.malformed(f"Could not deserialize as attachment record: {shown}")
    if main is not None and not isinstance(main, str):
        raise Refusal.malformed(f"if defined, 'main' be a string in 'exec' for '{kind}' actions")
    _check_size("exec", len(code.encode()), LARGEST_CODE)
    found: dict[str, JSON] = {
        "kind": kind,
        "code": code,
        "binary": _is_base64(code.strip()),
    }
    return found if main is None else found | {"main": main}


def _is_base64(text: str) -> bool:
    """Whether it is nothing but base64, padded (ENT/Exec.scala, isBinaryCode); code may have tens
    of megabytes."""
    if not text or len(text) % 4 or not text.isascii():
        return False
    body = text.rstrip("=")
    return 0 <= len(text) - len(body) <= 2 and not body.encode().translate(None, _BASE64)


def _blackbox(value: Mapping[str, JSON]) -> dict[str, JSON]:
    if not isinstance(value.get("image"), str):
        raise Refusal.malformed("'image' must be a string defined in 'exec' for 'blackbox' actions")
    code = value.get("code")
    found = {
        key: value[key] for key in ("kind", "image", "code", "main") if value.get(key) is not None
    }
    return found | {"binary": isinstance(code, str) and _is_base64(code.strip())}


def _limits(value: JSON, old: Action | None, ranges: ActionRanges) -> dict[str, int]:
    given = value if isinstance(value, dict) else {}
    if value is not None and not isinstance(value, dict):
        raise Refusal.malformed("limits malformed")
    found: dict[str, int] = {}
    for name, limit, word in (
        ("timeout", ranges.timeout, "time"),
        ("memory", ranges.memory, "memory"),
        ("logs", ranges.logs, "log"),
        ("concurrency", ranges.concurrency, "concurrency"),
    ):
        asked = given.get(name)
        if asked is None:
            found[name] = old.limits[name] if old else limit.default
            continue
        if isinstance(asked, bool) or not isinstance(asked, int):
            raise Refusal.malformed(f"{word} limit malformed")
        if asked < 0 and name in ("memory", "logs"):
            raise Refusal.malformed(
                "requirement failed: a negative size of an object is not allowed."
            )
        limit.check(asked)
        found[name] = asked
    return found


def check_put(body: JSON) -> Mapping[str, JSON]:
    """`body` as the object that a PUT of any kind of entity needs, after what the controller looks
    at first in all of them (ENT/WhiskEntity.scala, LimitedWhiskEntityPut)."""
    if not isinstance(body, dict):
        raise Refusal.malformed("Object expected in field 'exec'")
    if body.get("exec") is not None:
        _exec(body["exec"], "_", Runtimes.here())
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
    size = sum(len(key.encode()) + len(to_json(p.value)) for key, p in found.items())
    _check_size("parameters", size, LARGEST_PARAMETERS)
    return found


def _action_parameters(
    body: Mapping[str, JSON], old: Action | None, exec_: Mapping[str, JSON]
) -> dict[str, Parameter]:
    """A sequence has its components and no other parameters, and leaves none to what takes its
    place."""
    given = _parameters(body, None if old is None or old.is_sequence else old)
    if exec_["kind"] != SEQUENCE:
        return given
    return {"_actions": Parameter(exec_["components"])}


def annotations_from(body: Mapping[str, JSON]) -> dict[str, JSON] | None:
    """The annotations that a PUT gives, None where it gives none."""
    value = body.get("annotations")
    if value is None:
        return None
    found = {key: item.get("value") for key, item in _keyed(value)}
    size = sum(len(key.encode()) + len(to_json(item)) for key, item in found.items())
    _check_size("annotations", size, LARGEST_PARAMETERS)
    return found


def publish_from(body: Mapping[str, JSON]) -> bool | None:
    """Whether a PUT publishes, None where it does not say."""
    given = body.get("publish")
    if given is not None and not isinstance(given, bool):
        raise Refusal.malformed(f"Expected JsBoolean, but got {to_json(given).decode()}")
    return given


def _parameters(body: Mapping[str, JSON], old: Action | Package | None) -> dict[str, Parameter]:
    given = parameters_from(body)
    if given is not None:
        return given
    return dict(old.parameters) if old else {}


def _action_annotations(body: Mapping[str, JSON], old: Action | None, kind: str) -> dict[str, JSON]:
    given = annotations_from(body) or {}
    if old is None:
        return {"provide-api-key": False} | given | {"exec": kind}
    # what to delete is forgotten where the components of a sequence are resolved (sic)
    unwanted = None if kind == SEQUENCE and body.get("exec") else body.get("delAnnotations")
    dropped = set(map(str, unwanted)) if isinstance(unwanted, list) else set()
    kept = {key: value for key, value in old.annotations.items() if key not in dropped}
    return kept | given | {"exec": kind}


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


def _version(body: Mapping[str, JSON], old: Action | Package | None) -> str:
    return version_from(body) or (bumped(old.version) if old else "0.0.1")


def _publish(body: Mapping[str, JSON], old: Action | Package | None) -> bool:
    given = publish_from(body)
    if given is not None:
        return given
    return old.publish if old else False


def _check_size(field: str, size: int, allowed: int) -> None:
    if size > allowed:
        raise Refusal(413, f"{field} larger than allowed: {size} > {allowed} bytes.")
