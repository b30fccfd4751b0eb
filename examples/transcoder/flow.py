"""Make a film smaller on the OpenWhisk inside aowhisk: `python examples/transcoder/flow.py --help`.

On the way one encoded piece is lost on purpose: watch its writer, and nothing else, run again.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from clip import find_clip

from aowhisk import AowhiskError, Dag, Orchestrator, RetryPolicy, RunFailed, item
from aowhisk.local import Lose
from aowhisk.progress import Progress, report
from object_store import StoreError

HERE = Path(__file__).resolve().parent
RESOLUTIONS = ("144p", "240p", "360p", "480p", "720p", "1080p", "1440p", "2160p")


def transcoding(video: str, chunks: int = 5, resolution: str = "360p", concurrency: int = 4) -> Dag:
    """Split `video`, an object of the bucket input-video; encode its pieces at once; join them."""
    dag = Dag("video-transcoding")
    split = dag.call("splitter", {"input": video, "num_chunks": chunks})
    encode = dag.map(
        "transcoder",
        {"input": item, "resolution": resolution},
        over=split["splits"],
        concurrency=concurrency,
    )
    dag.call("combiner", {"input": encode["output_file"]}, retry=RetryPolicy(retries=5))
    return dag


async def transcode(options: argparse.Namespace) -> Path:
    """Run the dag on a film of this machine and copy the result out of the store."""
    faults = [] if options.lose is None else [Lose(call=f"transcoder.{options.lose}")]
    with Progress() as progress:
        async with Orchestrator.local(
            HERE / "manifest.yaml", root=options.root, faults=faults, sinks=[progress]
        ) as orchestrator:
            await orchestrator.store.upload(f"input-video/{options.video.name}", options.video)
            dag = transcoding(
                options.video.name, options.chunks, options.resolution, options.concurrency
            )
            try:
                run = await orchestrator.run(dag)
            except RunFailed as failed:
                report(progress.tally(failed.run.id))
                raise
            await orchestrator.store.download(run["combiner"]["output_file"], options.output)
    tally = progress.tally(run.id)
    report(tally)
    if run["combiner"]["left_out"]:
        print(f"so damaged that they are left out: {run['combiner']['left_out']} pieces")
    if options.lose is not None and not tally.rescues:
        print(f"nothing was lost: there is no piece {options.lose}")
    return options.output


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Make a film smaller, in pieces, on the OpenWhisk inside aowhisk."
    )
    add = parser.add_argument
    add("video", nargs="?", type=Path, metavar="VIDEO", help="a film; the default is a short clip")
    add("--chunks", type=int, default=5, help="pieces of picture to cut it into (%(default)s)")
    add("--resolution", choices=RESOLUTIONS, default="360p", help="lines (%(default)s)")
    add("--concurrency", type=int, default=4, help="pieces encoded at once (%(default)s)")
    lose = parser.add_mutually_exclusive_group()
    lose.add_argument("--lose", type=int, default=1, metavar="N", help="lose piece N (%(default)s)")
    lose.add_argument("--no-lose", dest="lose", action="store_const", const=None, help="lose none")
    add("--root", type=Path, default=Path(".aowhisk"), help="where objects lie (%(default)s)")
    add("--output", type=Path, help="where the film goes (./NAME-RESOLUTION.mp4)")
    return parser


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; says what is wrong with it and exits with 2."""
    parser = _parser()
    options = parser.parse_args(argv)
    try:
        options.video = find_clip() if options.video is None else options.video
    except FileNotFoundError as problem:
        parser.error(str(problem))
    if not options.video.is_file():
        parser.error(f"there is no film {options.video}")
    if not 1 <= options.chunks <= 256:
        parser.error(f"--chunks is {options.chunks}; it must be from 1 to 256")
    if options.concurrency < 1:
        parser.error(f"--concurrency is {options.concurrency}; it must be 1 or more")
    if options.output is None:
        options.output = Path(f"{options.video.stem}-{options.resolution}.mp4")
    options.output = options.output.resolve()
    if options.output == options.video.resolve():
        parser.error(f"--output is the film itself, {options.output}; name another file")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0, or 1 where the run failed."""
    options = arguments(argv)
    if importlib.util.find_spec("av") is None:
        print("the actions need PyAV; get it with: python -m pip install av", file=sys.stderr)
        return 1
    try:
        film = asyncio.run(transcode(options))
    except (AowhiskError, StoreError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(f"the film: {film}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
