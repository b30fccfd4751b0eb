"""Python actions in a zip: what may be in it, and what is made of that."""

import base64
import io
import zipfile
from typing import Any

import pytest

NO_BINARY = "The action failed to generate or locate a binary. See logs for details."
MAIN = "import helper\n\n\ndef main(args):\n    return {'n': helper.N}\n"
ACTIVATE = (
    "import os, sys\n"
    "sys.path.insert(1, os.path.join(os.path.dirname(os.path.dirname(__file__)), 'lib'))\n"
)
WHEEL = "helper-1.0-py3-none-any.whl"


def zipped(files: dict[str, str | bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def wheel() -> bytes:
    """A package with one module, as pip installs it without asking anybody."""
    info = "helper-1.0.dist-info"
    return zipped(
        {
            "helper.py": "N = 42\n",
            f"{info}/METADATA": "Metadata-Version: 2.1\nName: helper\nVersion: 1.0\n",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": f"helper.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n",
        }
    )


async def record(rest: Any, files: dict[str, str | bytes]) -> dict[str, Any]:
    await rest.put("packed", base64.b64encode(zipped(files)).decode())
    answer = await rest.invoke("packed")
    found: dict[str, Any] = await rest.record(answer.headers["x-openwhisk-activation-id"])
    return found


@pytest.mark.parametrize("name", ["__main__.py", "exec", "main__.py"])
async def test_the_action_is_main_or_exec(rest: Any, name: str) -> None:
    found = await record(rest, {name: MAIN, "helper.py": "N = 1\n"})

    assert found["response"]["result"] == {"n": 1}


async def test_without_either_there_is_no_action(rest: Any) -> None:
    found = await record(rest, {"main.py": MAIN})

    assert found["response"]["result"] == {"error": NO_BINARY}
    assert found["logs"][0].endswith("stderr: Zip file does not include main__")


@pytest.mark.parametrize("folder", ["bin", "Scripts"])
async def test_a_virtualenv_is_activated(rest: Any, folder: str) -> None:
    found = await record(
        rest,
        {
            "__main__.py": MAIN,
            f"virtualenv/{folder}/activate_this.py": ACTIVATE,
            "virtualenv/lib/helper.py": "N = 2\n",
        },
    )

    assert found["response"]["result"] == {"n": 2}


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ({}, "Invalid virtualenv. Zip file does not include 'activate_this.py'."),
        ({"virtualenv/bin/activate_this.py": "1 / 0"}, "ZeroDivisionError: division by zero"),
    ],
)
async def test_a_virtualenv_that_cannot_be_activated_is_told_in_the_log(
    rest: Any, script: dict[str, str | bytes], told: str
) -> None:
    found = await record(rest, {"__main__.py": MAIN, "virtualenv/lib/helper.py": "", **script})

    assert found["response"]["result"] == {"error": NO_BINARY}
    assert any(line.endswith(f"stderr: {told}") for line in found["logs"])


async def test_requirements_are_installed_beside_the_action(rest: Any) -> None:
    files = {"__main__.py": MAIN, "requirements.txt": f"./{WHEEL}\n", WHEEL: wheel()}

    found = await record(rest, files)

    assert found["response"]["result"] == {"n": 42}
    assert found["logs"] == []


async def test_requirements_that_cannot_be_installed_are_told_in_the_log(rest: Any) -> None:
    found = await record(rest, {"__main__.py": MAIN, "requirements.txt": "./missing.whl\n"})

    assert found["response"]["result"] == {"error": NO_BINARY}
    assert any("missing.whl" in line for line in found["logs"])


async def test_a_virtualenv_comes_before_requirements(rest: Any) -> None:
    found = await record(
        rest,
        {
            "__main__.py": MAIN,
            "requirements.txt": "./missing.whl\n",
            "virtualenv/bin/activate_this.py": ACTIVATE,
            "virtualenv/lib/helper.py": "N = 3\n",
        },
    )

    assert found["response"]["result"] == {"n": 3}
