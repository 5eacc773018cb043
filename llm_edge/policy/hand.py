"""
What a process has in hand of rows that it shares with others, so that most calls need not ask the store.

With what a call needs a little more is fetched: of a pace what comes in 50 ms, of a day's count a thousandth, of the
places a twentieth. What is fetched counts as taken at once; so no row ever gives out more than it may, but for this:
what lies here unused may be used up to `LIFE` seconds after it was taken. In any window of w seconds a pace gives at
most `limit + rate * (w + LIFE)`, and what dies with a process is at most what it had in hand. Nothing is kept of rows
that are too small to share, of exact logs, or of money.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple

from .rows import NEVER, Actual, Asks, Full, Hold, Row, Standing

LIFE = 0.5
"""Seconds for which something may lie here unused."""
AHEAD = 0.05
"""Seconds of a pace that are fetched at once."""
SLACK = 15.0
"""Seconds by which the lease of a place that may be used again is longer than its first call needs."""
_DENIED, _NO_PLACE = 0.25, 0.02
"""Seconds for which the store's refusal is taken for another one; somebody may give back meanwhile."""
_CLOSE = 0.01
"""Seconds; what is left of a period that is as good as over is not given back: it might be taken off the next one."""
_MOST = 10_000


def ahead(row: Row) -> int:
    """How much of a row is worth fetching at once; 0 when it is not shared out."""
    if row.unit == "nano-dollars" or row.kind == "log":
        return 0
    if row.kind == "pace":
        most = min(int(row.rate * AHEAD), row.limit // 2)
    elif row.kind == "tally":
        most = min(row.limit // 1000, 50)
    else:
        most = row.limit // 20
    return most if most >= 2 else 0


@lru_cache(maxsize=4096)
def share(row: Row, processes: int) -> Row:
    """One process's share of a row. Of tokens the pace alone is shared out, or large calls would never fit."""
    limit = row.limit if row.unit == "tokens" else max(row.limit // processes, 1)
    return replace(row, limit=limit, rate=row.rate / processes)


class Want(NamedTuple):
    """What must be fetched of a row, and what more is welcome."""

    row: Row
    need: int
    more: int


class Owed(NamedTuple):
    """What is to be told to the store about a row: so much was taken under this id, and so much used."""

    row: Row
    id: str
    taken: int
    used: int
    """-1: as it was taken."""


@dataclass(slots=True, eq=False)
class SharedHold(Hold):
    """A hold of rows in a shared store."""

    lease: float = 0.0
    """Seconds for which it was taken; a place is of use to the next call while its own lease is as long."""
    shared: bool = False
    """Whether calls of its kind are served from what is in hand."""
    places: list[tuple[Row, str, float]] = field(default_factory=list[tuple[Row, str, float]])
    """Each with its name and the moment when its lease runs out."""
    within: Hold | None = None
    """What was taken of this process's own share, while the store could not be asked."""
    open: bool = True


@dataclass(slots=True)
class _Stock:
    """An amount."""

    row: Row
    amount: int
    until: float
    """When it has lain here long enough."""
    ends: float
    """When its period is over, and it is worth nothing."""


@dataclass(slots=True)
class _Spares:
    """Places nobody uses: name, end of the lease, since when."""

    row: Row
    names: list[tuple[str, float, float]] = field(default_factory=list[tuple[str, float, float]])

    def fit(self, until: float) -> tuple[str, float, float] | None:
        """One whose lease is long enough."""
        return next((each for each in reversed(self.names) if each[1] >= until), None)


class Hand:
    """Who calls it keeps to one thread at a time. All moments are of one clock."""

    def __init__(self) -> None:
        self._stocks: dict[str, _Stock] = {}
        self._spares: dict[str, _Spares] = {}
        self._adjust: dict[str, tuple[Row, int]] = {}
        self._denied: dict[str, tuple[float, float, int]] = {}
        self._seen: dict[str, tuple[int, float]] = {}
        self._owed: list[Owed] = []

    def draw(self, asks: Asks, lease: float, now: float, hold: SharedHold) -> list[Want] | Full:
        """Take what is here, and say what is missing; or the store's last refusal while it counts: it takes nothing."""
        shared, wants = True, list[Want]()
        for row, amount in asks:
            if self._denied and (full := self._refusal(row, amount, now)) is not None:
                return full
            shared = shared and ahead(row) > 0
        hold.lease, hold.shared = lease, shared
        for row, amount in asks:
            if not (shared and self._take(row, amount, now + lease, now, hold)):
                wants.append(Want(row, amount, ahead(row) if shared else 0))
        if wants and shared:
            # The way is made anyway: what is running low is filled up with it.
            fetched = {want.row.key for want in wants}
            wants += [Want(row, 0, ahead(row)) for row, _ in asks if row.key not in fetched and self._low(row)]
        return wants

    def receive(self, wants: Sequence[Want], given: Sequence[int], until: float, now: float, hold: SharedHold) -> None:
        """The store gave what was needed. `given`, for each: how much more, how much is left, µs to none taken."""
        for at, (row, need, _) in enumerate(wants):
            more, left, reset = given[3 * at], given[3 * at + 1], given[3 * at + 2] / 1e6
            self._seen[row.key] = (left, now + reset)
            self._denied.pop(row.key, None)
            if row.kind == "places":
                names = [f"{hold.id}:{number}" for number in range(1, need + more + 1)]
                hold.places += [(row, name, until) for name in names[:need]]
                self._spare(row).names += [(name, until, now) for name in names[need:]]
            elif more:
                self._add(row, more, now, now + reset if row.kind == "tally" else NEVER)

    def has_meanwhile(self, asks: Asks, lease: float, now: float, hold: SharedHold) -> bool:
        """The store had no more: whether all is here by now, as another call has fetched ahead. Then it is taken."""
        wants = self.draw(asks, lease, now, hold)
        if isinstance(wants, Full):
            return False
        if wants:
            self.put_back(asks, wants, hold, now)
        return not wants

    def refused(self, row: Row, amount: int, wait: float, now: float) -> None:
        """The store said no; for a little while it need not be asked again."""
        if row.unit == "nano-dollars":
            return  # what is settled comes back at any moment, and each call asks the store itself
        if len(self._denied) >= _MOST:
            self._denied.clear()
        most = _NO_PLACE if row.kind == "places" else _DENIED
        self._denied[row.key] = (now + min(wait, most), now + wait, amount)

    def put_back(self, asks: Asks, wants: Sequence[Want], hold: SharedHold, now: float) -> None:
        """What was taken from here, as the rest was not to be had."""
        missing = {want.row.key for want in wants if want.need}
        for row, amount in asks:
            if row.key not in missing and row.kind != "places":
                stock = self._stocks.get(row.key)
                if stock is not None:
                    stock.amount += amount
                else:
                    self._owed.append(Owed(row, "", amount, 0))
        self._free(hold, now)

    def settle(self, hold: SharedHold, actual: Actual, now: float) -> bool:
        """The call is over. Whether the store should hear of it at once, as others may wait for what comes back."""
        urgent = self._free(hold, now)
        for row, amount in hold.asks:
            used = actual.get(row.unit)
            if row.unit == "nano-dollars":
                self._owed.append(Owed(row, hold.id, amount, -1 if used is None else used))
                urgent = True
            elif row.unit == "tokens" and used is not None:
                self._adjust[row.key] = (row, self._adjust.get(row.key, (row, 0))[1] + used - amount)
        return urgent

    def sweep(self, now: float, *, everything: bool = False) -> list[Owed]:
        """What the store is to be told now: corrections, and what has lain here too long."""
        owed, self._owed = self._owed, []
        owed += [Owed(row, "", max(-by, 0), max(by, 0)) for row, by in self._adjust.values() if by]
        self._adjust.clear()
        for key, stock in list(self._stocks.items()):
            if everything or stock.until <= now:
                del self._stocks[key]
                if stock.amount > 0 and now < stock.ends - _CLOSE:
                    owed.append(Owed(stock.row, "", stock.amount, 0))
        for key, spares in list(self._spares.items()):
            old = [each for each in spares.names if everything or each[2] <= now - LIFE]
            owed += [Owed(spares.row, each[0], 1, 0) for each in old]
            spares.names = [each for each in spares.names if each not in old]
            if not spares.names:
                del self._spares[key]
        if len(self._seen) > _MOST:
            self._seen.clear()
        return owed

    @property
    def empty(self) -> bool:
        """Whether nothing here will have to go back."""
        return not (self._stocks or self._spares or self._adjust or self._owed)

    def standings(self, asks: Asks, now: float) -> tuple[Standing, ...]:
        """Of requests and of tokens the tightest row, as the store last told of it."""
        tightest: dict[str, Standing] = {}
        for row, _ in asks:
            seen = self._seen.get(row.key)
            if seen is not None and (row.unit == "requests" or row.unit == "tokens"):
                stock = self._stocks.get(row.key)
                left = seen[0] + (stock.amount if stock is not None else 0)
                if row.unit not in tightest or left < tightest[row.unit].left:
                    tightest[row.unit] = Standing(row.unit, row.limit, left, max(seen[1] - now, 0.0))
        return tuple(tightest.values())

    def _refusal(self, row: Row, amount: int, now: float) -> Full | None:
        denied = self._denied.get(row.key)
        if denied is None:
            return None
        until, fits_at, asked = denied
        if now >= until:
            del self._denied[row.key]
            return None
        stock = self._stocks.get(row.key)
        if amount < asked or row.key in self._spares or (stock is not None and stock.amount >= amount):
            return None
        return Full(row, fits_at - now)

    def _take(self, row: Row, amount: int, until: float, now: float, hold: SharedHold) -> bool:
        if row.kind == "places":
            spares = self._spares.get(row.key)
            found = spares.fit(until) if spares is not None else None
            if spares is None or found is None:
                return False
            spares.names.remove(found)
            if not spares.names:
                del self._spares[row.key]
            hold.places.append((row, found[0], found[1]))
            return True
        stock = self._stocks.get(row.key)
        if stock is None or stock.amount < amount or stock.until <= now:
            return False
        stock.amount -= amount
        return True

    def _low(self, row: Row) -> bool:
        if row.kind == "places":
            spares = self._spares.get(row.key)
            return spares is None or len(spares.names) * 2 < ahead(row)
        stock = self._stocks.get(row.key)
        return stock is None or stock.amount * 2 < ahead(row)

    def _add(self, row: Row, amount: int, now: float, ends: float) -> None:
        stock = self._stocks.get(row.key)
        if stock is not None and stock.amount > 0 and now < stock.ends:
            if now < stock.until:
                stock.amount += amount  # until the older ones have lain here long enough: then all go
                return
            if now < stock.ends - _CLOSE:
                self._owed.append(Owed(row, "", stock.amount, 0))
        self._stocks[row.key] = _Stock(row, amount, min(now + LIFE, ends), ends)

    def _free(self, hold: SharedHold, now: float) -> bool:
        """Its places, a few kept for whoever comes next where they could be used again, and else owed at once."""
        urgent, places = False, hold.places
        hold.places = []
        for row, name, until in places:
            self._denied.pop(row.key, None)
            if hold.shared and until >= now + hold.lease and len(self._spare(row).names) < 2 * ahead(row):
                self._spare(row).names.append((name, until, now))
            else:
                self._owed.append(Owed(row, name, 1, 0))
                urgent = True
        return urgent

    def _spare(self, row: Row) -> _Spares:
        return self._spares.setdefault(row.key, _Spares(row))
