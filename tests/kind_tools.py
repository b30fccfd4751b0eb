"""docker, kind, kubectl and helm as up.sh uses them, without a cluster: one script by all names.

It keeps what was made in a file, writes down every call, and does what the test says to go wrong.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SCRIPT = r"""
import json, os, sys
from pathlib import Path
tool, args, home = Path(sys.argv[0]).name, sys.argv[1:], Path(os.environ["FAKE_TOOLS"])
begun, state = (json.loads((home / "state.json").read_text()) for _ in range(2))
told = " ".join(args)
with (home / "calls").open("a") as calls:
    calls.write(tool + " " + told + "\n")
def done(text="", code=0):
    if state != begun:
        part = home / ("state.json." + str(os.getpid()))  # two of them may be in a pipe
        part.write_text(json.dumps(state))
        part.replace(home / "state.json")
    sys.stdout.write(text)
    sys.exit(code)
versions = {"docker": "28.0.0", "kind": "0.29.0", "helm": "v3.18.6"} | state["versions"]
if tool != "kubectl" and args[0] == "version":
    done(versions[tool])
if tool == "kubectl" and args[0] == "version":
    done("clientVersion:\n  gitVersion: " + state["versions"].get("kubectl", "v1.33.1") + "\n")
if tool == "docker" and args[0] == "info":
    done("16000000000\n" if "--format" in args else "", 0 if state["engine"] else 1)
if tool == "docker" and args[:2] == ["image", "ls"]:
    done("aowhisk/sample:0.1.0\naowhisk/sample:<none>\n")
if tool == "kind" and args[:2] == ["get", "clusters"]:
    done("".join(name + "\n" for name in state["clusters"]))
if tool == "kind" and args[:2] == ["create", "cluster"]:
    state["clusters"].append(args[args.index("--name") + 1])
    done()
if tool == "kind" and args[:2] == ["delete", "cluster"]:
    state["clusters"] = []
    done()
if tool == "helm" and args[0] == "pull":
    chart = Path(args[args.index("--untardir") + 1]) / "openwhisk"
    chart.mkdir(parents=True)
    (chart / "Chart.yaml").write_text("version: 1.0.1\n")
    (chart / "runtimes.json").write_text("{}")
    done()
if tool == "helm" and "status" in args and not state["release"]:
    done("", 1)
if tool == "helm" and "status" in args:
    done("NAME: owdev\nSTATUS: deployed\n")
if tool == "helm" and args[0] == "upgrade":
    state["release"] = True
    done("deployed\n")
if tool == "kubectl" and "create" in args:
    done(json.dumps({"kind": "Secret", "args": args}))
if tool == "kubectl" and args[0] == "apply" and args[-1] == "-":
    sys.stdin.read()
if tool == "kubectl" and ("wait" in args or "rollout" in args):
    left = state["unready"].get(args[-2], 0)
    if left:
        state["unready"][args[-2]] = left - 1
        done("error: timed out waiting for the condition\n", 1)
if tool == "kubectl" and "pods" in args:
    done(state["pods"])
if tool == "kubectl" and "events" in args:
    done("10s Normal Pulled x\n5s Warning Failed pod/mongodb-0 " + state["event"] + "\n")
if tool == "kubectl" and "logs" in args:
    done("the log of the container\n")
done()
"""


@dataclass
class Tools:
    """The tools in a folder; `state` goes to the next run."""

    folder: Path
    state: dict[str, Any]

    @classmethod
    def make(cls, folder: Path, **state: Any) -> Tools:
        folder.mkdir(parents=True)
        for name in ("docker", "kind", "kubectl", "helm"):
            path = folder / name
            path.write_text(f"#!{sys.executable}\n{SCRIPT}")
            path.chmod(0o755)
        begun = {
            "clusters": [],
            "engine": True,
            "event": "",
            "pods": "",
            "release": False,
            "unready": {},
            "versions": {},
        }
        return cls(folder, begun | state)

    @property
    def calls(self) -> list[str]:
        """What was called until now."""
        file = self.folder / "calls"
        return file.read_text().splitlines() if file.exists() else []

    def run(
        self, script: str, state: Path, *args: str, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a script of kind/ with them."""
        (self.folder / "state.json").write_text(json.dumps(self.state))
        done = subprocess.run(
            [str(ROOT / "kind" / script), *args],
            env=self._environ(state, environ),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        self.state = json.loads((self.folder / "state.json").read_text())
        return done

    def _environ(self, state: Path, environ: Mapping[str, str]) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AOWHISK", "KUBE", "WSK"))}
        return {
            **kept,
            "PATH": f"{self.folder}{os.pathsep}{os.environ['PATH']}",
            "FAKE_TOOLS": str(self.folder),
            "AOWHISK_CLUSTER_STATE": str(state),
            "AOWHISK_CLUSTER_ARCH": "x86_64",
            "AOWHISK_CLUSTER_PATIENCE": "60",
            "AOWHISK": "true",
            **environ,
        }
