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


def zip_of(path: Path, *names: str) -> bytes:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, SOURCE)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("__main__.py", "python:default"),
        ("index.js", "nodejs:default"),
        ("package.json", "nodejs:default"),
    ],
)
def test_a_zip_is_taken_as_it_is_and_tells_its_kind(tmp_path: Path, name: str, kind: str) -> None:
    data = zip_of(tmp_path / "a.zip", name, "more.txt")

    action = load(tmp_path, "packages: {default: {actions: {a: {function: a.zip}}}}").actions["a"]

    assert base64.b64decode(action.code) == data
    assert action.kind == kind


def test_what_does_not_tell_its_kind_has_to_be_given_one(tmp_path: Path) -> None:
    zip_of(tmp_path / "a.zip", "exec")
    (tmp_path / "a.txt").write_text("# what may it be")
    for name in ("a.zip", "a.txt"):
        assert f"write its `runtime`: {tmp_path / name} does not tell" in refused(
            tmp_path, action(f"function: {name}")
        )
        assert load(tmp_path, action(f"function: {name}, runtime: go")).actions["p/a"].kind == (
            "go:default"
        )
        assert load(tmp_path, action(f"function: {name}, native: true")).actions["p/a"].image
    (tmp_path / "b.zip").write_text("PK...")
    assert "b.zip is no zip: " in refused(tmp_path, action("function: b.zip"))
    found = load(tmp_path, action("function: b.zip, docker: me/it"))  # its own affair
    assert base64.b64decode(found.actions["p/a"].code) == b"PK..."


def test_a_kind_that_the_file_does_not_look_like_is_noted(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(SOURCE)

    found = load(tmp_path, action("function: a.py, runtime: php"))

    assert found.actions["p/a"].kind == "php:default"
    assert found.notes == (
        f"packages.p.actions.a.runtime is php, and {tmp_path / 'a.py'} looks like python",
    )


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


def test_a_number_that_is_declared_as_a_text_goes_as_it_is_and_is_noted(tmp_path: Path) -> None:
    """As in wskdeploy's docs/examples/manifest_sequence_basic.yaml."""
    found = load(tmp_path, action("code: '# x', inputs: {n: {type: string, default: 0}}"))
    assert found.actions["p/a"].parameters == {"n": 0}
    assert found.notes == ("packages.p.actions.a.inputs.n is a number, though its type is string",)


def test_variables_come_from_the_environment(tmp_path: Path) -> None:
    found = inputs(
        tmp_path,
        "a: $TOKEN, b: 'x-${TOKEN}-y', c: {type: integer, value: $N}, d: [$N], e: costs $5",
        TOKEN="t",
        N="12",
    )

    assert found == {"a": "t", "b": "x-t-y", "c": 12, "d": ["12"], "e": "costs $5"}


def test_two_dollars_stand_for_one(tmp_path: Path) -> None:
    found = inputs(tmp_path, "a: 'x-$${TOKEN}', b: {c: '$${TOKEN}'}")

    assert found == {"a": "x-${TOKEN}", "b": {"c": "${TOKEN}"}}


def test_json_may_be_written_as_text(tmp_path: Path) -> None:
    found = inputs(
        tmp_path,
        """a: {type: json, value: '{"name": "Sam"}'}, b: {type: json, value: {n: $N}}, """
        "c: {type: array, value: $LIST}",
        N="1",
        LIST="[1, 2]",
    )

    assert found == {"a": {"name": "Sam"}, "b": {"n": "1"}, "c": [1, 2]}


def test_inputs_of_the_package_and_the_project_fill_what_the_environment_does_not(
    tmp_path: Path,
) -> None:
    manifest = load(
        tmp_path,
        """
project:
  name: slack
  inputs: {CHANNEL: general, COUNT: 3}
  packages:
    post:
      inputs: {TRIGGER: hourly, CHANNEL: mine}
      actions: {say: {code: '# x', inputs: {to: $CHANNEL, n: $COUNT, user: $USER_NAME}}}
      triggers: {"${TRIGGER}": {}}
      rules: {"on-${TRIGGER}": {trigger: $TRIGGER, action: say}}
""",
        USER_NAME="me",
    )

    assert manifest.project == "slack"
    assert dict(manifest.actions["post/say"].parameters) == {"to": "mine", "n": 3, "user": "me"}
    assert list(manifest.triggers) == ["hourly"]
    assert manifest.rules["on-hourly"].trigger == "/_/hourly"
    assert manifest.rules["on-hourly"].action == "/_/post/say"


WIRING = """
packages:
  p:
    dependencies:
      tools: {location: /whisk.system/utils, inputs: {lines: 1}}
    actions: {a: {code: '# x'}, b: {code: '# x'}}
    sequences:
      outer: {actions: "inner, tools/echo", web: true}
      inner: {actions: [a, /_/p/b, /whisk.system/utils/cat]}
    triggers:
      t: {inputs: {name: string}, description: a trigger}
      fed: {feed: /whisk.system/alarms/alarm, inputs: {cron: "* * * * *"}}
    rules:
      r: {trigger: t, action: outer, rule: true, annotations: {owner: me}}
  default:
    actions: {c: {code: '# x'}}
    rules: {s: {trigger: t, action: c}}
"""


def test_sequences_triggers_rules_and_bindings_are_read(tmp_path: Path) -> None:
    manifest = load(tmp_path, WIRING)

    assert list(manifest.sequences) == ["p/inner", "p/outer"]  # what it is made of comes first
    assert manifest.sequences["p/inner"].components == (
        "/_/p/a",
        "/_/p/b",
        "/whisk.system/utils/cat",
    )
    assert manifest.sequences["p/outer"].components == ("/_/p/inner", "/_/tools/echo")
    assert manifest.sequences["p/outer"].annotations["web-export"] is True
    assert manifest.triggers["t"].parameters == {"name": ""}
    assert manifest.triggers["t"].annotations == {"description": "a trigger"}
    assert manifest.triggers["fed"].feed == "/whisk.system/alarms/alarm"
    assert manifest.triggers["fed"].to_json()["parameters"] == []
    assert manifest.rules["r"].to_json() == {
        "trigger": "/_/t",
        "action": "/_/p/outer",
        "annotations": [{"key": "owner", "value": "me"}],
    }
    assert manifest.rules["s"].action == "/_/c"
    assert manifest.bindings["tools"].to_json() == {
        "binding": {"namespace": "whisk.system", "name": "utils"},
        "parameters": [{"key": "lines", "value": 1}],
        "annotations": [],
    }


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("function: a.js", "nodejs:default"),
        ("function: a.py", "python:default"),
        ("function: a.py, runtime: python@3", "python:3"),
        ("function: a.py, runtime: python", "python:default"),
        ("function: a.py, kind: python:3.11", "python:3.11"),
        ("function: node", "nodejs:default"),
        ("code: '# x', runtime: 'language:default'", "python:default"),
    ],
)
def test_the_kind_is_that_of_the_file_unless_said_otherwise(
    tmp_path: Path, text: str, kind: str
) -> None:
    (tmp_path / "a.js").write_text("function main() { return {} }")
    (tmp_path / "a.py").write_text(SOURCE)
    (tmp_path / "node").mkdir()
    (tmp_path / "node" / "index.js").write_text("exports.main = () => ({})")

    assert load(tmp_path, action(text)).actions["p/a"].kind == kind


def test_an_image_takes_the_place_of_the_kind(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(SOURCE)
    text = """packages: {p: {actions: {
        bare: {docker: me/it}, with: {docker: $IMAGE, function: a.py}, own: {native: true}}}}"""

    found = load(tmp_path, text, IMAGE="me/other:1").actions

    assert found["p/bare"].to_json()["exec"] == {"kind": "blackbox", "image": "me/it"}
    assert found["p/with"].to_json()["exec"] == {
        "kind": "blackbox",
        "image": "me/other:1",
        "code": SOURCE,
    }
    assert found["p/own"].image == "openwhisk/dockerskeleton"


def test_a_folder_may_take_files_along_and_leave_some_out(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "__main__.py").write_text(SOURCE)
    (tmp_path / "code" / "notes.md").write_text("mine")
    (tmp_path / "shared" / "deep").mkdir(parents=True)
    (tmp_path / "shared" / "one.py").write_text("1")
    (tmp_path / "shared" / "deep" / "two.py").write_text("2")

    found = load(
        tmp_path,
        action(
            "function: code, exclude: ['*.md'], include: [[shared], [shared, lib],"
            " [shared/one.py, mine/first.py], [shared/one.py, kept/], ['shared/**/*.py', all]]"
        ),
    ).actions["p/a"]

    with zipfile.ZipFile(io.BytesIO(base64.b64decode(found.code))) as archive:
        assert archive.namelist() == [
            "__main__.py",
            "all/deep/two.py",
            "all/one.py",
            "kept/one.py",
            "lib/deep/two.py",
            "lib/one.py",
            "mine/first.py",
            "shared/deep/two.py",
            "shared/one.py",
        ]


def zipped(tmp_path: Path, fields: str) -> list[str]:
    """What is in the zip of an action of these fields."""
    found = load(tmp_path, action(fields)).actions["p/a"]
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(found.code))) as archive:
        return archive.namelist()


@pytest.mark.parametrize(
    ("fields", "names"),
    [  # as wskdeploy's utils/zip.go has it; the first three stand in its integration tests
        (
            "exclude: ['actions/*'], include: [[actions/index.js, index.js],"
            " [actions/common/utils.js, common/utils.js]]",
            ["common/utils.js", "index.js"],
        ),
        (
            "exclude: [actions/common, 'actions/libs/*'], include: [[actions/common/, lib/],"
            " [actions/common/, lib/deep/]]",
            ["index.js", "lib/deep/utils.js", "lib/utils.js", "package.json"],
        ),
        (
            "exclude: ['actions/*'], include: [[], [actions/common/utils.js],"
            " ['actions/libs/*/utils.js', libs/], ['actions/*/*/utils.js']]",
            [
                "actions/common/utils.js",
                "actions/libs/one/utils.js",
                "libs/one/utils.js",
            ],
        ),
        (
            "exclude: [actions/libs], include: [['actions/libs/*', 'libs/*']]",
            ["common/utils.js", "index.js", "libs/one/utils.js", "package.json"],
        ),
        (
            "exclude: [package.json, 'libs/*']",
            ["common/utils.js", "index.js"],
        ),
    ],
)
def test_what_a_folder_leaves_out_and_takes_along_lies_beside_the_manifest(
    tmp_path: Path, fields: str, names: list[str]
) -> None:
    for name in ("index.js", "package.json", "common/utils.js", "libs/one/utils.js"):
        (tmp_path / "actions" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "actions" / name).write_text("// mine")

    assert zipped(tmp_path, f"function: actions, runtime: nodejs, {fields}") == names


def test_an_exclude_that_leaves_out_nothing_is_noted(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "__main__.py").write_text(SOURCE)

    found = load(tmp_path, action("function: code, exclude: [code/tests]"))

    assert found.notes == (
        f"packages.p.actions.a.exclude.0 leaves out nothing of {tmp_path / 'code'}: code/tests",
    )


def test_a_deployment_file_gives_other_values(tmp_path: Path) -> None:
    (tmp_path / "deployment.yaml").write_text("""
project:
  name: app
  packages:
    p:
      inputs: {bucket: {value: mine}}
      actions: {a: {inputs: {n: 7, extra: x}, annotations: {owner: you}}}
      triggers: {t: {inputs: {every: day}}}
""")
    (tmp_path / "manifest.yaml").write_text("""
project:
  name: app
  packages:
    p:
      inputs: {bucket: films}
      actions:
        a: {code: '# x', inputs: {n: {type: integer, value: 1}}, annotations: {owner: me}}
      triggers: {t: }
""")

    found = Manifest.load(
        tmp_path / "manifest.yaml",
        deployment=tmp_path / "deployment.yaml",
        params={"extra": {"given": True}},
        environ={},
    )

    (package,) = found.packages
    assert package.parameters == {"bucket": "mine"}
    assert found.actions["p/a"].parameters == {"n": 7, "extra": {"given": True}}
    assert found.actions["p/a"].annotations == {"owner": "you"}
    assert found.triggers["t"].parameters == {"every": "day"}


def test_a_deployment_file_may_name_a_project_that_the_manifest_does_not(tmp_path: Path) -> None:
    (tmp_path / "manifest.yaml").write_text(action("code: '# x', inputs: {n: 1}"))
    (tmp_path / "deployment.yaml").write_text(
        "project: {name: any, packages: {p: {actions: {a: {inputs: {n: 2}}}}}}"
    )
    found = Manifest.load(
        tmp_path / "manifest.yaml", deployment=tmp_path / "deployment.yaml", environ={}
    )
    assert found.actions["p/a"].parameters == {"n": 2}


@pytest.mark.parametrize(
    ("text", "where", "why"),
    [
        ("packages: {q: {}}", "packages.q", "declares no such; it has p"),
        ("packages: {p: {actions: {b: {}}}}", "packages.p.actions.b", "it has a"),
        (
            "packages: {p: {actions: {a: {code: x}}}}",
            "packages.p.actions.a.code",
            "allowed are annotations, inputs",
        ),
        (
            "packages: {p: {actions: {a: {annotations: {o: 1}}}}}",
            "packages.p.actions.a.annotations.o",
            "none such",
        ),
        ("project: {name: other}", "project.name", "the manifest's project is 'mine'"),
        ("packages: {p: {actions: {a: [x]}}}", "packages.p.actions.a", "not a mapping"),
        ("[1]", "", "is a list, not a mapping"),
        ("project: 5", "project", "is a number, not a mapping"),
        ("packages: x", "packages", "is a text, not a mapping"),
        ("packages: {p: {actions: [a]}}", "packages.p.actions", "is a list, not a mapping"),
        ("packages: {p: {inputs: true}}", "packages.p.inputs", "is a boolean, not a mapping"),
    ],
)
def test_what_is_wrong_in_a_deployment_file_is_said_with_its_place(
    tmp_path: Path, text: str, where: str, why: str
) -> None:
    (tmp_path / "manifest.yaml").write_text("project: {name: mine}\n" + action("code: '# x'"))
    (tmp_path / "deployment.yaml").write_text(text)

    with pytest.raises(ConfigError) as caught:
        Manifest.load(tmp_path / "manifest.yaml", deployment=tmp_path / "deployment.yaml")

    assert str(caught.value).startswith(f"{tmp_path / 'deployment.yaml'}: {where}")
    assert why in str(caught.value)


def test_limits_of_the_namespace_are_noted_and_left_out(tmp_path: Path) -> None:
    found = load(tmp_path, action("code: '# x', limits: {timeout: 180, codeSize: 1024}"))
    assert found.actions["p/a"].limits == ActionLimits(180)
    assert found.notes == (
        "packages.p.actions.a.limits.codeSize is a limit of the namespace, and no action can "
        "change it",
    )


def test_what_wskdeploy_writes_empty_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text("function main() { return {} }")
    manifest = load(
        tmp_path,
        """
project: {name: lib, namespace: "", credential: "", apiHost: "", version: "", packages: {}}
packages:
  p:
    name: p
    license: ""
    dependencies: {}
    namespace: ""
    actions:
      a:
        {name: a, location: "", version: 0.0.1, function: a.js, code: "", runtime: "nodejs:default",
         exposedUrl: "", main: "", limits: null, inputs: {}, outputs: {}, web-export: ""}
    feeds: {}
    apis: {}
filepath: ""
""",
    )

    assert manifest.project == "lib"
    assert manifest.actions["p/a"].main is None


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
        (
            action("docker: x/y, native: true"),
            "packages.p.actions.a.native",
            "another word for an image",
        ),
        (action("function: github.com/x/y"), "packages.p.actions.a.function", "fetch it"),
        (action("code: '# x', runtime: 'py thon'"), "packages.p.actions.a.runtime", "write a kind"),
        (action("code: '# x', include: [[a]]"), "packages.p.actions.a", "need a folder"),
        (action("function: f, include: [[/a]]"), "packages.p.actions.a.include.0", "neither"),
        (action("function: f, include: [[a]]"), "packages.p.actions.a.include.0", "there is no"),
        (action("function: f, include: [a]"), "packages.p.actions.a.include.0", "not a list"),
        (
            action("code: '# x', annotations: {require-whisk-auth: true}"),
            "packages.p.actions.a.annotations.require-whisk-auth",
            "write `web: true`",
        ),
        (
            action("code: '# x', web: true, annotations: {require-whisk-auth: -1}"),
            "packages.p.actions.a.annotations.require-whisk-auth",
            "from 1 to",
        ),
        (
            action("code: '# x', annotations: {aowhisk-requirements: gone.txt}"),
            "packages.p.actions.a.annotations.aowhisk-requirements",
            "gone.txt",
        ),
        (
            action("code: '# x', inputs: {n: {type: json, value: '{'}}"),
            "packages.p.actions.a.inputs.n",
            "no JSON",
        ),
        (
            action("code: '# x', inputs: {n: {type: string, required: true}}"),
            "packages.p.actions.a.inputs.n",
            "is required",
        ),
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
        ("packages: {p: {apis: {a: {}}}}", "packages.p.apis", "not support API routes"),
        ("packages: {p: {feeds: {a: {}}}}", "packages.p.feeds", "a trigger's `feed`"),
        ("packages: {p: {sequences: {s: {}}}}", "packages.p.sequences.s.actions", "no list"),
        (
            "packages: {p: {sequences: {s: {actions: 'a, /b'}}}}",
            "packages.p.sequences.s.actions",
            "'/b' is no action",
        ),
        (
            "packages: {p: {actions: {s: {code: '# x'}}, sequences: {s: {actions: a}}}}",
            "packages.p.sequences.s",
            "the name of an action, too",
        ),
        (
            "packages: {p: {triggers: {t: {}}}, q: {triggers: {t: {}}}}",
            "trigger 't' is declared twice",
            "names are the namespace's",
        ),
        ("packages: {p: {triggers: {t: {fee: x}}}}", "packages.p.triggers.t.fee", "'feed'"),
        ("packages: {p: {rules: {r: {action: a}}}}", "packages.p.rules.r.trigger", "nothing"),
        (
            "packages: {p: {rules: {r: {action: a, trigger: t, rule: x > 1}}}}",
            "packages.p.rules.r.rule",
            "nothing but true",
        ),
        (
            "packages: {p: {dependencies: {d: {location: github.com/a/b}}}}",
            "packages.p.dependencies.d.location",
            "the dependency 'd' lies at github.com/a/b",
        ),
        ("packages: {p: {credential: x}}", "packages.p.credential", "AOWHISK_AUTH"),
        ("packages: {p/q: {}}", "packages.p/q", "is no name"),
        ("packages: {default: {public: true}}", "packages.default.public", "no package"),
        ("packages: {}", "packages", "no package is declared"),
        ("actions: {}", "actions", "unknown field"),
        ("package: {name: p}", "package", "of an old format; write `packages: {NAME: ...}`"),
        ("application: {name: p}", "application", "write `project: {name: NAME, packages: ...}`"),
        (
            action("code: '# x', inputs: {n: .nan}"),
            "packages.p.actions.a.inputs.n",
            "the number nan, which JSON",
        ),
        (
            action("code: '# x', inputs: {n: {type: {}}}"),
            "packages.p.actions.a.inputs.n.type",
            "is {}; allowed",
        ),
        (action(f"function: {'x' * 300}"), "packages.p.actions.a.function", "File name too long"),
        (action('function: "a\\0b"'), "packages.p.actions.a.function", "null byte"),
        ("a: [", "", "is not YAML"),
        ("packages: {p: {}, p: {}}", "", "'p' is given twice"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    tmp_path: Path, text: str, where: str, why: str
) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "__main__.py").write_text(SOURCE)

    message = refused(tmp_path, text)

    assert message.startswith(f"{tmp_path / 'manifest.yaml'}: {where}")
    assert why in message


def test_a_missing_manifest_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*nowhere\.yaml"):
        Manifest.load(tmp_path / "nowhere.yaml")
