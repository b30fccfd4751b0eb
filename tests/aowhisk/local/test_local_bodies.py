"""What a PUT of an action or a package may say, and what the controller answers to the rest."""

from typing import Any

import pytest

from aowhisk.local import Account, LocalOpenWhisk
from aowhisk.local.limits import Limits

CODE = {"kind": "python:3.11", "code": "def main(args):\n    return args\n"}
MALFORMED = "The request content was malformed:\n"


async def put(rest: Any, body: Any, where: str = "actions/a") -> Any:
    return await rest.http.put(f"{where}?overwrite=true", json=body)


async def test_a_kind_is_read_without_regard_to_case_and_blanks(rest: Any) -> None:
    for asked, stored in ((" Python:3.11 ", "python:3.11"), ("PYTHON:default", "python:3.10")):
        made = await put(rest, {"exec": CODE | {"kind": asked}})

        assert made.json()["exec"]["kind"] == stored


async def test_a_kind_that_is_unknown_is_told_in_lower_case_with_all_there_are(rest: Any) -> None:
    told = (await put(rest, {"exec": CODE | {"kind": "Cobol:85"}})).json()["error"]

    assert told.startswith(f"{MALFORMED}The specified runtime 'cobol:85' is not supported")
    assert "'python:3.11'" in told
    assert "'sequence', 'blackbox'" in told


@pytest.mark.parametrize(
    ("exec_", "told"),
    [
        (CODE | {"main": None}, "if defined, 'main' be a string in 'exec' for 'python:3.11' act"),
        (CODE | {"code": None}, "Could not deserialize as attachment record: null"),
        ({"kind": "Python:3"}, "'code' must be a string or attachment object defined in 'exec' fo"),
        ({"kind": "blackbox", "image": "b", "code": 1}, "Could not deserialize as attachment re"),
        ({"kind": "blackbox", "image": "b", "main": 1}, "if defined, 'main' be a string in 'exec"),
        ({"kind": "blackbox", "image": "Upper/Case"}, "could not parse image name"),
        ({"kind": "blackbox", "image": "a//b"}, "could not parse image name"),
        ({"kind": "blackbox", "image": ""}, "could not parse image name"),
    ],
)
async def test_what_cannot_be_run_is_refused_in_the_controllers_words(
    rest: Any, exec_: dict[str, Any], told: str
) -> None:
    answer = await put(rest, {"exec": exec_})

    assert answer.status_code == 400
    assert answer.json()["error"].startswith(MALFORMED + told)


@pytest.mark.parametrize("code", ["", "  \n"])
async def test_an_image_has_no_code_where_that_is_blank(rest: Any, code: str) -> None:
    made = await put(rest, {"exec": {"kind": "BlackBox", "image": "me/it", "code": code}})

    assert made.json()["exec"] == {"kind": "blackbox", "image": "me/it", "binary": False}


async def test_an_image_is_stored_without_its_digest(rest: Any) -> None:
    name = "registry.example.com:5000/me/some_image:1.0-rc"
    image = f"{name}@sha256:{'0123456789abcdef' * 4}"

    made = await put(rest, {"exec": {"kind": "blackbox", "image": image}})

    assert made.json()["exec"]["image"] == name


async def test_base64_with_a_line_break_after_it_cannot_be_stored(rest: Any) -> None:
    answer = await put(rest, {"exec": CODE | {"code": "RHViZWU=\n"}})

    assert answer.status_code == 500
    assert answer.json()["error"] == "There was an internal server error."
    assert (await rest.http.get("actions/a")).status_code == 404


async def test_a_limit_of_instances_is_kept_shown_and_recorded(rest: Any) -> None:
    body = {"exec": CODE, "limits": {"instances": 3, "timeout": 5000.0}}
    made = (await put(rest, body)).json()
    changed = (await put(rest, {"limits": {"logs": 1}})).json()
    record = (await rest.invoke("a")).json()

    assert made["limits"] == {
        "timeout": 5000,
        "memory": 256,
        "logs": 10,
        "concurrency": 1,
        "instances": 3,
    }
    assert changed["limits"]["instances"] == 3
    limits = next(one["value"] for one in record["annotations"] if one["key"] == "limits")
    assert limits["instances"] == 3
    assert (await rest.http.get("actions")).json()[0]["limits"]["instances"] == 3


async def test_without_being_asked_for_there_is_no_limit_of_instances(rest: Any) -> None:
    made = (await put(rest, {"exec": CODE, "limits": {"instances": None}})).json()

    assert "instances" not in made["limits"]


async def test_no_more_instances_than_the_namespace_may_have_in_flight(
    tmp_path: Any, rest_of: Any
) -> None:
    anna = Account("anna", "a:a", {"concurrentInvocations": 5})
    async with LocalOpenWhisk(root=tmp_path, auth=[anna]) as ow, rest_of(ow) as rest:
        fits = await put(rest, {"exec": CODE, "limits": {"instances": 5}})
        answer = await put(rest, {"exec": CODE, "limits": {"instances": 6}})

    assert fits.status_code == 200
    assert answer.status_code == 400
    assert answer.json()["error"] == (
        "max action instance concurrency must not exceed your namespace concurrency of 5."
    )


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ([], "Object expected in field 'timeout'"),
        ({"timeout": 1000.5}, "requirement failed: time limit must be whole number"),
        ({"memory": 256.5}, "requirement failed: memory limit must be whole number"),
        ({"logs": 0.1}, "requirement failed: log limit must be whole number"),
        ({"concurrency": 1.5}, "requirement failed: intra concurrency limit must be whole number"),
        ({"instances": 1.5}, "requirement failed: instance concurrency limit must be whole numbe"),
        ({"timeout": True}, "time limit malformed"),
        ({"concurrency": "1"}, "concurrency limit malformed"),
        ({"instances": "1"}, "instance concurrency limit malformed"),
    ],
)
async def test_limits_that_are_none_are_malformed(rest: Any, limits: Any, told: str) -> None:
    answer = await put(rest, {"exec": CODE, "limits": limits})

    assert answer.status_code == 400
    assert answer.json()["error"].startswith(MALFORMED + told)


async def test_a_body_is_read_whole_before_limits_are_looked_at(rest: Any) -> None:
    answer = await put(rest, {"limits": {"timeout": 1}, "publish": "yes"})
    unbound = await put(rest, {"limits": {"timeout": 1}})

    assert answer.json()["error"] == f'{MALFORMED}Expected JsBoolean, but got "yes"'
    assert unbound.json()["error"].startswith("requirement failed: duration 1 milliseconds below")


@pytest.mark.parametrize(
    ("unwanted", "told"),
    [
        ("x", 'Expected Array as JsArray, but got "x"'),
        ([1], "Expected String as JsString, but got 1"),
    ],
)
async def test_annotations_to_delete_are_named_in_a_list(
    rest: Any, unwanted: Any, told: str
) -> None:
    answer = await put(rest, {"exec": CODE, "delAnnotations": unwanted})

    assert (answer.status_code, answer.json()["error"]) == (400, MALFORMED + told)


@pytest.mark.parametrize(
    ("given", "stored"),
    [("1", "1.0.0"), ("1.2.", "1.2.0"), ("01.2.3", "1.2.3"), ("1.2.3.x", "1.2.3"), ("+1", "1.0.0")],
)
async def test_a_version_may_be_short_or_long(rest: Any, given: str, stored: str) -> None:
    made = await put(rest, {"exec": CODE, "version": given})

    assert made.json()["version"] == stored


@pytest.mark.parametrize(
    "given", ["1.2.3-beta", "1..2", "1.a", "a", "", ".", " 1", "-1.0.0", "0.0.0", "2147483648", 1]
)
async def test_a_version_of_anything_but_numbers_is_malformed(rest: Any, given: Any) -> None:
    answer = await put(rest, {"exec": CODE, "version": given})

    assert answer.status_code == 400
    assert answer.json()["error"] == f"{MALFORMED}semantic version malformed"


async def test_an_annotation_makes_a_feed_whatever_its_value(rest: Any) -> None:
    await put(rest, {}, "packages/p")
    await put(rest, {"exec": CODE}, "actions/p/plain")
    feed = {"exec": CODE, "annotations": [{"key": "feed", "value": False}]}
    await put(rest, feed, "actions/p/feed")

    package = (await rest.http.get("packages/p")).json()

    assert [one["name"] for one in package["actions"]] == ["plain"]
    assert [one["name"] for one in package["feeds"]] == ["feed"]


@pytest.mark.parametrize(
    ("binding", "told"),
    [
        ({"name": "p"}, "Object is missing required member 'namespace'"),
        ({"namespace": "_", "name": 1}, "entity name malformed"),
        ({"namespace": "_", "name": "$"}, "entity name malformed"),
        ({"namespace": None, "name": "p"}, "entity name malformed"),
    ],
)
async def test_a_binding_names_a_namespace_and_a_package(
    rest: Any, binding: Any, told: str
) -> None:
    answer = await put(rest, {"binding": binding}, "packages/b")

    assert (answer.status_code, answer.json()["error"]) == (400, MALFORMED + told)


def test_a_namespaces_limits_say_what_its_actions_may_ask_for() -> None:
    limits = Limits().overlaid({"maxActionTimeout": 1000})

    assert limits.actions.defaults["timeout"] == 1000


async def test_half_of_a_surrogate_pair_is_answered_as_a_question_mark(rest: Any) -> None:
    body = rb'{"parameters":[{"key":"\ud800","value":"\udfff"}],"annotations":[]}'
    headers = {"content-type": "application/json"}

    made = await rest.http.put("packages/p", content=body, headers=headers)
    await put(rest, {"exec": CODE})
    told = await rest.http.post(
        "actions/a?blocking=true&result=true", content=rb'{"x":"\ud800"}', headers=headers
    )

    assert made.status_code == 200
    assert made.json()["parameters"] == [{"key": "?", "value": "?"}]
    assert (told.status_code, told.json()) == (200, {"x": "?"})


async def test_a_number_that_no_float_holds_stays_a_number(rest: Any) -> None:
    body = b'{"parameters":[{"key":"x","value":[1e400,-1e999,"Infinity \\"Infinity"]}]}'

    made = await rest.http.put(
        "packages/t", content=body, headers={"content-type": "application/json"}
    )

    assert b'"value":[1E+400,-1E+400,"Infinity \\"Infinity"]' in made.content
