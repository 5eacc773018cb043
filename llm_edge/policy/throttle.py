"""
What a provider lets one credential do with one model, as far as it was heard.

Its header fields tell of buckets: how large, how much is left, how long until full. Each is kept as a `Meter`, which
fills as the provider's does and is drawn on by each call we send; so we know when a bucket is empty before we are told.
A refusal (429) closes the gate for as long as the provider asks, or for longer each time where it does not say.

How many calls may be under way at once is learned from refusals and timeouts (`Flow`): a tenth fewer after one, one
more each time that as many calls went well as are allowed while at least half of the room was in use. Calls that were
under way already when it became fewer do not make it fewer still: a crowd that is refused together is refused once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

LONGEST = 120.0
"""Seconds no provider's word keeps us away for longer than."""
_LONGEST_GUESS = 30.0

What: TypeAlias = Literal["requests", "tokens", "input-tokens", "output-tokens"]


class Reading(NamedTuple):
    """One bucket, as an answer's header fields tell of it."""

    what: What
    limit: float
    left: float
    reset: float | None
    """Seconds until it is full; None when the provider does not say."""


@dataclass(slots=True)
class Meter:
    """One bucket, as it should be now."""

    limit: float
    level: float
    rate: float
    at: float

    def wait(self, need: float, now: float) -> float:
        """Seconds until there is so much; more than the bucket holds is waited for until it is full."""
        self.level = min(self.limit, self.level + self.rate * max(now - self.at, 0.0))
        self.at = max(now, self.at)
        missing = min(need, self.limit) - self.level
        return missing / self.rate if missing > 1e-6 else 0.0

    @property
    def low(self) -> bool:
        """Whether it is worth knowing what a call will take of it."""
        return self.level * 2 < self.limit


@dataclass(slots=True)
class Throttle:
    """The gate of one credential and one model."""

    closed_until: float = float("-inf")
    row: int = 0
    """Refusals in a row."""
    meters: dict[What, Meter] = field(default_factory=dict[What, Meter])

    def wait(self, needs: Mapping[What, float], now: float) -> float:
        """Seconds until the call may go."""
        wait = max(self.closed_until - now, 0.0)
        for what, meter in self.meters.items():
            wait = max(wait, meter.wait(needs.get(what, 0.0), now))
        return min(wait, LONGEST)

    def sent(self, needs: Mapping[What, float]) -> None:
        """A call is on its way."""
        for what, meter in self.meters.items():
            meter.level = max(meter.level - needs.get(what, 0.0), 0.0)

    def heard(self, readings: Sequence[Reading], now: float) -> None:
        """What an answer said."""
        for what, limit, left, reset in readings:
            used = limit - left
            if reset is None or reset <= 0 or used <= 0:
                self.meters.pop(what, None)  # full, or nobody knows when it will be
            else:
                self.meters[what] = Meter(limit, left, used / reset, now)

    def refused(self, retry_after: float | None, now: float) -> None:
        """The provider had no room."""
        self.row += 1
        if retry_after is not None:
            wait = min(retry_after, LONGEST)
        elif self.row > 1:
            wait = min(2.0 ** min(self.row - 2, 10), _LONGEST_GUESS)
        else:
            return  # one refusal without a word on how long is no reason to hold everybody
        self.closed_until = max(self.closed_until, now + wait)

    def went_well(self) -> None:
        self.row = 0

    @property
    def low(self) -> bool:
        return any(meter.low for meter in self.meters.values())

    def room(self, now: float) -> float | None:
        """The share that is left of what is shortest; None when nobody said."""
        if now < self.closed_until:
            return 0.0
        for meter in self.meters.values():
            meter.wait(0.0, now)
        return min((meter.level / meter.limit for meter in self.meters.values()), default=None)


@dataclass(slots=True)
class Flow:
    """How many calls of one credential may be under way at once."""

    limit: float | None = None
    """None: as many as there are; nothing was refused yet."""
    in_flight: int = 0
    _well: int = 0
    _before: int = 0
    """Calls still under way that began before it last became fewer, or as many others as have ended since."""

    @property
    def full(self) -> bool:
        return self.limit is not None and self.in_flight >= int(self.limit)

    def over(self, outcome: Literal["well", "refused", "other"]) -> None:
        """A call has ended."""
        busy = self.in_flight
        self.in_flight -= 1
        known, self._before = self._before > 0, max(self._before - 1, 0)
        if outcome == "refused":
            if known or (self.limit is None and busy < 2):
                return  # of one alone nobody learns how many are too many
            most = float(busy) if self.limit is None else min(self.limit, max(float(busy), self.limit / 2))
            self.limit = max(1.0, most * 0.9)
            self._well, self._before = 0, self.in_flight
        elif outcome == "well" and self.limit is not None and busy * 2 >= self.limit:
            self._well += 1
            if self._well >= int(self.limit):
                self.limit, self._well = self.limit + 1.0, 0
