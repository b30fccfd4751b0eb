"""The examples, deployed to `aowhisk serve` and run by API host and key, with a real S3 server and
a MongoDB wire server: the results are those of the embedded default."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from deploying import Site, aowhisk, contents
from s3_server import S3Server, new_server

from aowhisk import Dag, Orchestrator, Run
from object_store import ObjectStore

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@dataclass(frozen=True)
class Example:
    """One example: its folder, what it needs, the buckets that it writes to, and how its dag is
    made once its input is there."""

    name: str
    needs: tuple[str, ...]
    buckets: tuple[str, ...]
    prepare: Callable[[Any, ObjectStore, Path], Awaitable[Dag]]


async def sample(flow: Any, store: ObjectStore, folder: Path) -> Dag:
    dag: Dag = flow.chain("the quick brown fox")
    return dag


async def transcoder(flow: Any, store: ObjectStore, folder: Path) -> Dag:
    sys.path.insert(0, str(EXAMPLES.parent / "tests" / "examples"))
    films = importlib.import_module("films")
    film = folder / "film.mp4"
    if not film.exists():  # x264 makes other bytes of the same pictures, once in a thousand times
        films.Film(frames=30).write(film)
    await store.upload("input-video/film.mp4", film)
    dag: Dag = flow.transcoding("film.mp4", 3, "144p")
    return dag


async def chatbot(flow: Any, store: ObjectStore, folder: Path) -> Dag:
    intents = ("food", "sports", "movies")
    await store.put("corpus/dialogues.json", flow.dialogues(intents))
    dag: Dag = flow.Training(intents=intents, skew=2).dag("corpus/dialogues.json")
    return dag


ALL = [
    Example("sample", (), ("sample",), sample),
    Example("transcoder", ("av",), ("output-chunks", "output-video"), transcoder),
    Example("chatbot", ("numpy", "sklearn", "chatterbot_corpus"), ("chatbot",), chatbot),
]


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    server = new_server(tmp_path_factory.mktemp("s3"))
    yield server
    server.kill()


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The example's flow.py, which finds its neighbours as it does when it is started."""
    monkeypatch.syspath_prepend(str(EXAMPLES / name))
    spec = importlib.util.spec_from_file_location(f"deployed_{name}", EXAMPLES / name / "flow.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


async def results(
    example: Example, flow: Any, orchestrator: Orchestrator, folder: Path
) -> tuple[Any, dict[str, bytes]]:
    """What every call gave, and the objects that the run wrote."""
    store = orchestrator.store
    assert store is not None
    dag = await example.prepare(flow, store, folder)
    run: Run = await orchestrator.run(dag, id=f"the-{example.name}-run")
    objects: dict[str, bytes] = {}
    for bucket in example.buckets:
        async for info in store.list(f"{bucket}/{run.id}/"):
            objects[info.key] = await store.get(info.key)
    return {call: getattr(out, "result", out) for call, out in run.outcomes.items()}, objects


@pytest.mark.parametrize("example", ALL, ids=lambda one: one.name)
async def test_deployed_it_gives_what_it_gives_on_a_laptop(
    example: Example,
    site: Site,
    s3: S3Server,
    mongo_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in example.needs:
        pytest.importorskip(module)
    flow = load(example.name, monkeypatch)
    environ = {**os.environ, **site.namespace.environ, "AOWHISK_STORE": s3.url}

    done = aowhisk("deploy", EXAMPLES / example.name, environ=environ)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("3 created\n")
    async with Orchestrator(site.client, store=s3.url, journal=mongo_url) as orchestrator:
        deployed, objects = await results(example, flow, orchestrator, tmp_path)
    manifest = EXAMPLES / example.name / "manifest.yaml"
    async with Orchestrator.local(manifest, root=tmp_path / "local") as orchestrator:
        local, expected = await results(example, flow, orchestrator, tmp_path)

    assert deployed == local
    assert objects.keys() == expected.keys()
    assert objects == expected
    assert objects
    gone = aowhisk("undeploy", EXAMPLES / example.name, environ=environ)
    assert gone.returncode == 0, gone.stderr
    assert await contents(site.client) == {}
