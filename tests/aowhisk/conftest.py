"""Servers for the tests that need one: MongoDB (MONGO_URI, else a process on loopback), and a
local OpenWhisk in a process of its own; a certificate for those that speak TLS."""

from __future__ import annotations

import datetime
import ipaddress
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from cluster import Cluster, running_cluster
from deploying import Site
from mongo_server import INSTALL, MongoServer, with_database
from s3_server import S3Server, new_server

from aowhisk.client import Client
from aowhisk_pytest import OpenWhiskServer


@pytest.fixture(scope="session", autouse=True)
def _state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test leaves anything in the state folder of whoever runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session")
def mongo_server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server; MONGO_URI's where that is set, else mongo-java-server's."""
    given = os.environ.get("MONGO_URI")
    if given:
        yield given
        return
    if not MongoServer.is_installed("fake"):
        missing = f"mongo-java-server is not installed; {INSTALL}"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    server = MongoServer("fake", tmp_path_factory.mktemp("mongo"))
    server.start()
    yield server.url
    server.kill()


@pytest.fixture(scope="session")
def nx_server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the other server on loopback, which differs in other ways from the real one."""
    if not MongoServer.is_installed("nx"):
        pytest.skip(f"nx-27017 is not installed; {INSTALL}")
    server = MongoServer("nx", tmp_path_factory.mktemp("nx"))
    server.start()
    yield server.url
    server.kill()


@pytest.fixture
def nx_url(nx_server_url: str) -> str:
    """The URL of a database of the test's own there."""
    return with_database(nx_server_url, f"aowhisk_test_{uuid.uuid4().hex[:12]}")


@pytest.fixture
def mongo_url(mongo_server_url: str) -> Iterator[str]:
    """The URL of a database of the test's own."""
    from pymongo import MongoClient

    name = f"aowhisk_test_{uuid.uuid4().hex[:12]}"
    yield with_database(mongo_server_url, name)
    with MongoClient[dict[str, object]](mongo_server_url) as client:
        client.drop_database(name)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One S3 server for all tests that leave it alone."""
    server = new_server(tmp_path_factory.mktemp("s3"))
    yield server
    server.kill()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """An OpenWhisk that goes on when orchestrators die."""
    with running_cluster(tmp_path) as found:
        yield found


@pytest.fixture(scope="session")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenWhiskServer]:
    """`aowhisk serve` in a process of its own, with a namespace for whoever takes one."""
    server = OpenWhiskServer(tmp_path_factory.mktemp("serving"), [])
    yield server
    server.stop()


@pytest.fixture
async def site(serving: OpenWhiskServer, tmp_path: Path) -> AsyncIterator[Site]:
    """An empty folder, and an empty namespace to deploy it to."""
    namespace = serving.take()
    assert namespace is not None
    folder = tmp_path / "project"
    folder.mkdir()
    async with Client(namespace.apihost, namespace.auth) as client:
        yield Site(folder, client, {"TOKEN": "a-secret-token"}, namespace)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1 with its key, in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    cert = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    path.write_bytes(key.private_bytes(pem, form, plain) + cert.public_bytes(pem))
    return path
