"""
Holds that last: each is taken for a minute, and renewed for as long as its call goes on.

So what a killed process held comes back within that minute, however long its calls might have taken. A lease that ran
out while the store was away is not brought back to life: its place may be somebody else's by now.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..policy.hand import SharedHold
from ..policy.rows import Row
from . import scripts
from .wire import Batch

LEASE = 60.0
"""Seconds that are taken at once; when a third of them is over they are renewed."""
_MOST = 100


class Renewal(NamedTuple):
    """What is renewed in one act."""

    holds: tuple[SharedHold, ...]
    batch: Batch
    until: float


@dataclass(slots=True)
class _Open:
    until: float
    end: float
    """When the call is surely over."""


class Leases:
    """Those of one process that are renewed. Who calls it keeps to one thread at a time."""

    def __init__(self, lease: float = LEASE) -> None:
        self.lease = lease
        self._open: dict[SharedHold, _Open] = {}

    @property
    def empty(self) -> bool:
        return not self._open

    def keep(self, hold: SharedHold, now: float, end: float) -> None:
        """Renew it until then, or until its call is over."""
        if hold.open and _names(hold):
            self._open[hold] = _Open(now + self.lease, end)

    def drop(self, hold: SharedHold) -> None:
        """Its call is over."""
        self._open.pop(hold, None)

    def due(self, prefix: str, now: float) -> list[Renewal]:
        """What is to be renewed now; what was not renewed in time, or is surely over, is forgotten."""
        for hold, each in list(self._open.items()):
            if each.until <= now or each.end <= now:
                del self._open[hold]
        due = [hold for hold, each in self._open.items() if each.until - now <= self.lease * 2 / 3]
        return [self._renewal(prefix, due[at : at + _MOST], now) for at in range(0, len(due), _MOST)]

    def _renewal(self, prefix: str, holds: list[SharedHold], now: float) -> Renewal:
        named = [each for hold in holds for each in _names(hold)]
        rows = tuple(row for row, _ in named)
        words = [str(int(self.lease * 1e6)), *(word for row, name in named for word in (row.kind, name))]
        batch = Batch(scripts.RENEW, tuple(prefix + row.key for row in rows), tuple(words), rows)
        return Renewal(tuple(holds), batch, now + self.lease)

    def renewed(self, renewal: Renewal) -> None:
        """The store has heard of it."""
        for hold in renewal.holds:
            if (known := self._open.get(hold)) is not None:
                known.until = renewal.until
                hold.places = [(row, name, max(until, renewal.until)) for row, name, until in hold.places]


def _names(hold: SharedHold) -> list[tuple[Row, str]]:
    """Where it stands, and under which name."""
    places = [(row, name) for row, name, _ in hold.places]
    return places + [(row, hold.id) for row, _ in hold.asks if row.unit == "nano-dollars" and hold.id]
