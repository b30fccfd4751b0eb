"""Random conversations with a local OpenWhisk, restarts among them, against a small model of it."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from aowhisk.local import GUEST, LocalOpenWhisk

USER, _, SECRET = GUEST.partition(":")
CODE = {"kind": "python:3", "code": "def main(args):\n    return args\n"}
ECHO = "whisk.system/utils/echo"
UTILS = "whisk.system/utils"
COLLECTIONS = {"action": "actions", "package": "packages", "trigger": "triggers", "rule": "rules"}

OWN = {"action": ["a", "b"], "package": ["p", "q"], "trigger": ["t", "u"], "rule": ["r", "s"]}
ALL = [name for own in OWN.values() for name in own]


def names_for(kind: str) -> st.SearchStrategy[str]:
    """Mostly names that such things have; all kinds share one space of names."""
    return st.sampled_from([*OWN[kind] * 8, *ALL])


actions, packages, triggers, rules = map(names_for, ("action", "package", "trigger", "rule"))
some = st.sampled_from(sorted(OWN)).flatmap(lambda kind: st.tuples(st.just(kind), names_for(kind)))
mostly = st.sampled_from([True, True, True, False])
inner = st.sampled_from(["x", "y"])
values = st.none() | st.integers(-3, 3) | st.text(max_size=3) | st.lists(st.booleans(), max_size=2)
keyed = st.none() | st.dictionaries(st.sampled_from(["k", "l", "m"]), values, max_size=2)


def pairs(given: dict[str, Any]) -> list[Any]:
    return [{"key": key, "value": value} for key, value in given.items()]


def unpaired(items: list[Any]) -> dict[str, Any]:
    return {item["key"]: item["value"] for item in items}


@dataclass
class Thing:
    """What the model knows of an entity. `inside` are the actions of a package, `links` the rules
    of a trigger with their states."""

    kind: str
    version: int = 1
    publish: bool = False
    parameters: dict[str, Any] = field(default_factory=dict)
    annotations: dict[str, Any] = field(default_factory=dict)
    binding: str | None = None
    inside: "dict[str, Thing]" = field(default_factory=dict)
    links: dict[str, bool] = field(default_factory=dict)
    trigger: str = ""
    action: str = ""

    def changed(self, parameters: Any, annotations: Any, publish: Any) -> None:
        if parameters is not None:
            self.parameters = parameters
        if annotations is not None:
            merged = {**self.annotations, **annotations}
            self.annotations = merged if self.kind == "action" else annotations
        if publish is not None:
            self.publish = publish


class Conversation(RuleBasedStateMachine):
    portal: BlockingPortal

    def __init__(self) -> None:
        super().__init__()
        self.things: dict[str, Thing] = {}
        self.activations = 0
        self.folder = tempfile.mkdtemp(prefix="aowhisk-model-")
        self.stack = ExitStack()

    @initialize(furnished=mostly)
    def begin(self, furnished: bool) -> None:
        self.start()
        if furnished:
            new = {"overwrite": False, "annotations": None, "publish": None}
            for name, binding, value in (("p", None, 1), ("q", "p", 2)):
                self.put_package(name, binding, parameters={"k": value}, **new)
            for where in (("a", None), ("p", "x")):
                self.put_action(where, code=True, parameters={"m": 0}, **new)
            self.put_trigger("t", parameters=None, **new)
            self.put_rule("r", "t", ECHO, overwrite=False)

    def start(self) -> None:
        self.ow = LocalOpenWhisk(root=f"{self.folder}/root", data=f"{self.folder}/data")
        portal = self.portal
        self.stack.enter_context(portal.wrap_async_context_manager(self.ow))
        http = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.ow.app),
            base_url="http://ow/api/v1/namespaces/_/",
            auth=(USER, SECRET),
        )
        self.http = self.stack.enter_context(portal.wrap_async_context_manager(http))

    def teardown(self) -> None:
        try:
            if hasattr(self, "http"):
                self.everything_is_as_it_should_be()
        finally:
            self.stack.close()
            shutil.rmtree(self.folder)

    def everything_is_as_it_should_be(self) -> None:
        self.the_lists_show_what_is_there()
        self.every_activation_has_its_record()
        for name, thing in self.things.items():
            self.read(thing.kind, name)
            for inside in thing.inside:
                self.read_packaged_action(name, inside)

    def send(self, method: str, path: str, body: Any = None) -> httpx.Response:
        async def request() -> httpx.Response:
            return await self.http.request(method, path, json=body)

        return self.portal.call(request)

    def entity_body(self, parameters: Any, annotations: Any, publish: Any) -> dict[str, Any]:
        body: dict[str, Any] = {} if publish is None else {"publish": publish}
        if parameters is not None:
            body["parameters"] = pairs(parameters)
        if annotations is not None:
            body["annotations"] = pairs(annotations)
        return body

    def state_of(self, path: str) -> int:
        """What reading the package at `path` gives."""
        if path == UTILS:
            return 200
        thing = self.things.get(path.removeprefix("guest/"))
        if thing is None:
            return 404
        if thing.kind != "package":
            return 409
        return 200 if thing.binding is None else self.state_of(thing.binding)

    def stored(self, kind: str, name: str, *, overwrite: bool) -> int:
        """What storing a thing there gives, as far as it hangs on what is there."""
        thing = self.things.get(name)
        return 409 if thing is not None and (thing.kind != kind or not overwrite) else 200

    @rule(
        where=st.tuples(actions, st.none()) | st.tuples(packages, inner),
        overwrite=mostly,
        code=mostly,
        parameters=keyed,
        annotations=keyed,
        publish=st.none() | st.booleans(),
    )
    def put_action(
        self,
        where: tuple[str, str | None],
        overwrite: bool,
        code: bool,
        parameters: Any,
        annotations: Any,
        publish: Any,
    ) -> None:
        name, inner = where
        body = self.entity_body(parameters, annotations, publish) | ({"exec": CODE} if code else {})
        path = name if inner is None else f"{name}/{inner}"
        package = self.things.get(name)
        if inner is None:
            place, key, status = self.things, name, self.stored("action", name, overwrite=overwrite)
        elif package is None:
            place, key, status = {}, "", 404
        elif package.kind != "package":
            place, key, status = {}, "", 409
        else:
            place, key = package.inside, inner
            status = 409 if inner in place and not overwrite else 200
            status = 400 if package.binding is not None else status
        if status == 200 and key not in place and not code:
            status = 400

        answer = self.send("PUT", f"actions/{path}?overwrite={overwrite}", body)

        assert answer.status_code == status, answer.text
        if status == 200:
            if key in place:
                place[key].version += 1
            else:
                place[key] = Thing("action", annotations={"provide-api-key": False})
                place[key].annotations["exec"] = "python:3"
            place[key].changed(parameters, annotations, publish)
            self.check_entity(answer.json(), place[key], f"guest/{path}")

    @rule(
        name=packages,
        binding=st.none() | st.none() | packages | st.just(UTILS),
        overwrite=mostly,
        parameters=keyed,
        annotations=keyed,
        publish=st.none() | st.booleans(),
    )
    def put_package(
        self,
        name: str,
        binding: str | None,
        overwrite: bool,
        parameters: Any,
        annotations: Any,
        publish: Any,
    ) -> None:
        body = self.entity_body(parameters, annotations, publish)
        target = None
        if binding is not None:
            target = UTILS if binding == UTILS else f"guest/{binding}"
            namespace, _, package = target.rpartition("/")
            body["binding"] = {"namespace": namespace, "name": package}
        old = self.things.get(name)
        status = self.stored("package", name, overwrite=overwrite)
        if target is not None:
            status = {404: 400, 409: 409}.get(self.state_of(target), status)
            if status == 200 and old is not None and old.binding is None:
                status = 409
            if status == 200 and binding != UTILS and self.things[str(binding)].binding is not None:
                status = 400

        answer = self.send("PUT", f"packages/{name}?overwrite={overwrite}", body)

        assert answer.status_code == status, answer.text
        if status == 200:
            if old is None:
                self.things[name] = Thing("package")
            else:
                old.version += 1
            thing = self.things[name]
            thing.changed(parameters, annotations, publish)
            thing.binding = target or thing.binding
            self.check_entity(answer.json(), thing, f"guest/{name}")

    @rule(
        name=triggers,
        overwrite=mostly,
        parameters=keyed,
        annotations=keyed,
        publish=st.none() | st.booleans(),
    )
    def put_trigger(
        self, name: str, overwrite: bool, parameters: Any, annotations: Any, publish: Any
    ) -> None:
        status = self.stored("trigger", name, overwrite=overwrite)

        body = self.entity_body(parameters, annotations, publish)
        answer = self.send("PUT", f"triggers/{name}?overwrite={overwrite}", body)

        assert answer.status_code == status, answer.text
        if status == 200:
            if name in self.things:
                self.things[name].version += 1
            else:
                self.things[name] = Thing("trigger")
            self.things[name].changed(parameters, annotations, publish)
            self.check_entity(answer.json(), self.things[name], f"guest/{name}")

    @rule(name=rules, trigger=triggers, action=actions | st.just(ECHO), overwrite=mostly)
    def put_rule(self, name: str, trigger: str, action: str, overwrite: bool) -> None:
        body = {
            "trigger": f"/_/{trigger}",
            "action": f"/{action if action == ECHO else f'_/{action}'}",
        }
        status = self.stored("rule", name, overwrite=overwrite)
        old = self.things.get(name) if status == 200 else None
        if old is not None and self.is_something_else(old.trigger):
            status = 409
        elif status == 200 and not (
            self.is_a("trigger", trigger) and (action == ECHO or self.is_a("action", action))
        ):
            status = 400

        answer = self.send("PUT", f"rules/{name}?overwrite={overwrite}", body)

        assert answer.status_code == status, answer.text
        if status == 200:
            active = True
            if old is not None:
                before = self.things.get(old.trigger)
                active = before is not None and before.links.pop(name, False)
                old.version += 1
            else:
                self.things[name] = Thing("rule")
            self.things[name].trigger, self.things[name].action = trigger, action
            self.things[trigger].links[name] = active
            self.check_rule(answer.json(), name)

    @rule(name=rules, active=st.booleans())
    def switch_rule(self, name: str, active: bool) -> None:
        thing = self.things.get(name)
        if thing is None:
            status = 404
        elif thing.kind != "rule":
            status = 409
        elif self.is_something_else(thing.trigger):
            status = 500
        elif active and thing.trigger not in self.things:
            status = 404
        else:
            status = 200

        body = {"status": "active" if active else "inactive"}
        answer = self.send("POST", f"rules/{name}", body)

        assert answer.status_code == status, answer.text
        if status == 200 and thing is not None and thing.trigger in self.things:
            links = self.things[thing.trigger].links
            if links.get(name, False) != active:
                links[name] = active

    @rule(what=some)
    def delete_some(self, what: tuple[str, str]) -> None:
        self.delete(*what, force=False)

    @rule(name=packages, force=mostly)
    def delete_package(self, name: str, force: bool) -> None:
        self.delete("package", name, force=force)

    def delete(self, kind: str, name: str, *, force: bool) -> None:
        thing = self.things.get(name)
        status = 404 if thing is None else 200 if thing.kind == kind else 409
        if thing is not None and status == 200:
            if kind == "package" and thing.binding is None and thing.inside and not force:
                status = 409
            if kind == "rule" and self.is_something_else(thing.trigger):
                status = 409

        answer = self.send("DELETE", f"{COLLECTIONS[kind]}/{name}?force={force}")

        assert answer.status_code == status, answer.text
        if status == 200 and thing is not None:
            if kind == "rule" and thing.trigger in self.things:
                self.things[thing.trigger].links.pop(name, None)
            del self.things[name]

    @rule(name=packages, inner=inner)
    def delete_packaged_action(self, name: str, inner: str) -> None:
        package = self.things.get(name)
        if package is None:
            status = 404
        elif package.kind != "package":
            status = 409
        elif package.binding is not None:
            status = 400
        else:
            status = 200 if inner in package.inside else 404

        answer = self.send("DELETE", f"actions/{name}/{inner}")

        assert answer.status_code == status, answer.text
        if status == 200 and package is not None:
            del package.inside[inner]

    @rule(what=some)
    def read_some(self, what: tuple[str, str]) -> None:
        self.read(*what)

    def read(self, kind: str, name: str) -> None:
        thing = self.things.get(name)
        status = 404 if thing is None else 200 if thing.kind == kind else 409
        if status == 200 and kind == "package":
            status = self.state_of(f"guest/{name}")
        if status == 200 and thing is not None and kind == "rule":
            status = 500 if self.is_something_else(thing.trigger) else 200

        answer = self.send("GET", f"{COLLECTIONS[kind]}/{name}")

        assert answer.status_code == status, answer.text
        if status == 200 and thing is not None:
            shown = answer.json()
            if kind == "rule":
                self.check_rule(shown, name)
            elif kind == "package":
                bound, parameters = self.resolved(thing)
                self.check_entity(shown, thing, f"guest/{name}", parameters)
                if bound is not None:
                    assert {one["name"] for one in shown["actions"]} == bound.inside.keys()
            else:
                self.check_entity(shown, thing, f"guest/{name}")

    @rule(name=packages, inner=inner)
    def read_inside(self, name: str, inner: str) -> None:
        self.read_packaged_action(name, inner)

    def read_packaged_action(self, name: str, inner: str) -> None:
        status = self.state_of(f"guest/{name}")
        action, parameters = None, {}
        if status == 200:
            bound, parameters = self.resolved(self.things[name])
            action = None if bound is None else bound.inside.get(inner)
            status = 200 if action is not None else 404

        answer = self.send("GET", f"actions/{name}/{inner}")

        assert answer.status_code == status, answer.text
        if action is not None:
            shown = unpaired(answer.json()["parameters"])
            assert shown == parameters | action.parameters

    @rule(name=packages, payload=keyed)
    def call_through_a_binding(self, name: str, payload: Any) -> None:
        status = self.state_of(f"guest/{name}")
        parameters: dict[str, Any] = {}
        if status == 200:
            bound, parameters = self.resolved(self.things[name])
            status = 200 if bound is None else 404

        path = f"actions/{name}/echo?blocking=true&result=true"
        answer = self.send("POST", path, payload or {})

        assert answer.status_code == status, answer.text
        if status == 200:
            self.activations += 1
            assert answer.json() == parameters | (payload or {})

    @rule(name=triggers, payload=keyed)
    def fire(self, name: str, payload: Any) -> None:
        thing = self.things.get(name)
        active: list[str] = []
        if thing is not None and thing.kind == "trigger":
            active = [one for one, is_active in thing.links.items() if is_active]
            if any(self.things[one].action != ECHO for one in active):
                return  # these would run in processes
        status = 204 if not active else 202
        if thing is None or thing.kind != "trigger":
            status = 404 if thing is None else 409

        answer = self.send("POST", f"triggers/{name}", payload or {})

        assert answer.status_code == status, answer.text
        if status == 202:
            self.activations += 1 + len(active)

    @precondition(lambda self: self.things)
    @rule()
    def restart(self) -> None:
        self.stack.close()
        self.start()
        self.everything_is_as_it_should_be()

    @rule()
    def the_lists_show_what_is_there(self) -> None:
        for kind, collection in COLLECTIONS.items():
            expected = {name for name, thing in self.things.items() if thing.kind == kind}
            if kind == "action":
                expected |= {
                    f"{name}/{inside}"
                    for name, thing in self.things.items()
                    for inside in thing.inside
                }
            listed = self.send("GET", f"{collection}?limit=0").json()
            paths = [f"{one['namespace']}/{one['name']}".removeprefix("guest/") for one in listed]
            assert sorted(paths) == sorted(expected)
            counted = self.send("GET", f"{collection}?count=true").json()
            assert counted == {collection: len(expected)}
            assert [one["updated"] for one in listed] == sorted(
                (one["updated"] for one in listed), reverse=True
            )

    @rule()
    def every_activation_has_its_record(self) -> None:
        self.portal.call(self.ow.settled)
        counted = self.send("GET", "activations?count=true").json()
        assert counted == {"activations": self.activations}

    def is_a(self, kind: str, name: str) -> bool:
        thing = self.things.get(name)
        return thing is not None and thing.kind == kind

    def is_something_else(self, trigger: str) -> bool:
        return trigger in self.things and not self.is_a("trigger", trigger)

    def resolved(self, thing: Thing) -> tuple[Thing | None, dict[str, Any]]:
        """The package that one means (None: the stock one), and what it gives its actions."""
        own: dict[str, Any] = {}
        while thing.binding is not None:
            own = thing.parameters
            if thing.binding == UTILS:
                return None, own
            thing = self.things[thing.binding.removeprefix("guest/")]
        return thing, thing.parameters | own

    def check_entity(self, shown: Any, thing: Thing, path: str, parameters: Any = None) -> None:
        assert f"{shown['namespace']}/{shown['name']}" == path
        assert shown["version"] == f"0.0.{thing.version}"
        assert shown["publish"] is thing.publish
        assert unpaired(shown["parameters"]) == (
            thing.parameters if parameters is None else parameters
        )
        annotations = dict(thing.annotations)
        if thing.binding is not None:
            namespace, _, name = thing.binding.rpartition("/")
            assert shown["binding"] == {"namespace": namespace, "name": name}
            annotations["binding"] = shown["binding"]
        assert unpaired(shown["annotations"]) == annotations
        if thing.kind == "trigger":
            found = {
                path.removeprefix("guest/"): one["status"] == "active"
                for path, one in shown.get("rules", {}).items()
            }
            assert found == thing.links

    def check_rule(self, shown: Any, name: str) -> None:
        thing = self.things[name]
        trigger = self.things.get(thing.trigger)
        active = trigger is not None and trigger.links.get(name, False)
        assert shown["status"] == ("active" if active else "inactive")
        assert shown["version"] == f"0.0.{thing.version}"
        assert shown["trigger"] == {"path": "guest", "name": thing.trigger}
        assert f"{shown['action']['path']}/{shown['action']['name']}" == (
            ECHO if thing.action == ECHO else f"guest/{thing.action}"
        )


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as running:
        yield running


def test_random_conversations_agree_with_the_model(portal: BlockingPortal) -> None:
    Conversation.portal = portal
    run_state_machine_as_test(
        Conversation,
        settings=settings(
            max_examples=30,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
