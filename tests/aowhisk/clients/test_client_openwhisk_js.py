"""The JavaScript client (npm: openwhisk) on a local OpenWhisk, each of its methods."""

import base64
import io
import json
import os
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from aowhisk.local import GUEST

SCRIPT = Path(__file__).parent / "every_method.js"
GROUPS = {
    "actions": "list get invoke create update delete",
    "activations": "list get logs result",
    "namespaces": "list get",
    "packages": "list get create update delete",
    "rules": "list get create update delete enable disable",
    "triggers": "list get create update delete invoke",
    "feeds": "create get update delete",
    "routes": "list get create delete",
}


def archive() -> str:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("__main__.py", "def main(args):\n    return {'zipped': True}\n")
    return base64.b64encode(file.getvalue()).decode()


@pytest.fixture(scope="module")
def told(server: str, openwhisk_js: Path) -> Any:
    """What each method gave."""
    environ = {
        "PATH": os.environ["PATH"],
        "NODE_PATH": str(openwhisk_js),
        "APIHOST": server,
        "API_KEY": GUEST,
        "ZIP": archive(),
    }
    done = subprocess.run(
        ["node", str(SCRIPT)], env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_each_of_its_methods_is_used(told: Any) -> None:
    every = {f"{group}.{name}" for group, names in GROUPS.items() for name in names.split()}

    assert every <= set(told["used"])


def test_actions_are_made_changed_read_listed_and_deleted(told: Any) -> None:
    actions = told["actions"]

    assert actions["created"]["version"] == "0.0.1"
    assert {"key": "owner", "value": "us"} in actions["created"]["annotations"]
    assert actions["again"]["status"] == 409
    assert actions["updated"]["version"] == "0.0.2"
    assert actions["got"]["parameters"] == [{"key": "stored", "value": 1}]
    assert "code" in actions["got"]["exec"]
    assert "code" not in actions["bare"]["exec"]
    assert [one["name"] for one in actions["listed"]] == ["fails", "echo"]
    assert actions["counted"] == {"actions": 3}
    assert [one["name"] for one in actions["many"]] == ["echo", "both"]
    assert actions["deleted"]["name"] == "fails"


def test_actions_are_invoked(told: Any) -> None:
    actions = told["actions"]

    assert list(actions["accepted"]) == ["activationId"]
    assert actions["record"]["response"]["result"] == {"stored": 1, "a": 1, "new": True}
    assert actions["result"] == {"stored": 1, "a": "ü", "new": True}
    assert actions["sequence"] == {"stored": 1, "b": 2, "new": True}
    assert actions["zip"] == {"binary": True, "result": {"zipped": True}}


def test_errors_are_its_own_with_status_and_text(told: Any) -> None:
    failed, missing = told["actions"]["failed"], told["actions"]["missing"]

    assert (failed["name"], failed["status"]) == ("OpenWhiskError", 502)
    assert failed["message"].endswith('(Bad Gateway) --> "broken"')
    assert missing["status"] == 404
    assert missing["message"].endswith('--> "The requested resource does not exist."')


def test_activations_are_read(told: Any) -> None:
    activations = told["activations"]

    assert activations["got"]["response"]["result"]["c"] == 3
    assert activations["result"]["result"]["c"] == 3
    assert activations["logs"] == {"logs": []}
    assert activations["listed"][0]["activationId"] == activations["got"]["activationId"]
    assert activations["counted"]["activations"] >= 4
    assert activations["missing"]["status"] == 404


def test_namespaces_are_listed_with_what_is_in_them(told: Any) -> None:
    assert told["namespaces"]["listed"] == ["guest"]
    assert set(told["namespaces"]["got"]) == {"actions", "packages", "triggers", "rules"}


def test_packages_are_made_bound_shared_and_deleted(told: Any) -> None:
    packages = told["packages"]

    assert packages["created"]["version"] == "0.0.1"
    assert packages["updated"]["publish"] is True
    assert packages["bound"] == {"unit": "m"}
    assert [one["name"] for one in packages["got"]["actions"]] == ["echo"]
    assert "echo" in [one["name"] for one in packages["system"]["actions"]]
    assert {one["name"] for one in packages["listed"]} == {"tools", "bound"}
    assert packages["full"]["status"] == 409
    assert packages["deleted"]["name"] == "bound"


def test_triggers_fire_and_rules_are_switched(told: Any) -> None:
    triggers, rules = told["triggers"], told["rules"]

    assert triggers["unheard"] == {"type": "Buffer", "data": []}
    assert rules["created"]["status"] == "active"
    logged = json.loads(triggers["record"]["logs"][0])
    assert (logged["rule"], logged["action"], logged["success"]) == (
        "guest/each",
        "guest/echo",
        True,
    )
    assert rules["got"]["status"] == "inactive"
    assert rules["updated"]["action"] == {"path": "guest", "name": "both"}
    assert triggers["got"]["rules"]["guest/each"]["status"] == "active"
    assert triggers["listed"] == {"triggers": 1}
    assert [one["name"] for one in rules["listed"]] == ["each"]
    assert rules["deleted"]["status"] == "inactive"
    assert triggers["deleted"]["name"] == "tick"


@pytest.mark.parametrize(
    ("method", "event"),
    [("create", "CREATE"), ("get", "READ"), ("update", "UPDATE"), ("delete", "DELETE")],
)
def test_a_feed_is_told_of_each_event(told: Any, method: str, event: str) -> None:
    assert told["feeds"][method] == {
        "lifecycleEvent": event,
        "authKey": GUEST,
        "triggerName": "/_/tock",
        "every": 5,
    }


@pytest.mark.parametrize("method", ["create", "list", "get", "delete"])
def test_there_is_no_api_gateway(told: Any, method: str) -> None:
    assert told["routes"][method]["status"] == 404


def test_its_other_settings_work(told: Any) -> None:
    assert told["others"]["wrong"]["status"] == 401
    assert told["others"]["handled"]["actions"] > 0
