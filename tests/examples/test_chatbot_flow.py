"""The chatbot on the OpenWhisk inside aowhisk: what a loss costs, and the scripts as they are."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("aowhisk", reason="aowhisk needs Python 3.11", exc_type=ImportError)
pytest.importorskip("sklearn", reason="scikit-learn is not installed")
pytest.importorskip("chatterbot_corpus", reason="chatterbot-corpus is not installed")

import numpy as np
from chatbots import FEW, module
from loading import EXAMPLES, start

from aowhisk import Orchestrator, Plan, RecoveryFailed, Run
from aowhisk.local import Lose
from aowhisk.manifest import Manifest

bot, flow = module("bot"), module("flow")

SMALL = flow.Training(intents=FEW, bundle_size=3)
FLAGS = ("--intents", ",".join(FEW), "--bundle-size", "6")  # the same in one call, which is quicker
CHAIN = (
    "vocabulary.json",
    "replies.json",
    "held-out.npz",
    "bundle-0.npz",
    "bundle-1.npz",
    "classifiers-0.npz",
    "classifiers-1.npz",
    "model.npz",
)
# Who writes an object, and what is made of it.
WRITER = {name: name.partition(".")[0] for name in CHAIN} | {
    **dict.fromkeys(("vocabulary.json", "replies.json", "held-out.npz"), "split"),
    **dict.fromkeys(("bundle-0.npz", "bundle-1.npz"), "split"),
    "classifiers-0.npz": "train.0",
    "classifiers-1.npz": "train.1",
    "model.npz": "combine",
}
MADE_OF = {
    "vocabulary.json": ["model.npz"],
    "held-out.npz": ["model.npz"],
    "bundle-0.npz": ["classifiers-0.npz", "model.npz"],
    "bundle-1.npz": ["classifiers-1.npz", "model.npz"],
    "classifiers-0.npz": ["model.npz"],
    "classifiers-1.npz": ["model.npz"],
}
NEEDED = {"model.npz", "vocabulary.json", "replies.json"}  # by the bot itself


@dataclass
class Trained:
    """A trained chatbot, and what was asked of OpenWhisk since."""

    orchestrator: Orchestrator
    run: Run
    before: Counter[str]

    @property
    def spent(self) -> dict[str, int]:
        return dict(self.orchestrator.server.counts - self.before)

    def key(self, name: str) -> str:
        return f"chatbot/{self.run.id}/{name}"

    async def lose(self, *names: str) -> None:
        for name in names:
            await self.orchestrator.store.delete(self.key(name))

    async def etags(self) -> dict[str, str]:
        listed = [info async for info in self.orchestrator.store.list(self.key("")[:-1])]
        return {info.key.rpartition("/")[2]: info.etag for info in listed}


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Trained]:
    root = tmp_path_factory.mktemp("chatbot")
    async with Orchestrator.local(flow.MANIFEST, root=root) as orchestrator:
        run = await SMALL.run(orchestrator)
        yield Trained(orchestrator, run, orchestrator.server.counts)


@pytest.fixture
async def trained(world: Trained) -> Trained:
    """All objects of the chain are there, and nothing was asked yet."""
    await world.orchestrator.ensure(*map(world.key, CHAIN))
    world.before = world.orchestrator.server.counts
    return world


def calls(plan: Plan) -> list[str]:
    return sorted(step.call.ref.call for step in plan.steps)


async def test_training_is_split_a_train_for_each_bundle_and_combine(world: Trained) -> None:
    calls = [outcome.call for outcome in world.run.outcomes.values()]
    assert calls == ["split", "train.0", "train.1", "combine"]
    fits = [fit["intent"] for fits in world.run["train"]["fits"] for fit in fits]
    assert fits == list(FEW)


async def test_the_chain_is_what_the_run_has_written(trained: Trained) -> None:
    assert set(await trained.etags()) == set(CHAIN)


async def test_it_beats_both_baselines_on_what_was_held_out(world: Trained) -> None:
    metrics = dict(world.run["combine"]["metrics"])
    classifier = metrics.pop("classifier")
    assert sorted(metrics) == ["keyword", "majority"]
    for baseline in metrics.values():
        assert classifier["accuracy"] > baseline["accuracy"] + 0.1
        assert classifier["macro_f1"] > baseline["macro_f1"] + 0.1


@pytest.mark.parametrize("name", CHAIN)
async def test_a_lost_object_costs_a_chat_what_the_plan_names(trained: Trained, name: str) -> None:
    etags = await trained.etags()
    talk = bot.Bot(trained.orchestrator, trained.run)
    said = await talk.answer("tell me a joke")
    await trained.lose(name)
    plan = await trained.orchestrator.plan_recovery(*talk.keys)
    assert calls(plan) == ([WRITER[name]] if name in NEEDED else [])
    assert calls(await talk.check()) == calls(plan)
    assert await talk.answer("tell me a joke") == said
    assert trained.spent == Counter(step.call.action for step in plan.steps)
    if name not in NEEDED:
        del etags[name]  # nobody needs it now
    assert await trained.etags() == etags


@pytest.mark.parametrize("name", MADE_OF)
async def test_an_object_lost_with_all_that_was_made_of_it_costs_its_chain(
    trained: Trained, name: str
) -> None:
    etags = await trained.etags()
    gone = {name, *MADE_OF[name]}
    await trained.lose(*gone)
    plan = await trained.orchestrator.plan_recovery(trained.key("model.npz"))
    assert calls(plan) == sorted({WRITER[each] for each in gone})
    talk = bot.Bot(trained.orchestrator, trained.run)
    assert (await talk.answer("tell me a joke")).intent == "humor"
    assert trained.spent == Counter(step.call.action for step in plan.steps)
    assert await trained.etags() == etags  # the same bytes, and all the others untouched


@pytest.mark.parametrize("name", CHAIN)
async def test_any_object_by_itself_is_made_again_by_one_call(trained: Trained, name: str) -> None:
    etags = await trained.etags()
    await trained.lose(name)
    plan = await trained.orchestrator.ensure(trained.key(name))
    assert calls(plan) == [WRITER[name]]
    assert trained.spent == {WRITER[name].partition(".")[0]: 1}
    assert await trained.etags() == etags


async def test_the_whole_chain_is_made_again_of_the_dialogues(trained: Trained) -> None:
    etags = await trained.etags()
    await trained.lose(*CHAIN)
    talk = bot.Bot(trained.orchestrator, trained.run)
    assert calls(await talk.check()) == ["combine", "split", "train.0", "train.1"]
    assert trained.spent == {"split": 1, "train": 2, "combine": 1}
    assert await trained.etags() == etags


async def test_the_dialogues_are_nobodys_output_but_come_back_with_the_next_start(
    trained: Trained,
) -> None:
    [key] = [info.key async for info in trained.orchestrator.store.list("corpus")]
    await trained.orchestrator.store.delete(key)
    talk = bot.Bot(trained.orchestrator, trained.run)
    assert calls(await talk.check()) == []  # nobody needs them now
    await trained.lose("vocabulary.json")
    with pytest.raises(RecoveryFailed, match=key):
        await talk.check()
    assert trained.spent == {}
    run = await SMALL.run(trained.orchestrator)
    assert run.id == trained.run.id
    assert calls(await talk.check()) == ["split"]


async def test_what_is_lost_on_the_way_is_written_again(tmp_path: Path) -> None:
    lost = [Lose(call="train.1")]
    async with Orchestrator.local(flow.MANIFEST, root=tmp_path, faults=lost) as orchestrator:
        run = await SMALL.run(orchestrator)
        assert orchestrator.server.counts == {"split": 1, "train": 3, "combine": 2}
    assert "classifier" in run["combine"]["metrics"]


def test_chat_trains_once_and_answers(tmp_path: Path) -> None:
    code, out, err = start("chatbot/chat.py", tmp_path, *FLAGS, "tell me a joke")
    assert code == 0, err
    assert "classifier" in out
    assert out.splitlines()[-1].strip() == "(humor)"
    reply = out.splitlines()[-2]
    code, out, err = start(
        "chatbot/chat.py", tmp_path, *FLAGS, "tell me a joke", "--lose", "model.npz"
    )
    assert code == 0, err
    assert out.startswith("run 1 call again to bring back chatbot/")
    assert out.splitlines()[-2:] == [reply, "     (humor)"]
    assert "classifier" not in out  # not trained again


def test_on_another_openwhisk_over_http_it_learns_the_same(
    world: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = f"folder://{tmp_path}/store"
    ready, props = tmp_path / "ready.json", tmp_path / "wskprops"
    command = [sys.executable, "-m", "aowhisk", "serve", "--port", "0", "--store", store]
    command += ["--manifest", str(flow.MANIFEST), "--root", str(tmp_path / "root")]
    command += ["--ready-file", str(ready), "--wskprops", str(props)]
    monkeypatch.setenv("WSK_CONFIG_FILE", str(props))
    monkeypatch.setenv("AOWHISK_STORE", store)
    monkeypatch.setenv("AOWHISK_JOURNAL", f"sqlite://{tmp_path}/journal.db")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            wait_until(server, ready.exists)
            code, out, err = start("chatbot/flow.py", tmp_path, *FLAGS, "--cluster")
        finally:
            server.terminate()
    assert code == 0, err
    assert out.endswith(flow.quality(world.run) + "\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: TEXT"),
        (["hi", "--skew", "-1"], "--skew is -1; it must be 0 or more"),
        (["hi", "--bundle-size", "0"], "--bundle-size is 0; it must be 1 or more"),
        (["hi", "--intents", "jazz"], "there is no intent jazz; there are: ai, "),
        (["hi", "--intents", "humor"], "dialogues of humor only, and there is nothing to tell"),
        (["hi", "--corpus", "/nowhere"], "/nowhere is not there; give a folder with a YAML file"),
    ],
)
def test_a_wrong_command_line_ends_with_2_and_says_what_is_wrong(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        module("chat").main(arguments)
    assert message in capsys.readouterr().err


def test_it_learns_other_dialogues_than_those_of_the_package(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "essen.yml").write_text(
        "conversations:\n- - Gibt es Brötchen?\n  - Ja, zwölf.\n- - Gibt es Käse\n  - Nein\n"
    )
    (own / "wetter.yaml").write_text(
        "conversations:\n- - Wird es schön?\n  - Morgen.\n- - 今日は雨\n  - 42\n- - allein\n"
    )
    code, out, err = start("chatbot/chat.py", tmp_path, "Wird es schön?", "--corpus", str(own))
    assert code == 0, err
    assert "2 intents learned from 4 utterances; on 4 of other dialogues" in out
    assert "(wetter" in out


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (None, "", r"there is no \*.yml or \*.yaml in "),
        ("a.yml", "a: [", r"a.yml cannot be read: "),
        ("a.yml", "", r"a.yml: there is no list `conversations`"),
        ("a.yml", "conversations: {a: b}", r"a.yml: there is no list `conversations`"),
        (
            "a.yml",
            "conversations:\n- hi\n- hello\n",
            r"a.yml: of 2 `conversations`, none is a text",
        ),
        ("a.yml", "conversations:\n- - hi\n  - hello\n", r"there are dialogues of a only"),
    ],
)
def test_dialogues_that_are_none_are_said(
    tmp_path: Path, name: str | None, text: str, message: str
) -> None:
    if name is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        module("corpus").dialogues((), tmp_path)


def test_a_line_that_nobody_answers_is_no_dialogue_of_letters() -> None:
    """The package's trivia has one, a text where a list should be."""
    dialogues = json.loads(module("corpus").dialogues())["trivia"]
    assert not [one for one in dialogues if "".join(one).startswith("In a game of bingo")]


def test_a_prompt_of_words_that_were_not_learned_is_still_known() -> None:
    bot = module("bot")
    arrays = {
        "intents": np.array(["people"]),
        "weights": np.zeros((1, 2)),
        "biases": np.zeros(1),
        "thresholds": np.zeros(1),
    }
    vocabulary = {"terms": ["was", "who"], "idf": [1.0, 1.0]}
    replies = {"people": {"who was ada": ["a countess"], "who was kurt": ["a logician"]}}
    model = bot.Model(arrays, vocabulary, replies)
    assert model.answer("Who was Kurt?").reply == "a logician"
    assert model.answer("Who was Ada?").reply == "a countess"


def test_the_manifest_declares_the_three_actions() -> None:
    found = Manifest.load(flow.MANIFEST).actions
    assert {name: spec.main for name, spec in found.items()} == {
        name: name for name in ("split", "train", "combine")
    }


@dataclass
class Service:
    url: str
    store: Path

    def say(self, text: str) -> httpx.Response:
        return httpx.post(f"{self.url}/chat", json={"text": text}, timeout=30, trust_env=False)

    def is_up(self) -> bool:
        try:
            return bool(self.model())
        except httpx.TransportError:
            return False

    def model(self) -> dict[str, Any]:
        answer = httpx.get(f"{self.url}/model", timeout=10, trust_env=False)
        return answer.raise_for_status().json()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    pytest.importorskip("fastapi", reason="FastAPI is not installed: pip install 'aowhisk[web]'")
    folder = tmp_path_factory.mktemp("service")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = str(EXAMPLES / "chatbot/service.py")
    command = [sys.executable, script, *FLAGS, "--port", str(port)]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL) as process:
        found = Service(f"http://127.0.0.1:{port}", folder / ".aowhisk/store")
        try:
            wait_until(process, found.is_up)
            yield found
        finally:
            process.terminate()


def wait_until(process: subprocess.Popen[bytes], is_ready: Callable[[], bool]) -> None:
    """Ask until it is ready, for 60 s at most."""
    deadline = time.monotonic() + 60
    while not is_ready():
        assert process.poll() is None, "it died"
        assert time.monotonic() < deadline, "it did not start"
        time.sleep(0.1)  # noqa: TID251 -- a poll with a deadline, in no event loop


def test_the_service_answers_and_makes_a_lost_model_again(service: Service) -> None:
    first = service.say("tell me a joke").json()
    assert first["intent"] == "humor"
    assert first["is_sure"]
    told = service.model()
    assert told["metrics"]["classifier"]["accuracy"] > told["metrics"]["keyword"]["accuracy"]
    for key in told["objects"]:
        (service.store / key).unlink()
    again = service.say("tell me a joke")
    assert again.status_code == 200
    assert again.json() == first
    assert all((service.store / key).is_file() for key in told["objects"])


def test_the_service_refuses_what_is_no_text(service: Service) -> None:
    assert service.say("").status_code == 422


def test_the_service_says_what_cannot_be_brought_back_until_it_can(service: Service) -> None:
    [dialogues] = (service.store / "corpus").iterdir()
    data = dialogues.read_bytes()
    dialogues.unlink()
    for key in service.model()["objects"]:
        (service.store / key).unlink()
    answer = service.say("tell me a joke")
    assert answer.status_code == 503
    assert f"corpus/{dialogues.name}" in answer.json()["detail"]
    dialogues.write_bytes(data)
    assert service.say("tell me a joke").status_code == 200
