"""
A circuit breaker as a state machine over (event, now).

CLOSED lets everything pass and counts failures in a row. The `failures`-th opens it: OPEN
refuses for `open_for` seconds. The first ask after that is HALF_OPEN's probe: one at a time may
pass; two good ones close the breaker, a bad one opens it again. A probe nothing is heard of for
`open_for` seconds (a long stream, perhaps) no longer keeps the next one out; what it says in the
end counts all the same.

Each change of state starts a new generation. A permit remembers the generation it was given
in, and an outcome from an older one changes nothing: a call that began before the breaker
opened and fails after it closed says nothing about now. A permit is given back exactly once,
with an outcome or, when the call ended without telling us anything, without one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

State: TypeAlias = Literal["closed", "open", "half-open"]

PROBES_TO_CLOSE = 2


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to make one call."""

    generation: int
    probe: int = 0
    """Which probe it is, counted from 1; 0 for an ordinary call."""


@dataclass(slots=True)
class Breaker:
    """Refuses calls to a target that keeps failing, and lets one through now and then to see."""

    failures: int = 5
    """Failures in a row that open it."""
    open_for: float = 30.0
    """Seconds it stays open before the first probe."""
    state: State = "closed"
    generation: int = 0
    row: int = 0
    """Failures in a row so far."""
    good_probes: int = 0
    probes: int = 0
    """Probes sent so far."""
    probing: int = 0
    """The probe under way; 0 when there is none."""
    since: float = 0.0
    """When it opened; when the probe under way was sent."""

    def admit(self, now: float) -> Permit | float:
        """A permit, or the seconds after which it is worth asking again."""
        if self.state == "closed":
            return Permit(self.generation)
        wait = self.since + self.open_for - now
        if wait > 0 and (self.state == "open" or self.probing):
            return wait
        if self.state == "open":
            self._turn("half-open")
        self.probes += 1
        self.probing, self.since = self.probes, now
        return Permit(self.generation, self.probing)

    def release(self, permit: Permit, *, good: bool | None, now: float) -> None:
        """The call is over: it went well, it failed, or (None) it told us nothing."""
        if permit.generation != self.generation:
            return
        if permit.probe == self.probing:
            self.probing = 0
        if good is None:
            return
        if good:
            self.row = 0
            self.good_probes += 1
            if self.state == "half-open" and self.good_probes >= PROBES_TO_CLOSE:
                self._turn("closed")
            return
        self.row += 1
        if self.state == "half-open" or self.row >= self.failures:
            self.since = now
            self._turn("open")

    def forget_calls(self) -> None:
        """The calls under way will never be told of here: they belong to another process."""
        self.generation += 1
        self.probing = 0

    def _turn(self, state: State) -> None:
        self.state = state
        self.generation += 1
        self.probing = self.row = self.good_probes = 0
