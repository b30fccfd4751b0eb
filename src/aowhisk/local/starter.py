"""Starts what is no Python inside a "container": takes the request that initialises the action,
puts its code into this folder, and becomes the program that runs it.

Started like worker.py, by the same rules. With a command after the file descriptors it becomes that
(Node.js with its worker, which reads the request again from a file); without one, the `exec` of the
action, which speaks OpenWhisk's ActionLoop protocol: requests on 0, answers on 3.
"""

import base64
import json
import os
import sys
import tempfile
import zipfile

import worker  # type: ignore[import-not-found]  # the file beside this one

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

NO_COMPILER = (
    "This local OpenWhisk has no compiler for this kind: give it an executable, or a zip with one "
    "that is named exec, built for this machine."
)
MAGIC = (b"\x7fELF", b"#!", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")  # Linux, scripts, macOS
ZIP = b"PK\x03\x04"
EXECUTION_ENV = "__OW_EXECUTION_ENV"


class Problem(Exception):
    """The action cannot be started; its text is the answer."""


def first_line(requests: int) -> bytes:
    """The request that initialises; there is no other before it is answered."""
    chunks: list[bytes] = []
    while not chunks or not chunks[-1].endswith(b"\n"):
        chunks.append(os.read(requests, 1 << 20))
        if not chunks[-1]:
            sys.exit(0)
    return b"".join(chunks)


def place_executable(code: str, binary: bool) -> None:
    """Put the action here as `exec`, as openwhisk-runtime-go does."""
    if not code:
        raise Problem(worker.NO_CODE)
    try:
        data = base64.b64decode(code) if binary else code.encode("utf-8")
        if data.startswith(ZIP):
            worker.unpack(data)
        else:
            with open("exec", "wb") as file:
                file.write(data)
        with open("exec", "rb") as file:
            executable = file.read(4).startswith(MAGIC)
    except (ValueError, OSError, zipfile.BadZipFile) as problem:
        sys.stderr.write(f"{problem}\n")
        raise Problem(worker.NO_BINARY) from None
    if not executable:
        sys.stderr.write(NO_COMPILER + "\n")
        raise Problem(worker.NO_BINARY)
    os.chmod("exec", os.stat("exec").st_mode | 0o755)


def become_executable(init: "dict[str, Any]", requests: int, answers: int) -> "NoReturn":
    """Be the action's own program. One that was compiled for an image gets the name of it."""
    place_executable(init["code"], init["binary"])
    if os.path.exists("exec.env"):
        with open("exec.env") as file:
            os.environ[EXECUTION_ENV] = file.read().strip()
    os.dup2(requests, 0)
    os.dup2(answers, 3)
    for fd in {requests, answers} - {0, 3}:
        os.set_inheritable(fd, False)
    try:
        os.execv("./exec", ["./exec"])
    except OSError as problem:
        sys.stderr.write(f"exec: {problem.strerror}\n")
        raise Problem(worker.NO_START) from None


def become(command: "list[str]", init: "dict[str, Any]", requests: int, answers: int) -> "NoReturn":
    """Be `command`, with the request in a file; what is packed is unpacked here."""
    if init["binary"]:
        try:
            worker.unpack(base64.b64decode(init["code"]))
        except (ValueError, OSError, zipfile.BadZipFile):
            init["problem"] = "There was an error uncompressing the action archive."
        init["code"] = init["code"] and "unpacked"
    with tempfile.TemporaryFile() as file:
        file.write(json.dumps(init).encode())
        file.seek(0)
        os.set_inheritable(file.fileno(), True)
        os.execv(command[0], [*command, str(requests), str(answers), str(file.fileno())])


def main() -> None:
    """Wait for the request, and become."""
    requests, answers, lifeline = worker.descriptors()
    worker.end_with_the_server(lifeline)
    worker.limit_open_files()
    os.set_inheritable(lifeline, True)  # the pipe's other end is what matters, and it is kept open
    init = json.loads(first_line(requests))["init"]
    os.environ.update(init["env"])
    try:
        if len(sys.argv) > 5:
            become(sys.argv[5:], init, requests, answers)
        else:
            become_executable(init, requests, answers)
    except Problem as problem:
        sys.stderr.flush()
        os.write(answers, b"0 %s\n" % json.dumps({"error": str(problem)}).encode())
        os._exit(1)


if __name__ == "__main__":
    main()
