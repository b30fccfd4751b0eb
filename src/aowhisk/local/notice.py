"""Tells other programs where a local OpenWhisk is, in files that only their owner can read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aowhisk.errors import ConfigError

__all__ = ["Notice"]


@dataclass(frozen=True, slots=True)
class Notice:
    """Where it is, and the namespace and key (`user:secret`) to use."""

    url: str
    namespace: str
    auth: str = field(repr=False)

    def write_wskprops(self, file: Path) -> None:
        """Put APIHOST and AUTH into `file`, whose other lines stay; raises ConfigError."""
        try:
            lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        except (OSError, UnicodeDecodeError) as problem:
            raise ConfigError(f"cannot read {file}: {problem}") from problem
        ours = {"APIHOST": self.url, "AUTH": self.auth}
        kept = [line for line in lines if line.partition("=")[0].strip() not in ours]
        _write(file, [*kept, *(f"{name}={value}" for name, value in ours.items())])

    @contextmanager
    def remove_after(self, file: Path | None) -> Iterator[None]:
        """`file`, which `write_ready` may write in the block, is not there before and after it."""
        if file is None:
            yield
            return
        file.unlink(missing_ok=True)
        try:
            yield
        finally:
            file.unlink(missing_ok=True)

    def write_ready(self, file: Path) -> None:
        """Write `file`, whole or not at all: `url`, `auth`, `namespace` and `pid` as JSON."""
        told = {
            "url": self.url,
            "auth": self.auth,
            "namespace": self.namespace,
            "pid": os.getpid(),
        }
        _write(file, [json.dumps(told)])


def _write(file: Path, lines: list[str]) -> None:
    # A link (as ~/.wskprops may be one) stays a link.
    target = Path(os.path.realpath(file))
    part = target.with_name(f"{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as text:
            text.write("\n".join(lines) + "\n")
        part.replace(target)
    except OSError as problem:
        raise ConfigError(f"cannot write {file}: {problem}") from problem
