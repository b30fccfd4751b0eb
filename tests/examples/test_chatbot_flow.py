"""The chatbot on the OpenWhisk inside aowhisk: what a loss costs, and the scripts as they are."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("aowhisk", reason="aowhisk needs Python 3.11", exc_type=ImportError)
pytest.importorskip("sklearn", reason="scikit-learn is not installed")
pytest.importorskip("chatterbot_corpus", reason="chatterbot-corpus is not installed")

from chatbots import FEW, module
from loading import EXAMPLES, start

from aowhisk import Orchestrator, Plan, RecoveryFailed, Run
from aowhisk.local import Lose
from aowhisk.manifest import Manifest

bot, flow = module("bot"), module("flow")

SMALL = flow.Training(intents=FEW, bundle_size=3)
FLAGS = ("--intents", ",".join(FEW), "--bundle-size", "3")
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: TEXT"),
        (["hi", "--skew", "-1"], "--skew is -1; it must be 0 or more"),
        (["hi", "--bundle-size", "0"], "--bundle-size is 0; it must be 1 or more"),
        (["hi", "--intents", "jazz"], "there is no intent jazz; there are: ai, "),
    ],
)
def test_a_wrong_command_line_ends_with_2_and_says_what_is_wrong(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    code, _, err = start("chatbot/chat.py", tmp_path, *arguments)
    assert code == 2
    assert message in err
    assert "Traceback" not in err


def test_the_manifest_declares_the_three_actions() -> None:
    found = Manifest.load(flow.MANIFEST).actions
    assert {name: spec.main for name, spec in found.items()} == {
        name: name for name in ("split", "train", "combine")
    }


@dataclass
class Service:
    process: subprocess.Popen[str]
    url: str
    store: Path

    def say(self, text: str) -> httpx.Response:
        return httpx.post(f"{self.url}/chat", json={"text": text}, timeout=30, trust_env=False)

    def model(self) -> dict[str, Any]:
        answer = httpx.get(f"{self.url}/model", timeout=10, trust_env=False)
        return answer.raise_for_status().json()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    pytest.importorskip("fastapi", reason="FastAPI is not installed: pip install 'aowhisk[web]'")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, str(EXAMPLES / "chatbot/service.py"), *FLAGS, "--port", str(port)],
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    found = Service(process, f"http://127.0.0.1:{port}", tmp_path / ".aowhisk/store")
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                found.model()
                break
            except httpx.TransportError:
                assert process.poll() is None, "the service died"
                assert time.monotonic() < deadline, "the service did not start"
                time.sleep(0.1)  # noqa: TID251 -- a poll with a deadline, in no event loop
        yield found
    finally:
        process.terminate()
        process.wait(20)


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
    assert service.say("").status_code == 422


def test_the_service_says_what_cannot_be_brought_back(service: Service) -> None:
    for path in (service.store / "corpus").iterdir():
        path.unlink()
    for key in service.model()["objects"]:
        (service.store / key).unlink()
    answer = service.say("tell me a joke")
    assert answer.status_code == 503
    assert "corpus/" in answer.json()["detail"]
