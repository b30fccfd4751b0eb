"""Which sequences may be stored, and what is stored of them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aowhisk.local import Limits
from aowhisk.local.components import check_sequence
from aowhisk.local.entities import Action
from aowhisk.local.http import Refusal
from aowhisk.local.store import Store

ADD = "def main(args):\n    return {'n': args.get('n', 0) + args.get('by', 1)}\n"


def sequence(*components: Any, **body: Any) -> dict[str, Any]:
    return {"exec": {"kind": "sequence", "components": list(components)}} | body


async def refused(rest: Any, body: dict[str, Any], name: str = "s") -> tuple[int, str]:
    answer = await rest.http.put(f"actions/{name}?overwrite=true", json=body)
    return answer.status_code, answer.json()["error"]


async def test_a_sequence_shows_its_components_with_their_namespace(rest: Any) -> None:
    await rest.put("a", ADD)
    await rest.http.put("packages/p", json={})
    await rest.put("p/b", ADD)

    body = sequence(
        "/_/a", "guest/a", {"path": "_/p", "name": "b"}, parameters=[{"key": "x", "value": 1}]
    )
    answer = await rest.http.put("actions/s", json=body)

    components = ["/guest/a", "/guest/a", "/guest/p/b"]
    assert answer.json()["exec"] == {"kind": "sequence", "components": components}
    assert answer.json()["parameters"] == [{"key": "_actions", "value": components}]
    assert (await rest.http.get("actions/s?code=false")).json() == answer.json()
    listed = (await rest.http.get("actions")).json()
    assert [one["exec"] for one in listed if one["name"] == "s"] == [{"binary": False}]


@pytest.mark.parametrize(
    ("exec_", "text"),
    [
        ({}, "'components' must be defined for sequence kind"),
        ({"components": "/_/a"}, "'components' must be an array"),
        ({"components": [1]}, "fully qualified name malformed"),
        ({"components": [{"path": "guest"}]}, "fully qualified name malformed"),
        ({"components": ["/"]}, "requirement failed: path undefined"),
        (
            {"components": ["/_/a?"]},
            "requirement failed: path contains invalid parts ArraySeq(_, a?)",
        ),
        (
            {"components": ["a"]},
            "requirement failed: The fully qualified name of the entity must contain at least "
            "the namespace and the name of the entity.",
        ),
    ],
)
async def test_malformed_components_are_400(rest: Any, exec_: dict[str, Any], text: str) -> None:
    told = await refused(rest, {"exec": {"kind": "sequence"} | exec_})
    assert told == (400, f"The request content was malformed:\n{text}")


async def test_a_sequence_needs_components_that_exist(rest: Any) -> None:
    assert await refused(rest, sequence()) == (400, "No component specified for the sequence.")
    missing = (400, "Sequence component does not exist.")
    assert await refused(rest, sequence("/_/nothing")) == missing
    await rest.http.put("packages/p", json={})
    assert await refused(rest, sequence("/_/p/nothing")) == missing


async def test_a_component_whose_package_is_missing_or_not_yours_is_told_of_its_package(
    rest: Any,
) -> None:
    text = "The requested resource does not exist."
    assert await refused(rest, sequence("/_/nothing/a")) == (404, text)
    text = "The supplied authentication is not authorized to access 'other/a, other/b'."
    assert await refused(rest, sequence("/other/b", "/other/a", "/other/b")) == (403, text)
    text = "The supplied authentication is not authorized to access 'other/p'."
    assert await refused(rest, sequence("/other/p/a", "/other/b")) == (403, text)


async def test_a_component_that_is_no_action_is_409(rest: Any) -> None:
    await rest.http.put("triggers/t", json={})
    text = "Resource by this name exists but is not in this collection."
    assert await refused(rest, sequence("/_/t")) == (409, text)


async def test_a_sequence_that_is_there_is_409_before_its_components_are_counted(rest: Any) -> None:
    await rest.put("s", ADD)
    answer = await rest.http.put("actions/s", json=sequence())
    assert (answer.status_code, answer.json()["error"]) == (409, "resource already exists")


async def test_at_most_50_actions_are_counted_through_its_sequences(rest: Any) -> None:
    await rest.put("a", ADD)
    too_long = (400, "Too many actions in the sequence.")
    assert await refused(rest, sequence(*["/_/a"] * 51)) == too_long
    assert (await rest.http.put("actions/s25", json=sequence(*["/_/a"] * 25))).status_code == 200
    assert (await rest.http.put("actions/s50", json=sequence(*["/_/s25"] * 2))).status_code == 200
    assert await refused(rest, sequence("/_/s50", "/_/a")) == too_long


async def test_the_longest_sequence_is_a_setting(opened: Any) -> None:
    async with opened(limits=Limits(sequence_length=2)) as (_, rest):
        await rest.put("a", ADD)
        told = await refused(rest, sequence("/_/a", "/_/a", "/_/a"))
        assert told == (400, "Too many actions in the sequence.")
        root = await rest.http.get("http://ow/")
        assert root.json()["limits"]["sequence_length"] == 2


async def test_a_sequence_may_not_lead_back_to_itself_nor_through_a_binding(rest: Any) -> None:
    await rest.put("a", ADD)
    await rest.http.put("packages/p", json={"publish": True})
    await rest.http.put("packages/b", json={"binding": {"namespace": "_", "name": "p"}})
    await rest.http.put("actions/p/s", json=sequence("/_/a"))
    await rest.http.put("actions/outer", json=sequence("/_/a", "/_/p/s"))

    cyclic = (400, "Sequence may not refer to itself.")
    assert await refused(rest, sequence("/_/new"), "new") == cyclic
    assert await refused(rest, sequence("/_/a", "/_/b/s"), "p/s") == cyclic
    assert await refused(rest, sequence("/_/outer"), "p/s") == cyclic
    await rest.put("plain", ADD)
    assert await refused(rest, sequence("/_/plain"), "plain") == cyclic


async def test_sequences_stand_inside_each_other_two_hundred_deep(rest: Any) -> None:
    await rest.put("s0", ADD)
    for n in range(1, 202):
        answer = await rest.http.put(f"actions/s{n}", json=sequence(f"/_/s{n - 1}"))
        assert answer.status_code == 200
    assert await refused(rest, sequence("/_/s201")) == (400, "Too many actions in the sequence.")
    assert await rest.result("s201", n=1) == {"n": 2}


async def test_a_cycle_that_a_rebound_package_closes_ends(rest: Any) -> None:
    await rest.put("a", ADD)
    for package in ("p", "q"):
        await rest.http.put(f"packages/{package}", json={})
    await rest.http.put("actions/p/s", json=sequence("/_/a"))
    await rest.http.put("packages/b", json={"binding": {"namespace": "_", "name": "p"}})
    await rest.http.put("actions/q/s", json=sequence("/_/b/s"))
    rebound = {"binding": {"namespace": "_", "name": "q"}}
    await rest.http.put("packages/b?overwrite=true", json=rebound)

    answer = await rest.invoke("q/s")
    assert answer.json()["response"]["result"] == {"error": "Sequence failed."}
    cyclic = (400, "Sequence may not refer to itself.")
    assert await refused(rest, sequence("/_/q/s")) == cyclic


async def test_a_sequence_keeps_no_parameters_and_leaves_none(rest: Any) -> None:
    given = [{"key": "x", "value": 1}]
    await rest.put("a", ADD, parameters=given)
    await rest.put("s", ADD, parameters=given)

    became = await rest.http.put("actions/s?overwrite=true", json=sequence("/_/a"))
    assert [one["key"] for one in became.json()["parameters"]] == ["_actions"]
    assert {"key": "exec", "value": "sequence"} in became.json()["annotations"]
    kept = await rest.http.put("actions/s?overwrite=true", json={"parameters": given})
    assert kept.json()["parameters"] == became.json()["parameters"]
    assert (await rest.put("s", ADD)).json()["parameters"] == []


async def test_annotations_are_not_deleted_in_the_same_breath_as_components_are_given(
    rest: Any,
) -> None:
    await rest.put("a", ADD)
    body = sequence("/_/a", annotations=[{"key": "x", "value": 1}])
    await rest.http.put("actions/s", json=body)

    again = sequence("/_/a") | {"delAnnotations": ["x"]}
    kept = await rest.http.put("actions/s?overwrite=true", json=again)
    assert {"key": "x", "value": 1} in kept.json()["annotations"]
    gone = await rest.http.put("actions/s?overwrite=true", json={"delAnnotations": ["x"]})
    assert {"key": "x", "value": 1} not in gone.json()["annotations"]


@given(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=4), max_size=6), st.integers(1, 9))
def test_what_is_counted_is_what_would_run(trees: list[list[int]], limit: int) -> None:
    """Given sequences of earlier ones (0 is a plain action), each is refused exactly when more
    actions than allowed would run, or one of its sequences is longer than that by itself."""
    store, leaves, fits = Store(), [1], [True]
    store.put(Action(namespace="ns", name="a0", exec={"kind": "python:3"}, limits={}))
    for tree in trees:
        parts = [one % len(leaves) for one in tree]
        components = [f"ns/a{one}" for one in parts]
        leaves.append(sum(leaves[one] for one in parts))
        fits.append(len(parts) <= limit and all(fits[one] for one in parts))
        try:
            check_sequence(store, "ns/new", components, limit)
            refused_ = False
        except Refusal:
            refused_ = True
        assert refused_ == (not fits[-1] or leaves[-1] > limit)
        exec_ = {"kind": "sequence", "components": [f"/{one}" for one in components]}
        name = f"a{len(leaves) - 1}"
        store.put(Action(namespace="ns", name=name, exec=exec_, limits={}))
