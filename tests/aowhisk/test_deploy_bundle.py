"""What is zipped in: object_store, and requirements in pure Python."""

from __future__ import annotations

import base64
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from deploying import Site, contents, done

from aowhisk.deploy import Project, apply, plan
from aowhisk.deploy.contents import digest, files_of, imports
from aowhisk.errors import ConfigError
from aowhisk.manifest import ActionSpec, Manifest
from aowhisk.models import Activation

USES_STORE = """
from object_store import action

@action
async def main(args, store):
    key = "bucket/" + args["name"]
    await store.put(key, args["text"])
    return {"key": key, "text": (await store.get(key)).decode()}
"""
GREETS = """
from greetings import hello

def main(args):
    import importlib.metadata
    return {"said": hello(args["name"]), "version": importlib.metadata.version("greetings")}
"""
ONE = "packages: {default: {actions: {a: {function: a.py}}}}"


def wheel(folder: Path, name: str = "greetings", tag: str = "py3-none-any") -> Path:
    """A wheel of one module, as a build makes it."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-1.2-{tag}.whl"
    info = f"{name}-1.2.dist-info"
    pure = "true" if tag.endswith("none-any") else "false"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", "def hello(name):\n    return 'hello ' + name\n")
        archive.writestr(f"{name}-1.2.data/purelib/more_{name}.py", "x = 1\n")
        archive.writestr(f"{name}-1.2.data/scripts/run", "#!python\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        archive.writestr(
            f"{info}/WHEEL",
            f"Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: {pure}\nTag: {tag}\n",
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


def bundled(folder: Path, text: str, **options: Any) -> ActionSpec:
    (folder / "manifest.yaml").write_text(text)
    return Project.load(folder / "manifest.yaml", **options).manifest.actions["a"]


def names(action: ActionSpec) -> set[str]:
    assert action.binary
    return set(files_of(action.code) or {})


async def test_an_action_that_imports_object_store_gets_it_and_the_store(site: Site) -> None:
    site.write(ONE, a__py=USES_STORE)
    store = f"folder://{site.folder}/store"

    assert await deploy_with(site, store=store) == {"action 'a'": "create"}
    done_ = await site.client.actions.invoke("a", {"name": "n", "text": "so it goes"})
    assert isinstance(done_, Activation)
    assert done_.result.get("text") == "so it goes", done_.result
    action = await site.client.actions.get("a")
    assert action.init_parameters == {"OBJECT_STORE_URL": store}
    assert action.parameters == {}


async def deploy_with(site: Site, **options: Any) -> dict[str, str]:
    found = await plan(site.client, site.project(**options))
    await apply(site.client, found)
    return done(found)


async def test_the_same_sources_and_requirements_change_nothing(site: Site) -> None:
    wheel(site.folder / "wheels")
    site.write(
        ONE,
        a__py="import object_store\n" + GREETS,
        requirements__txt="--no-index\n--find-links wheels\ngreetings==1.2\n",
    )
    await deploy_with(site)
    before = await contents(site.client, times=True)

    assert await deploy_with(site) == {}

    assert await contents(site.client, times=True) == before
    done_ = await site.client.actions.invoke("a", {"name": "you"})
    assert isinstance(done_, Activation)
    assert done_.result == {"said": "hello you", "version": "1.2"}


def test_the_zip_is_as_the_runtime_wants_it(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels")
    (tmp_path / "a.py").write_text("from object_store import action\n" + GREETS)
    (tmp_path / "requirements.txt").write_text(
        "# what it needs\n--no-index\n--find-links wheels\ngreetings\naowhisk-object-store[s3]\n"
    )

    first, second = (bundled(tmp_path, ONE) for _ in range(2))

    assert first.code == second.code
    found = names(first)
    assert {"__main__.py", "object_store/__init__.py", "object_store/s3/backend.py"} <= found
    site = "virtualenv/lib/site-packages"
    assert {name for name in found if name.startswith("virtualenv/")} == {
        "virtualenv/bin/activate_this.py",
        f"{site}/greetings.py",
        f"{site}/more_greetings.py",
        f"{site}/greetings-1.2.dist-info/METADATA",
        f"{site}/greetings-1.2.dist-info/WHEEL",
    }
    assert not [name for name in found if "__pycache__" in name]


def test_the_zip_works_with_openwhisks_own_way_of_loading_it(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels")
    (tmp_path / "a.py").write_text("from object_store import action\n" + GREETS)
    (tmp_path / "requirements.txt").write_text("--no-index\n--find-links wheels\ngreetings\n")
    action = bundled(tmp_path, ONE)
    place = tmp_path / "container"
    with zipfile.ZipFile(_file(tmp_path, action.code)) as archive:
        archive.extractall(place)
    (place / "__main__.py").rename(place / "main__.py")
    launcher = (  # what openwhisk-runtime-python's launcher does before it serves
        "import os\n"
        "script = os.path.abspath('virtualenv/bin/activate_this.py')\n"
        "exec(compile(open(script).read(), script, 'exec'), dict(__file__=script))\n"
        "from main__ import main\n"
        "print(main({'name': 'you'})['said'])\n"
    )
    (place / "exec__.py").write_text(launcher)

    done_ = subprocess.run(
        [sys.executable, "exec__.py"], cwd=place, capture_output=True, text=True, check=False
    )

    assert done_.stdout.strip() == "hello you", done_.stderr


def _file(folder: Path, code: str) -> Path:
    (folder / "code.zip").write_bytes(base64.b64decode(code))
    return folder / "code.zip"


def test_without_need_nothing_is_added(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def main(args):\n    return args\n")
    (tmp_path / "requirements.txt").write_text("# nothing\n\naowhisk-object-store>=0.1\n")
    assert not bundled(tmp_path, ONE).binary


def test_a_folder_gets_them_beside_its_own_files(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels")
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "__main__.py").write_text("from helper import main")
    (tmp_path / "code" / "helper.py").write_text("import object_store.errors\n" + GREETS)
    (tmp_path / "code" / "requirements.txt").write_text(
        "--no-index\n--find-links ../wheels\ngreetings\n"
    )
    found = names(bundled(tmp_path, ONE.replace("a.py", "code")))
    assert {"__main__.py", "helper.py", "object_store/action.py"} <= found
    assert "virtualenv/lib/site-packages/greetings.py" in found


def test_requirements_can_stand_in_the_manifest(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels")
    (tmp_path / "a.py").write_text(GREETS)
    text = ONE.replace(
        "a.py",
        "a.py, annotations: {aowhisk-requirements: [--no-index, --find-links wheels, greetings]}",
    )
    action = bundled(tmp_path, text)
    assert "virtualenv/lib/site-packages/greetings.py" in names(action)
    assert action.annotations == {}


@pytest.mark.parametrize("what", ["wheel", "content", "missing"])
def test_what_is_not_pure_python_is_refused_with_the_way_out(tmp_path: Path, what: str) -> None:
    tag = "cp310-cp310-manylinux_2_17_x86_64" if what == "wheel" else "py3-none-any"
    path = wheel(tmp_path / "wheels", "fast", tag)
    if what == "content":
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("fast_core.so", b"\x7fELF")
    name = "nowhere" if what == "missing" else "fast"
    (tmp_path / "a.py").write_text("import fast")
    (tmp_path / "requirements.txt").write_text(f"--no-index\n--find-links wheels\n{name}\n")

    with pytest.raises(ConfigError) as caught:
        bundled(tmp_path, ONE)

    assert "action 'a'" in str(caught.value)
    assert name in str(caught.value)
    assert "--image" in str(caught.value)
    assert not bundled(tmp_path, ONE, requirements=False).binary
    project = Project.load(tmp_path / "manifest.yaml", image="me/with-fast:1")
    assert project.manifest.actions["a"].image == "me/with-fast:1"
    assert project.notes == ("action 'a': its requirements are left to the image me/with-fast:1",)


def test_a_zip_that_is_given_is_sent_as_it_is(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("__main__.py", "import object_store")
    before = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "manifest.yaml").write_text(ONE.replace("a.py", "a.zip"))

    project = Project.load(tmp_path / "manifest.yaml", store="folder:///tmp/x")

    assert base64.b64decode(project.manifest.actions["a"].code) == before
    assert project.init_of("a") == {"OBJECT_STORE_URL": "folder:///tmp/x"}


def test_other_kinds_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text("function main() { return {} }  // import object_store")
    (tmp_path / "requirements.txt").write_text("numpy\n")
    assert not bundled(tmp_path, ONE.replace("a.py", "a.js")).binary


@pytest.mark.parametrize(
    ("store", "expected"),
    [
        ("folder:///tmp/s", set()),
        ("s3://key:secret@host", {"AWS_REGION"}),
        ("s3://host", {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"}),
        (
            "s3://",
            {
                "AWS_ACCESS_KEY_ID",
                "AWS_SECRET_ACCESS_KEY",
                "AWS_REGION",
                "AWS_ENDPOINT_URL_S3",
            },
        ),
    ],
)
def test_the_stores_credentials_become_init_parameters_only_where_its_url_has_none(
    tmp_path: Path, store: str, expected: set[str]
) -> None:
    environ = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "very-secret",
        "AWS_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL_S3": "http://store:9000",
        "AWS_PROFILE": "mine",
    }
    (tmp_path / "a.py").write_text(USES_STORE)
    (tmp_path / "manifest.yaml").write_text(ONE)

    project = Project.load(tmp_path / "manifest.yaml", store=store, environ=environ)

    assert set(project.init_of("a")) == expected | {"OBJECT_STORE_URL"}
    assert "secret" not in repr(project)
    assert "very-secret" not in str(files_of(project.manifest.actions["a"].code))


def test_a_store_in_memory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(USES_STORE)
    with pytest.raises(ConfigError, match="gone with the process"):
        bundled(tmp_path, ONE, store="memory://x")


def test_a_project_is_called_as_the_manifest_says_else_after_its_folder(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    manifest = tmp_path / "shop" / "manifest.yaml"
    manifest.write_text("packages: {default: {actions: {a: {code: '# x'}}}}")
    assert Project.load(manifest).name == "shop"
    assert Project.load(Manifest.load(manifest), name="other").name == "other"
    manifest.write_text("project: {name: p, packages: {default: {}}}")
    assert Project.load(manifest).name == "p"


def test_a_digest_does_not_depend_on_how_a_zip_was_packed(tmp_path: Path) -> None:
    for name, method in (("one", zipfile.ZIP_STORED), ("two", zipfile.ZIP_DEFLATED)):
        with zipfile.ZipFile(tmp_path / name, "w", method) as archive:
            archive.writestr("__main__.py", "x = 1\n" * 100)
    one, two = (base64.b64encode((tmp_path / n).read_bytes()).decode() for n in ("one", "two"))
    assert one != two
    assert digest(one, binary=True) == digest(two, binary=True)
    assert digest("bm8gemlw", binary=True) == digest("bm8gemlw", binary=False)


def test_imports_are_found_wherever_they_are() -> None:
    source = "import a.b, c\ndef f():\n    from d.e import g\n    from . import h\n"
    assert imports(source) == {"a", "c", "d"}
    assert imports("function main() {}") == set()
