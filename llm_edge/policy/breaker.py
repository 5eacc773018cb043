"""
A circuit breaker as a state machine over (event, now).

CLOSED lets everything pass and learns. It opens at the `failures`-th failure in a row; or when, of
at least `outcomes` calls heard of within `window` seconds, a share of `failed_share` failed or a
share of `slow_share` was slow. A call is slow from the moment its answer has not begun in time, not
when it is over: a provider that swallows calls is noticed while they hang.

OPEN refuses for `open_for` seconds, or longer when the provider asks for it. With `growing` the
time begins at 0.1 s and doubles with each opening since it was last closed, up to `open_for`, give or take a fifth.
The first ask after that is HALF_OPEN's probe: `probes` at a time may pass; two good ones close the
breaker, a bad one opens it again. A probe whose time runs out before its answer has begun is a bad
one; when it has begun (a long stream, perhaps) it keeps the next one out for `open_for` seconds at
most, and what it says in the end counts all the same.

FORCED_OPEN refuses all, OFF lets everything pass and learns nothing; somebody set them by hand.

Each change of state starts a new generation. A permit remembers the generation it was given
in, and an outcome from an older one changes nothing: a call that began before the breaker
opened and fails after it closed says nothing about now. A permit is given back exactly once,
with an outcome or, when the call ended without telling us anything, without one.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import inf
from typing import Literal, TypeAlias

State: TypeAlias = Literal["closed", "open", "half-open", "forced-open", "off"]

PROBES_TO_CLOSE = 2
FIRST_OPEN, LONGEST_ASKED = 0.1, 120.0
"""Seconds: how long it opens first when it grows; the longest a provider can ask for."""
PROBE_DUE = 30.0
"""Seconds a probe without a deadline has until its answer must have begun."""
_SLICES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When a target is left alone, and for how long."""

    failures: int = 5
    """Failures in a row that open it."""
    failed_share: float = 0.5
    slow_share: float = 0.8
    slow_after: float | None = 10.0
    """Seconds after which an answer that has not begun is slow; None when nothing is."""
    outcomes: int = 20
    """Calls that must have been heard of before the shares count."""
    window: float = 60.0
    """Seconds over which the shares are counted."""
    open_for: float = 30.0
    """Seconds it stays open before the first probe."""
    growing: bool = False
    probes: int = 1
    """Probes under way at once."""


class Permit:
    """Leave to make one call. Each is itself alone: two permits are never equal."""

    __slots__ = ("begun", "counted", "due", "generation", "probe", "slow_at")

    def __init__(self, generation: int, *, probe: bool = False, due: float = 0.0, slow_at: float | None = None) -> None:
        self.generation, self.probe = generation, probe
        self.due = due
        """When a probe no longer keeps others out."""
        self.slow_at = slow_at
        self.begun = False
        """Its answer has begun."""
        self.counted = False
        """It is among the outcomes already, as a slow one."""


class Tally:
    """How many calls of the last while were heard of, failed, were slow; forgotten a tenth of the while at a time."""

    __slots__ = ("_each", "_ends", "_last", "_slices")

    def __init__(self, window: float) -> None:
        self._each = window / _SLICES
        self._slices: deque[list[int]] = deque(maxlen=_SLICES)
        self._last, self._ends = [0, 0, 0, 0], -inf

    def heard(self, now: float) -> bool:
        """One call more was heard of that was neither; False when this begins a new slice, which is for `add`."""
        if now >= self._ends:
            return False
        self._last[1] += 1
        return True

    def add(self, now: float, *, heard: int = 0, failed: int = 0, slow: int = 0) -> None:
        number, slices = int(now // self._each), self._slices
        if not slices or slices[-1][0] < number:
            slices.append([number, 0, 0, 0])
        last = slices[-1]
        self._last, self._ends = last, (last[0] + 1) * self._each
        last[1] += heard
        last[2] += failed
        last[3] += slow

    def sums(self, now: float) -> tuple[int, int, int]:
        """Heard of, failed, slow."""
        oldest = int(now // self._each) - _SLICES
        heard = failed = slow = 0
        for number, *counts in self._slices:
            if number > oldest:
                heard, failed, slow = heard + counts[0], failed + counts[1], slow + counts[2]
        return heard, failed, slow

    def clear(self) -> None:
        self._slices.clear()
        self._ends = -inf


class Breaker:
    """Refuses calls to a target that keeps failing, and lets one through now and then to see."""

    def __init__(self, rule: Rule | None = None) -> None:
        self.rule = rule or Rule()
        self.state: State = "closed"
        self.generation = 0
        self.row = 0
        """Failures in a row so far."""
        self.good_probes = 0
        self.openings = 0
        """How often it has opened since it was last closed."""
        self.until = 0.0
        """While open: when the first probe may go."""
        self.tally = Tally(self.rule.window)
        self._free = Permit(0)
        """Of this generation; nothing is ever written on it, so that one serves all who are not watched."""
        self._probing: dict[Permit, None] = {}
        self._waiting: dict[Permit, None] = {}
        """Calls whose answer has not begun, the longest under way first; those alone that could become slow."""

    @property
    def probing(self) -> int:
        """Probes under way that keep others out."""
        return len(self._probing)

    def admit(
        self, now: float, *, chance: float = 0.5, due: float | None = None, watched: bool = False
    ) -> Permit | float:
        """
        A permit, or the seconds after which it is worth asking again.

        `due` is when the call is over at the latest; `watched` when its beginning will be told
        (`began`), so that it can be slow; `chance` in [0, 1) is for the wait, should this open it.
        """
        if self._waiting:
            self._notice_slow(now, chance)
        if self.state == "closed":
            return self._ordinary(now, watched)
        if self.state == "off":
            return Permit(self.generation)
        if self._probing:
            self._notice_late(now, chance)  # it may be open again since then
        wait = self._wait(now)
        if wait > 0:
            return wait
        if self.state == "open":
            self._turn("half-open")
        latest = now + max(PROBE_DUE, self.rule.open_for)
        permit = Permit(self.generation, probe=True, due=latest if due is None else due)
        self._probing[permit] = None
        return permit

    def free_permit(self) -> Permit | None:
        """
        A permit that changes nothing, for a call that will not be watched; None when `admit` has to judge.

        May be called beside anybody else: should the state turn meanwhile, the permit is of an older generation.
        """
        permit, generation = self._free, self.generation
        if self.state != "closed" or self._waiting:
            return None
        if permit.generation != generation:
            permit = self._free = Permit(generation)
        return permit

    def went_well(self, permit: Permit, now: float) -> bool:
        """
        A call that was not watched went well, as most do; False when that is to be told to `release`.

        May be called beside anybody else: of two at the very same moment one may count for both.
        """
        if permit is not self._free or permit.generation != self.generation or self.row:
            return False
        return self.tally.heard(now)

    def open_now(self, now: float) -> bool:
        """Whether a call that came now would be refused."""
        return self.state not in {"closed", "off"} and self._wait(now) > 0

    def _wait(self, now: float) -> float:
        if self.state == "forced-open":
            return self.rule.open_for
        if self.state == "open":
            return max(self.until - now, 0.0)
        if self.state == "half-open" and len(self._probing) >= self.rule.probes:
            return max(min(probe.due for probe in self._probing) - now, 0.001)
        return 0.0

    def _ordinary(self, now: float, watched: bool) -> Permit:
        slow_after = self.rule.slow_after if watched else None
        if slow_after is None:
            return Permit(self.generation)
        permit = Permit(self.generation, slow_at=now + slow_after)
        self._waiting[permit] = None
        return permit

    def began(self, permit: Permit, now: float) -> None:
        """The answer has begun: it is not slow any more, and as a probe no longer in question for long."""
        permit.begun = True
        self._waiting.pop(permit, None)
        if permit.probe:
            permit.due = min(permit.due, now + self.rule.open_for)

    def release(
        self, permit: Permit, *, good: bool | None, now: float, asked: float | None = None, chance: float = 0.5
    ) -> None:
        """
        The call is over: it went well, it failed, or (None) it told us nothing.

        `asked` is how long the provider asked to be left alone, which counts when this opens the breaker.
        """
        if self._waiting:
            self._waiting.pop(permit, None)
        if self._probing:
            self._probing.pop(permit, None)
        if permit.generation != self.generation or good is None or self.state in {"off", "forced-open"}:
            return
        self.tally.add(now, heard=not permit.counted, failed=not good)
        if good:
            self.row = 0
            self.good_probes += 1
            if self.state == "half-open" and self.good_probes >= PROBES_TO_CLOSE:
                self._turn("closed")
            return
        self.row += 1
        if self.state == "half-open" or self.row >= self.rule.failures or self._too_many(now):
            self._open(now, chance, asked)

    def _too_many(self, now: float) -> bool:
        heard, failed, slow = self.tally.sums(now)
        rule = self.rule
        return heard >= rule.outcomes and (failed >= rule.failed_share * heard or slow >= rule.slow_share * heard)

    def _notice_slow(self, now: float, chance: float) -> None:
        """Count the calls whose answers should have begun by now."""
        found = False
        while self._waiting:
            permit = next(iter(self._waiting))
            if permit.slow_at is None or permit.slow_at > now:
                break
            del self._waiting[permit]
            if permit.generation == self.generation:
                permit.counted = found = True
                self.tally.add(now, heard=1, slow=1)
        if found and self.state == "closed" and self._too_many(now):
            self._open(now, chance, None)

    def _notice_late(self, now: float, chance: float) -> None:
        """A probe that is due and has not begun is a bad one; one that has begun makes room for the next."""
        for permit in [each for each in self._probing if each.due <= now]:
            self._probing.pop(permit, None)
            if not permit.begun and self.state == "half-open":
                self._open(permit.due, chance, None)

    def _open(self, now: float, chance: float, asked: float | None) -> None:
        rule = self.rule
        seconds = rule.open_for
        if rule.growing:
            seconds = min(rule.open_for, FIRST_OPEN * 2.0 ** min(self.openings, 30)) * (0.8 + 0.4 * chance)
        self.openings += 1
        self.until = now + max(seconds, min(asked or 0.0, LONGEST_ASKED))
        self._turn("open")

    def force(self, state: Literal["open", "closed", "off"]) -> None:
        """Set it by hand: `open` refuses all until told otherwise, `off` lets all pass, `closed` learns anew."""
        self._turn("forced-open" if state == "open" else state)

    def hint(self, now: float, until: float) -> None:
        """Another process has opened its breaker for this target until then; this one follows, unless it is open."""
        if self.state == "closed" and until > now:
            self.openings += 1
            self.until = min(until, now + LONGEST_ASKED)
            self._turn("open")

    def forget_calls(self) -> None:
        """The calls under way will never be told of here: they belong to another process."""
        self.generation += 1
        self._probing, self._waiting = {}, {}

    def _turn(self, state: State) -> None:
        self.state = state
        self.generation += 1
        self.row = self.good_probes = 0
        self._probing, self._waiting = {}, {}
        self.tally.clear()
        if state == "closed":
            self.openings = 0
