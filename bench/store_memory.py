"""What a large object costs: one upload and one download through the folder store and through S3.

Each in a process of its own; prints its peak RSS and MiB/s, and exits 1 where one needs more than
150 MiB. S3 is versitygw (tests/servers/install-servers.sh), started here.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from object_store import open_store

LIMIT = 150
MIB = 1024 * 1024
WITH_S3 = Path(__file__).parents[1] / "tests/servers/with-s3.sh"
TOOLS = Path(os.environ.get("TOOLS", Path.home() / ".cache/aowhisk-tools"))
WORK = ("upload", "download")


def peak() -> float:
    """MiB of this process at its largest."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MIB


def size_of(path: Path) -> int:
    return path.stat().st_size


async def transfer(url: str, work: str, path: Path) -> None:
    """One transfer in this process; prints its line."""
    async with open_store(url) as store:
        await store.exists("bench/warm")  # connects, so that the speed is the transfer's
        started = time.perf_counter()
        if work == "upload":
            await store.upload("bench/large", path)
        else:
            await store.download("bench/large", path)
        seconds = time.perf_counter() - started
    mib, kind = size_of(path) / MIB, url.partition("://")[0]
    line = f"{kind:<7} {work:<9} {mib:>6.0f} MiB {mib / seconds:>8.0f} MiB/s {peak():>6.0f} MiB RSS"
    print(line, flush=True)
    if peak() > LIMIT:
        raise SystemExit(f"{kind} {work} took more than {LIMIT} MiB of memory")


def both(url: str, folder: Path) -> int:
    """Upload, then download, each in a child; gives the number that failed."""
    failed = 0
    for work in WORK:
        file = folder / ("source" if work == "upload" else "copy")
        child = [sys.executable, __file__, "--url", url, "--work", work, "--file", str(file)]
        failed += subprocess.run(child, check=False).returncode != 0
    (folder / "copy").unlink(missing_ok=True)
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024, help="size of the object (1024)")
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--work", choices=WORK, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        asyncio.run(transfer(given.url, given.work, given.file))
        return 0
    if given.url:
        return both(given.url, given.file)
    with tempfile.TemporaryDirectory(prefix="store-memory-") as name:
        folder = Path(name)
        with (folder / "source").open("wb") as file:
            file.truncate(given.mib * MIB)
        failed = both(f"folder://{folder}/store", folder)
        if not list(TOOLS.glob("bin/versitygw-*")):
            print("s3      skipped: no versitygw; run tests/servers/install-servers.sh s3")
        else:
            this = [sys.executable, __file__, "--url", "s3://", "--file", name]
            failed += subprocess.run([str(WITH_S3), *this], check=False).returncode
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
