"""Pages of the documentation, run as they stand there.

A page is a list of fenced blocks. One that begins with a comment of a file's name is that file;
`sh` is what to type; the `text` after it is what that prints, with `...` for what differs. There
must be no other, so that nothing on a page goes untried.
"""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
_BLOCK = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.S | re.M)
_NAMED = re.compile(r"(?:#|//) (\S+\.\w+)\n")
_SECONDS = 120


@dataclass(frozen=True)
class Block:
    """One fenced block: its language with a note behind it, its text, the line where it begins."""

    language: str
    note: str
    text: str
    line: int

    @property
    def file(self) -> str | None:
        """The file that it is."""
        named = _NAMED.match(self.text)
        return named[1] if named else None


def blocks(page: str) -> list[Block]:
    """The blocks of a page of docs/."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return [
        Block(found[1], found[2].strip(), found[3], text.count("\n", 0, found.start()) + 1)
        for found in _BLOCK.finditer(text)
    ]


def looks_like(said: str, wanted: str) -> bool:
    """Whether `said` is `wanted`, where `...` is anything: in a line, or any number of lines."""
    pattern = ""
    for line in wanted.rstrip("\n").split("\n"):
        if line.strip() == "...":
            pattern += r"(?:.*\n)*?"
        else:
            parts = re.split(r"\.\.\.", re.sub(r"[ \t]+", " ", line.rstrip()))
            pattern += ".*".join(map(re.escape, parts)) + "\n"
    told = "".join(re.sub(r"[ \t]+", " ", line.rstrip()) + "\n" for line in said.split("\n"))
    return re.fullmatch(pattern, told.rstrip("\n") + "\n") is not None


class Shell:
    """One bash in a folder, as a reader has: what a block exports is there for the next one."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> Shell:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._kill()
        self._process.communicate()

    def run(self, commands: str) -> tuple[int, str]:
        """The status of the first command that fails, else 0, and what was printed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        end = f"end-{secrets.token_hex(8)}"
        # in this very shell, for its variables and jobs; ERR stops at the first that fails
        told = f"set -E; status=0\nblock() {{\n{commands}\n}}\n"
        told += "trap 'status=$?; trap - ERR; return $status' ERR\nblock </dev/null\n"
        told += f"trap - ERR\necho\necho {end} $status\n"
        self._process.stdin.write(told)
        self._process.stdin.flush()
        said = ""
        impatience = threading.Timer(_SECONDS, self._kill)
        impatience.start()
        try:
            while line := self._process.stdout.readline():
                if line.startswith(end):
                    return int(line.split()[1]), said.removesuffix("\n")
                said += line
        finally:
            impatience.cancel()
        return 255, said + "(the shell has ended)"

    def _kill(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)  # bash, and what it left behind


def environment(folder: Path) -> dict[str, str]:
    """That of a reader who has aowhisk installed, in the environment of these tests."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AOWHISK_", "WSK_", "__OW_"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    home = folder.parent / "home"
    home.mkdir(parents=True, exist_ok=True)
    return kept | {"PATH": path, "HOME": str(home), "XDG_STATE_HOME": str(home / "state")} | {
        "COLUMNS": "100", "PYTHONUNBUFFERED": "1",
        "GOCACHE": os.environ.get("GOCACHE", str(Path.home() / ".cache/go-build")),
    }  # fmt: skip


def run_page(
    page: str,
    folder: Path,
    *,
    said: Mapping[str, str] | None = None,
    notes: Collection[str] = (),
) -> None:
    """Do what a page says in `folder`; `said` replaces words of it, such as a server's address, and
    blocks with one of these `notes` are only to be read."""
    printed: str | None = None
    with Shell(folder, environment(folder)) as shell:
        for block in blocks(page):
            if block.note in notes:
                continue
            text = block.text
            for old, new in (said or {}).items():
                text = text.replace(old, new)
            where = f"docs/{page}:{block.line}"
            if block.file is not None:
                path = folder / block.file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            elif block.language == "sh":
                status, printed = shell.run(text)
                assert status == 0, f"{where}: status {status}\n{printed}"
            elif block.language == "text":
                assert printed is not None, f"{where}: nothing was printed before"
                assert looks_like(printed, text), f"{where}: wanted\n{text}\nbut it said\n{printed}"
                printed = None
            else:
                raise AssertionError(f"{where}: a block that nothing runs ({block.language!r})")
