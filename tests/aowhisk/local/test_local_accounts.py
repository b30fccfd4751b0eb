"""Accounts: several namespaces from an auth file, with limits of their own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aowhisk.errors import ConfigError
from aowhisk.local import Account, Limits, load_accounts
from aowhisk.local.accounts import is_private

LINES = """
# namespace key limits
anna a:secret invocationsPerMinute=5 storeActivations=false
bert b:secret   # no limits of his own
"""
DOCUMENT = """
anna: {auth: "a:secret", limits: {invocationsPerMinute: 5, storeActivations: false}}
bert: "b:secret"
"""


@pytest.fixture
def auth_file(tmp_path: Path) -> Callable[..., Path]:
    def write(text: str, name: str = "keys") -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


@pytest.mark.parametrize(("name", "text"), [("keys", LINES), ("keys.yaml", DOCUMENT)])
def test_lines_and_documents_say_the_same(
    name: str, text: str, auth_file: Callable[..., Path]
) -> None:
    anna, bert = load_accounts(auth_file(text, name))

    assert (anna.namespace, anna.key) == ("anna", "a:secret")
    assert anna.limits == {"invocationsPerMinute": 5, "storeActivations": False}
    assert (bert.namespace, bert.key, dict(bert.limits)) == ("bert", "b:secret", {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names no namespace"),
        ("anna", "keys:1: is not `namespace user:secret"),
        ("anna secret", "keys:1: the key of namespace 'anna' is not `user:secret`"),
        ("an$na a:b", "keys:1: namespace 'an\\$na': The namespace contains illegal"),
        ("_ a:b", "give it a name"),
        ("anna a:b\nanna c:d", "gives a namespace twice"),
        ("anna a:b\nbert a:b", "gives a key twice"),
        ("anna a:b fast", "'fast' is not `limit=value`"),
        ("anna a:b speed=1", "there is no limit 'speed'"),
        ("anna a:b firesPerMinute=-1", "firesPerMinute cannot be '-1'"),
        ("anna a:b storeActivations=1", "storeActivations cannot be 1"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_place(
    text: str, said: str, auth_file: Callable[..., Path]
) -> None:
    with pytest.raises(ConfigError, match=said):
        load_accounts(auth_file(text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a, b]", "no mapping from namespaces"),
        ("anna: 5", "neither a text `user:secret` nor has"),
        ('anna: {auth: "a:b", speed: 1}', "there is no field 'speed'"),
        ('anna: {auth: "a:b", limits: 3}', "limits is no mapping"),
        ('anna: {auth: "a:b", limits: {firesPerMinute: true}}', "cannot be True"),
    ],
)
def test_what_is_wrong_with_a_document_is_said_with_its_place(
    text: str, said: str, auth_file: Callable[..., Path]
) -> None:
    with pytest.raises(ConfigError, match=said):
        load_accounts(auth_file(text, "keys.yml"))


def test_a_missing_file_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the auth file"):
        load_accounts(tmp_path / "nowhere")


def test_a_file_that_others_can_read_is_not_private(auth_file: Callable[..., Path]) -> None:
    file = auth_file(LINES)
    file.chmod(0o644)
    assert not is_private(file)
    file.chmod(0o600)
    assert is_private(file)


async def test_each_namespace_has_its_own_entities_records_and_limits(
    opened: Any, rest_of: Any
) -> None:
    accounts = [
        Account("anna", "a:secret", {"invocationsPerMinute": 1, "concurrentInvocations": 7}),
        Account("bert", "b:secret"),
    ]
    async with (
        opened(auth=accounts, limits=Limits(invocations_per_minute=50)) as (ow, anna),
        rest_of(ow, "b:secret") as bert,
    ):
        await anna.put("hello")
        first = await anna.invoke("hello", who="anna")
        refused = await anna.invoke("hello")
        namespaces = (await bert.http.get("http://ow/api/v1/namespaces")).json()
        limits = (await bert.http.get("limits")).json()
        own_limits = (await anna.http.get("limits")).json()
        others = await bert.http.get(f"activations/{first.json()['activationId']}")
        await bert.put("hello", "def main(args):\n    return {'i': 'am bert'}\n")

        assert first.json()["namespace"] == first.json()["subject"] == "anna"
        assert refused.status_code == 429
        assert namespaces == ["bert"]
        assert limits["invocationsPerMinute"] == 50
        assert own_limits["invocationsPerMinute"] == 1
        assert own_limits["concurrentInvocations"] == own_limits["maxActionInstances"] == 7
        assert others.status_code == 404
        assert await bert.result("hello") == {"i": "am bert"}
        assert (await bert.http.get("activations")).json()[0]["namespace"] == "bert"
        assert [one["name"] for one in (await anna.http.get("actions")).json()] == ["hello"]


async def test_without_storing_activations_there_are_answers_but_no_records(opened: Any) -> None:
    accounts = [Account("anna", "a:secret", {"storeActivations": False})]
    async with opened(auth=accounts) as (ow, anna):
        await anna.put("hello")

        answer = await anna.invoke("hello")
        await ow.settled()
        record = await anna.http.get(f"activations/{answer.json()['activationId']}")

        assert answer.status_code == 200
        assert record.status_code == 404
        assert (await anna.http.get("limits")).json()["storeActivations"] is False


async def test_a_namespace_has_ranges_and_kinds_of_its_own(opened: Any, rest_of: Any) -> None:
    limits: dict[str, Any] = {
        "maxActionMemory": 1024,
        "maxActionTimeout": 1000,
        "allowedKinds": ["python:3"],
    }
    accounts = [Account("anna", "a:secret", limits), Account("bert", "b:secret")]
    code = "def main(args):\n    return args\n"

    async with opened(auth=accounts) as (ow, anna), rest_of(ow, "b:secret") as bert:

        async def put(rest: Any, kind: str, **limits: int) -> Any:
            body = {"exec": {"kind": kind, "code": code}, "limits": limits}
            return await rest.http.put("actions/a?overwrite=true", json=body)

        roomy = await put(anna, "python:3", memory=1024)
        slow = await put(anna, "python:3", timeout=1001)
        other = await put(anna, "python:3.11")
        shown = (await anna.http.get("limits")).json()
        berts = await put(bert, "python:3.11", memory=1024)

    assert roomy.status_code == 200
    assert roomy.json()["limits"]["timeout"] == 1000  # the default is inside, too
    assert slow.json()["error"] == (
        "requirement failed: duration 1001 milliseconds "
        "exceeds allowed threshold of 1000 milliseconds"
    )
    assert other.status_code == 403
    assert other.json()["error"] == (
        "The supplied authentication is not authorized to access actions of kind 'python:3.11'."
    )
    assert shown["maxActionMemory"] == 1024
    assert shown["allowedKinds"] == ["python:3"]
    assert berts.json()["error"].endswith("exceeds allowed threshold of 512 MB")


def test_lines_name_several_kinds(auth_file: Callable[..., Path]) -> None:
    (anna,) = load_accounts(auth_file("anna a:b allowedKinds=python:3,nodejs:20"))

    assert Limits().overlaid(anna.limits).allowed_kinds == ("python:3", "nodejs:20")


@pytest.mark.parametrize(
    "limits",
    [
        {"allowedKinds": 3},
        {"allowedKinds": [3]},
        {"maxActionMemory": -1},
        {"maxActionMemory": 64},
        {"minActionTimeout": 400_000},
    ],
)
def test_a_limit_that_cannot_be_is_a_config_error(limits: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Account("anna", "a:b", limits)
