"""What `import aowhisk` gives, and that it imports nothing that was not asked for."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import aowhisk

HEAVY = ("aiohttp", "httpx", "structlog", "aowhisk.client", "aowhisk.orchestrator")


def _declared() -> dict[str, str]:
    """The names that type checkers see, and where they are from."""
    tree = ast.parse(Path(aowhisk.__file__).read_text(encoding="utf-8"))
    [lazy] = [one for one in tree.body if isinstance(one, ast.If)]
    return {
        name.name: str(one.module)
        for one in lazy.body
        if isinstance(one, ast.ImportFrom)
        for name in one.names
    }


def test_the_names_are_what_type_checkers_see() -> None:
    declared = _declared()
    assert {*declared, "__version__"} == set(aowhisk.__all__)
    for name, home in declared.items():
        assert getattr(aowhisk, name) is getattr(import_module(home), name)
    assert set(aowhisk.__all__) <= set(dir(aowhisk))


def test_there_is_no_other_name() -> None:
    for name in ("nothing", "_nothing"):
        with pytest.raises(AttributeError, match=f"'aowhisk' has no attribute '{name}'"):
            getattr(aowhisk, name)


def _run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_modules_are_there_without_being_imported_by_name() -> None:
    assert _run("import aowhisk; print(aowhisk.errors.ConfigError.__name__)") == "ConfigError\n"


def test_serving_imports_no_client() -> None:
    code = f"import sys, aowhisk.cli.serve; print([m for m in {HEAVY} if m in sys.modules])"
    assert _run(code) == "[]\n"
