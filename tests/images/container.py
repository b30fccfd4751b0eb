"""What runs inside OpenWhisk's Python container, without a container engine.

`Container` speaks HTTP as the runtime's proxy does (`/init`, `/run`; apache/openwhisk-runtime-go,
openwhisk/{initHandler,runHandler,executor}.go): it puts the code into a folder, starts the Python
that it was given with nothing but `__OW_*` and the init parameters in its environment, and passes
activations on as lines, whose answers come back over file descriptor 3.
"""

from __future__ import annotations

import ast
import base64
import io
import json
import os
import subprocess
import threading
import zipfile
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import HTTPError
from urllib.request import Request, urlopen

SENTINEL = "XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX"
LAUNCHER = """
import json, os, runpy, sys, traceback
if os.path.isdir("virtualenv"):
    runpy.run_path("virtualenv/bin/activate_this.py")
from main__ import {main} as action
answers = os.fdopen(3, "w", encoding="utf-8")
def answer(value):
    answers.write(json.dumps(value, ensure_ascii=False) + "\\n")
    answers.flush()
answer({{"ok": True}})
for line in sys.stdin:
    request = json.loads(line)
    for name, value in request.items():
        if name != "value":
            os.environ["__OW_" + name.upper()] = value
    try:
        result = action(request.get("value", {{}}))
    except Exception as error:
        traceback.print_exc()
        result = {{"error": str(error)}}
    sys.stdout.flush()
    sys.stderr.flush()
    answer(result)
"""


class Refused(Exception):
    """An answer other than 200: `status` and the proxy's `text`."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status
        self.text = text


class Container:
    """One container, listening on loopback while it is entered. `python` is the interpreter of the
    image, `environ` what the invoker gave the container."""

    def __init__(
        self, folder: Path, python: Path, environ: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder
        self._python = python
        self._environ = {k: v for k, v in (environ or {}).items() if k.startswith("__OW_")}
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: io.BufferedReader | None = None
        self._initialized = False
        self._one_by_one = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._end()

    def post(self, path: str, body: object) -> Any:
        """Send a request as the invoker does; the JSON of its answer. Raises Refused."""
        url = f"http://127.0.0.1:{self._server.server_port}{path}"
        data = json.dumps(body).encode()
        try:
            with urlopen(
                Request(url, data, {"Content-Type": "application/json"}), timeout=120
            ) as r:
                return json.load(r)
        except HTTPError as error:
            with error:
                raise Refused(error.code, json.load(error)["error"]) from None

    def init(self, code: str | bytes, main: str, **env: str) -> Any:
        """`/init` with a source or the bytes of a zip."""
        binary = isinstance(code, bytes)
        value = {
            "name": main,
            "main": main,
            "code": base64.b64encode(code).decode() if isinstance(code, bytes) else code,
            "binary": binary,
            "env": {"__OW_ACTION_NAME": f"/guest/{main}", "__OW_NAMESPACE": "guest", **env},
        }
        return self.post("/init", {"value": value})

    def run(self, args: Mapping[str, Any], activation: str = "a1") -> Any:
        """`/run` with these params."""
        facts = {
            "activation_id": activation,
            "action_name": "/guest/x",
            "deadline": "4102444800000",
        }
        return self.post("/run", {"value": args, "namespace": "guest", **facts})

    def logs(self, stream: str = "stdout") -> list[str]:
        """The lines of a stream until now."""
        return (self.folder / stream).read_text().splitlines()

    def _take_init(self, value: Mapping[str, Any]) -> object:
        if self._initialized:
            raise Refused(403, "Cannot initialize the action more than once.")
        if not value.get("code"):
            raise Refused(403, "Missing main/no code to execute.")
        if not self._place(value):
            raise Refused(
                502, "The action failed to generate or locate a binary. See logs for details."
            )
        self._start({**self._environ, **value["env"]})
        if self._answer() is None:
            self._end()
            raise Refused(502, "Cannot start action. Check logs for details.")
        self._initialized = True
        return {"ok": True}

    def _place(self, value: Mapping[str, Any]) -> bool:
        action = self.folder / "action"
        action.mkdir(exist_ok=True)
        if value["binary"]:
            with zipfile.ZipFile(io.BytesIO(base64.b64decode(value["code"]))) as archive:
                archive.extractall(action)
            if not (action / "__main__.py").exists():
                return False
            (action / "__main__.py").rename(action / "main__.py")
        else:
            (action / "main__.py").write_text(value["code"], encoding="utf-8")
        (action / "exec__.py").write_text(LAUNCHER.format(main=value["main"]), encoding="utf-8")
        try:
            ast.parse((action / "main__.py").read_bytes())
        except SyntaxError:
            return False
        return True

    def _start(self, env: Mapping[str, str]) -> None:
        reading, writing = os.pipe()
        command = f'exec "$0" exec__.py 3>&{writing} {writing}>&-'
        with (self.folder / "stdout").open("ab") as out, (self.folder / "stderr").open("ab") as err:
            self._process = subprocess.Popen(
                ["/bin/bash", "-c", command, str(self._python)],
                cwd=self.folder / "action",
                env={"PYTHONIOENCODING": "UTF-8", **env},
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=err,
                pass_fds=[writing],
            )
        os.close(writing)
        self._answers = os.fdopen(reading, "rb")

    def _answer(self) -> bytes | None:
        assert self._answers is not None
        return self._answers.readline() or None

    def _take_run(self, body: object) -> object:
        if self._process is None or self._process.stdin is None:
            raise Refused(500, "no action defined yet")
        with self._one_by_one:
            try:
                self._process.stdin.write(json.dumps(body).encode() + b"\n")
                self._process.stdin.flush()
                line = self._answer()
            except BrokenPipeError:
                line = None
            for stream in ("stdout", "stderr"):
                with (self.folder / stream).open("a") as file:
                    file.write(SENTINEL + "\n")
        if line is None:
            self._end()
            raise Refused(400, "command exited")
        result = json.loads(line)
        if not isinstance(result, dict | list | None):
            raise Refused(502, "The action did not return a dictionary or array.")
        return result

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
        if self._answers is not None:
            self._answers.close()
            self._answers = None


def _handler(container: Container) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                if self.path == "/init":
                    status, answer = 200, container._take_init(body["value"])
                else:
                    status, answer = 200, container._take_run(body)
            except Refused as error:
                status, answer = error.status, {"error": error.text}
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: a test prints nothing."""

    return Handler
