"""Train the chatbot on the OpenWhisk inside aowhisk: `python examples/chatbot/flow.py --help`."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import importlib.util
import json
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus import dialogues

from aowhisk import (
    AowhiskError,
    ConfigError,
    Dag,
    Orchestrator,
    RetryPolicy,
    Run,
    RunState,
    Sink,
    item,
)
from aowhisk.local import Fault, Lose
from aowhisk.progress import Progress, report
from object_store import StoreError

MANIFEST = Path(__file__).resolve().parent / "manifest.yaml"
ACTIONS = MANIFEST.with_name("actions.py")
NEEDED = {"numpy": "numpy", "sklearn": "scikit-learn", "yaml": "pyyaml"}


@dataclass(frozen=True)
class Training:
    """What decides about a model: all of it, the dialogues and the actions' code are in the id of
    the run that trains it.

    `intents` are files of the corpus, none for all; `skew` is negative rows for each positive one,
    0 for all there are; `place` is a folder of other dialogues than those of chatterbot-corpus.
    """

    intents: tuple[str, ...] = ()
    skew: int = 10
    bundle_size: int = 5
    seed: int = 0
    place: Path | None = None

    def dag(self, corpus: str) -> Dag:
        """split -> train, three at once -> combine, on the dialogues at the key `corpus`."""
        dag = Dag("chatbot")
        knobs = {"skew": self.skew, "bundle_size": self.bundle_size, "seed": self.seed}
        split = dag.call("split", {"input": corpus, **knobs})
        train = dag.map("train", {"input": item}, over=split["bundles"], concurrency=3)
        dag.call(
            "combine",
            {
                "classifiers": train["classifiers"],
                "vocabulary": split["vocabulary"],
                "held_out": split["held_out"],
            },
            retry=RetryPolicy(retries=5),
        )
        return dag

    async def run(self, orchestrator: Orchestrator, progress: Sink | None = None) -> Run:
        """The run that trained it: an earlier one where there is one, else a new one, which
        `progress` is told of. Raises what Orchestrator.run raises.
        """
        if orchestrator.store is None:
            raise ConfigError("the chatbot needs a store; set AOWHISK_STORE")
        data = await asyncio.to_thread(dialogues, self.intents, self.place)
        key = f"corpus/{hashlib.sha256(data).hexdigest()[:12]}.json"
        if not await orchestrator.store.exists(key):
            await orchestrator.store.put(key, data)
        dag = self.dag(key)
        told = json.dumps(dag.to_json(), sort_keys=True).encode() + ACTIONS.read_bytes()
        id = f"chatbot-{hashlib.sha256(told).hexdigest()[:12]}"
        ended = await orchestrator.recorder.journal.runs({RunState.SUCCEEDED, RunState.FAILED})
        state = {info.run: info.state for info in ended}.get(id)
        if progress is not None and state is not RunState.SUCCEEDED:
            orchestrator.recorder.add(progress)
        try:
            if state is RunState.FAILED:
                return await orchestrator.resume(id)
            return await orchestrator.run(dag, id=id)
        finally:
            if progress is not None:
                orchestrator.recorder.remove(progress)


def quality(run: Run) -> str:
    """How good the model is on what was held out, beside the baselines, as a table."""
    found = run["combine"].result
    intents, utterances = len(found["thresholds"]), run["split"].result["utterances"]
    lines = [
        f"{intents} intents learned from {utterances['train']} utterances; on {found['tested']} "
        "of other dialogues:",
        f"{'':12}accuracy  macro-F1",
    ]
    for name, metrics in found["metrics"].items():
        lines.append(f"  {name:10}{metrics['accuracy']:8.1%}  {metrics['macro_f1']:8.3f}")
    share, accuracy = found["sure"]["share"], found["sure"]["accuracy"]
    lines.append(f"it is sure of {share:.0%} of them, and then right in {accuracy:.0%}")
    return "\n".join(lines)


def parser(description: str) -> argparse.ArgumentParser:
    """The options that decide about a model, and where it is trained."""
    made = argparse.ArgumentParser(description=description)
    add, default = made.add_argument, Training()
    add("--intents", default="", help="learn these only, a list with commas (all)")
    add("--corpus", type=Path, metavar="DIR", help="your own dialogues, a YAML file an intent")
    add("--skew", type=int, default=default.skew, help="negatives a positive, 0: all (%(default)s)")
    add("--bundle-size", type=int, default=default.bundle_size, help="intents a call (%(default)s)")
    add("--seed", type=int, default=default.seed, help="of what is held out (%(default)s)")
    add("--root", type=Path, default=Path(".aowhisk"), help="where objects lie (%(default)s)")
    add(
        "--cluster", action="store_true", help="use the OpenWhisk, store and journal of AOWHISK_..."
    )
    return made


def orchestrator_of(options: argparse.Namespace, faults: Sequence[Fault] = ()) -> Orchestrator:
    """One with an OpenWhisk of its own; with `--cluster` that of the settings, to which the
    manifest has been deployed."""
    if options.cluster:
        return Orchestrator.from_env()
    return Orchestrator.local(MANIFEST, root=options.root, faults=faults)


def training(options: argparse.Namespace, parser: argparse.ArgumentParser) -> Training:
    """What the command line asks for; says what is wrong with it and exits with 2."""
    for name, least in (("skew", 0), ("bundle_size", 1), ("seed", 0)):
        if getattr(options, name) < least:
            option = name.replace("_", "-")
            parser.error(f"--{option} is {getattr(options, name)}; it must be {least} or more")
    missing = [pip for name, pip in NEEDED.items() if importlib.util.find_spec(name) is None]
    if missing:
        parser.error(f"the example needs more; python -m pip install {' '.join(missing)}")
    wanted = tuple(sorted(filter(None, options.intents.split(","))))
    try:
        dialogues(wanted, options.corpus)
    except (FileNotFoundError, ValueError) as problem:
        parser.error(str(problem))
    return Training(wanted, options.skew, options.bundle_size, options.seed, options.corpus)


def shown(main: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Run it; the exit code: 0, or 1 where something failed, which is said."""
    try:
        asyncio.run(main())
    except (AowhiskError, StoreError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def has_told(progress: Progress, run: Run) -> bool:
    """Print the calls of the run, if it was this process that made them."""
    try:
        tally = progress.tally(run.id)
    except KeyError:  # it had been trained before: there was nothing to tell
        return False
    report(tally)
    return True


async def train(wanted: Training, options: argparse.Namespace) -> None:
    """Train and print what ran, what was recovered, and how good the model is."""
    faults = [] if options.lose is None else [Lose(call=f"train.{options.lose}")]
    with Progress() as progress:
        async with orchestrator_of(options, faults) as orchestrator:
            run = await wanted.run(orchestrator, progress)
    if not has_told(progress, run):
        print(f"run {run.id} has trained this model already")
    print(quality(run))


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code."""
    made = parser("Train the chatbot on the OpenWhisk inside aowhisk.")
    add = made.add_argument
    add("--lose", type=int, metavar="N", help="lose the classifiers of bundle N on the way")
    options = made.parse_args(argv)
    if options.cluster and options.lose is not None:
        made.error("--lose is for the OpenWhisk inside aowhisk, not for --cluster")
    wanted = training(options, made)
    return shown(lambda: train(wanted, options))


if __name__ == "__main__":
    sys.exit(main())
