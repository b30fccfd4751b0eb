"""How the process of a container is started, and what connects it with the server."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aowhisk.local.cgroups import Cgroup, Cgroups
from aowhisk.local.runtimes import Runtime

__all__ = ["Launch", "Started"]


@dataclass(frozen=True, slots=True)
class Started:
    """A process, and our ends of its pipes: requests go in, answers and what it logs come out;
    where the lifeline is closed, it ends."""

    process: subprocess.Popen[bytes]
    requests: int
    answers: int
    lifeline: int
    stdout: int
    stderr: int


@dataclass(frozen=True, slots=True)
class Launch:
    """How containers are started: their environment, the folder that gets one folder for each,
    where the kernel takes care of their memory (None: it does not)."""

    environ: Mapping[str, str]
    folder: Path
    cgroups: Cgroups | None = None

    def start(self, runtime: Runtime, folder: Path, mark: str, cgroup: Cgroup | None) -> Started:
        """A process of `runtime` in `folder`, with `mark` (NAME=value) in its environment, in a
        session and a `cgroup` of its own.

        In this thread and not in another: starting takes a millisecond or two, and no thread's end
        can be taken for ours."""
        name, _, value = mark.partition("=")
        theirs_in, requests = os.pipe()
        answers, theirs_out = os.pipe()
        lifeline, our_lifeline = os.pipe()
        stdout, theirs_stdout = os.pipe()
        stderr, theirs_stderr = os.pipe()
        theirs = [theirs_in, theirs_out, lifeline]
        entrance = [] if cgroup is None else [cgroup.entrance]
        try:
            process = subprocess.Popen(
                [*runtime.command, *map(str, [*theirs, *(entrance or [-1])]), *runtime.arguments],
                stdin=subprocess.DEVNULL,
                stdout=theirs_stdout,
                stderr=theirs_stderr,
                pass_fds=[*theirs, *entrance],
                cwd=folder,
                env={**self.environ, **dict(runtime.environ), name: value},
                start_new_session=True,
            )
        except BaseException:
            for fd in (requests, answers, our_lifeline, stdout, stderr):
                os.close(fd)
            raise
        finally:
            for fd in (*theirs, theirs_stdout, theirs_stderr):
                os.close(fd)
            if cgroup is not None:
                cgroup.close()
        return Started(process, requests, answers, our_lifeline, stdout, stderr)
