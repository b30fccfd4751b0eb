"""Carries out a plan. Everything it sends can be sent again: whoever was cut short starts anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby

import anyio

from aowhisk.client import ActionLimits as Limits
from aowhisk.client import Client, Code
from aowhisk.deploy.entity import MARK, Kind
from aowhisk.deploy.step import Operation, Plan, Step
from aowhisk.errors import (
    ActivationFailed,
    AowhiskError,
    DeployError,
    DeployFailed,
    Forbidden,
    NotFound,
    OpenWhiskError,
    Unauthorized,
    Unreachable,
)
from aowhisk.manifest import (
    ActionSpec,
    BindingSpec,
    PackageSpec,
    RuleSpec,
    SequenceSpec,
    TriggerSpec,
)
from aowhisk.models import JSON

__all__ = ["Progress", "apply"]

Progress = Callable[[Step, AowhiskError | None], None]
"""Told of each step as soon as it is done, with its error if it failed."""
_TRIES = 6
_PAUSE = 0.2  # seconds, doubled from try to try
_PASSING = ("Concurrent modification", "not empty")  # 409s that another try can help
_ALONE = {Kind.SEQUENCE, Kind.RULE}
"""Kinds of which one comes after the other: sequences are made of sequences, and the rules of a
trigger are kept in it."""
_REMOVALS = (Operation.DELETE, Operation.RELEASE)
_STD = {"timeout": 60_000, "memory": 256, "logs": 10, "concurrency": 1}
"""What OpenWhisk gives where nothing is asked (ENT/TimeLimit.scala and its neighbours)."""
_CODE = {"kind", "image", "main", "code", "components"}


async def apply(
    client: Client, plan: Plan, *, concurrency: int = 8, progress: Progress | None = None
) -> None:
    """Do what the plan says, `concurrency` entities at a time.

    Where something fails, what does not depend on it is still done; then DeployFailed, which names
    all of it. A run that failed or was killed leaves nothing that the next one has to be told of.
    """
    doing = _Doing(client, plan, progress)
    for (_, kind), steps in groupby(plan.work, key=_phase):
        await doing.all(list(steps), 1 if kind in _ALONE else concurrency)
    if doing.failures:
        raise doing.failure()


def _phase(step: Step) -> tuple[bool, Kind]:
    return step.operation in _REMOVALS, step.kind


class _Doing:
    def __init__(self, client: Client, plan: Plan, progress: Progress | None) -> None:
        self._client = client
        self._plan = plan
        self._progress = progress
        self._undone: list[Step] = []
        self._left: list[str] = []
        self._is_cut_off = False
        self.failures: dict[str, AowhiskError] = {}

    async def all(self, steps: Sequence[Step], concurrency: int) -> None:
        """The steps of one phase."""
        slots = anyio.Semaphore(concurrency)

        async def one(step: Step) -> None:
            async with slots:
                error = self._obstacle(step) or await self._attempt(step)
            if error is not None:
                self._undone.append(step)
            if isinstance(error, DeployError):
                self._left.append(str(step))
            elif error is not None:
                self.failures[str(step)] = error
                self._is_cut_off |= isinstance(error, Unreachable | Unauthorized)
            if self._progress is not None and not (
                self._is_cut_off and isinstance(error, DeployError)
            ):
                self._progress(step, error)

        async with anyio.create_task_group() as group:
            for step in steps:
                group.start_soon(one, step)

    def _obstacle(self, step: Step) -> DeployError | None:
        """Why it is not even tried: the server is gone, it needs what failed, or it would remove
        what nothing is there for yet."""
        if self._is_cut_off:
            return DeployError("not tried, for the server cannot be reached")
        is_removal = step.operation in _REMOVALS
        for other in self._undone:
            if is_removal and other.operation not in _REMOVALS:
                return DeployError(f"not removed, for {other} could not be done")
            if step.needs(other, self._plan.namespace):
                return DeployError(f"not tried, for it needs {other}")
        return None

    def failure(self) -> DeployFailed:
        """What could not be done."""
        said = "; ".join(map(str, self.failures.values()))
        more = [f"and {len(self._left) - 5} more"] if len(self._left) > 5 else []
        left = f"; not tried: {', '.join([*self._left[:5], *more])}" if self._left else ""
        return DeployFailed(
            f"{len(self.failures)} of {len(self._plan.work)} could not be done: {said}{left}; the "
            "others are done, and the next run goes on from there",
            failures=self.failures,
            left=self._left,
        )

    async def _attempt(self, step: Step) -> AowhiskError | None:
        pause = _PAUSE
        for left in reversed(range(_TRIES)):
            try:
                await self._do(step, again=left < _TRIES - 1)
            except (OpenWhiskError, ActivationFailed) as error:
                passing = isinstance(error, OpenWhiskError) and (
                    error.can_retry or any(text in str(error) for text in _PASSING)
                )
                if not left or not passing:
                    return error
            else:
                return None
            await anyio.sleep(pause)
            pause *= 2
        return None

    async def _do(self, step: Step, *, again: bool) -> None:
        match step.operation:
            case Operation.DELETE:
                await self._delete(step)
            case Operation.RELEASE:
                await self._release(step)
            case _:
                # what someone else has made meanwhile is not ours to write over; a lost answer is
                overwrite = again or step.operation is not Operation.CREATE
                await self._put(step, overwrite)

    async def _put(self, step: Step, overwrite: bool) -> None:
        assert step.wanted is not None
        wanted, client = step.wanted, self._client
        annotations = {**wanted.spec.annotations, MARK: wanted.mark.to_json()}
        match wanted.spec:
            case PackageSpec() as package:
                await client.packages.put(
                    wanted.name,
                    parameters=package.parameters,
                    annotations=annotations,
                    publish=package.publish,
                    overwrite=overwrite,
                )
            case BindingSpec() as binding:
                await client.packages.put(
                    wanted.name,
                    parameters=binding.parameters,
                    annotations=annotations,
                    binding=binding.target,
                    overwrite=overwrite,
                )
            case ActionSpec() as action:
                await self._put_action(step, action, annotations, overwrite)
            case SequenceSpec() as sequence:
                await self._put_sequence(step, sequence, annotations, overwrite)
            case TriggerSpec() as trigger:
                await self._put_trigger(step, trigger, annotations, overwrite)
            case RuleSpec() as rule:
                await client.rules.put(
                    wanted.name,
                    trigger=rule.trigger,
                    action=rule.action,
                    annotations=annotations,
                    overwrite=overwrite,
                )
                await client.rules.enable(wanted.name)

    async def _put_action(
        self, step: Step, spec: ActionSpec, annotations: dict[str, JSON], overwrite: bool
    ) -> None:
        assert step.wanted is not None
        changed = {change.field for change in step.changes}
        is_new = step.present is None or not step.changes or changed & _CODE
        kind = spec.kind if spec.image is None else "blackbox"
        code = Code(kind, spec.code or None, spec.main, spec.image, binary=spec.binary)
        limits = {name: _STD[name] for name in _limits_before(step)} | spec.limits.to_json()
        timeout = limits.get("timeout")
        await self._client.actions.put(
            spec.name,
            code if is_new else None,
            limits=Limits(
                None if timeout is None else timeout / 1000,
                limits.get("memory"),
                limits.get("logs"),
                limits.get("concurrency"),
            ),
            parameters=spec.parameters,
            init_parameters=step.wanted.init,
            annotations=annotations | _reset(step),
            drop_annotations=_dropped(step),
            overwrite=overwrite,
        )

    async def _put_sequence(
        self, step: Step, spec: SequenceSpec, annotations: dict[str, JSON], overwrite: bool
    ) -> None:
        """OpenWhisk forgets to drop annotations where components are given, so that comes first."""
        put, dropped = self._client.actions.put, _dropped(step)
        if dropped:
            await put(spec.name, drop_annotations=dropped, overwrite=True)
        await put(
            spec.name,
            Code.sequence(*spec.components),
            annotations=annotations | _reset(step),
            overwrite=overwrite,
        )

    async def _put_trigger(
        self, step: Step, spec: TriggerSpec, annotations: dict[str, JSON], overwrite: bool
    ) -> None:
        """A trigger with a feed is whole only when the feed knows it: until then its mark says that
        it was cut short."""
        assert step.wanted is not None
        put, mark = self._client.triggers.put, step.wanted.mark
        old = step.present.fields.get("annotations.feed") if step.present else None
        told = step.present.mark if step.present else None
        knows = told is not None and told.hash is not None and told.feed == mark.feed
        if old is not None and not (knows and step.changes):
            await self._forget(str(old), spec.name)
        if spec.feed is None:
            await put(
                spec.name, parameters=spec.parameters, annotations=annotations, overwrite=overwrite
            )
            return
        annotations["feed"] = spec.feed
        if not (knows and step.changes):
            begun = {**annotations, MARK: replace(mark, hash=None).to_json()}
            await put(spec.name, parameters={}, annotations=begun, overwrite=overwrite)
            await self._client.feeds.create(spec.feed, spec.name, spec.parameters)
        await put(spec.name, parameters={}, annotations=annotations, overwrite=True)

    async def _delete(self, step: Step) -> None:
        client = self._client
        try:
            match step.kind:
                case Kind.PACKAGE | Kind.BINDING:
                    await client.packages.delete(step.name)
                case Kind.ACTION | Kind.SEQUENCE:
                    await client.actions.delete(step.name)
                case Kind.TRIGGER:
                    feed = step.present.fields.get("annotations.feed") if step.present else None
                    if feed is not None:
                        await self._forget(str(feed), step.name)
                    await client.triggers.delete(step.name)
                case Kind.RULE:
                    await client.rules.delete(step.name)
        except NotFound:
            return  # someone was faster, or our own answer was lost

    async def _forget(self, feed: str, trigger: str) -> None:
        try:
            await self._client.feeds.delete(feed, trigger)
        except (NotFound, Forbidden, ActivationFailed):
            return  # the feed is gone, no longer for us, or never heard of it

    async def _release(self, step: Step) -> None:
        """Leave a package that others use: take our mark off it."""
        package = await self._client.packages.get(step.name)
        annotations = {key: one for key, one in package.annotations.items() if key != MARK}
        await self._client.packages.put(step.name, annotations=annotations, overwrite=True)


def _limits_before(step: Step) -> Sequence[str]:
    """The limits that were declared before; a sequence may still have those of the action that it
    was."""
    if step.present is None or step.present.mark is None:
        return ()
    if step.present.kind is Kind.SEQUENCE:
        return ("timeout", "memory", "logs")
    return [name for name in step.present.mark.limits if name in _STD]


def _dropped(step: Step) -> list[str]:
    """Annotations that are there and not wanted; `provide-api-key` cannot be dropped."""
    if step.present is None or step.wanted is None:
        return []
    there = {
        path.partition(".")[2] for path in step.present.fields if path.startswith("annotations.")
    }
    return sorted(there - set(step.wanted.spec.annotations) - {"provide-api-key"})


def _reset(step: Step) -> dict[str, JSON]:
    """What has to be said explicitly, for leaving it out would leave it as it is."""
    if step.present is None or step.wanted is None:
        return {}
    key = "provide-api-key"
    was = f"annotations.{key}" in step.present.fields
    return {key: False} if was and key not in step.wanted.spec.annotations else {}
