"""aowhisk inside a FastAPI service, on a real port."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("fastapi", reason="FastAPI is not installed: pip install 'aowhisk[web]'")
pytest.importorskip("uvicorn", reason="uvicorn is not installed: pip install 'aowhisk[web]'")

SERVICE = Path(__file__).with_name("service.py")


@dataclass
class Service:
    process: subprocess.Popen[bytes]
    url: str
    root: Path

    def get(self, path: str) -> Any:
        return httpx.get(self.url + path, timeout=10, trust_env=False).raise_for_status().json()

    def post(self, path: str, body: object) -> httpx.Response:
        return httpx.post(self.url + path, json=body, timeout=10, trust_env=False)

    def until(self, path: str, **facts: object) -> Any:
        """Ask until the answer has these facts, for 20 s at most."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            answer = self.get(path)
            if facts.items() <= answer.items():
                return answer
            time.sleep(0.05)  # noqa: TID251 -- a poll with a deadline, in no event loop
        raise AssertionError(f"{path} never said {facts}; it says {answer}")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, str(SERVICE), str(port), str(tmp_path)])
    found = Service(process, f"http://127.0.0.1:{port}", tmp_path)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                found.get("/count")
                break
            except httpx.TransportError:
                assert process.poll() is None, "the service died"
                assert time.monotonic() < deadline, "the service did not start"
                time.sleep(0.1)  # noqa: TID251 -- a poll with a deadline, in no event loop
        yield found
    finally:
        process.kill()
        process.wait(10)


def test_a_post_starts_a_run_its_repetition_joins_it_and_a_get_shows_it(service: Service) -> None:
    naps = [0.1, 0.2, 0.3]
    assert service.post("/runs/first", naps).json()["id"] == "first"
    assert service.post("/runs/first", naps).json() == {"id": "first", "state": "running"}
    shown = service.until("/runs/first", state="succeeded")
    assert shown["done"] == ["nap.0", "nap.1", "nap.2"]
    assert service.post("/runs/first", naps).json()["state"] == "succeeded"
    assert service.get("/count") == 3


def test_the_same_id_with_another_dag_is_a_conflict_that_names_the_difference(
    service: Service,
) -> None:
    service.post("/runs/one", [0.0])
    answer = service.post("/runs/one", [0.0, 9.0])
    assert answer.status_code == 409
    assert "nap" in answer.json()["detail"]
    service.until("/runs/one", state="succeeded")


def test_shutting_the_service_down_interrupts_its_runs_within_the_grace_time(
    service: Service,
) -> None:
    service.post("/runs/long", [60.0, 60.0])
    service.until("/runs/long", state="running")
    deadline = time.monotonic() + 10
    while service.get("/count") < 2 and time.monotonic() < deadline:
        time.sleep(0.05)  # noqa: TID251 -- a poll with a deadline, in no event loop
    started = time.monotonic()
    service.process.send_signal(signal.SIGTERM)
    service.process.wait(10)
    assert time.monotonic() - started < 3.0 + 2.0
    lines = [json.loads(text) for text in (service.root / "events.log").read_text().splitlines()]
    last = [line for line in lines if line["run"] == "long"][-1]
    assert last["event"] == "run_interrupted"
    assert len(last["in_flight"]) == 2
