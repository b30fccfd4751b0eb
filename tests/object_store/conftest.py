"""Stores on every backend; S3 is a real server process on loopback."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from s3_server import S3Server, new_server

from object_store import ObjectStore, open_store


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One S3 server for all tests that leave it alone."""
    server = new_server(tmp_path_factory.mktemp("s3"))
    yield server
    server.kill()


@pytest.fixture
def own_s3_server(tmp_path: Path) -> Iterator[S3Server]:
    """An S3 server that the test may kill."""
    (tmp_path / "server").mkdir()
    server = new_server(tmp_path / "server")
    yield server
    server.kill()


@pytest.fixture(params=["memory", "folder", "s3"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store on each backend."""
    if request.param == "memory":
        return f"memory://{uuid.uuid4().hex}"
    if request.param == "folder":
        return f"folder://{tmp_path / 'store'}"
    server: S3Server = request.getfixturevalue("s3_server")
    return server.url


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[ObjectStore]:
    """A store on each backend."""
    async with open_store(store_url) as opened:
        yield opened


@pytest.fixture
def bucket() -> str:
    """A bucket that no other test uses."""
    return f"b-{uuid.uuid4().hex[:16]}"
