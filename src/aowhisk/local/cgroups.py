"""Memory cgroups: where the kernel lets us, it holds each container to its limit."""

from __future__ import annotations

import os
import re
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Cgroup", "Cgroups"]

_PREFIX = "aowhisk-"
_KILLED = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)
_PATIENCE = 1.0  # seconds for the kernel to let go of what has ended


@dataclass(frozen=True, slots=True)
class _Files:
    """What the files of one version of cgroups are called, and what else is written there."""

    limit: str
    events: str
    also: tuple[tuple[str, str], ...]


_V1 = _Files("memory.limit_in_bytes", "memory.oom_control", (("memory.memsw.limit_in_bytes", ""),))
_V2 = _Files("memory.max", "memory.events", (("memory.swap.max", "0"), ("memory.oom.group", "1")))


class Cgroup:
    """The cgroup of one container. A process that writes "0" to `entrance`, a file descriptor,
    goes in, and so is all that it starts."""

    def __init__(self, folder: Path, files: _Files) -> None:
        self._folder = folder
        self._files = files
        folder.mkdir()
        self.entrance = os.open(folder / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)

    def limit(self, size: int) -> None:
        """From now on there are `size` bytes for them all; over that the kernel kills."""
        (self._folder / self._files.limit).write_text(str(size))
        for name, value in self._files.also:  # not every kernel has them
            with suppress(OSError):
                (self._folder / name).write_text(value or str(size))

    @property
    def has_killed(self) -> bool:
        """Whether the limit has cost a process its life."""
        try:
            found = _KILLED.search((self._folder / self._files.events).read_text())
        except OSError:
            return False
        return found is not None and found[1] != "0"

    def close(self) -> None:
        """Nobody else goes in."""
        if self.entrance >= 0:
            os.close(self.entrance)
            self.entrance = -1

    def remove(self) -> None:
        """Take it away, once all that was in it has ended."""
        self.close()
        deadline = time.monotonic() + _PATIENCE
        while not _removed(self._folder) and time.monotonic() < deadline:
            time.sleep(0.01)  # noqa: TID251  (in a thread of its own)


class Cgroups:
    """Makes a cgroup for each container, below `folder`."""

    def __init__(self, folder: Path, files: _Files) -> None:
        self._folder = folder
        self._files = files

    @classmethod
    def here(cls, proc: Path = Path("/proc/self")) -> Cgroups | None:
        """For the containers of this process; None where it may not have any."""
        found = _place(proc)
        if found is None:
            return None
        own, files = found
        folder: Path | None = None
        try:
            if files is _V2:
                own = _delegated(own)
            _sweep(own)
            folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=own))
            if files is _V2:
                (folder / "cgroup.subtree_control").write_text("+memory")
            made = cls(folder, files)
            trial = made.new("trial")
            try:
                trial.limit(1 << 30)
            finally:
                trial.remove()
        except OSError:
            if folder is not None:
                _removed(folder)
            return None
        return made

    def new(self, name: str) -> Cgroup:
        """One more, without a limit yet; raises OSError."""
        return Cgroup(self._folder / name, self._files)

    def remove(self) -> None:
        """Take everything away."""
        _removed(self._folder)


def _place(proc: Path) -> tuple[Path, _Files] | None:
    """The cgroup that this process is in, of the version that looks after memory."""
    try:
        mounts = [line.split() for line in (proc / "mountinfo").read_text().splitlines()]
        paths = [line.split(":", 2) for line in (proc / "cgroup").read_text().splitlines()]
    except OSError:
        return None
    for wanted, files in (("cgroup", _V1), ("cgroup2", _V2)):
        for mount in mounts:
            kind, options = mount[mount.index("-") + 1], mount[-1].split(",")
            if kind != wanted or (files is _V1 and "memory" not in options):
                continue
            for _, controllers, path in paths:
                is_it = "memory" in controllers.split(",") if files is _V1 else not controllers
                if is_it:
                    inside = path.removeprefix("" if mount[3] == "/" else mount[3]).lstrip("/")
                    return Path(mount[4]) / inside, files
    return None


def _delegated(own: Path) -> Path:
    """`own` with the memory of what is below it looked after, which takes that nothing runs in it
    itself: where this process is all there is, it moves on by one."""
    control = own / "cgroup.subtree_control"
    if "memory" not in control.read_text().split():
        if (own / "cgroup.procs").read_text().split() == [str(os.getpid())]:
            leaf = own / f"{_PREFIX}server"
            leaf.mkdir(exist_ok=True)
            (leaf / "cgroup.procs").write_text("0")
        control.write_text("+memory")
    return own


def _sweep(own: Path) -> None:
    """Take away what servers that were killed have left."""
    for folder in own.glob(f"{_PREFIX}*-*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdigit() and not Path("/proc", pid).exists():
            _removed(folder)


def _removed(folder: Path) -> bool:
    """Whether a cgroup, and what is below it, is gone now; its files go with it."""
    try:
        for inside in folder.iterdir():
            if inside.is_dir():
                _removed(inside)
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
