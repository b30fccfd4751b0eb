"""manifest.yaml."""

import base64
import io
import zipfile
from pathlib import Path

import pytest

from aowhisk.errors import ConfigError
from aowhisk.manifest import ActionLimits, Manifest

SOURCE = "def main(args):\n    return args\n"


def load(folder: Path, text: str, **environ: str) -> Manifest:
    (folder / "manifest.yaml").write_text(text)
    return Manifest.load(folder / "manifest.yaml", environ=environ)


def refused(folder: Path, text: str, **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(folder, text, **environ)
    return str(caught.value)


def inputs(folder: Path, text: str, **environ: str) -> dict[str, object]:
    action = f"{{code: '# x', inputs: {{{text}}}}}"
    manifest = load(folder, f"packages: {{default: {{actions: {{a: {action}}}}}}}", **environ)
    return dict(manifest.actions["a"].parameters)


def test_an_action_is_read_with_all_that_it_says(tmp_path: Path) -> None:
    (tmp_path / "actions.py").write_text(SOURCE)

    manifest = load(
        tmp_path,
        """
packages:
  video:
    version: 1.0
    license: Apache-2.0
    inputs: {bucket: films}
    actions:
      split:
        function: actions.py
        main: split
        runtime: python:3.11
        limits: {timeout: 120000, memorySize: 512, logSize: 1, concurrentActivations: 1}
        inputs: {chunks: 5}
        annotations: {owner: me}
        web: raw
""",
    )

    (package,) = manifest.packages
    action = manifest.actions["video/split"]
    assert package.to_json()["parameters"] == [{"key": "bucket", "value": "films"}]
    assert action.limits == ActionLimits(120_000, 512, 1, 1)
    assert action.source == tmp_path / "actions.py"
    assert action.to_json() == {
        "exec": {"kind": "python:3.11", "code": SOURCE, "main": "split"},
        "parameters": [{"key": "chunks", "value": 5}],
        "annotations": [
            {"key": "owner", "value": "me"},
            {"key": "web-export", "value": True},
            {"key": "final", "value": True},
            {"key": "raw-http", "value": True},
        ],
        "limits": {"timeout": 120_000, "memory": 512, "logs": 1, "concurrency": 1},
    }


def test_the_default_package_is_none(tmp_path: Path) -> None:
    manifest = load(tmp_path, "packages: {default: {actions: {a: {code: '# nothing'}}}}")

    assert list(manifest.actions) == ["a"]
    assert manifest.packages[0].name == ""
    assert manifest.actions["a"].kind == "python:default"


def test_a_project_may_hold_the_packages(tmp_path: Path) -> None:
    text = "project: {name: p, packages: {q: {actions: {a: {code: '# nothing'}}}}}"

    assert list(load(tmp_path, text).actions) == ["q/a"]


def test_a_folder_becomes_a_zip_and_the_same_files_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "code" / "sub").mkdir(parents=True)
    (tmp_path / "code" / "__main__.py").write_text(SOURCE)
    (tmp_path / "code" / "sub" / "more.txt").write_text("more")
    text = "packages: {default: {actions: {a: {function: code}}}}"

    first, second = (load(tmp_path, text).actions["a"] for _ in range(2))

    assert first.binary
    assert first.code == second.code
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(first.code))) as archive:
        assert archive.namelist() == ["__main__.py", "sub/more.txt"]


def test_a_zip_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK...")

    action = load(tmp_path, "packages: {default: {actions: {a: {function: a.zip}}}}").actions["a"]

    assert base64.b64decode(action.code) == b"PK..."


def test_inputs_are_plain_values_or_declared_ones(tmp_path: Path) -> None:
    found = inputs(
        tmp_path,
        "a: 1, b: [x, {c: 2}], d: {e: 1}, f: {type: integer, value: 7}, g: {type: string},"
        " h: {default: 3, description: three}, i: integer, j: null, k: {type: number, value: 1.5}",
    )

    assert found == {
        "a": 1,
        "b": ["x", {"c": 2}],
        "d": {"e": 1},
        "f": 7,
        "g": "",
        "h": 3,
        "i": 0,
        "j": None,
        "k": 1.5,
    }


def test_variables_come_from_the_environment(tmp_path: Path) -> None:
    found = inputs(
        tmp_path,
        "a: $TOKEN, b: 'x-${TOKEN}-y', c: {type: integer, value: $N}, d: [$N], e: costs $5",
        TOKEN="t",
        N="12",
    )

    assert found == {"a": "t", "b": "x-t-y", "c": 12, "d": ["12"], "e": "costs $5"}


def action(text: str) -> str:
    return f"packages: {{p: {{actions: {{a: {{{text}}}}}}}}}"


@pytest.mark.parametrize(
    ("text", "where", "why"),
    [
        (action("funtion: a.py"), "packages.p.actions.a.funtion", "did you mean 'function'?"),
        (action("function: a.py"), "packages.p.actions.a.function", "a.py"),
        (action("function: ."), "packages.p.actions.a.function", "no __main__.py"),
        (action("main: x"), "packages.p.actions.a", "either `function`"),
        (action("code: ''"), "packages.p.actions.a.code", "empty"),
        (action("code: main"), "packages.p.actions.a.code", "base64"),
        (
            action("code: '# x', limits: {memory: 1}"),
            "packages.p.actions.a.limits.memory",
            "did you mean 'memorySize'?",
        ),
        (
            action("code: '# x', limits: {timeout: 1.5}"),
            "packages.p.actions.a.limits.timeout",
            "not a whole number",
        ),
        (action("code: '# x', web: maybe"), "packages.p.actions.a.web", "true, false and raw"),
        (action("code: '# x', docker: x/y"), "packages.p.actions.a.docker", "not support"),
        (
            action("code: '# x', inputs: {n: {type: integer, value: x}}"),
            "packages.p.actions.a.inputs.n",
            "its type is integer",
        ),
        (
            action("code: '# x', inputs: {n: {type: whole, value: 1}}"),
            "packages.p.actions.a.inputs.n.type",
            "allowed are",
        ),
        (
            action("code: '# x', inputs: {n: $NOWHERE}"),
            "packages.p.actions.a.inputs.n",
            "NOWHERE is not set",
        ),
        (
            action("code: '# x', inputs: {d: 2020-01-01}"),
            "packages.p.actions.a.inputs.d",
            "put it in quotes",
        ),
        ("packages: {p: {actions: [a]}}", "packages.p.actions", "is a list"),
        ("packages: {p: {triggers: {t: {}}}}", "packages.p.triggers", "not support triggers"),
        ("packages: {p: {sequences: {}}}", "packages.p.sequences", "not support sequences"),
        ("packages: {p: {credential: x}}", "packages.p.credential", "AOWHISK_AUTH"),
        ("packages: {p/q: {}}", "packages.p/q", "is no name"),
        ("packages: {default: {inputs: {}}}", "packages.default.inputs", "no package"),
        ("packages: {}", "packages", "no package is declared"),
        ("actions: {}", "actions", "unknown field"),
        ("a: [", "", "is not YAML"),
        ("packages: {p: {}, p: {}}", "", "'p' is given twice"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    tmp_path: Path, text: str, where: str, why: str
) -> None:
    message = refused(tmp_path, text)

    assert message.startswith(f"{tmp_path / 'manifest.yaml'}: {where}")
    assert why in message


def test_a_missing_manifest_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*nowhere\.yaml"):
        Manifest.load(tmp_path / "nowhere.yaml")
