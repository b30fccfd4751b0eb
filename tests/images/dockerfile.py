"""What a Dockerfile of ours says, and the same done in a virtual environment instead of an image.

It knows the few instructions that we use and refuses any other: what is tested is what is built.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_PIP = ["python", "-m", "pip", "install"]


@dataclass(frozen=True)
class Dockerfile:
    """`base` is the image that it is FROM, `steps` its COPY and RUN in order."""

    base: str
    steps: tuple[tuple[str, tuple[str, ...]], ...]

    @classmethod
    def read(cls, path: Path) -> Dockerfile:
        arguments: dict[str, str] = {}
        base, steps = "", []
        for line in path.read_text().splitlines():
            if not line.strip() or line.startswith("#"):
                continue
            word, rest = line.split(maxsplit=1)
            if word == "ARG":
                name, _, value = rest.partition("=")
                arguments[name] = value
            elif word == "FROM":
                base = re.sub(r"\$\{(\w+)\}", lambda found: arguments[found[1]], rest)
            elif word in ("COPY", "RUN"):
                steps.append((word, tuple(shlex.split(rest))))
            else:
                raise AssertionError(f"{path}: {word} is not known here")
        return cls(base, tuple(steps))

    def carry_out(self, context: Path, root: Path, *, requirements: bool = True) -> Path:
        """Do the steps with a new environment under `root` for its Python, which is given back.

        Without `requirements` what they name is taken from the environment of the test.
        """
        subprocess.run(
            [sys.executable, "-m", "venv", "--without-pip", str(root / "venv")], check=True
        )
        python = root / "venv/bin/python"
        for word, arguments in self.steps:
            if word == "COPY":
                source, target = arguments
                copy = shutil.copytree if (context / source).is_dir() else shutil.copy
                inside = root / target.removeprefix("/")
                inside.parent.mkdir(parents=True, exist_ok=True)
                copy(context / source, inside)
                continue
            assert list(arguments[:4]) == _PIP, f"RUN {arguments} is not known here"
            if "-r" in arguments and not requirements:
                self._borrow(root)
                continue
            inside_root = [each.replace("/opt/", f"{root}/opt/") for each in arguments[4:]]
            command = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q"]
            subprocess.run([*command, *inside_root], check=True, timeout=600)
        return python

    @staticmethod
    def _borrow(root: Path) -> None:
        """Let the environment see the packages of this one, after its own."""
        import aiobotocore

        (site,) = (root / "venv/lib").glob("python3*/site-packages")
        (site / "borrowed.pth").write_text(f"{Path(aiobotocore.__file__).parents[1]}\n")
