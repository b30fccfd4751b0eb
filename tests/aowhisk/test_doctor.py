"""`aowhisk doctor`, as a process of its own and as a library, on real servers."""

from __future__ import annotations

import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from email.utils import formatdate
from pathlib import Path
from urllib.parse import quote

import pytest
from client_server import Answer, Request, Script, always, serve

from aowhisk.client import Client
from aowhisk.config import survey
from aowhisk.doctor import CHECKS, IMAGE, OLDEST_PYTHON, Finding, Needs, State, examine
from aowhisk.events.model import RunStarted
from aowhisk.events.sqlite import SqliteJournal
from aowhisk.local import GUEST
from aowhisk.manifest import Manifest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*/manifest.yaml"))
SECRET = "s3cr3t/with+signs"
CHART = {  # what the Helm chart's controller says in GET / of its Pythons
    "python": [
        {"kind": "python:3", "image": "openwhisk/action-python-v3.7:1.17.0", "default": True},
        {"kind": "python:2", "image": "openwhisk/python2action", "deprecated": True},
    ]
}


@contextmanager
def served(root: Path, *options: str) -> Iterator[str]:
    """The URL of `aowhisk serve`."""
    command = [sys.executable, "-m", "aowhisk", "serve", "--port", "0", "--root", str(root)]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[2].rstrip(",")
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("ow")) as found:
        yield found


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an S3 server, moto's."""
    port = free_port()
    log = tmp_path_factory.mktemp("s3") / "log"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (
        log.open("wb") as out,
        subprocess.Popen(command, stdout=out, stderr=out) as process,
    ):
        until = time.monotonic() + 30
        while time.monotonic() < until and process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.02)  # noqa: TID251 -- another process
        yield f"s3+http://access:{quote(SECRET, safe='')}@127.0.0.1:{port}"
        process.terminate()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def doctor(environ: Mapping[str, str], *args: object) -> subprocess.CompletedProcess[str]:
    """Run it with these settings and no others."""
    kept = {k: v for k, v in os.environ.items() if "AOWHISK" not in k and "AWS" not in k}
    return subprocess.run(
        [sys.executable, "-m", "aowhisk", "doctor", *map(str, args)],
        env={**kept, "WSK_CONFIG_FILE": "", **environ},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


async def ask(
    needs: Needs | None = None, *, invoke: bool = False, **settings: object
) -> dict[str, Finding]:
    """Every finding, with these settings and no others."""
    settings.setdefault("auth", GUEST)
    found = survey({"WSK_CONFIG_FILE": ""}, **settings)
    return {name: finding async for name, finding in examine(found, needs=needs, invoke=invoke)}


def states(found: Mapping[str, Finding]) -> dict[str, str]:
    return {name: finding.state.value for name, finding in found.items()}


def openwhisk(runtimes: object = CHART, *, date: float | None = None, **limits: object) -> Script:
    """The script of a server with these runtimes, clock and limits."""

    async def answer(request: Request) -> Answer:
        body: object = {"description": "OpenWhisk", "runtimes": runtimes}
        if request.path.endswith("/limits"):
            body = limits
        elif request.path.endswith("/namespaces"):
            body = ["guest"]
        return Answer(body=body, headers={"Date": formatdate(date, usegmt=True)})

    return answer


def test_a_place_where_all_is_well_passes_every_check(url: str, tmp_path: Path) -> None:
    done = doctor(
        {
            "AOWHISK_APIHOST": url,
            "AOWHISK_AUTH": GUEST,
            "AOWHISK_STORE": f"folder://{tmp_path}/store",
            "AOWHISK_JOURNAL": f"sqlite://{tmp_path}/j.db",
        },
        "--json",
    )
    told = json.loads(done.stdout)
    assert (done.returncode, told["ok"], done.stderr) == (0, True, "")
    assert [row["check"] for row in told["checks"]] == [check.name for check in CHECKS]
    assert {row["state"] for row in told["checks"] if row["check"] != "invoke"} == {"ok"}
    assert list(tmp_path.rglob("*.db*")) == []  # the journal was not made
    assert list((tmp_path / "store/aowhisk").rglob("*.*")) == []  # nor is the object left


def test_what_people_read_names_each_check_and_what_to_do(url: str, tmp_path: Path) -> None:
    done = doctor({"AOWHISK_APIHOST": url, "AOWHISK_AUTH": "nobody:nothing"})
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert [line.split()[1] for line in lines if line[:1] in "✓!✗-" and line] == [
        check.name for check in CHECKS
    ]
    failing = next(n for n, line in enumerate(lines) if line.startswith("✗ key"))
    assert "refused (401)" in lines[failing]
    assert "→ it comes from environment variable AOWHISK_AUTH" in lines[failing + 1]
    assert "- limits    needs key" in done.stdout
    assert lines[-1] == "failed: 1 of 11"


def test_no_secret_is_ever_shown(url: str, s3: str) -> None:
    hush = "hush-hush-hush"
    environ = {
        "AOWHISK_APIHOST": url,
        "AOWHISK_AUTH": f"me:{hush}",
        "AOWHISK_STORE": s3,
        "AOWHISK_JOURNAL": f"mongodb://me:{hush}@127.0.0.1:{free_port()}/x",
    }
    for args in ([], ["--json"]):
        done = doctor(environ, *args)
        for secret in (hush, SECRET, quote(SECRET, safe="")):
            assert secret not in done.stdout + done.stderr


def test_a_profile_holds_every_setting(url: str, tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    profile.write_text(
        f"APIHOST={url}\nAUTH={GUEST}\nAOWHISK_STORE=folder://{tmp_path}/store\n"
        f"AOWHISK_JOURNAL=sqlite://{tmp_path}/j.db?sync=full\n"
    )
    done = doctor({}, "--profile", profile, "--json")
    told = {row["check"]: row for row in json.loads(done.stdout)["checks"]}
    assert done.returncode == 0
    assert f"store from AOWHISK_STORE in {profile}" in told["settings"]["found"]
    assert told["journal"]["facts"]["path"] == f"{tmp_path}/j.db"


def test_a_profile_that_is_not_there_is_said(tmp_path: Path) -> None:
    done = doctor({}, "--profile", tmp_path / "none")
    assert done.returncode == 2
    assert (
        done.stderr
        == f"aowhisk: there is no profile {tmp_path / 'none'}; `make cluster` writes one\n"
    )


async def test_without_settings_what_can_be_checked_still_is() -> None:
    found = await ask(auth=None, journal="memory:")
    assert states(found) == {
        **dict.fromkeys(("settings", "host"), "failed"),
        **dict.fromkeys(
            ("tls", "openwhisk", "key", "clock", "limits", "kinds", "invoke"), "skipped"
        ),
        **dict.fromkeys(("store", "journal"), "warning"),
    }
    assert found["settings"].todo == "set AOWHISK_APIHOST; set AOWHISK_AUTH"


async def test_no_server_is_told_from_no_such_host() -> None:
    nobody = (await ask(apihost=f"http://127.0.0.1:{free_port()}"))["host"]
    assert "takes no connections" in nobody.found
    assert "aowhisk serve" in str(nobody.todo)
    nowhere = (await ask(apihost="http://openwhisk.invalid"))["host"]
    assert nowhere.found == "there is no host 'openwhisk.invalid': its name cannot be resolved"


async def test_something_else_than_openwhisk_is_told(tmp_path: Path) -> None:
    async with serve(always(Answer(body="<html>Grafana</html>"))) as page:
        found = await ask(apihost=page.url)
    assert found["openwhisk"].state is State.FAILED
    assert "does apihost name an OpenWhisk?" in str(found["openwhisk"].todo)
    async with serve(always(Answer(body={}))) as other:
        found = await ask(apihost=other.url)
    assert "not as OpenWhisk does" in found["openwhisk"].found


async def test_the_key_of_another_namespace_is_told(url: str) -> None:
    found = (await ask(apihost=url, namespace="other"))["key"]
    assert found.state is State.FAILED
    assert found.found == "the key is that of namespace guest, not of 'other'"


async def test_a_certificate_is_verified_with_its_ca(tmp_path: Path, certificate: Path) -> None:
    with served(tmp_path, "--certificate", str(certificate)) as url:
        unknown = await ask(apihost=url)
        known = await ask(apihost=url, ca_bundle=str(certificate))
        careless = await ask(apihost=url, insecure=True)
        no_file = await ask(apihost=url, ca_bundle=str(tmp_path / "missing.pem"))
        plain = await ask(apihost=url.replace("https:", "http:"))
    assert unknown["tls"].state is State.FAILED
    assert "self-signed" in unknown["tls"].found
    assert "ssl.get_server_certificate(('127.0.0.1'," in str(unknown["tls"].todo)
    assert unknown["key"].found == "needs openwhisk"
    assert known["tls"].state is State.WARNING  # this one lives a day
    assert "is verified, and ends in 1.0 days" in known["tls"].found
    assert known["key"].state is State.OK
    assert careless["tls"].state is State.WARNING
    assert "is not verified, for insecure is set" in careless["tls"].found
    assert careless["key"].state is State.OK
    assert "missing.pem" in no_file["tls"].found
    assert plain["openwhisk"].state is State.FAILED


async def test_tls_with_a_server_of_plain_http_is_told(url: str) -> None:
    found = (await ask(apihost=url.replace("http:", "https:")))["tls"]
    assert "does not speak TLS" in found.found
    assert f"apihost {url}" in str(found.todo)


async def test_low_limits_are_told_with_what_they_cost() -> None:
    few = {"invocationsPerMinute": 60, "concurrentInvocations": 8}
    async with serve(openwhisk(**few)) as server:
        found = (await ask(apihost=server.url))["limits"]
    assert found.state is State.WARNING
    assert found.found == (
        "60 calls a minute, 8 calls at once; 1,000 calls take at least 16 minutes; "
        "only 8 run at once"
    )
    assert "whisk.limits.actionsInvokesPerminute" in str(found.todo)


async def test_actions_that_ask_for_too_much_are_told() -> None:
    small = {"maxActionMemory": 256, "maxActionTimeout": 60_000, "invocationsPerMinute": 9999}
    async with serve(openwhisk(**small)) as server:
        found = (await ask(apihost=server.url))["limits"]
        fine = (await ask(Needs(timeout=60, memory_mb=256), apihost=server.url))["limits"]
    assert found.state is State.FAILED
    assert found.found.endswith("the examples need 512 MB of memory and 300 s")
    assert fine.state is State.OK


def test_a_manifest_says_what_its_actions_need(tmp_path: Path) -> None:
    path = tmp_path / "manifest.yaml"
    path.write_text(
        "packages: {default: {actions: {a: {code: 'x = 1', limits: {memorySize: 1024}},"
        " b: {code: 'x = 1', limits: {timeout: 90000}}}}}"
    )
    needs = Needs.of([Manifest.load(path)])
    assert (needs.memory_mb, needs.timeout, needs.who) == (1024, 90.0, str(path))


def test_the_needs_of_the_examples_are_those_of_their_manifests() -> None:
    found = Needs.of(map(Manifest.load, EXAMPLES))
    assert EXAMPLES
    assert found.memory_mb <= Needs().memory_mb
    assert found.timeout <= Needs().timeout


async def test_a_python_too_old_for_object_store_is_told_with_the_image_to_use() -> None:
    async with serve(openwhisk()) as server:
        found = (await ask(apihost=server.url))["kinds"]
    assert found.state is State.WARNING
    assert found.found == "object_store needs Python 3.10 or newer; python:3 is Python 3.7"
    assert "docker: openwhisk/action-python-v3.11" in str(found.todo)


async def test_a_namespace_without_images_cannot_run_object_store_on_an_old_python() -> None:
    async with serve(openwhisk(allowedKinds=["python:3", "nodejs:14"])) as server:
        found = (await ask(apihost=server.url))["kinds"]
    assert found.state is State.FAILED
    assert "blackbox" in str(found.todo)


async def test_openwhisks_own_images_lack_the_library_for_s3() -> None:
    new = {"python": [{"kind": "python:3.11", "image": "openwhisk/action-python-v3.11:nightly"}]}
    async with serve(openwhisk(new)) as server:
        on_s3 = (await ask(apihost=server.url, store="s3+http://a:b@127.0.0.1:1"))["kinds"]
        in_memory = (await ask(apihost=server.url, store="memory://x"))["kinds"]
    assert on_s3.state is State.WARNING
    assert "aowhisk deploy --image" in str(on_s3.todo)
    assert in_memory.state is State.OK


def test_deploy_names_the_same_image_for_the_same_pythons() -> None:
    from aowhisk.deploy import bundle, platform

    assert (IMAGE, OLDEST_PYTHON) == (platform.IMAGE, bundle.OLDEST)


async def test_an_action_is_run_if_asked_for_and_taken_away_again(url: str, s3: str) -> None:
    found = (await ask(apihost=url, store=s3, invoke=True))["invoke"]
    assert found.state is State.OK, found
    assert re.match(r"an action ran \(Python 3\.\d+\.\d+, .* it reaches the store", found.found)
    async with Client(url, GUEST) as client:
        assert [action.name async for action in client.actions.list()] == []


async def test_a_store_that_actions_do_not_reach_is_told(url: str, s3: str) -> None:
    inside = f"s3+http://a:b@127.0.0.1:{free_port()}"
    found = (await ask(apihost=url, store=s3, action_store=inside, invoke=True))["invoke"]
    assert found.state is State.WARNING
    assert "it cannot reach the store at 127.0.0.1:" in found.found
    assert "AOWHISK_ACTION_STORE" in str(found.todo)


async def test_an_action_that_cannot_be_run_is_told() -> None:
    usual = openwhisk({"python": [{"kind": "python:3.11", "image": "local"}]})

    async def script(request: Request) -> Answer:
        if request.method == "POST":
            return Answer(503, {"error": "no healthy invoker", "code": "x"})
        if request.method == "PUT":
            return Answer(body={"name": "x", "namespace": "guest", "version": "0.0.1"})
        return await usual(request)

    async with serve(script) as server:
        found = (await ask(apihost=server.url, invoke=True))["invoke"]
        last = [each.method for each in server.requests if "/actions/" in each.path][-1]
    assert found.state is State.FAILED
    assert "no invoker is healthy" in str(found.todo)
    assert last == "DELETE"


async def test_of_new_pythons_the_newest_is_named() -> None:
    new = [{"kind": f"python:3.{n}", "image": "local"} for n in (9, 10, 11)]
    async with serve(openwhisk({"python": new})) as server:
        found = (await ask(apihost=server.url))["kinds"]
    assert (found.state, found.facts["use"]) == (State.OK, "python:3.11")
    assert "not there: python:3.9 is Python 3.9" in found.found


@pytest.mark.parametrize(
    ("off", "state"), [(0, State.OK), (-60, State.WARNING), (3600, State.FAILED)]
)
async def test_clocks_that_disagree_are_told(off: float, state: State) -> None:
    async with serve(openwhisk(date=time.time() + off)) as server:
        found = (await ask(apihost=server.url))["clock"]
    assert found.state is state
    assert found.facts["skew"] == pytest.approx(-off, abs=3)


async def test_an_object_is_written_to_s3_and_taken_away_again(s3: str, url: str) -> None:
    from object_store import open_store

    found = (await ask(apihost=url, store=s3))["store"]
    assert found.state is State.OK
    assert found.found.startswith("s3+http://127.0.0.1:")
    async with open_store(s3) as store:
        assert [each async for each in store.list("aowhisk/doctor/")] == []


async def test_a_store_that_does_not_answer_is_told() -> None:
    nobody = (await ask(store=f"s3+http://a:b@127.0.0.1:{free_port()}"))["store"]
    assert nobody.state is State.FAILED
    assert "check the host, the port" in str(nobody.todo)
    wrong = (await ask(store="ftp://x"))["store"]
    assert "folder:///absolute/path" in str(wrong.todo)


async def test_a_store_on_this_machine_is_none_for_actions_elsewhere(tmp_path: Path) -> None:
    found = (await ask(apihost="http://openwhisk.invalid", store=f"folder://{tmp_path}"))["store"]
    assert found.state is State.WARNING
    assert "actions run elsewhere" in found.found


async def test_a_journal_in_a_file_is_looked_at_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    journal = SqliteJournal(path)
    await journal.open()
    await journal.close()
    before = path.read_bytes()
    found = (await ask(journal=f"sqlite://{path}"))["journal"]
    assert (found.state, found.facts["unfinished"]) == (State.OK, 0)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["j.db"]


async def test_a_journal_that_is_in_use_can_be_looked_at(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "j.db")
    await journal.open()
    journal.put(RunStarted(run="r1", name="x"))
    await journal.commit()
    found = (await ask(journal=f"sqlite://{tmp_path}/j.db"))["journal"]
    await journal.close()
    assert (found.state, found.facts["unfinished"]) == (State.OK, 1)


async def test_a_folder_is_no_journal(tmp_path: Path) -> None:
    found = (await ask(journal=f"sqlite://{tmp_path}"))["journal"]
    assert (found.state, found.found) == (State.FAILED, f"{tmp_path} is a folder")


async def test_a_damaged_journal_is_told_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    path.write_bytes(b"no database at all" * 100)
    found = (await ask(journal=f"sqlite://{path}"))["journal"]
    assert found.state is State.FAILED
    assert "aowhisk journal repair" in str(found.todo)
    assert path.read_bytes() == b"no database at all" * 100


async def test_a_database_of_something_else_is_no_journal(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")
    found = (await ask(journal=f"sqlite://{path}"))["journal"]
    assert found.state is State.FAILED
    assert found.todo == "name another journal"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
async def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    found = (await ask(journal=f"sqlite://{tmp_path}/j.db"))["journal"]
    tmp_path.chmod(0o700)
    assert "cannot be written" in found.found


async def test_a_journal_in_mongodb_is_asked_and_not_made(mongo_url: str) -> None:
    from pymongo import MongoClient

    found = (await ask(journal=mongo_url))["journal"]
    assert found.state is State.OK
    assert found.found.endswith("no journal yet; the first run makes one")
    with MongoClient[dict[str, object]](mongo_url) as client:
        assert client.get_default_database().list_collection_names() == []


async def test_a_mongodb_that_does_not_answer_is_told() -> None:
    found = (await ask(journal=f"mongodb://127.0.0.1:{free_port()}/x"))["journal"]
    assert found.state is State.FAILED
    assert "cannot be reached" in found.found


async def test_a_check_that_takes_too_long_has_failed() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        settings = survey(
            {"WSK_CONFIG_FILE": ""},
            apihost=f"http://127.0.0.1:{deaf.getsockname()[1]}",
            auth=GUEST,
            journal="memory:",
        )
        found = {n: f async for n, f in examine(settings, patience=0.5)}
    assert found["openwhisk"].found == "no answer within 0.5 s"
