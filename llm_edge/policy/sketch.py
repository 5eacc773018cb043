"""
How amounts are spread, in a few counts: percentiles that are at most 2.5 % off, and that can be added up.

An amount goes into the bucket of its logarithm, and a bucket stands for its middle. Two sketches are added count by
count, so minutes become hours and several processes one (the idea is DDSketch's).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from itertools import accumulate

_STEP = 1.05
_SCALE = 1 / math.log(_STEP)
_LEAST = 1e-6
"""What is smaller counts as this much."""


class Sketch:
    """Counts of amounts above 0, by size."""

    __slots__ = ("counts",)

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self.counts: dict[int, int] = dict(counts or {})

    def add(self, amount: float) -> None:
        at = math.ceil(math.log(amount if amount > _LEAST else _LEAST) * _SCALE)
        counts = self.counts
        counts[at] = counts.get(at, 0) + 1

    def join(self, other: Mapping[int, int]) -> None:
        """Add what another one has counted."""
        counts = self.counts
        for at, count in other.items():
            counts[at] = counts.get(at, 0) + count

    def within(self, *shares: float) -> list[float | None]:
        """For each share (0.95) the amount that so many stayed within; None when nothing was counted."""
        ordered = sorted(self.counts)
        reached = list(accumulate(self.counts[at] for at in ordered))
        # A bucket stands for its middle: as far from its one end as from its other.
        return [
            2 * math.exp(ordered[bisect_left(reached, share * reached[-1])] / _SCALE) / (1 + _STEP) if reached else None
            for share in shares
        ]
