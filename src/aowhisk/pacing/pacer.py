"""Pacing: how long to wait before the next invocation, so that OpenWhisk need not refuse it.

OpenWhisk counts invocations per namespace in fixed windows, the minutes of the controller's clock,
and counts those that it refuses, too (core/entitlement/RateThrottler.scala); it bounds those in
flight (ActivationThrottler.scala). Several controllers each enforce a share, so that both numbers
are hints: they are learnt from refusals, and forgotten slowly.
"""

from __future__ import annotations

import math
import random as _random
from collections.abc import Callable

__all__ = ["Pacer"]

_MINUTE = 60.0
_EDGE = 0.2  # our minute and the controller's may differ by this much before anything is noticed
_CARRY = 0.5  # what is sent so late in a minute may arrive in the next, and counts in both
_LATEST = (
    20.0  # a refusal so early in a minute, with nothing accepted, may mean that its clock is behind
)
_PROBE = 0.5  # how long one invocation goes ahead of the others when that is suspected
_JITTER = 0.2
_FIRST, _LONGEST = 0.1, 10.0  # back-off from refusals for concurrency
_SLOW = 2.5  # seconds that count as much as an invocation, where these are slow
_LEFT = 0.5  # until we look again whether others have left some of the minute's budget


class _Ceiling:
    """A limit as it proves to be: `value` falls to what was accepted when something is refused, and
    grows again, in steps that double while nothing is, up to `cap`. A failed step doubles the time
    to the next try; one that held shortens it a little (`ease`), and has it forgotten once it is
    clear that the limit is another by now."""

    __slots__ = (
        "_ease",
        "_grown",
        "_patience",
        "_rest",
        "_settled",
        "_step",
        "cap",
        "next",
        "value",
    )

    def __init__(self, rest: float, ease: float = 0.0) -> None:
        self.cap = self.value = math.inf
        self.next = math.inf
        """When it may grow; the same unit as `rest`."""
        self._rest = rest
        self._ease = ease
        self._patience = rest
        self._settled = 0.0
        self._grown = False
        self._step = 1.0

    def configure(self, cap: float | None) -> None:
        if self.value >= self.cap:
            self.value = math.inf
        self.cap = math.inf if cap is None else max(1.0, cap)
        self.value = min(self.value, self.cap)

    def refused(self, now: float, accepted: int) -> None:
        if self._grown:  # it was a step too far: nothing has changed, or something has
            again = accepted <= self._settled * 1.1
            self._patience = min(self._patience * 2, self._rest * 32) if again else self._rest
            self._grown = False
        self.value = self._settled = min(self.value, max(1, accepted))
        self._step = 1.0
        self.next = now + self._patience

    def grow(self, now: float, unsure: float = 0.0) -> None:
        """Grow if it is time; `unsure` is how long it takes until one can know how that went."""
        if now < self.next or self.value >= self.cap:
            return
        if self._grown:
            is_new = self.value > self._settled * 1.25
            self._patience = self._rest if is_new else max(self._rest, self._patience * self._ease)
        self.value = min(self.cap, self.value + self._step)
        self._step *= 2
        self._grown = True
        self.next = now + (self._patience if self._ease else self._rest) + unsure


class Pacer:
    """Says when an invocation may be sent. One per namespace; no I/O, no clock: `now` is wall-clock
    time in epoch seconds.

    Every `ask` that returned 0 is followed by exactly one `release` (it ended, or was never
    accepted for another reason) or `refused`. Nothing is limited until `limits` or a refusal says
    so. One of several that share the minute's budget (`shared`) sends only what was `granted`:
    where it `lacks` some, more has to be claimed.
    """

    def __init__(
        self, *, shared: bool = False, random: Callable[[], float] = _random.random
    ) -> None:
        """`random` returns a number in [0, 1), for jitter."""
        self._random = random
        self._shared = shared
        self._credit = 0  # what was granted and is not used
        self._known = 0  # what all have taken of this minute's budget
        self.lacks = False
        """Whether the last `ask` was put off for want of a grant."""
        self._rate = _Ceiling(rest=1)  # counted in minutes
        self._room = _Ceiling(rest=16, ease=0.75)  # counted in invocations
        self._ended = 0
        self.in_flight = 0
        """Invocations that were let go and have not ended."""
        self.refusals = 0
        """How many invocations OpenWhisk refused."""
        self._start = self._end = -math.inf
        self._used = self._refused = self._carry = 0
        self._opens = -math.inf
        self._closed = self._thirsty = self._spent = False
        self._after_full = self._was_full = False
        self._edge = _EDGE
        self._probing = True
        self._rests = -math.inf
        self._backoff = 0.0
        self._refused_at = -math.inf

    @property
    def per_minute(self) -> float:
        """How many invocations a minute it lets go now, inf for no limit."""
        return self._rate.value

    @property
    def concurrent(self) -> float:
        """How many invocations it lets be in flight now, inf for no limit."""
        return self._room.value

    def limits(self, invocations_per_minute: int | None, concurrent: int | None) -> None:
        """What `GET limits` says; None where it does not."""
        self._rate.configure(invocations_per_minute)
        self._room.configure(concurrent)

    def ask(self, now: float) -> float:
        """0: send it now, it is counted. Otherwise seconds after which to ask again; inf means
        after the next `release` or `refused`, and with any wait asking again after one of these is
        right, too."""
        self.lacks = False
        if not self._start <= now < self._end:
            self._roll(now)
        if now < self._opens:
            return self._opens - now
        if self._used >= self._rate.value:
            self._thirsty = True
            return self._end + self._edge + self._random() * _JITTER - now
        if now < self._rests:
            return min(self._rests - now, 2 * _LONGEST)  # the clock may have been set back
        if self.in_flight >= self._room.value and (wait := self._crowded(now)):
            return wait
        if self._shared and self._rate.value < math.inf:
            if self._credit < 1:
                self.lacks = True
                return math.inf
            self._credit -= 1
        self._used += 1
        self.in_flight += 1
        if now >= self._end - _CARRY:
            self._carry += 1
        if self._after_full:
            self._lead(now)
        return 0.0

    def due(self, now: float, waiting: int) -> tuple[int, int, int, float]:
        """What to claim for so many that wait: the minute (since the epoch), its budget, how many
        of it, and which part of the minute is still to come."""
        minute = int(self._start // _MINUTE)
        left = min(1.0, max(0.0, (self._end - now) / _MINUTE))
        return minute, int(self._rate.value), max(1, waiting - self._credit), left

    def granted(self, now: float, minute: int, granted: int, used: int) -> None:
        """So many more may be sent in that minute, of whose budget all together have now `used` so
        much."""
        if minute != self._start // _MINUTE:
            return  # it is over
        self._known = used
        self._credit += granted
        if granted:
            return
        if used >= int(self._rate.value):
            self._thirsty = self._spent = True
            self._opens = self._end + self._edge + self._random() * _JITTER
        else:
            self._opens = now + _LEFT

    def release(self, now: float) -> None:
        """One that was let go has ended."""
        self._ended += 1
        self.in_flight = max(0, self.in_flight - 1)
        if self._backoff <= _FIRST:
            self._rests = -math.inf

    def refused(
        self,
        now: float,
        per_minute: bool,
        count: int | None = None,
        allowed: int | None = None,
        *,
        sent: float | None = None,
    ) -> None:
        """One that was let go at `sent` (None: just now) was refused: `per_minute` for the minute's
        budget, else for too many in flight; `count` and `allowed` as in the text of the 429."""
        self.in_flight = max(0, self.in_flight - 1)
        self.refusals += 1
        if not self._start <= now < self._end:
            self._roll(now)
        sent = now if sent is None else sent
        if per_minute:
            self._refused_minute(sent)
        else:
            self._refused_room(now, sent)

    def _roll(self, now: float) -> None:
        """Begin the minute of `now`."""
        follows = now >= self._end and now < self._end + _MINUTE
        full = self._closed or self._spent or self._used >= self._rate.value
        if full and self._thirsty and not self._closed:
            self._rate.grow(now // _MINUTE)
        self._start = now // _MINUTE * _MINUTE
        self._end = self._start + _MINUTE
        self._used = self._carry if follows else 0
        self._refused = self._carry = 0
        self._after_full = self._was_full = follows and full
        if self._edge > _EDGE and not self._closed:  # learnt, perhaps wrongly: try a little less
            self._edge = max(_EDGE, self._edge * 0.95)
            self._probing = True
        self._closed = self._thirsty = self._spent = False
        self._credit, self._known = -self._used, 0
        wait = self._edge + self._random() * _JITTER if self._after_full else 0.0
        self._opens = self._start + wait

    def _lead(self, now: float) -> None:
        """The first after a full minute: while the controller's clock is not known to agree with
        ours, it goes alone."""
        self._after_full = False
        if self._probing:
            self._probing = False
            self._opens = now + _PROBE

    def _refused_minute(self, sent: float) -> None:
        if not self._start <= sent < self._end:
            return  # news of a minute that is over
        self._refused += 1
        early = sent - self._start
        if self._was_full and self._used <= self._refused and early < _LATEST:
            self._suspect(early)
            return
        self._closed = True
        self._opens = self._end + self._edge + self._random() * _JITTER
        taken = max(self._used, self._known - max(0, self._credit))
        self._rate.refused(sent // _MINUTE, taken - self._refused)

    def _suspect(self, early: float) -> None:
        """Nothing at all was accepted in this young minute: perhaps the controller is still in the
        last one."""
        self._edge = min(_LATEST, max(2 * self._edge, early + _PROBE))
        self._opens = self._start + self._edge
        self._after_full = self._probing = True
        self._credit += self._used
        self._used = self._refused = 0

    def _refused_room(self, now: float, sent: float) -> None:
        self._room.refused(self._progress(now), self.in_flight)
        if sent < self._refused_at:
            return  # it left before we knew
        recent = now - self._refused_at < 4 * self._backoff + 1
        self._refused_at = now
        self._backoff = min(_LONGEST, 2 * self._backoff) if recent and self._backoff else _FIRST
        if self.in_flight == 0:
            self._rests = now + self._backoff * (1 + self._random())

    def _crowded(self, now: float) -> float:
        """Seconds until there may be room, 0 if there is."""
        self._room.grow(self._progress(now), unsure=self.in_flight)
        if self.in_flight < self._room.value:
            return 0.0
        if self._room.value >= self._room.cap:
            return math.inf
        return max((self._room.next - self._progress(now)) * _SLOW, _FIRST)

    def _progress(self, now: float) -> float:
        """What is counted between two tries to have more in flight: invocations that ended, so
        that few are refused however fast they are; and, lest long ones take for ever, some of the
        seconds."""
        return self._ended + now / _SLOW
