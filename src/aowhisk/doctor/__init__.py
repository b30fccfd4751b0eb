"""`examine`: is everything there that a run needs, one check after the other.

A check never changes what it looks at, but for one object in the store and, if asked, one action,
which it takes away again.
What it finds holds no secret.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import anyio

from aowhisk.config import Survey
from aowhisk.doctor.finding import Finding, State, failed, ok, refused, skipped
from aowhisk.doctor.invocation import check_invocation
from aowhisk.doctor.keeping import check_journal, check_store
from aowhisk.doctor.namespace import IMAGE, check_kinds, check_limits
from aowhisk.doctor.needs import OLDEST_PYTHON, Needs
from aowhisk.doctor.network import check_host, check_tls
from aowhisk.doctor.server import check_clock, check_key, check_openwhisk
from aowhisk.doctor.subject import Subject
from aowhisk.errors import AowhiskError, ConfigError, OpenWhiskError

__all__ = ["CHECKS", "IMAGE", "OLDEST_PYTHON", "Check", "Finding", "Needs", "State", "examine"]

PATIENCE = 30.0
"""Seconds that one check may take."""


@dataclass(frozen=True, slots=True)
class Check:
    """One question. It is not asked where one of those it is `after` failed or was not asked."""

    name: str
    run: Callable[[Subject], Awaitable[Finding]]
    after: tuple[str, ...] = ()
    patience: float = PATIENCE


async def check_settings(subject: Subject) -> Finding:
    """Is every setting there and of the right form."""
    survey = subject.survey
    wrong = [refused(problem) for problem in survey.problems.values()]
    if wrong:
        todo = "; ".join(each.todo for each in wrong if each.todo) or "correct it"
        return failed("; ".join(each.found for each in wrong), todo)
    where = ", ".join(f"{name} from {source}" for name, source in survey.sources.items())
    return ok(where, sources=dict(survey.sources))


CHECKS = (
    Check("settings", check_settings),
    Check("host", check_host),
    Check("tls", check_tls, after=("host",)),
    Check("openwhisk", check_openwhisk, after=("host", "tls")),
    Check("key", check_key, after=("openwhisk",)),
    Check("clock", check_clock, after=("openwhisk",)),
    Check("limits", check_limits, after=("key",)),
    Check("kinds", check_kinds, after=("openwhisk",)),
    Check("invoke", check_invocation, after=("key", "kinds"), patience=150.0),
    Check("store", check_store),
    Check("journal", check_journal),
)
"""In the order in which they are asked; `after` names earlier ones."""


async def examine(
    survey: Survey,
    *,
    needs: Needs | None = None,
    invoke: bool = False,
    patience: float | None = None,
) -> AsyncIterator[tuple[str, Finding]]:
    """Ask every check and give each finding as soon as it is there, with the check's name.

    `needs` None are those of the examples. `invoke`: make an action, run and delete it. A check
    that takes longer than `patience` seconds (None: its own) has failed. Iterate to the end, or
    close it: a client may be open.
    """
    async with AsyncExitStack() as stack:
        subject = Subject(survey, needs or Needs(), stack, invoke)
        passed: dict[str, bool] = {}
        for check in CHECKS:
            missing = [name for name in check.after if not passed[name]]
            if missing:
                found = skipped(f"needs {missing[0]}")
            else:
                found = await _ask(check, subject, patience or check.patience)
            wrong = found.state is State.FAILED or bool(missing)
            passed[check.name] = not wrong
            yield check.name, found


async def _ask(check: Check, subject: Subject, patience: float) -> Finding:
    try:
        with anyio.fail_after(patience):
            return await check.run(subject)
    except (ConfigError, OpenWhiskError) as error:
        return refused(error)
    except AowhiskError as error:
        return failed(str(error), "see the message")
    except TimeoutError:
        return failed(
            f"no answer within {patience:g} s", "look at the server's own log, and at the network"
        )
