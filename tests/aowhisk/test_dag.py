"""Dags: declaring them, their mistakes, their JSON, and filling in results."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aowhisk.dag import Dag, Item, Ref, difference, expand, item, resolve, resolve_keys
from aowhisk.dag.references import decode, encode
from aowhisk.errors import GraphError
from aowhisk.retry import ErrorClass, RetryPolicy


def transcoding() -> Dag:
    dag = Dag("video-transcoding")
    split = dag.call("splitter", {"input": "film.mp4", "num_chunks": 5})
    encode = dag.map(
        "transcoder", {"input": item, "size": "360p"}, over=split["splits"], concurrency=2
    )
    dag.call("combiner", {"input": encode["output_file"]}, retry=RetryPolicy(retries=5))
    return dag


# Declaring


def test_nodes_stand_in_the_order_of_declaration_under_the_actions_last_segment() -> None:
    dag = Dag("d")
    dag.call("/ns/package/z")
    dag.call("package/y")
    dag.call("x")
    dag.call("x", id="again")
    assert list(dag.nodes) == ["z", "y", "x", "again"]
    assert dag.nodes["again"].action == "x"


def test_a_node_depends_on_what_its_params_over_keys_and_after_name() -> None:
    dag = Dag("d")
    a, b, c, d, e = (dag.call("act", id=id) for id in "abcde")
    last = dag.map(
        "last",
        {"deep": [{"in": a["x"][0]}]},
        over=b["list"],
        reads=[c["key"]],
        writes=[[d["key"]]],
        after=[e],
    )
    assert last.spec.depends == {"a", "b", "c", "d", "e"}
    assert last.spec.is_map
    assert not a.spec.is_map


def test_after_takes_nodes_and_ids_and_a_single_one() -> None:
    dag = Dag("d")
    a, b = dag.call("a"), dag.call("b")
    assert dag.call("c", after=(a, "b", a)).spec.after == ("a", "b")
    assert dag.call("d", after=b).spec.after == ("b",)


def test_a_node_as_a_param_is_its_whole_result() -> None:
    dag = Dag("d")
    a = dag.call("a")
    b = dag.call("b", {"all": a})
    assert b.spec.params == {"all": Ref("a")}


def test_later_changes_to_what_was_given_change_nothing() -> None:
    dag = Dag("d")
    params: dict[str, Any] = {"list": [1], "dict": {"a": (1, 2)}}
    over = [{"n": 1}]
    node = dag.map("a", params, over=over)
    params["list"].append(2)
    params["new"] = 1
    over[0]["n"] = 2
    over.append({"n": 3})
    assert node.spec.params == {"list": [1], "dict": {"a": [1, 2]}}
    assert node.spec.over == ({"n": 1},)


def test_nodes_cannot_be_put_in_from_outside() -> None:
    with pytest.raises(TypeError):
        transcoding().nodes["x"] = None  # type: ignore[index]


def test_the_store_url_is_an_ordinary_param() -> None:
    Dag("d").call("a", {"object_store_url": "memory://x"})


# References


def test_a_reference_cannot_be_iterated_searched_or_formatted() -> None:
    for deferred in (Ref("a", ("x",)), item, Dag("d").call("a")):
        with pytest.raises(TypeError):
            list(deferred)  # type: ignore[call-overload]
        with pytest.raises(TypeError):
            "x" in deferred  # type: ignore[operator]  # noqa: B015
        with pytest.raises(GraphError, match="known only when the run is there"):
            f"chunks/{deferred}"


@pytest.mark.parametrize("key", [slice(1, 2), None, True, 1.5])
def test_a_reference_takes_names_and_positions_only(key: Any) -> None:
    with pytest.raises(GraphError, match="a field's name or a position"):
        Ref("a")[key]


def test_references_look_as_they_are_written() -> None:
    assert repr(Ref("split")["parts"][0]) == "split['parts'][0]"
    assert repr(item["name"]) == "item['name']"


# Mistakes


def looped() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def foreign() -> Any:
    return Dag("other").call("a")


def with_a(declare: Callable[[Dag], object]) -> None:
    dag = Dag("d")
    dag.call("a")
    declare(dag)


MISTAKES: dict[str, tuple[Callable[[Dag], object], str]] = {
    "unknown node": (lambda d: d.call("b", {"x": Ref("nope")["y"]}), "'nope'.*not a node"),
    "unknown node in after": (lambda d: d.call("b", after=["nope"]), "'nope'.*not a node"),
    "after of another kind": (lambda d: d.call("b", after=[3]), "after has 3"),
    "itself": (lambda d: d.call("b", {"x": Ref("b")}), "'b'.*not a node.*so far"),
    "another dag's node": (lambda d: d.call("b", {"x": foreign()["y"]}), "another dag"),
    "another dag's node in after": (lambda d: d.call("b", after=[foreign()]), "another dag"),
    "item outside a map": (lambda d: d.call("b", {"x": item["y"]}), r"item\['y'\].*outside a map"),
    "item in over": (lambda d: d.map("b", over=[item]), "outside a map"),
    "item in reads": (lambda d: d.call("b", reads=[item]), "outside a map"),
    "over a text": (lambda d: d.map("b", over="abc"), "over is 'abc'"),
    "over a dict": (lambda d: d.map("b", over={"a": 1}), "reference or a list"),
    "over nothing": (lambda d: d.map("b", over=None), "reference or a list"),
    "concurrency": (lambda d: d.map("b", over=[], concurrency=0), "concurrency is 0"),
    "concurrency as truth": (lambda d: d.map("b", over=[], concurrency=True), "is True"),
    "tolerate": (lambda d: d.map("b", over=[], tolerate=-1), "tolerate is -1"),
    "timeout": (lambda d: d.call("b", timeout=0), "timeout is 0"),
    "endless timeout": (lambda d: d.call("b", timeout=float("inf")), "timeout is inf"),
    "ownership": (lambda d: d.call("b", ownership="mine"), "'last' or 'shared'"),
    "idempotent": (lambda d: d.call("b", idempotent=None), "idempotent is None"),
    "retry": (lambda d: d.call("b", retry=3), "RetryPolicy"),
    "a key without a bucket": (lambda d: d.call("b", reads=["film.mp4"]), "a key is bucket/name"),
    "a key without a name": (lambda d: d.call("b", writes=["films/"]), "a key is bucket/name"),
    "reads that are one text": (lambda d: d.call("b", reads="films/a"), "must be a list"),
    "a number as a key": (lambda d: d.call("b", writes=[3]), "writes has 3"),
    "params a list": (lambda d: d.call("b", []), "must be a dict"),
    "params a reference": (lambda d: d.map("b", item, over=[]), "must be a dict"),
    "context as a param": (lambda d: d.call("b", {"_aowhisk": {}}), "'_aowhisk' is reserved"),
    "io as a param": (lambda d: d.call("b", {"_io": {}}), "'_io' is reserved"),
    "a set": (lambda d: d.call("b", {"x": [1, {2}]}), r"params\['x'\]\[1\] is a set"),
    "bytes": (lambda d: d.call("b", {"x": b"1"}), r"params\['x'\] is a bytes"),
    "an object": (lambda d: d.call("b", {"x": object()}), "is a object"),
    "not a number": (lambda d: d.call("b", {"x": float("nan")}), r"params\['x'\] is nan"),
    "infinity": (lambda d: d.map("b", over=[float("-inf")]), r"over\[0\] is -inf"),
    "a key that is no text": (lambda d: d.call("b", {"x": {1: 2}}), "has the key 1"),
    "half a character": (lambda d: d.call("b", {"x": "\ud800"}), "not valid Unicode"),
    "a list in itself": (lambda d: d.call("b", {"x": looped()}), "nested deeper"),
    "the id twice": (lambda d: d.call("b", id="a"), "node of this id already"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_a_graph_error_that_names_the_node(mistake: str) -> None:
    declare, message = MISTAKES[mistake]
    with pytest.raises(GraphError, match=message) as caught:
        with_a(declare)
    assert caught.value.node == ("a" if mistake == "the id twice" else "b")


def test_a_second_use_of_an_action_asks_for_an_id() -> None:
    with pytest.raises(GraphError, match="pass id="):
        with_a(lambda dag: dag.call("p/a"))


@pytest.mark.parametrize(
    "action", ["", "/", "/a", "a//b", "a/b/c", "/a/b/c/d", " a", "a ", 3, None]
)
def test_what_is_no_actions_name_is_refused(action: Any) -> None:
    with pytest.raises(GraphError, match="not the name of an action"):
        Dag("d").call(action)


def test_an_action_whose_name_makes_no_id_needs_one() -> None:
    dag = Dag("d")
    with pytest.raises(GraphError, match="pass id="):
        dag.call("my action@1.0")
    assert dag.call("my action@1.0", id="mine").id == "mine"


@pytest.mark.parametrize("id", ["", "a.b", "a b", "ä", "a/b", "x" * 129, 3])
def test_what_is_no_node_id_is_refused(id: Any) -> None:
    with pytest.raises(GraphError, match="not a node id"):
        Dag("d").call("a", id=id)


@pytest.mark.parametrize("name", ["", "a b", "a/b", None, "x" * 129])
def test_what_is_no_dags_name_is_refused(name: Any) -> None:
    with pytest.raises(GraphError, match="not a dag's name"):
        Dag(name)


def test_a_refused_node_leaves_the_dag_as_it_was() -> None:
    dag = transcoding()
    with pytest.raises(GraphError):
        dag.call("new", {"x": {1}})
    assert dag == transcoding()


# The shape of the graph


def test_distances_are_the_longest_way_to_the_end() -> None:
    dag = Dag("d")
    a = dag.call("a")
    b = dag.call("b", after=[a])
    dag.call("c", after=[a])
    dag.call("d", after=[a, b])
    assert dag.distances() == {"a": 2, "b": 1, "c": 0, "d": 0}
    assert dag.consumers() == {"a": ("b", "c", "d"), "b": ("d",), "c": (), "d": ()}


def test_a_chain_of_ten_thousand_is_no_matter() -> None:
    dag = Dag("long")
    node = dag.call("a", id="n0")
    for index in range(1, 10_000):
        node = dag.call("a", {"x": node["y"]}, id=f"n{index}")
    dag.check()
    assert dag.distances()["n0"] == 9_999


@given(st.data())
def test_distances_agree_with_their_definition(data: st.DataObject) -> None:
    dag = Dag("d")
    for index in range(data.draw(st.integers(1, 12))):
        before = data.draw(st.sets(st.sampled_from(sorted(dag.nodes))) if index else st.just(set()))
        dag.call("a", id=f"n{index}", after=sorted(before))
    found, consumers = dag.distances(), dag.consumers()
    for id in dag.nodes:
        assert found[id] == max((found[other] + 1 for other in consumers[id]), default=0)


def test_distances_may_be_seconds() -> None:
    dag = Dag("d")
    a = dag.call("slow")
    b = dag.call("quick", after=[a])
    dag.call("slow", id="c", after=[b])
    assert dag.distances({"slow": 5.0, "quick": 0.5}.__getitem__) == {
        "slow": 5.5,
        "quick": 5,
        "c": 0,
    }


# JSON


def test_a_dag_is_the_same_after_json() -> None:
    dag = transcoding()
    text = json.dumps(dag.to_json())
    again = Dag.from_json(text)
    assert again == dag == Dag.from_json(json.loads(text))
    assert again.nodes == dag.nodes
    assert json.loads(text)["aowhisk"] == 1


def test_every_setting_of_a_node_survives_json() -> None:
    dag = Dag("d")
    a = dag.call("a")
    dag.map(
        "p/b",
        {"x": [item["k"], a]},
        over=[1, a["n"]],
        concurrency=3,
        tolerate=2,
        id="b2",
        after=[a],
        retry=RetryPolicy(retries=9, on=frozenset({ErrorClass.TIMEOUT})),
        timeout=1.5,
        reads=["b/k", a["key"]],
        writes=[item["out"], ["b/1", item[0]]],
        ownership="shared",
        idempotent=False,
        protocol=False,
    )
    again = Dag.from_json(json.dumps(dag.to_json()))
    assert again.nodes == dag.nodes
    assert again.nodes["b2"].depends == {"a"}


def test_a_dag_written_by_hand_needs_only_actions() -> None:
    dag = Dag.from_json('{"aowhisk": 1, "name": "d", "nodes": [{"action": "p/a"}]}')
    assert list(dag.nodes) == ["a"]


names = st.text(max_size=5) | st.sampled_from(["$ref", "$item", "$literal", "path"])
steps = st.lists(st.text(max_size=3) | st.integers(-3, 3), max_size=3).map(tuple)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.builds(Ref, st.just("a"), steps)
    | st.builds(Item, steps)
)
templates = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=10,
)


@given(templates)
def test_any_template_survives_json(template: Any) -> None:
    assert decode(json.loads(json.dumps(encode(template)))) == template


@given(st.dictionaries(st.text(max_size=5) | st.sampled_from(["$ref", "$item"]), templates))
def test_any_params_survive_a_dag(params: dict[str, Any]) -> None:
    dag = Dag("d")
    dag.call("a")
    dag.map("b", params, over=[])
    again = Dag.from_json(json.dumps(dag.to_json()))
    assert again.nodes["b"].params == params
    assert again == dag


def entry(id: str, *before: str) -> dict[str, Any]:
    return {"id": id, "action": "a", "after": list(before)}


def dag_of(*nodes: Any, **more: Any) -> dict[str, Any]:
    return {"aowhisk": 1, "name": "d", "nodes": list(nodes), **more}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{", "not JSON"),
        ("[]", "no dag"),
        ({"aowhisk": 2, "name": "d", "nodes": []}, "no dag"),
        ({"aowhisk": 1, "nodes": []}, "not a dag's name"),
        ({"aowhisk": 1, "name": "d"}, "nodes is None"),
        (dag_of(owner="me"), "no field 'owner'"),
        (dag_of(3), r"nodes\[0\]"),
        (dag_of({"id": "a"}), r"nodes\[0\].*action"),
        (dag_of({"id": [], "action": "a"}), "no text"),
        (dag_of({"action": "a", "colour": 1}), "no field 'colour'"),
        (dag_of({"action": "a", "params": {"x": {"$ref": 3}}}), "neither"),
        (dag_of({"action": "a", "params": {"x": {"$ref": "a", "to": 1}}}), "neither"),
        (dag_of({"action": "a", "params": {"x": {"$item": 3}}}), "path 3"),
        (dag_of({"action": "a", "params": {"x": {"$literal": 3}}}), "neither"),
        (dag_of({"action": "a", "over": {"not": "a list"}}), "reference or a list"),
        (dag_of({"action": "a", "concurrency": 2}), "for maps"),
        (dag_of({"action": "a", "retry": 3}), "retry is 3"),
        (dag_of(entry("a"), entry("a")), "already"),
        (dag_of(entry("a", "x")), "'x'.*not a node"),
        (dag_of(entry("a", "b"), entry("b")), "'a'.*'b', which is declared after it"),
        (dag_of(entry("a", "a")), "waits for itself: a <- a"),
        (dag_of(entry("c"), entry("a", "c", "b"), entry("b", "a")), "itself: a <- b <- a"),
    ],
    ids=str,
)
def test_json_that_is_no_dag_is_refused(value: Any, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        Dag.from_json(value)


def test_json_nested_too_deeply_is_refused_not_a_crash() -> None:
    for depth in (150, 5_000, 200_000):
        params = '{"x":' * depth + "1" + "}" * depth
        with pytest.raises(GraphError, match=r"nest|JSON"):
            Dag.from_json(
                f'{{"aowhisk": 1, "name": "d", "nodes": [{{"action": "a", "params": {params}}}]}}'
            )


def test_dags_that_differ_are_not_equal() -> None:
    other = transcoding()
    other.call("extra")
    assert other != transcoding()
    assert transcoding() != "dag"


# Filling in results


VALUES: dict[str, Any] = {
    "split": {"parts": ["x/1", "x/2"], "n": 2, "meta": {"fps": 24}},
    "map": [{"out": "y/1"}, None, {"out": "y/3"}],
    "array": [{"a": 1}, {"a": 2}],
}


def filled(template: Any, **more: Any) -> Any:
    return resolve(template, values=VALUES, node="join", **more)


def test_references_are_replaced_wherever_they_stand() -> None:
    template = {
        "a": [Ref("split")["parts"], {"b": Ref("split")["parts"][-1]}],
        "c": item["k"],
        "d": Ref("split")["meta"]["fps"],
        "e": "plain",
    }
    assert filled(template, item={"k": [1]}) == {
        "a": [["x/1", "x/2"], {"b": "x/2"}],
        "c": [1],
        "d": 24,
        "e": "plain",
    }


def test_a_path_into_a_map_goes_into_each_result_and_failures_stay_none() -> None:
    dag = Dag("d")
    mapped = dag.map("map", over=[1, 2, 3])
    join = dag.call("join", {"outs": mapped["out"], "all": mapped})
    for spec in (join.spec, Dag.from_json(dag.to_json()).nodes["join"]):
        assert resolve(spec.params, values=VALUES, node="join") == {
            "outs": ["y/1", None, "y/3"],
            "all": VALUES["map"],
        }


def test_an_array_that_one_call_returned_is_indexed_itself() -> None:
    assert filled(Ref("array")[1]["a"]) == 2


def test_none_is_an_item_like_any_other() -> None:
    assert filled({"x": item}, item=None) == {"x": None}


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (Ref("split")["nope"], r"split\['nope'\].*no field 'nope'; it has 'meta', 'n', 'parts'"),
        (Ref("split")["n"]["x"], r"\['n'\] is the number 2, not an object"),
        (Ref("split")["parts"]["x"], "a list of 2, not an object"),
        (Ref("split")["parts"][2], "has 2 elements"),
        (Ref("split")[0], "an object with .*, not a list"),
        (Ref("map", each=True)["nope"], r"'map\.0' has no field 'nope'"),
        (Ref("split", each=True)["n"], "not a list"),
        (Ref("later")["x"], "'later' has no result yet"),
        (item["x"], "outside a map"),
    ],
    ids=str,
)
def test_a_reference_that_leads_nowhere_says_what_is_there(template: Any, message: str) -> None:
    with pytest.raises(GraphError, match=message) as caught:
        filled({"deep": [template]})
    assert caught.value.node == "join"


def test_an_item_that_lacks_a_field_says_so() -> None:
    with pytest.raises(GraphError, match="the item is null, not an object"):
        filled(item["x"], item=None)


def test_a_map_expands_to_its_items() -> None:
    dag = Dag("d")
    split = dag.call("split")
    assert expand(dag.map("a", over=split["parts"]).spec, VALUES) == ["x/1", "x/2"]
    assert expand(dag.map("b", over=[1, split["n"]]).spec, VALUES) == [1, 2]
    assert expand(dag.map("c", over=[]).spec, VALUES) == []


@pytest.mark.parametrize("field", ["n", "meta"])
def test_a_map_over_no_list_says_what_it_is(field: str) -> None:
    dag = Dag("d")
    mapped = dag.map("a", over=dag.call("split")[field])
    with pytest.raises(
        GraphError, match=rf"over=split\['{field}'\] is .*a map goes over"
    ) as caught:
        expand(mapped.spec, VALUES)
    assert caught.value.node == "a"


def test_keys_are_flattened_and_each_named_once() -> None:
    templates = ["b/0", [Ref("split")["parts"]], "b/0", item, Ref("map", each=True)["out"]]
    found = resolve_keys(templates, values=VALUES, item="x/1", node="a")
    assert found == ("b/0", "x/1", "x/2", "y/1", "y/3")


@pytest.mark.parametrize("value", ["film.mp4", "/x", "b/", 3, {"key": "b/k"}])
def test_what_turns_out_to_be_no_key_is_refused(value: object) -> None:
    with pytest.raises(GraphError, match="a key is bucket/name"):
        resolve_keys([item], values={}, item=value, node="a")


# Differences


@pytest.mark.parametrize(
    ("a", "b", "sentence"),
    [
        ({"x": {"y": 1}}, {"x": {"y": 2}}, "x.y was 1 and is 2"),
        ({"x": 1}, {}, "x was 1 and is not given"),
        ({}, {"a b": [1]}, "['a b'] was not given and is [1]"),
        ([1, 2], [1], "the whole had 2 elements and has 1"),
        ({"x": [1, 2]}, {"x": [3]}, "x[0] was 1 and is 3"),
        ({"x": 1}, {"x": True}, "x was 1 and is True"),
        (1, "1", "the whole was 1 and is '1'"),
        ({"a": 1, "b": 2.0}, {"b": 2, "a": 1.0}, ""),
    ],
    ids=str,
)
def test_the_first_difference_is_a_sentence(a: Any, b: Any, sentence: str) -> None:
    assert difference(a, b) == sentence


def test_a_difference_between_dags_names_the_node() -> None:
    other = transcoding().to_json()
    other["nodes"][1]["params"]["size"] = "720p"
    found = difference(transcoding().to_json(), other)
    assert found == "nodes['transcoder'].params.size was '360p' and is '720p'"


@given(templates, templates)
def test_there_is_no_difference_only_between_equals(a: Any, b: Any) -> None:
    a, b = encode(a), encode(b)
    assert difference(a, a) == ""
    if a != b:
        assert difference(a, b)


def test_nothing_can_be_decided_by_a_reference() -> None:
    node = Dag("d").call("a")
    with pytest.raises(GraphError, match="nothing can be decided by it here"):
        if node["field"]:
            pass
