"""Starts it on a free port of this machine and says which, until its standard input is closed."""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys

from bench.standin.door import Door
from bench.standin.whisk import Whisk


async def _serve(concurrent: int | None) -> None:
    loop = asyncio.get_running_loop()
    whisk = Whisk(concurrent=concurrent)
    server = await loop.create_server(lambda: Door(whisk), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


def main() -> None:
    """Parse, start, serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--concurrent", type=int)
    given = parser.parse_args()
    gc.freeze()
    gc.set_threshold(100_000, 50, 1000)
    asyncio.run(_serve(given.concurrent))


if __name__ == "__main__":
    main()
