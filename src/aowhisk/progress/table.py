"""The table of a run's calls, and what was recovered in it."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from aowhisk.events.model import Cause
from aowhisk.progress.tally import CallTally, Rescue, Tally

__all__ = ["report", "table"]


def report(tally: Tally, console: Console | None = None) -> None:
    """Print the table of calls and, below it, why calls failed, and each recovery: what was lost
    and who ran again.

    `console` None means standard output.
    """
    out = Console() if console is None else console
    out.print(table(tally))
    lines = [
        f"{c.call} {'failed' if c.attempts else 'not started'}: {c.error}"
        for c in _sorted(tally)
        if c.error is not None
    ]
    lines += [line for rescue in tally.rescues for line in _lines(rescue, tally.run)]
    for line in lines:
        out.print(escape(line), highlight=False, soft_wrap=True)


def table(tally: Tally) -> Table:
    """One row a call: attempts, cold and warm starts, seconds in the cluster, bytes."""
    seconds = tally.seconds(tally.ended or tally.started or 0.0)
    title = f"{tally.name or 'run'} {tally.run}: {tally.state.value} in {seconds:.1f} s"
    made = Table(
        title=escape(title),
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    made.add_column("call", overflow="fold")
    for name in ("attempts", "cold/warm", "seconds", "read", "written"):
        made.add_column(name, justify="right", no_wrap=True)
    made.add_column("note", no_wrap=True)
    for call in _sorted(tally):
        made.add_row(*(escape(cell) for cell in _cells(call, tally.run)))
    return made


def _cells(call: CallTally, run: str) -> tuple[str, ...]:
    return (
        _name(f"{call.of}/{call.call}", run),
        str(call.attempts),
        f"{call.cold}/{call.warm}",
        f"{call.seconds:.2f}",
        decimal(call.read) if call.read else "-",
        decimal(call.written) if call.written else "-",
        _note(call),
    )


def _sorted(tally: Tally) -> list[CallTally]:
    """The calls by node, in the order in which nodes began, and by item."""
    nodes: dict[str, int] = {}

    def place(call: CallTally) -> tuple[int, int]:
        node, _, item = call.call.partition(".")
        return nodes.setdefault(f"{call.of}/{node}", len(nodes)), int(item) if item.isdigit() else 0

    return sorted(tally.calls, key=place)


def _note(call: CallTally) -> str:
    notes = {
        Cause.RETRY: "retried",
        Cause.RERUN: "re-run",
        Cause.RECOVERY: "recovery",
        Cause.LOST: "sent again",
    }
    said = [text for cause, text in notes.items() if call.causes[cause]]
    if call.error is not None:
        said.insert(0, "failed" if call.attempts else "not started")
    elif not call.done:
        said.insert(0, "running" if call.open else "waiting")
    return ", ".join(said)


def _lines(rescue: Rescue, run: str) -> list[str]:
    lost = _several(rescue.lost)
    if rescue.reason is not None:
        return [f"not recovered for {rescue.call}: {lost} ({rescue.reason})"]
    took = "" if rescue.seconds is None else f" in {rescue.seconds:.2f} s"
    if not rescue.steps:
        return [f"recovered for {rescue.call}{took}: {lost} was back by itself"]
    lines = [f"recovered for {rescue.call}{took}: {lost} was missing"]
    for writer, keys in rescue.steps:
        lines.append(f"  {_name(writer, run)} ran again and wrote {_several(keys)}")
    return lines


def _name(call: str, run: str) -> str:
    """The id of a call, with its run only where that is another one."""
    return call.removeprefix(f"{run}/")


def _several(keys: tuple[str, ...]) -> str:
    if len(keys) <= 3:
        return ", ".join(keys)
    return f"{keys[0]} and {len(keys) - 1} more objects"
