"""Three actions that make a chatbot of dialogues: split -> train (many at once) -> combine.

An utterance becomes a row of tf-idf numbers; each intent gets a classifier of its own that tells
its rows from those of all others ("one versus rest"). What goes through the store are numpy arrays
without pickles (`allow_pickle=False`) and JSON: loading a pickle runs whatever code whoever can
write to the store has put into it.

Needs numpy, and `train` scikit-learn; both are imported late, so that the call says what is wrong
in an image without them.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from object_store import action

if TYPE_CHECKING:
    import numpy as np

Arrays = dict[str, Any]
Example = tuple[str, str]  # a text in normal form, its intent

BUCKET = "chatbot"
SIGNS = "\u3040-\u30ff\u3400-\u9fff"  # kana and ideographs: there is no space between words
WORD = re.compile(rf"[{SIGNS}]|[^\W_{SIGNS}]+(?:'[^\W\d_{SIGNS}]+)?")
KEYWORDS = 10  # words an intent, for the baseline
SHARES = {"test": 0.2, "validation": 0.2}


class BadInput(Exception):
    """What was asked for cannot be done, and another try would end the same way."""

    code = "InvalidInput"
    retryable = False


@action
def split(args: dict[str, Any], store: Any) -> dict[str, Any]:
    """Turn the dialogues at `input` into matrices: bundles of `bundle_size` intents to train on,
    and a part that is held out.

    `skew` is how many negative rows an intent gets for each positive one, 0 for all there are;
    `seed` decides which, and what is held out. An intent all of whose dialogues hang together is
    `left_out`: there would be nothing to see it by.
    """
    size = _whole(args, "bundle_size", 5, least=1)
    skew, seed = _whole(args, "skew", 10), _whole(args, "seed", 0)
    corpus = _corpus(store.get(_text(args, "input")))
    parts = divide(_groups(corpus), seed)
    intents = sorted({intent for _, intent in parts["train"]})
    if len(intents) < 2:
        raise BadInput(f"{args['input']} has {len(intents)} intents to learn; give at least 2")
    vocabulary = vocabulary_of(parts["train"])
    terms = {term: column for column, term in enumerate(vocabulary["terms"])}
    rows = {
        text: vector(text, terms, vocabulary["idf"]) for part in parts.values() for text, _ in part
    }

    bundles = []
    for number, start in enumerate(range(0, len(intents), size)):
        names = intents[start : start + size]
        arrays: Arrays = {"intents": names, "terms": len(terms)}
        for place, intent in enumerate(names):
            for side, texts in sides(parts["train"], intent, skew, seed).items():
                arrays |= _packed(f"{place}.{side}", [rows[text] for text in texts])
        bundles.append({"bundle": _save(store, f"bundle-{number}.npz", arrays), "intents": names})
    held: Arrays = {"intents": intents}
    for part in SHARES:
        held |= _packed(part, [rows[text] for text, _ in parts[part]])
        held[f"{part}.intents"] = [intents.index(intent) for _, intent in parts[part]]
    return {
        "bundles": bundles,
        "vocabulary": _save(store, "vocabulary.json", vocabulary),
        "replies": _save(store, "replies.json", _replies(corpus, intents)),
        "held_out": _save(store, "held-out.npz", held),
        "utterances": {part: len(examples) for part, examples in parts.items()},
        "left_out": sorted(set(corpus) - set(intents)),
    }


@action
def train(args: dict[str, Any], store: Any) -> dict[str, Any]:
    """Fit one classifier for each intent of `input`, one of split's `bundles`."""
    import numpy as np
    from scipy.sparse import csr_matrix, vstack
    from sklearn.linear_model import LogisticRegression

    given = args.get("input")
    if not isinstance(given, dict) or not isinstance(given.get("bundle"), str):
        raise BadInput(f"'input' is {given!r:.200}; give one of split's bundles")
    arrays = _load(store, given["bundle"])
    fits, weights, biases = [], [], []
    for place, intent in enumerate(arrays["intents"].tolist()):
        matrices = [
            csr_matrix(rows, shape=(len(rows[2]) - 1, int(arrays["terms"])))
            for rows in (_unpacked(f"{place}.{side}", arrays) for side in ("positive", "negative"))
        ]
        counts = [matrix.shape[0] for matrix in matrices]
        # liblinear: one thread and no starting point to draw, so the same rows give the same bytes.
        model = LogisticRegression(C=30.0, class_weight="balanced", solver="liblinear")
        model.fit(vstack(matrices), np.repeat([True, False], counts))
        weights.append(model.coef_[0])
        biases.append(model.intercept_[0])
        fits.append({"intent": intent, "positive": counts[0], "negative": counts[1]})
    name = given["bundle"].rpartition("/")[2].replace("bundle", "classifiers")
    made = {"intents": arrays["intents"], "weights": weights, "biases": biases}
    return {"classifiers": _save(store, name, made), "fits": fits}


@action
def combine(args: dict[str, Any], store: Any) -> dict[str, Any]:
    """Make one model of the `classifiers`; `vocabulary` and `held_out` are split's.

    The intent of a text is that of the best score; the bot is sure of it from the intent's
    threshold on. Thresholds are picked on one held-out part; how good all this is, beside two
    baselines, is measured on the other, that nothing was picked on.
    """
    import numpy as np

    keys = args.get("classifiers")
    if not isinstance(keys, list) or not keys or not all(isinstance(key, str) for key in keys):
        raise BadInput(f"'classifiers' is {keys!r:.200}; give the list of train's classifiers")
    parts = [_load(store, key) for key in keys]
    held = _load(store, _text(args, "held_out"))
    vocabulary = json.loads(store.get(_text(args, "vocabulary")))
    model = {
        name: np.concatenate([part[name] for part in parts])
        for name in ("intents", "weights", "biases")
    }
    intents: list[str] = model["intents"].tolist()
    if intents != held["intents"].tolist():
        raise BadInput("'classifiers' are not those of all of split's bundles, in order")
    rows = {part: _dense(part, held, len(vocabulary["terms"])) for part in SHARES}
    scores = {part: rows[part] @ model["weights"].T + model["biases"] for part in SHARES}
    truth = {part: held[f"{part}.intents"] for part in SHARES}

    model["thresholds"] = np.float32(
        [
            _threshold(scores["validation"][:, i], truth["validation"] == i)
            for i in range(len(intents))
        ]
    )
    best = scores["test"].argmax(1)
    sure = scores["test"].max(1) >= model["thresholds"][best]
    answers = {"classifier": best, **_baselines(rows["test"], vocabulary, intents)}
    return {
        "model": _save(store, "model.npz", model),
        "metrics": {name: _metrics(given, truth["test"]) for name, given in answers.items()},
        "sure": {
            "share": round(_mean(sure), 4),
            "accuracy": round(_mean((best == truth["test"])[sure]), 4),
        },
        "tested": len(best),
        "thresholds": {
            intent: round(float(one), 3)
            for intent, one in zip(intents, model["thresholds"], strict=True)
        },
    }


# Texts


def words(text: str) -> list[str]:
    """The words of a text, in small letters."""
    return WORD.findall(text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))


def features(text: str) -> list[str]:
    """What is counted of a text: its words, and its pairs of neighbours."""
    found = words(text)
    return found + [" ".join(pair) for pair in pairwise(found)]


def vector(text: str, terms: Mapping[str, int], idf: Sequence[float]) -> dict[int, float]:
    """The tf-idf row of a text, of length 1, as {column: number}; empty where no term is known."""
    counts = Counter(terms[term] for term in features(text) if term in terms)
    row = {column: (1 + math.log(n)) * idf[column] for column, n in sorted(counts.items())}
    length = math.sqrt(sum(number * number for number in row.values()))
    return {column: number / length for column, number in row.items()}


def vocabulary_of(examples: Sequence[Example]) -> dict[str, Any]:
    """The terms of the training texts with their weights, and what the baselines know."""
    seen = Counter(term for text, _ in examples for term in set(features(text)))
    terms = sorted(term for term, n in seen.items() if n > 1 or " " not in term)
    totals = Counter(intent for _, intent in examples)
    by_intent: dict[str, Counter[str]] = defaultdict(Counter)
    for text, intent in examples:
        by_intent[intent].update(set(words(text)))

    def telling(intent: str, word: str) -> tuple[float, str]:
        """How much more often the intent has the word than the others have, best first."""
        here, there = by_intent[intent][word], seen[word] - by_intent[intent][word]
        share = (here + 1) / (totals[intent] + 2)
        return -share * math.log(share * (len(examples) - totals[intent] + 2) / (there + 1)), word

    return {
        "terms": terms,
        "idf": [round(1 + math.log((1 + len(examples)) / (1 + seen[term])), 6) for term in terms],
        "keywords": {
            intent: sorted(by_intent[intent], key=lambda word: telling(intent, word))[:KEYWORDS]
            for intent in sorted(totals)
        },
        "majority": min(totals, key=lambda intent: (-totals[intent], intent)),
    }


# Dialogues


def _groups(corpus: Mapping[str, Sequence[Sequence[str]]]) -> list[list[Example]]:
    """Each text once, with the intent that has it most often; texts whose dialogues share one,
    however far around, are in one group."""
    leaders: dict[str, str] = {}
    seen: dict[str, Counter[str]] = defaultdict(Counter)

    def leader(text: str) -> str:
        while leaders.setdefault(text, text) != text:
            text = leaders[text]
        return text

    for intent, dialogues in sorted(corpus.items()):
        for dialogue in dialogues:
            texts = [text for turn in dialogue if (text := " ".join(words(turn)))]
            for text in texts:
                seen[text][intent] += 1
                leaders[leader(text)] = leader(texts[0])
    groups: dict[str, list[Example]] = defaultdict(list)
    for text, counts in sorted(seen.items()):
        intent = min(counts, key=lambda name: (-counts[name], name))
        groups[leader(text)].append((text, intent))
    return sorted(groups.values())


def divide(groups: Iterable[Sequence[Example]], seed: int) -> dict[str, list[Example]]:
    """The examples for training, validation and test: whole groups, drawn for each intent, of which
    the largest always trains. Intents of a single group are left out."""
    by_intent: dict[str, list[Sequence[Example]]] = defaultdict(list)
    for group in groups:
        counts = Counter(intent for _, intent in group)
        by_intent[min(counts, key=lambda name: (-counts[name], name))].append(group)
    known = {intent for intent, own in by_intent.items() if len(own) > 1}
    parts: dict[str, list[Example]] = {"train": [], **{part: [] for part in SHARES}}
    for intent in sorted(known):
        own = by_intent[intent]
        largest = max(own, key=lambda group: (len(group), group[0]))
        drawn = sorted((g for g in own if g is not largest), key=lambda g: _draw(seed, g[0][0]))
        rooms = {part: share * sum(map(len, own)) for part, share in SHARES.items()}
        parts["train"] += largest
        for group in drawn:
            part = max(rooms, key=lambda name: rooms[name])
            if rooms[part] <= 0:
                part = "train"
            else:
                rooms[part] -= len(group)
            parts[part] += group
    return {name: [e for e in part if e[1] in known] for name, part in parts.items()}


def sides(examples: Sequence[Example], intent: str, skew: int, seed: int) -> dict[str, list[str]]:
    """The texts of an intent, and `skew` times as many of the others; all of them where `skew` is
    0 or there are no more."""
    positive = [text for text, own in examples if own == intent]
    others = [text for text, own in examples if own != intent]
    if skew and skew * len(positive) < len(others):
        others = sorted(random.Random(f"{seed}/{intent}").sample(others, skew * len(positive)))
    return {"positive": positive, "negative": others}


def _replies(corpus: Mapping[str, Sequence[Sequence[str]]], intents: Sequence[str]) -> Any:
    """What was answered to what, by intent."""
    found: dict[str, dict[str, list[str]]] = {intent: {} for intent in intents}
    for intent in intents:
        for dialogue in corpus[intent]:
            prompt, answer = " ".join(words(dialogue[0])), dialogue[1].strip()
            answers = found[intent].setdefault(prompt, [])
            if answer not in answers:
                answers.append(answer)
    return found


def _draw(seed: int, text: str) -> str:
    return hashlib.sha256(f"{seed}/{text}".encode()).hexdigest()


# Numbers


def _threshold(scores: np.ndarray[Any, Any], truth: np.ndarray[Any, Any]) -> float:
    """Where "yes" begins: what gives the best F1, and of several that which is nearest to 0, where
    the classifier itself sees even odds."""
    import numpy as np

    if not truth.any():
        return 0.0
    ordered = np.sort(scores)
    places = [0.0, *((ordered[1:] + ordered[:-1]) / 2).tolist()]
    return max(places, key=lambda place: (round(_f1(scores > place, truth), 9), -abs(place)))


def _baselines(
    rows: np.ndarray[Any, Any], vocabulary: Mapping[str, Any], intents: Sequence[str]
) -> dict[str, np.ndarray[Any, Any]]:
    """What one would say without a classifier: the intent of most keywords in the row, or, always
    and where there is no keyword, the most frequent one."""
    import numpy as np

    columns = {term: column for column, term in enumerate(vocabulary["terms"])}
    places = [[columns[word] for word in vocabulary["keywords"][name]] for name in intents]
    hits = np.stack([(rows[:, own] > 0).sum(1) for own in places], axis=1)
    majority = np.full(len(rows), intents.index(vocabulary["majority"]))
    return {"keyword": np.where(hits.any(1), hits.argmax(1), majority), "majority": majority}


def _f1(given: np.ndarray[Any, Any], truth: np.ndarray[Any, Any]) -> float:
    right = int((given & truth).sum())
    return 2 * right / max(1, int(given.sum()) + int(truth.sum()))


def _metrics(given: np.ndarray[Any, Any], truth: np.ndarray[Any, Any]) -> dict[str, float]:
    """Accuracy, and the mean F1 of the intents that there is something to see of."""
    f1 = [_f1(given == intent, truth == intent) for intent in sorted(set(truth.tolist()))]
    return {
        "accuracy": round(_mean(given == truth), 4),
        "macro_f1": round(sum(f1) / max(1, len(f1)), 4),
    }


def _mean(values: np.ndarray[Any, Any]) -> float:
    return float(values.mean()) if values.size else 0.0


def _packed(name: str, rows: Sequence[Mapping[int, float]]) -> Arrays:
    """A sparse matrix as arrays: numbers and columns, one row after the other; where rows start."""
    import numpy as np

    return {
        f"{name}.numbers": np.float32([number for row in rows for number in row.values()]),
        f"{name}.columns": np.int32([column for row in rows for column in row]),
        f"{name}.starts": np.int32([0, *accumulate(map(len, rows))]),
    }


def _unpacked(name: str, arrays: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    return arrays[f"{name}.numbers"], arrays[f"{name}.columns"], arrays[f"{name}.starts"]


def _dense(name: str, arrays: Mapping[str, Any], columns: int) -> np.ndarray[Any, Any]:
    import numpy as np

    numbers, places, starts = _unpacked(name, arrays)
    matrix = np.zeros((len(starts) - 1, columns), dtype=np.float32)
    matrix[np.repeat(np.arange(len(starts) - 1), np.diff(starts)), places] = numbers
    return matrix


# The store, and what the actions were given


def _save(store: Any, name: str, value: Mapping[str, Any]) -> str:
    """Write an object of this run, as its name ends: .json or .npz; gives its key."""
    key = store.key(f"{BUCKET}/{name}")
    store.put(key, packed(value) if name.endswith(".npz") else json.dumps(value).encode())
    return str(key)


def packed(arrays: Mapping[str, Any]) -> bytes:
    """Arrays, or lists to make arrays of, as an .npz; the same arrays give the same bytes."""
    import numpy as np

    made = {name: np.asarray(value) for name, value in arrays.items()}
    small = {np.dtype(np.float64): np.float32, np.dtype(np.int64): np.int32}
    file = io.BytesIO()
    np.savez_compressed(
        file, **{name: one.astype(small.get(one.dtype, one.dtype)) for name, one in made.items()}
    )
    return file.getvalue()


def unpacked(data: bytes) -> Arrays:
    """The arrays of an .npz, and nothing that is not an array of plain values."""
    import numpy as np

    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return dict(arrays)


def _load(store: Any, key: str) -> Arrays:
    return unpacked(store.get(key))


def _corpus(data: bytes) -> dict[str, list[list[str]]]:
    try:
        corpus = json.loads(data)
        if not all(_is_dialogue(each) for own in corpus.values() for each in own):
            raise ValueError("a dialogue is a list of 2 texts or more")
    except (ValueError, AttributeError, TypeError) as error:
        raise BadInput(f"the corpus is not {{intent: [[text, answer], ...]}}: {error}") from None
    return corpus


def _is_dialogue(value: object) -> bool:
    if not isinstance(value, list) or len(value) < 2:
        return False
    return all(isinstance(turn, str) for turn in value)


def _whole(args: Mapping[str, Any], name: str, default: int, *, least: int = 0) -> int:
    value = args.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise BadInput(f"{name!r} is {value!r}; give a whole number from {least} on")
    return value


def _text(args: Mapping[str, Any], name: str) -> str:
    value = args.get(name)
    if not isinstance(value, str):
        raise BadInput(f"{name!r} is {value!r:.200}; give the key of an object")
    return value
