"""Functions of this process as actions."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aowhisk.errors import ConfigError
from aowhisk.local import LocalOpenWhisk


def double(args: dict[str, Any]) -> dict[str, Any]:
    return {"n": args["n"] * 2}


async def test_a_function_of_a_module_becomes_an_action(ow: LocalOpenWhisk, rest: Any) -> None:
    await ow.deploy_functions({"double": double, "math/double": double})

    assert await rest.result("double", n=4) == {"n": 8}
    assert await rest.result("math/double", n=5) == {"n": 10}


async def test_a_function_of_a_package_may_import_its_siblings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ow: LocalOpenWhisk, rest: Any
) -> None:
    package = tmp_path / "somewhere" / "pack"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "other.py").write_text("answer = 42\n")
    (package / "mine.py").write_text(
        "from .other import answer\ndef main(args):\n    return {'answer': answer}\n"
    )
    monkeypatch.syspath_prepend(str(package.parent))
    from pack.mine import main  # type: ignore[import-not-found]

    await ow.deploy_functions({"mine": main})

    assert await rest.result("mine") == {"answer": 42}


@pytest.mark.parametrize("kind", ["lambda", "nested", "builtin"])
async def test_a_function_that_cannot_be_found_again_is_refused(
    ow: LocalOpenWhisk, kind: str
) -> None:
    def nested(args: dict[str, Any]) -> dict[str, Any]:
        return args

    function: Any = {"lambda": lambda args: args, "nested": nested, "builtin": len}[kind]

    with pytest.raises(ConfigError, match="action 'x'"):
        await ow.deploy_functions({"x": function})


SCRIPT = """
import anyio, sys
from aowhisk.local import LocalOpenWhisk

def greet(args):
    return {"module": __name__}

async def run():
    async with LocalOpenWhisk(root=sys.argv[1]) as ow:
        await ow.deploy_functions({"greet": greet})
        ow._invoker.submit(invocation := ow._actions.invocation(ow._user, "guest/greet", {}, "t"))
        await invocation.done.wait()
        print(invocation.record.response["result"])

if __name__ == "__main__":
    anyio.run(run)
"""


def test_a_function_of_the_script_that_is_running_is_found_in_its_file(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(SCRIPT)

    done = subprocess.run(
        [sys.executable, tmp_path / "flow.py", tmp_path / "ow"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.stdout.strip() == "{'module': 'flow'}", done.stderr
