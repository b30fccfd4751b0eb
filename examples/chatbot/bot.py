"""The bot that talks: a trained model, from the store, in memory."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import anyio
from actions import unpacked, vector, words

from aowhisk import Orchestrator, Plan, Run


@dataclass(frozen=True)
class Answer:
    """What is said to a text; `score` is the log of the odds that it is about `intent`."""

    intent: str
    score: float
    is_sure: bool
    reply: str


class Model:
    """What makes an intent of a text, and a reply of both."""

    def __init__(
        self,
        arrays: Mapping[str, Any],
        vocabulary: Mapping[str, Any],
        replies: Mapping[str, Mapping[str, Sequence[str]]],
    ) -> None:
        self._arrays = arrays
        self._intents: list[str] = arrays["intents"].tolist()
        self._terms = {term: column for column, term in enumerate(vocabulary["terms"])}
        self._idf = vocabulary["idf"]
        self._replies = {
            intent: [
                (self._vector(prompt), frozenset(words(prompt)), answers)
                for prompt, answers in known.items()
            ]
            for intent, known in replies.items()
        }

    def answer(self, text: str) -> Answer:
        """The intent of the best score, and a reply to what is most like the text there; among
        several, the same text always gets the same."""
        row = self._vector(text)
        columns, numbers = list(row), list(row.values())
        scores = self._arrays["weights"][:, columns] @ numbers + self._arrays["biases"]
        best = int(scores.argmax())
        intent = self._intents[best]
        said = frozenset(words(text))

        def likeness(known: tuple[dict[int, float], frozenset[str], Sequence[str]]) -> float:
            """By the terms that were learned; by the words where those say nothing, for not every
            prompt was learned from."""
            shared = sum(row.get(column, 0) * number for column, number in known[0].items())
            return shared + len(said & known[1]) / max(1, len(said | known[1]))

        *_, replies = max(self._replies[intent], key=likeness)
        return Answer(
            intent=intent,
            score=round(float(scores[best]), 3),
            is_sure=bool(row) and bool(scores[best] >= self._arrays["thresholds"][best]),
            reply=random.Random(" ".join(words(text))).choice(replies),
        )

    def _vector(self, text: str) -> dict[int, float]:
        return vector(text, self._terms, self._idf)


class Bot:
    """Answers with the model of a training run; where that was lost, has it made again first."""

    def __init__(self, orchestrator: Orchestrator, run: Run) -> None:
        split, combine = run["split"].result, run["combine"].result
        self.keys = (combine["model"], split["vocabulary"], split["replies"])
        self.run = run
        self._orchestrator = orchestrator
        self._model: Model | None = None
        self._lock = anyio.Lock()

    async def check(self) -> Plan:
        """Look whether all it knows is still in the store, and make what is not; what was run for
        that. Raises RecoveryFailed where it cannot be brought back."""
        async with self._lock:  # one look at a time: who comes second finds everything there
            plan = await self._orchestrator.plan_recovery(*self.keys)
            if plan:
                plan = await self._orchestrator.ensure(*self.keys)
            if plan or self._model is None:
                self._model = await self._load()
            return plan

    async def answer(self, text: str) -> Answer:
        """The answer to a text, after a look as `check` has it."""
        await self.check()
        assert self._model is not None
        return self._model.answer(text)

    async def _load(self) -> Model:
        store = self._orchestrator.store
        assert store is not None
        model, vocabulary, replies = [await store.get(key) for key in self.keys]
        return Model(unpacked(model), json.loads(vocabulary), json.loads(replies))
