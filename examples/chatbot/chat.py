"""Talk to the chatbot: `python examples/chatbot/chat.py "tell me a joke"`.

It is trained first where that was not done; what was lost of it since is made again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from bot import Bot
from flow import Training, has_told, orchestrator_of, parser, quality, shown, training

from aowhisk import Orchestrator
from aowhisk.progress import Progress


async def chat(wanted: Training, options: argparse.Namespace) -> None:
    """Print an answer to each of the texts."""
    with Progress() as progress:
        async with orchestrator_of(options) as orchestrator:
            run = await wanted.run(orchestrator, progress)
            for name in options.lose:
                await _lose(orchestrator, f"chatbot/{run.id}/", name)
            bot = Bot(orchestrator, run)
            plan = await bot.check()
            answers = [await bot.answer(text) for text in options.text]
    if has_told(progress, run):
        print(quality(run))
    if plan or options.lose:
        print(plan.describe())
    for text, answer in zip(options.text, answers, strict=True):
        sure = "" if answer.is_sure else ", not sure"
        print(f"you: {text}\nbot: {answer.reply}\n     ({answer.intent}{sure})")


async def _lose(orchestrator: Orchestrator, prefix: str, name: str) -> None:
    """Delete an object of the run; with the name "all", every one."""
    assert orchestrator.store is not None
    found = [info.key async for info in orchestrator.store.list(prefix)]
    gone = found if name == "all" else [key for key in found if key == prefix + name]
    for key in gone:
        await orchestrator.store.delete(key)
    if not gone:
        print(f"nothing was lost: there is no {prefix}{name}; there are: {', '.join(found)}")


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code."""
    made = parser("Talk to the chatbot; train it first where that was not done.")
    made.add_argument("text", nargs="+", metavar="TEXT", help="what you say")
    made.add_argument(
        *("--lose", "-l"),
        action="append",
        default=[],
        metavar="NAME",
        help="delete this object before it answers, such as model.npz; all for every one",
    )
    options = made.parse_args(argv)
    wanted = training(options, made)
    return shown(lambda: chat(wanted, options))


if __name__ == "__main__":
    sys.exit(main())
