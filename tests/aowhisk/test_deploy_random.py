"""Any manifest after any other leaves what it leaves in an empty namespace."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from deploying import Site, contents, done

from aowhisk.client import Client
from aowhisk.deploy import MARK
from aowhisk_pytest import OpenWhiskServer

NAMES = ("a", "b", "c")


class Dice:
    """Makes manifests: packages p and q and the default one, each with some of the same few
    names."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)

    def manifest(self) -> dict[str, Any]:
        packages = {name: self._package(name) for name in ("p", "q", "default")}
        kept = {name: body for name, body in packages.items() if self._likely(0.8)}
        here = [
            f"/_/{action}" if name == "default" else f"{name}/{action}"
            for name, body in kept.items()
            for action in body["actions"]
        ]
        triggers = self._some(("t", "u"), lambda: self._annotated({"inputs": self._values()}))
        last = kept.setdefault("default", {})
        last["triggers"] = triggers
        if here and triggers:
            last["rules"] = self._some(
                ("r", "s"),
                lambda: self._annotated(
                    {"trigger": self._one(sorted(triggers)), "action": self._one(here)}
                ),
            )
        return {"project": {"name": "any", "packages": kept}}

    def _package(self, name: str) -> dict[str, Any]:
        actions = self._some(NAMES, self._action)
        others = [one for one in NAMES if actions and one not in actions and self._likely(0.5)]
        found: dict[str, Any] = {
            "actions": actions,
            "sequences": {
                one: self._annotated({"actions": ", ".join(self._dice.choices([*actions], k=2))})
                for one in others
            },
        }
        return found if name == "default" else self._annotated({**found, "inputs": self._values()})

    def _action(self) -> dict[str, Any]:
        body: dict[str, Any] = {"code": f"# {self._dice.randint(1, 2)}", "inputs": self._values()}
        extras = {
            "web": self._one([True, "raw", False]),
            "main": self._one(["main", "other"]),
            "limits": {self._one(["timeout", "memorySize"]): self._one([200, 300])},
            "docker": self._one(["me/one", "me/two"]),
        }
        return self._annotated(
            body | {name: value for name, value in extras.items() if self._likely(0.3)}
        )

    def _annotated(self, body: dict[str, Any]) -> dict[str, Any]:
        found = self._some(("m", "n"), lambda: self._dice.randint(1, 2))
        if self._likely(0.2):
            found["provide-api-key"] = self._one([True, False])
        return {**body, "annotations": found} if found else body

    def _values(self) -> dict[str, Any]:
        return self._some(("x", "y"), lambda: self._one([1, 2, None, [1], {"k": "v"}, "text"]))

    def _some(self, names: tuple[str, ...], make: Callable[[], Any]) -> dict[str, Any]:
        return {name: make() for name in names if self._likely(0.6)}

    def _likely(self, share: float) -> bool:
        return self._dice.random() < share

    def _one(self, values: Sequence[Any]) -> Any:
        return self._dice.choice(values)


def plain(found: dict[str, Any], namespace: str) -> Any:
    """What matters: not the marks' hashes, nor the name of the namespace, nor whether a flag that
    is off is said."""
    for name, raw in found.items():
        if name.startswith("trigger"):
            raw.setdefault("rules", {})  # it is missing until the first rule, and stays then
        raw["annotations"] = [
            {**one, "value": one["value"]["project"]} if one["key"] == MARK else one
            for one in raw["annotations"]
        ]
        if "exec" in raw and raw["exec"].get("kind") == "sequence":
            raw.pop("limits")  # of the action that it was; a sequence has no use for them
        for inside in (*raw.get("actions", ()), *raw.get("feeds", ())):
            del inside["annotations"]
    return json.loads(
        json.dumps(found).replace(f'"{namespace}', '"NS').replace(f"/{namespace}/", "/NS/")
    )


@pytest.mark.parametrize("seed", range(4))
async def test_any_manifest_after_any_other_leaves_what_it_leaves_alone(
    seed: int, site: Site, serving: OpenWhiskServer, tmp_path: Path
) -> None:
    dice = Dice(seed)
    for step in range(8):
        text = json.dumps(dice.manifest())
        await site.deploy(text, prune=True)
        assert done(await site.plan(prune=True)) == {}, (step, text)
        other = serving.take()
        assert other is not None
        async with Client(other.apihost, other.auth) as client:
            fresh = Site(site.folder, client, site.environ, other)
            await fresh.deploy()
            expected = plain(await contents(client), other.namespace)
        found = plain(await contents(site.client), site.namespace.namespace)
        assert found == expected, (step, text)
    await site.undeploy()
    assert await contents(site.client) == {}
