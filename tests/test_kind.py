"""kind/: what can be known of the cluster without one."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from kind_tools import ROOT, Tools

from aowhisk.config import Settings
from aowhisk.doctor import Needs

KIND = ROOT / "kind"
SCRIPTS = [*KIND.glob("*.sh"), ROOT / "packaging/images/build.sh"]
SERVICES = sorted((KIND / "services").glob("*.yaml"))
KUBERNETES = "1.33"  # that of NODE_IMAGE
PORTS = {31001: "OpenWhisk", 31002: "S3", 31003: "MongoDB"}

CLUSTER_KEYS = {  # sigs.k8s.io/kind, pkg/apis/config/v1alpha4/types.go
    "": {"kind", "apiVersion", "name", "nodes", "networking", "containerdConfigPatches"},
    "nodes": {"role", "image", "labels", "extraMounts", "extraPortMappings"},
    "extraPortMappings": {"containerPort", "hostPort", "listenAddress", "protocol"},
}
# apache/openwhisk-deploy-kube, helm/openwhisk/values.yaml of chart 1.0.1: keys with their types
CHART = {
    "whisk.ingress.type": str,
    "whisk.ingress.apiHostName": str,
    "whisk.ingress.apiHostPort": int,
    "whisk.ingress.apiHostProto": str,
    "whisk.ingress.useInternally": bool,
    "whisk.auth.system": str,
    "whisk.auth.guest": str,
    "whisk.limits.actionsInvokesPerminute": int,
    "whisk.limits.actionsInvokesConcurrent": int,
    "whisk.limits.triggersFiresPerminute": int,
    "whisk.limits.actionsSequenceMaxlength": int,
    **{f"whisk.limits.actions.time.{each}": str for each in ("min", "max", "std")},
    **{f"whisk.limits.actions.memory.{each}": str for each in ("min", "max", "std")},
    "whisk.limits.activation.payload.max": str,
    "whisk.loadbalancer.blackboxFraction": str,
    "whisk.containerPool.userMemory": str,
    "whisk.runtimes": str,
    "controller.imageTag": str,
    "utility.imageTag": str,
    "invoker.imageTag": str,
    "invoker.options": str,
    "invoker.containerFactory.impl": str,
    "invoker.containerFactory.kubernetes.replicaCount": int,
    "invoker.containerFactory.kubernetes.isolateUserActions": bool,
    "nginx.httpsNodePort": int,
    "affinity.enabled": bool,
    "toleration.enabled": bool,
    "providers.alarm.enabled": bool,
    "providers.kafka.enabled": bool,
    "busybox.imageTag": str,
    "db.auth.username": str,
    "db.auth.password": str,
}

pytestmark = pytest.mark.skipif(
    not KIND.is_dir() or shutil.which("bash") is None or shutil.which("openssl") is None,
    reason="needs a checkout, bash and openssl",
)


def flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def installed(name: str) -> str:
    """A tool on PATH, beside this Python, or among the test servers."""
    tools = Path(os.environ.get("TOOLS", Path.home() / ".cache/aowhisk-tools")) / "bin"
    where = os.pathsep.join([os.environ["PATH"], str(Path(sys.executable).parent), str(tools)])
    found = shutil.which(name, path=where)
    if found is None:
        pytest.skip(f"{name} is not installed; tests/servers/install-servers.sh cluster")
    return found


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    return Tools.make(tmp_path / "tools")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def values() -> dict[str, Any]:
    return dict(flat(yaml.safe_load((KIND / "openwhisk.yaml").read_text())))


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def test_the_scripts_pass_shellcheck() -> None:
    command = [installed("shellcheck"), "-x", "-P", "SCRIPTDIR", *map(str, SCRIPTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_scripts_do_without_what_the_bash_of_macos_has_not() -> None:
    newer = re.compile(r"declare -A|mapfile|readarray|\$\{\w+(,,|\^\^)|\|&|&>>|coproc|local -n")
    for script in SCRIPTS:
        assert not newer.search(script.read_text()), script


def test_kinds_configuration_has_only_keys_that_there_are() -> None:
    config = yaml.safe_load((KIND / "cluster.yaml").read_text())
    assert (config["kind"], config["apiVersion"]) == ("Cluster", "kind.x-k8s.io/v1alpha4")
    assert set(config) <= CLUSTER_KEYS[""]
    for node in config["nodes"]:
        assert set(node) <= CLUSTER_KEYS["nodes"]
        for port in node.get("extraPortMappings", ()):
            assert set(port) <= CLUSTER_KEYS["extraPortMappings"]
            assert port["listenAddress"] == "127.0.0.1"


def test_kind_itself_can_read_its_configuration(tmp_path: Path) -> None:
    kind = installed("kind")

    def told(config: Path) -> str:
        nowhere = {**os.environ, "DOCKER_HOST": "unix:///nonexistent", "PATH": str(tmp_path)}
        command = [kind, "create", "cluster", "--name", "x", "--config", str(config)]
        return subprocess.run(
            command, env=nowhere, capture_output=True, text=True, check=False
        ).stderr

    wrong = tmp_path / "wrong.yaml"
    wrong.write_text((KIND / "cluster.yaml").read_text().replace("role: worker", "rule: worker"))
    assert "unable to decode config" in told(wrong)
    assert "docker" in told(KIND / "cluster.yaml")
    assert "decode" not in told(KIND / "cluster.yaml")


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.stem)
def test_the_manifests_are_valid(path: Path) -> None:
    checker = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
    for document in documents(path):
        checker.validate(document, KUBERNETES, strict=True)


def test_the_values_are_those_of_the_chart() -> None:
    for key, value in values().items():
        assert key in CHART, f"the chart has no {key}"
        assert type(value) is CHART[key], key


def test_helm_takes_the_values_and_the_generated_ones(
    tools: Tools, state: Path, tmp_path: Path
) -> None:
    helm = installed("helm")
    tools.run("up.sh", state, "--dry-run")
    chart = stand_in_chart(tmp_path / "chart")
    files = ["--values", str(KIND / "openwhisk.yaml"), "--values", str(state / "secrets.yaml")]

    def template(*more: str) -> subprocess.CompletedProcess[str]:
        command = [helm, "template", "owdev", str(chart), *files, *more]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = template()
    assert done.returncode == 0, done.stderr
    data = yaml.safe_load(done.stdout)["data"]
    assert json.loads(data["runtimes"]) == json.loads((KIND / "runtimes.json").read_text())
    values_ = yaml.safe_load(data["values"])
    assert values_["whisk"]["limits"]["actionsInvokesPerminute"] == 6000
    assert values_["whisk"]["auth"]["guest"].count(":") == 1
    assert template("--set", "whisk.limit=1").returncode != 0


def stand_in_chart(folder: Path) -> Path:
    """A chart with OpenWhisk's values, as far as CHART has them, and no others: it shows what it
    was given. Like OpenWhisk's it reads the runtimes from a file of its own."""
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: openwhisk\nversion: 1.0.1\n")
    shutil.copy(KIND / "runtimes.json", folder)
    (folder / "templates/shown.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shown}\ndata:\n"
        "  runtimes: {{ .Files.Get .Values.whisk.runtimes | quote }}\n"
        "  values: {{ .Values | toYaml | quote }}\n"
    )
    names = {str: "string", int: "integer", bool: "boolean"}
    schema: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": {}}
    for key, kind in CHART.items():
        place, parts = schema, key.split(".")
        for part in parts[:-1]:
            below = {"type": "object", "additionalProperties": False, "properties": {}}
            place = place["properties"].setdefault(part, below)
        place["properties"][parts[-1]] = {"type": names[kind]}
    schema["properties"]["global"] = {}
    (folder / "values.schema.json").write_text(json.dumps(schema))
    return folder


def test_the_limits_are_enough_for_the_examples() -> None:
    found, needs = values(), Needs()
    assert int(found["whisk.limits.actions.memory.max"].removesuffix("m")) >= needs.memory_mb
    assert int(found["whisk.limits.actions.time.max"].removesuffix("m")) * 60 >= needs.timeout
    assert found["whisk.limits.actionsInvokesPerminute"] >= needs.per_minute
    assert found["whisk.limits.actionsInvokesConcurrent"] >= needs.concurrent


def test_every_image_is_pinned_and_says_which_repository_names_it() -> None:
    for path in SERVICES:
        lines = path.read_text().splitlines()
        for n, line in enumerate(lines):
            if "image:" not in line:
                continue
            assert re.search(r"image: \S+:[\w.-]*\d[\w.-]*(@sha256:[0-9a-f]{64})?$", line), line
            source = " ".join(each for each in lines[n - 2 : n] if "#" in each)
            assert re.search(r"# [\w-]+/[\w-]+, ", source), f"{path.name}: where is {line} from?"
    versions = (KIND / "versions.sh").read_text()
    assert re.search(r"NODE_IMAGE=kindest/node:v[\d.]+@sha256:[0-9a-f]{64}", versions)
    tags = {value for key, value in values().items() if key.endswith("imageTag")}
    assert tags == {"ef725a6", "1.36"}


def test_the_node_image_is_the_one_that_kind_was_released_with() -> None:
    versions = (KIND / "versions.sh").read_text()
    release = re.search(r"KIND_AT_LEAST=(\S+)", versions)
    assert release is not None
    module = Path.home() / f"go/pkg/mod/sigs.k8s.io/kind@v{release[1]}"
    source = module / "pkg/apis/config/defaults/image.go"
    if not source.exists():
        pytest.skip(f"kind {release[1]} was not built here")
    image = re.search(r'Image = "([^"]+)"', source.read_text())
    assert image is not None
    assert f"NODE_IMAGE={image[1]}\n" in versions


def test_the_python_of_the_cluster_is_the_base_of_the_images() -> None:
    runtimes = json.loads((KIND / "runtimes.json").read_text())["runtimes"]
    for family in runtimes.values():
        assert [kind["default"] for kind in family].count(True) == 1
    image = next(each["image"] for each in runtimes["python"] if each["default"])
    base = f"{image['prefix']}/{image['name']}:{image['tag']}"
    for file in (ROOT / "examples").glob("*/Dockerfile"):
        assert f"ARG RUNTIME={base}\n" in file.read_text()
    assert f"docker.io/{base}" in (KIND / "up.sh").read_text()


def test_each_port_is_the_same_everywhere(tools: Tools, state: Path) -> None:
    config = yaml.safe_load((KIND / "cluster.yaml").read_text())
    mapped = [p for node in config["nodes"] for p in node.get("extraPortMappings", ())]
    assert {port["hostPort"] for port in mapped} == set(PORTS)
    assert all(port["hostPort"] == port["containerPort"] for port in mapped)
    nodes = [
        port["nodePort"]
        for path in SERVICES
        for document in documents(path)
        if document["kind"] == "Service"
        for port in document["spec"]["ports"]
    ]
    found = values()
    assert found["nginx.httpsNodePort"] == found["whisk.ingress.apiHostPort"]
    assert {*nodes, found["nginx.httpsNodePort"]} == set(PORTS)
    tools.run("up.sh", state, "--dry-run")
    profile = (state / "profile").read_text()
    assert {int(port) for port in re.findall(r"localhost:(\d+)", profile)} == set(PORTS)


def test_a_dry_run_writes_every_file_and_touches_nothing(tools: Tools, state: Path) -> None:
    done = tools.run("up.sh", state, "--dry-run")
    assert (done.returncode, done.stderr) == (0, "")
    for wanted in (
        "$ kind create cluster --name aowhisk --config",
        "$ kubectl apply --filename",
        "$ helm pull openwhisk --repo https://openwhisk.apache.org/charts --version 1.0.1",
        "$ helm upgrade owdev",
        f"$ true doctor --invoke --profile {state}/profile",
        f"export WSK_CONFIG_FILE={state}/profile",
    ):
        assert wanted in done.stdout
    assert all(call.split()[1] == "version" for call in tools.calls)
    names = {path.name for path in state.iterdir()}
    assert {"profile", "secrets.yaml", "s3.json", "tls.crt", "tls.key"} <= names


def test_a_second_dry_run_changes_nothing(tools: Tools, state: Path) -> None:
    first = tools.run("up.sh", state, "--dry-run")
    before = {path.name: path.read_bytes() for path in state.iterdir()}
    second = tools.run("up.sh", state, "--dry-run")
    assert {path.name: path.read_bytes() for path in state.iterdir()} == before
    assert "wrote" not in second.stdout
    shown = [line for line in first.stdout.splitlines() if "wrote" not in line]
    assert second.stdout.splitlines() == shown


def test_no_secret_is_shown_and_only_the_owner_can_read_them(tools: Tools, state: Path) -> None:
    with listening(31001, state, tools):
        done = tools.run("up.sh", state)
    assert done.returncode == 0, done.stderr
    secrets = [state / name for name in ("guest-key", "system-key", "s3-secret")]
    secrets += [state / "mongodb-password", state / "couchdb-password"]
    shown = done.stdout + done.stderr + "\n".join(tools.calls)
    for path in secrets:
        assert len(path.read_text()) >= 48
        assert path.read_text() not in shown
    for path in state.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_the_profile_has_all_settings_and_the_keys_have_openwhisks_form(
    tools: Tools, state: Path
) -> None:
    tools.run("up.sh", state, "--dry-run")
    settings = Settings.load({"WSK_CONFIG_FILE": str(state / "profile")})
    assert settings.apihost == "https://localhost:31001"
    assert settings.ca_bundle == str(state / "tls.crt")
    assert str(settings.store).endswith("@localhost:31002")
    assert str(settings.action_store).endswith("@seaweedfs.aowhisk.svc.cluster.local:8333")
    assert str(settings.journal).startswith("mongodb://aowhisk:")
    secrets = yaml.safe_load((state / "secrets.yaml").read_text())
    assert secrets["whisk"]["auth"]["guest"] == settings.auth
    for key in secrets["whisk"]["auth"].values():
        assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}:[0-9a-f]{64}", key)
    assert {key for key, _ in flat(secrets)} <= set(CHART)
    (identity,) = json.loads((state / "s3.json").read_text())["identities"]
    (credentials,) = identity["credentials"]
    assert f"{credentials['accessKey']}:{credentials['secretKey']}@" in str(settings.store)


def test_the_first_run_makes_the_cluster_and_the_second_leaves_it(
    tools: Tools, state: Path
) -> None:
    tools.state["unready"] = {"statefulset/mongodb": 1}
    with listening(31001, state, tools):
        first = tools.run("up.sh", state)
        assert (first.returncode, first.stderr) == (0, ""), first.stdout
        begun = len(tools.calls)
        second = tools.run("up.sh", state)
    assert (second.returncode, second.stderr) == (0, "")
    called = tools.calls
    assert sum("kind create cluster" in call for call in called) == 1
    assert sum(call.startswith("helm upgrade") for call in called) == 1
    assert any(call.startswith("kind export kubeconfig") for call in called[begun:])
    assert "kind load docker-image aowhisk/sample:0.1.0 --name aowhisk" in called
    assert "installed already, with these values" in second.stdout
    chart = state / "chart/openwhisk-1.0.1/openwhisk/runtimes.json"
    assert chart.read_bytes() == (KIND / "runtimes.json").read_bytes()


def test_the_last_step_is_the_doctor_with_the_profile(
    tools: Tools, state: Path, tmp_path: Path
) -> None:
    inside = f"AOWHISK_STORE=folder://{tmp_path}/store AOWHISK_ACTION_STORE=folder://x"
    doctor = f"env {inside} AOWHISK_JOURNAL=memory: {sys.executable} -m aowhisk"
    with listening(31001, state, tools):
        done = tools.run("up.sh", state, AOWHISK=doctor)
    told = done.stdout.rpartition("== aowhisk doctor")[2]
    assert done.returncode == 0, done.stdout + done.stderr
    assert "localhost is verified" in told
    assert re.search(r"✓ invoke +an action ran \(Python 3", told)
    assert "✗" not in told


def test_paths_with_spaces_are_no_trouble(tools: Tools, tmp_path: Path) -> None:
    state = tmp_path / "my state"
    done = tools.run("up.sh", state, "--dry-run", AOWHISK="", PYTHON="/my tools/python")
    assert f"export WSK_CONFIG_FILE={tmp_path}/my\\ state/profile" in done.stdout
    assert f"$ /my\\ tools/python -m aowhisk doctor --invoke --profile {tmp_path}/my" in done.stdout


def test_a_doctor_who_finds_something_makes_up_fail(tools: Tools, state: Path) -> None:
    with listening(31001, state, tools):
        done = tools.run("up.sh", state, AOWHISK="false")
    assert done.returncode == 1


def test_what_does_not_get_ready_is_explained(tools: Tools, state: Path) -> None:
    tools.state |= {
        "unready": {"statefulset/mongodb": 99},
        "pods": "mongodb-0 0/1 ImagePullBackOff 0 1m\nseaweedfs-0 1/1 Running 0 1m\n",
        "event": "toomanyrequests",
    }
    done = tools.run("up.sh", state, AOWHISK_CLUSTER_PATIENCE="1")
    assert done.returncode == 1
    for wanted in (
        "mongodb-0: ImagePullBackOff (0 restarts)",
        "toomanyrequests",
        "the log of the container",
        "is Docker Hub reachable",
        "cluster: MongoDB was not ready within 1 s: error: timed out waiting",
    ):
        assert wanted in done.stderr
    assert "seaweedfs-0" not in done.stderr


@pytest.mark.parametrize(
    ("state_of_tools", "environ", "text"),
    [
        ({"versions": {"kind": "0.20.0"}}, {}, "kind 0.20.0 is too old; 0.29.0 or newer"),
        ({"versions": {"kubectl": "v1.9.0"}}, {}, "kubectl v1.9.0 is too old"),
        ({"versions": {"helm": "v3.7.2+g1"}}, {}, "helm v3.7.2+g1 is too old"),
        ({"engine": False}, {}, "no Docker engine answers"),
        ({}, {"AOWHISK_CLUSTER_ARCH": "arm64"}, "OpenWhisk's images are for amd64"),
        (
            {},
            {"AOWHISK": "", "PYTHON": "/nowhere/python"},
            "aowhisk is not installed for /nowhere/python",
        ),
        ({"clusters": ["aowhisk"]}, {}, "but not the keys it was made with"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_made(
    tools: Tools, state: Path, state_of_tools: dict[str, Any], environ: dict[str, str], text: str
) -> None:
    tools.state |= state_of_tools
    done = tools.run("up.sh", state, **environ)
    assert done.returncode == 1
    assert text in done.stderr
    assert not any("create cluster" in call for call in tools.calls)


def test_down_deletes_the_cluster_and_what_was_generated(tools: Tools, state: Path) -> None:
    tools.run("up.sh", state, "--dry-run")
    tools.state["clusters"] = ["aowhisk"]
    dry = tools.run("down.sh", state, "--dry-run")
    assert f"$ rm -rf {state}" in dry.stdout
    assert (state / "profile").exists()
    assert tools.run("down.sh", state).returncode == 0
    assert (tools.state["clusters"], state.exists()) == ([], False)
    assert tools.run("down.sh", state).returncode == 0


def test_the_certificate_is_one_that_clients_take_for_localhost(tools: Tools, state: Path) -> None:
    with listening(0, state, tools) as port:
        context = ssl.create_default_context(cafile=str(state / "tls.crt"))
        for name in ("localhost", "127.0.0.1"):
            with (
                socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
                context.wrap_socket(plain, server_hostname=name) as secured,
            ):
                assert secured.version() in ("TLSv1.2", "TLSv1.3")


@pytest.mark.anyio
async def test_the_doctor_finds_the_cluster_well(tools: Tools, state: Path) -> None:
    from aowhisk.config import survey
    from aowhisk.doctor import State, examine

    with listening(0, state, tools) as port:
        environ = {"WSK_CONFIG_FILE": str(state / "profile")}
        found = survey(
            environ, apihost=f"https://localhost:{port}", store="memory://x", journal="memory:"
        )
        states = {name: finding.state async for name, finding in examine(found)}
    for name in ("settings", "host", "openwhisk", "key", "clock", "limits", "kinds"):
        assert states[name] is State.OK, name
    assert states["tls"] is State.OK


@contextmanager
def listening(port: int, state: Path, tools: Tools) -> Iterator[int]:
    """A local OpenWhisk with the certificate and the key that up.sh generates."""
    tools.run("up.sh", state, "--dry-run")
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            pytest.skip(f"port {port} is taken")
    pem = state / "server.pem"
    pem.touch(mode=0o600)
    pem.write_text((state / "tls.key").read_text() + (state / "tls.crt").read_text())
    settings = Settings.load({"WSK_CONFIG_FILE": str(state / "profile")})
    command = [sys.executable, "-m", "aowhisk", "serve", "--port", str(port)]
    command += ["--certificate", str(pem), "--root", str(state.parent / "ow")]
    with subprocess.Popen(
        [*command, "--auth", settings.auth], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline().split()[2].rstrip(",").rpartition(":")[2])
        finally:
            process.terminate()
