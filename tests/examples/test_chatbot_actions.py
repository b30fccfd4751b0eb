"""The chatbot's actions as OpenWhisk calls them: the real dialogues, small ones, bad input."""

from __future__ import annotations

import io
import json
import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")
pytest.importorskip("chatterbot_corpus", reason="chatterbot-corpus is not installed")

import numpy as np
from chatbots import FEW, module

actions, corpus = module("actions"), module("corpus")

PETS = {
    "cats": [["do cats purr", "they do"], ["a cat sleeps", "it does"], ["my cat eats", "good"]],
    "dogs": [["do dogs bark", "loudly"], ["a dog runs", "fast"], ["my dog barks", "i hear it"]],
    "fish": [["fish swim", "far"], ["fish are wet", "yes"], ["yes", "fish"]],
}


@dataclass
class Cluster:
    """A folder store, and the calls of one run on it."""

    root: Path

    def put(self, data: bytes) -> str:
        (self.root / "corpus").mkdir(exist_ok=True)
        (self.root / "corpus/c.json").write_bytes(data)
        return "corpus/c.json"

    def call(self, action: str, **params: Any) -> dict[str, Any]:
        context = {"v": 1, "run": "run1", "call": action, "attempt": os.urandom(12).hex(), "try": 1}
        url = f"folder://{self.root}"
        done = getattr(actions, action)({**params, "object_store_url": url, "_aowhisk": context})
        done.pop("_io", None)
        return done

    def fails(self, action: str, **params: Any) -> str:
        """The message of an error that another try would not change."""
        error = self.call(action, **params)["error"]
        assert error["code"] == "InvalidInput"
        assert error["meta"]["retry"] is False
        return error["message"]

    def split(self, dialogues: object = PETS, **params: Any) -> dict[str, Any]:
        data = dialogues if isinstance(dialogues, bytes) else json.dumps(dialogues).encode()
        return self.call("split", input=self.put(data), **params)

    def load(self, key: str) -> Any:
        data = (self.root / key).read_bytes()
        return json.loads(data) if key.endswith(".json") else actions.unpacked(data)

    def model(self, split: dict[str, Any]) -> dict[str, Any]:
        classifiers = [self.call("train", input=one)["classifiers"] for one in split["bundles"]]
        return self.combine(split, classifiers)

    def combine(self, split: dict[str, Any], classifiers: list[str]) -> dict[str, Any]:
        shared = {"vocabulary": split["vocabulary"], "held_out": split["held_out"]}
        return self.call("combine", classifiers=classifiers, **shared)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


@pytest.mark.parametrize(("size", "bundles"), [(1, 3), (2, 2), (3, 1), (10, 1)])
def test_a_bundle_holds_so_many_intents(cluster: Cluster, size: int, bundles: int) -> None:
    found = cluster.split(bundle_size=size)["bundles"]
    assert len(found) == bundles
    assert [name for one in found for name in one["intents"]] == ["cats", "dogs", "fish"]
    for one in found:
        assert cluster.load(one["bundle"])["intents"].tolist() == one["intents"]


@pytest.mark.parametrize("skew", [1, 2, 10])
def test_skew_is_negatives_for_each_positive_as_far_as_there_are_any(
    cluster: Cluster, skew: int
) -> None:
    split = cluster.split(corpus.dialogues(FEW), skew=skew, bundle_size=6)
    fits = cluster.call("train", input=split["bundles"][0])["fits"]
    assert [fit["intent"] for fit in fits] == list(FEW)
    assert sum(fit["positive"] for fit in fits) == split["utterances"]["train"]
    for fit in fits:
        others = split["utterances"]["train"] - fit["positive"]
        assert fit["negative"] == min(skew * fit["positive"], others)


def test_skew_0_takes_all_negatives(cluster: Cluster) -> None:
    split = cluster.split(skew=0)
    fits = cluster.call("train", input=split["bundles"][0])["fits"]
    assert {fit["positive"] + fit["negative"] for fit in fits} == {split["utterances"]["train"]}


def test_the_same_seed_gives_the_same_bytes_and_another_holds_out_others(tmp_path: Path) -> None:
    made = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        (tmp_path / name).mkdir()
        cluster = Cluster(tmp_path / name)
        split = cluster.split(corpus.dialogues(FEW), seed=seed, skew=2)
        result = cluster.model(split)
        keys = [*(one["bundle"] for one in split["bundles"]), split["held_out"], result["model"]]
        made.append((split, result, [(cluster.root / key).read_bytes() for key in keys]))
    assert made[0] == made[1]
    assert made[0][2][0] != made[2][2][0]


def test_no_text_and_no_dialogue_of_it_is_on_both_sides() -> None:
    dialogues = json.loads(corpus.dialogues())
    parts = actions.divide(actions._groups(dialogues), seed=0)
    where = {text: part for part, examples in parts.items() for text, _ in examples}
    assert len(where) == sum(map(len, parts.values()))
    for own in dialogues.values():
        for dialogue in own:
            turns = {where.get(" ".join(actions.words(turn))) for turn in dialogue}
            assert len(turns - {None}) <= 1, dialogue


def test_an_intent_whose_dialogues_hang_together_is_left_out(cluster: Cluster) -> None:
    split = cluster.split({**PETS, "birds": [["birds fly", "high"], ["high", "birds sing"]]})
    assert split["left_out"] == ["birds"]
    assert [one["intents"] for one in split["bundles"]] == [["cats", "dogs", "fish"]]


def test_a_text_of_several_intents_is_of_the_one_that_has_it_most() -> None:
    dialogues = {"a": [["hi", "hello"]], "b": [["hi", "yo"], ["Hi!", "hey"], ["bye", "so long"]]}
    groups = actions._groups(dialogues)
    assert {text: intent for group in groups for text, intent in group} == {
        "hi": "b", "hello": "a", "yo": "b", "hey": "b", "bye": "b", "so long": "b"
    }  # fmt: skip
    assert sorted(len(group) for group in groups) == [2, 4]


def test_rows_are_of_length_1_and_know_pairs_of_words() -> None:
    vocabulary = actions.vocabulary_of([("a b", "x"), ("a b", "y"), ("b a", "y")])
    assert vocabulary["terms"] == ["a", "a b", "b"]  # "b a" is there once: too rare
    terms = {term: column for column, term in enumerate(vocabulary["terms"])}
    row = actions.vector("A, b. a b!", terms, vocabulary["idf"])
    assert sum(number**2 for number in row.values()) == pytest.approx(1)
    assert row[1] > row[0] == row[2]  # rarer, and as often
    assert actions.vector("c d", terms, vocabulary["idf"]) == {}


@pytest.mark.parametrize("seed", range(3))
def test_the_classifiers_beat_both_baselines_on_what_was_held_out(
    cluster: Cluster, seed: int
) -> None:
    result = cluster.model(cluster.split(corpus.dialogues(), seed=seed))
    assert result["tested"] > 300
    classifier = result["metrics"].pop("classifier")
    assert sorted(result["metrics"]) == ["keyword", "majority"]
    for baseline in result["metrics"].values():
        assert classifier["accuracy"] > baseline["accuracy"] + 0.05
        assert classifier["macro_f1"] > baseline["macro_f1"] + 0.05
    assert result["sure"]["accuracy"] > classifier["accuracy"]
    assert 0.5 < result["sure"]["share"] < 1


def test_the_metrics_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import accuracy_score, f1_score

    rng = np.random.default_rng(0)
    for _ in range(20):
        truth, given = rng.integers(0, 4, 30), rng.integers(0, 5, 30)
        seen = sorted(set(truth.tolist()))
        mean = f1_score(truth, given, average="macro", labels=seen, zero_division=0)
        assert actions._metrics(given, truth) == {
            "accuracy": round(accuracy_score(truth, given), 4),
            "macro_f1": round(mean, 4),
        }


def test_a_threshold_gives_the_best_f1_there_is() -> None:
    scores, truth = np.array([-2.0, -1.0, 1.0, 3.0]), np.array([False, True, False, True])
    assert actions._threshold(scores, truth) == -1.5  # F1 0.8; above 1 it would be 0.67
    assert actions._threshold(scores, np.array([False] * 4)) == 0  # nothing to pick it on
    assert actions._threshold(scores, np.array([False, False, True, True])) == 0  # already right


def test_a_pickle_in_the_store_is_not_loaded(cluster: Cluster) -> None:
    split = cluster.split()
    file = io.BytesIO()
    np.savez(file, intents=np.array([{"not": "plain"}], dtype=object))
    for data in (file.getvalue(), pickle.dumps({"intents": []})):
        (cluster.root / split["bundles"][0]["bundle"]).write_bytes(data)
        assert cluster.call("train", input=split["bundles"][0])["error"]["code"] != "InvalidInput"


def test_a_lost_bundle_is_named(cluster: Cluster) -> None:
    split = cluster.split()
    key = split["bundles"][0]["bundle"]
    (cluster.root / key).unlink()
    error = cluster.call("train", input=split["bundles"][0])["error"]
    assert (error["code"], error["meta"]["key"]) == ("NoSuchKey", key)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"bundle_size": 0}, "'bundle_size' is 0"),
        ({"bundle_size": True}, "'bundle_size' is True"),
        ({"skew": -1}, "'skew' is -1"),
        ({"seed": "one"}, "'seed' is 'one'"),
        ({"dialogues": [1]}, "the corpus is not"),
        ({"dialogues": b"\xff"}, "the corpus is not"),
        ({"dialogues": {"a": [["alone"]]}}, "a dialogue is a list of 2 texts or more"),
        ({"dialogues": {"a": ["text"]}}, "a dialogue is a list of 2 texts or more"),
        ({"dialogues": {}}, "has 0 intents to learn"),
        ({"dialogues": {"cats": PETS["cats"]}}, "has 1 intents to learn"),
    ],
)
def test_what_cannot_be_split_is_said(
    cluster: Cluster, params: dict[str, Any], message: str
) -> None:
    error = cluster.split(**params)["error"]
    assert message in error["message"]
    assert error["meta"]["retry"] is False


def test_wrong_params_are_said(cluster: Cluster) -> None:
    split = cluster.split(bundle_size=1)
    assert "'input' is None" in cluster.fails("split")
    assert "'input' is 'x'; give one of split's bundles" in cluster.fails("train", input="x")
    assert "'classifiers' is []" in cluster.fails("combine", classifiers=[])
    trained = [cluster.call("train", input=one)["classifiers"] for one in split["bundles"]]
    assert "'held_out' is None" in cluster.fails("combine", classifiers=trained)
    error = cluster.combine(split, trained[::-1])["error"]
    assert "not those of all of split's bundles, in order" in error["message"]


def test_words_are_those_of_any_script() -> None:
    assert actions.words("Größe, naïve 42! don't_stop") == ["größe", "naïve", "42", "don't", "stop"]
    assert actions.words("你好吗 Как дела") == ["你", "好", "吗", "как", "дела"]
