"""The process inside a "container": loads one action and runs its activations one after the other.

Started by file path with a Python that need not know aowhisk: standard library only, also on Python
3.10. It does what OpenWhisk's action proxy and its `launcher.py` do. Requests are lines on the file
descriptor argv[1], answers lines on argv[2], which becomes 3 as it is there, so that an action may
print as it likes: {"init": {...}} is answered with {"ok": true} or {"error": text}, a run with the
JSON of its result; before either stand the peak memory in bytes, "#" and the activation's id, and
a blank. argv[3] is a pipe on which nothing is ever written: when the server dies, however it dies,
the kernel sends SIGIO to this whole process group and ends it. argv[4] is the list of processes of
a cgroup, to go into it, or -1.
"""

import base64
import fcntl
import io
import json
import os
import resource
import signal
import stat
import sys
import traceback
import zipfile
from io import TextIOWrapper

TYPE_CHECKING = False  # typing itself is not imported: a cold start is what people wait for
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

NO_BINARY = "The action failed to generate or locate a binary. See logs for details."
NO_START = "Cannot start action. Check logs for details."
NO_CODE = "Missing main/no code to execute."
OPEN_FILES = 1024
RSS_UNIT = 1 if sys.platform == "darwin" else 1024


def end_with_the_server(lifeline: int) -> None:
    """Let the kernel end this process group when the other end of the pipe is closed."""
    os.set_inheritable(lifeline, False)
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpid())
    flags = fcntl.fcntl(lifeline, fcntl.F_GETFL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, flags | os.O_ASYNC | os.O_NONBLOCK)
    try:
        if os.read(lifeline, 1) == b"":  # it died before the kernel was told
            sys.exit(1)
    except BlockingIOError:
        pass


def limit_open_files() -> None:
    """As in a container of OpenWhisk (ulimit nofile)."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = OPEN_FILES if most == resource.RLIM_INFINITY else min(OPEN_FILES, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))


def unpack(packed: bytes) -> None:
    """Unpack a zip here, files with their modes and symbolic links as such."""
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        for entry in archive.infolist():
            mode = entry.external_attr >> 16
            path = archive.extract(entry)
            if stat.S_ISLNK(mode):
                os.remove(path)
                os.symlink(archive.read(entry).decode(), path)
            elif stat.S_IMODE(mode) and not entry.is_dir():
                os.chmod(path, stat.S_IMODE(mode) | stat.S_IRUSR)


def place(code: str, binary: bool) -> "str | None":
    """Put the code into this container's folder as main__.py; the text of a problem, None if
    there is none."""
    if not code:
        return NO_CODE
    if not binary:
        with open("main__.py", "w", encoding="utf-8") as file:
            file.write(code)
        return None
    try:
        unpack(base64.b64decode(code))
    except (ValueError, zipfile.BadZipFile):
        traceback.print_exc()
        return NO_BINARY
    for name in ("exec", "__main__.py"):
        if os.path.exists(name):
            os.replace(name, "main__.py")
    if not os.path.exists("main__.py"):
        sys.stderr.write("Zip file does not include main__\n")
        return NO_BINARY
    try:
        return use_packages()
    except Exception:  # noqa: BLE001  (whatever the script in a virtualenv does)
        traceback.print_exc()
        return NO_BINARY


def use_packages() -> "str | None":
    """Use what a zip has in virtualenv/, or names in requirements.txt; the text of a problem."""
    if os.path.isdir("virtualenv"):
        for folder in ("bin", "Scripts"):
            script = os.path.abspath(f"virtualenv/{folder}/activate_this.py")
            if os.path.exists(script):
                with open(script) as file:
                    exec(compile(file.read(), script, "exec"), {"__file__": script})
                return None
        text = "Invalid virtualenv. Zip file does not include 'activate_this.py'."
        sys.stderr.write(text + "\n")
        return NO_BINARY
    return install_requirements() if os.path.exists("requirements.txt") else None


def install_requirements() -> "str | None":
    """Install what requirements.txt names beside the action; the text of a problem."""
    import site
    import subprocess

    place = os.path.abspath("virtualenv")
    options = ["--quiet", "--disable-pip-version-check", "--no-input", "--target", place]
    command = [sys.executable, "-m", "pip", "install", *options, "-r", "requirements.txt"]
    if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode:
        return NO_BINARY
    before = len(sys.path)
    site.addsitedir(place)
    sys.path[1:] = [*sys.path[before:], *sys.path[1:before]]
    return None


def load(init: "dict[str, Any]") -> "tuple[Callable[[Any], Any] | None, str | None]":
    """Load the action: (its function, None) or (None, the text of the problem)."""
    problem = place(init["code"], init["binary"])
    if problem:
        return None, problem
    try:
        with open("main__.py", "rb") as file:
            compile(file.read(), os.path.abspath("main__.py"), "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        traceback.print_exc(limit=0)
        return None, NO_BINARY
    try:
        import main__  # type: ignore[import-not-found]  # what `place` has written

        return getattr(main__, init["main"]), None
    except BaseException:  # noqa: BLE001  (sys.exit while importing, too)
        traceback.print_exc()
        return None, NO_START


def run(function: "Callable[[Any], Any]", request: "dict[str, Any]") -> bytes:
    """One activation: the bytes of its answer. What json.dumps cannot write ends the process, as
    in OpenWhisk."""
    for key, value in request.items():
        if key != "value":
            os.environ["__OW_" + key.upper()] = value
    try:
        result = function(request["value"])
    except Exception as error:  # noqa: BLE001  (an action may raise anything)
        sys.stderr.write(traceback.format_exc() + "\n")
        result = {"error": str(error)}
    return json.dumps(result, ensure_ascii=False).encode("utf-8")


def peak(before: int) -> int:
    """The peak of resident memory in bytes, 0 while it is what was inherited from the server's
    fork."""
    now = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return now * RSS_UNIT if now > before else 0


def enter(cgroup: int) -> None:
    """Go into the cgroup whose list of processes this descriptor is; -1 for none."""
    if cgroup >= 0:
        with open(cgroup, "wb", buffering=0) as processes:
            processes.write(b"0")


def descriptors() -> "tuple[int, int, int]":
    """Where requests come from, where answers go and the pipe to the server, none of the others
    being 3. The fourth is used at once."""
    requests, answers, lifeline, cgroup = (int(argument) for argument in sys.argv[1:5])
    enter(cgroup)
    if requests == 3:
        requests = os.dup(requests)
    if lifeline == 3:
        lifeline = os.dup(lifeline)
    return requests, answers, lifeline


def main() -> None:
    """Serve until the server is gone."""
    requests, answers, lifeline = descriptors()
    os.dup2(answers, 3, inheritable=False)
    if answers != 3:
        os.close(answers)
    os.set_inheritable(requests, False)
    end_with_the_server(lifeline)
    limit_open_files()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sys.argv[:] = ["main__.py"]
    sys.path[0] = os.getcwd()  # not the folder of this file
    stdout, stderr = sys.stdout, sys.stderr
    if isinstance(stdout, TextIOWrapper):
        stdout.reconfigure(line_buffering=True, write_through=False)
    function = None
    with os.fdopen(requests, "rb") as lines:
        for line in lines:
            request = json.loads(line)
            if "init" in request:
                call = ""
                os.environ.update(request["init"]["env"])
                function, problem = load(request["init"])
                answer = json.dumps({"error": problem} if problem else {"ok": True}).encode()
            else:
                call = request["activation_id"]
                assert function is not None
                answer = run(function, request)
            stdout.flush()
            stderr.flush()
            write(b"%d#%s %s\n" % (peak(before), call.encode(), answer))


def write(data: bytes) -> None:
    """Write an answer, whole."""
    while data:
        data = data[os.write(3, data) :]


if __name__ == "__main__":
    main()
