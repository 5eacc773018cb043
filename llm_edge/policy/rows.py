"""
What can be bounded, as arithmetic: no clock, no lock, no waiting.

A `Row` says what is bounded and how; its state is one of four small machines. All are asked the same way: `wait` says
how long until an amount fits (0: now, infinity: never), `take` takes it, `settle` corrects what was taken once the
real amount is known.

* `places`: so many at once. A place is held until it is given back, or until its lease runs out.
* `pace`: a bucket (GCRA) that holds `limit` and fills at `rate` a second. Its whole state is the moment at which it
  will be full again. In any window of w seconds at most `limit + rate * w` is given out.
* `log`: at most `limit` in any window of `window` seconds, exactly: the moments of the last ones are remembered.
* `tally`: at most `limit` in each calendar period. What is reserved counts as spent until it is settled; a reservation
  nobody settles in time becomes spent, and is noted as unconfirmed.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, TypeAlias

from .periods import Period, ends_in, number

Kind: TypeAlias = Literal["places", "pace", "log", "tally"]
Unit: TypeAlias = Literal["places", "requests", "tokens", "nano-dollars"]
OnFailure: TypeAlias = Literal["local", "open", "closed"]

NEVER = math.inf
PLACE_WAIT = 1.0
"""Seconds after which a call that found no place is told to ask again: nobody knows when the others end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One number that is bounded, for one subject."""

    key: str
    """Its name in a store: no words of a caller's, only digests of them."""
    kind: Kind
    unit: Unit
    limit: int
    """The most: at once, in a window or in a period; for a pace what may come at once after a rest."""
    rate: float = 0.0
    """Of a pace: how much comes back in a second."""
    window: float = 0.0
    """Of a log: seconds."""
    period: Period = "day"
    """Of a tally."""
    scope: str = "global"
    """Who it is for, in words for people."""
    says: str = ""
    """What is wrong when it is full, in words for people: `more than 10 calls a second`."""
    patience: float = 0.0
    """Seconds a call may wait for it."""
    on_failure: OnFailure = "local"
    """What counts while the shared store cannot be asked: this process's share, nothing, or that all are refused."""


Asks: TypeAlias = Sequence[tuple[Row, int]]
"""How much of each row a call takes, all of it or nothing."""
Actual: TypeAlias = Mapping[Unit, int]
"""What a call used in the end, by unit; a unit that is not named was used as it was reserved."""


class Standing(NamedTuple):
    """How a row stands after a call took its part; what a caller is told in headers."""

    unit: Unit
    limit: int
    left: int
    reset: float
    """Seconds until nothing is taken any more."""


class Account(NamedTuple):
    """What stands under a tally, of the period that runs."""

    spent: int = 0
    reserved: int = 0
    unconfirmed: int = 0
    """The part of what is spent that was reserved, and that nobody settled in time."""


@dataclass(slots=True, eq=False)
class Hold:
    """What one call has taken. It is settled once; later settlements say nothing new."""

    asks: Asks
    states: Sequence[State] = ()
    """Where it was taken from, when that is this process."""
    until: float = NEVER
    """When it runs out by itself, by the store's clock."""
    id: str = ""
    """Its name in a shared store."""


class Taken(NamedTuple):
    """It fitted."""

    hold: Hold
    standings: Sequence[Standing] = ()
    """What the caller is told: of requests and of tokens the tightest."""
    each: Sequence[Standing] = ()
    """How each row stands, in the order asked; empty where that is not known in this process."""


class Full(NamedTuple):
    """It did not fit, and nothing was taken."""

    row: Row
    wait: float
    """Seconds until it would fit; infinity when it never will."""


Verdict: TypeAlias = Taken | Full


class State(Protocol):
    """One row's state. Moments are of one clock, `time` is seconds since 1970."""

    def wait(self, row: Row, amount: int, now: float, time: float, /) -> float: ...
    def take(self, row: Row, amount: int, now: float, time: float, hold: Hold, /) -> None: ...
    def settle(self, row: Row, amount: int, actual: int | None, now: float, time: float, hold: Hold, /) -> None: ...
    def standing(self, row: Row, now: float, time: float, /) -> Standing: ...
    def idle(self, row: Row, now: float, time: float, /) -> bool:
        """Whether a fresh state would say the same."""
        ...

    def forget_holds(self) -> None:
        """Those who hold something belong to another process."""
        ...


class Pace:
    """A bucket that fills steadily."""

    __slots__ = ("full_at",)

    def __init__(self) -> None:
        self.full_at = -NEVER

    def wait(self, row: Row, amount: int, now: float, time: float, /) -> float:
        if amount > row.limit:
            return NEVER
        full_at = self.full_at
        if full_at <= now:
            return 0.0
        wait = full_at - now + (amount - row.limit) / row.rate
        # A billionth of a token is rounding, not debt.
        return wait if wait * row.rate >= 1e-9 else 0.0

    def take(self, row: Row, amount: int, now: float, time: float, hold: Hold, /) -> None:
        full_at = self.full_at
        self.full_at = (full_at if full_at > now else now) + amount / row.rate

    def settle(self, row: Row, amount: int, actual: int | None, now: float, time: float, hold: Hold, /) -> None:
        if actual is None or actual == amount:
            return
        if actual < amount:
            self.full_at -= (amount - actual) / row.rate
        else:
            self.full_at = max(self.full_at, now) + (actual - amount) / row.rate

    def standing(self, row: Row, now: float, time: float, /) -> Standing:
        reset = self.full_at - now
        if reset <= 0.0:
            return Standing(row.unit, row.limit, row.limit, 0.0)
        # Just taken down to a whole number: without the rounding 2 left would often read 1.
        left = int(row.limit - reset * row.rate + 1e-6)
        return Standing(row.unit, row.limit, left if left > 0 else 0, reset)

    def idle(self, row: Row, now: float, time: float, /) -> bool:
        return self.full_at <= now

    def forget_holds(self) -> None: ...


class Log:
    """The moments of the last ones, for small limits that must be exact."""

    __slots__ = ("moments",)

    def __init__(self) -> None:
        self.moments: deque[float] = deque()

    def wait(self, row: Row, amount: int, now: float, time: float, /) -> float:
        if amount > row.limit:
            return NEVER
        moments, past = self.moments, now - row.window
        while moments and moments[0] <= past:
            moments.popleft()
        over = len(moments) + amount - row.limit
        return 0.0 if over <= 0 else moments[over - 1] - past

    def take(self, row: Row, amount: int, now: float, time: float, hold: Hold, /) -> None:
        self.moments.extend([now] * amount)

    def settle(self, row: Row, amount: int, actual: int | None, now: float, time: float, hold: Hold, /) -> None: ...

    def standing(self, row: Row, now: float, time: float, /) -> Standing:
        past = now - row.window
        count = sum(1 for moment in self.moments if moment > past)
        reset = self.moments[-1] - past if count else 0.0
        return Standing(row.unit, row.limit, max(row.limit - count, 0), reset)

    def idle(self, row: Row, now: float, time: float, /) -> bool:
        return not self.moments or self.moments[-1] <= now - row.window

    def forget_holds(self) -> None: ...


class Tally:
    """A count that begins anew with each period, and knows what is spent, reserved and unconfirmed."""

    __slots__ = ("open", "period", "reserved", "spent", "unconfirmed")

    def __init__(self) -> None:
        self.period = -1
        self.spent = self.reserved = self.unconfirmed = 0
        self.open: dict[Hold, int] = {}
        """Reservations of this period that are not settled."""

    def wait(self, row: Row, amount: int, now: float, time: float, /) -> float:
        if amount > row.limit:
            return NEVER
        self._catch_up(row, now, time)
        return 0.0 if self.spent + self.reserved + amount <= row.limit else ends_in(row.period, time)

    def take(self, row: Row, amount: int, now: float, time: float, hold: Hold, /) -> None:
        self._catch_up(row, now, time)
        if row.unit == "requests":
            self.spent += amount  # what it comes to is known already
        else:
            self.open[hold] = amount
            self.reserved += amount

    def settle(self, row: Row, amount: int, actual: int | None, now: float, time: float, hold: Hold, /) -> None:
        self._catch_up(row, now, time)
        reserved = self.open.pop(hold, None)
        if reserved is not None:
            self.reserved -= reserved
            self.spent += reserved if actual is None else actual

    def standing(self, row: Row, now: float, time: float, /) -> Standing:
        self._catch_up(row, now, time)
        left = max(row.limit - self.spent - self.reserved, 0)
        return Standing(row.unit, row.limit, left, ends_in(row.period, time))

    def account(self, row: Row, now: float, time: float, /) -> Account:
        """What is spent, reserved and unconfirmed."""
        self._catch_up(row, now, time)
        return Account(self.spent, self.reserved, self.unconfirmed)

    def idle(self, row: Row, now: float, time: float, /) -> bool:
        self._catch_up(row, now, time)
        return not self.spent and not self.reserved

    def forget_holds(self) -> None:
        self.open, self.reserved = {}, 0

    def _catch_up(self, row: Row, now: float, time: float) -> None:
        period = number(row.period, time)
        if period > self.period:
            # What is still reserved belongs to the period it was reserved in, and is not told of here.
            self.period, self.spent, self.reserved, self.unconfirmed = period, 0, 0, 0
            self.open.clear()
            return
        while self.open:
            hold = next(iter(self.open))
            if hold.until > now:
                return
            amount = self.open.pop(hold)
            self.reserved -= amount
            self.spent += amount
            self.unconfirmed += amount


class Places:
    """Who is inside. A place comes back with its call, or when its lease runs out."""

    __slots__ = ("inside",)

    def __init__(self) -> None:
        self.inside: dict[Hold, int] = {}

    def wait(self, row: Row, amount: int, now: float, time: float, /) -> float:
        if len(self.inside) + amount <= row.limit:
            return 0.0
        for hold in [hold for hold in self.inside if hold.until <= now]:
            del self.inside[hold]
        return 0.0 if len(self.inside) + amount <= row.limit else PLACE_WAIT

    def take(self, row: Row, amount: int, now: float, time: float, hold: Hold, /) -> None:
        self.inside[hold] = amount

    def settle(self, row: Row, amount: int, actual: int | None, now: float, time: float, hold: Hold, /) -> None:
        self.inside.pop(hold, None)

    def standing(self, row: Row, now: float, time: float, /) -> Standing:
        return Standing(row.unit, row.limit, max(row.limit - len(self.inside), 0), 0.0)

    def idle(self, row: Row, now: float, time: float, /) -> bool:
        return not self.inside

    def forget_holds(self) -> None:
        self.inside = {}


STATES: Mapping[Kind, type[Pace] | type[Log] | type[Tally] | type[Places]] = {
    "places": Places,
    "pace": Pace,
    "log": Log,
    "tally": Tally,
}
