"""
How many calls beyond the first ones a target may be sent: a share of those, and a few a second besides.

Retries, hedges and calls that come over from another target all draw on it, so that a target in
trouble is not asked many times over by everybody at once. In any `ttl` seconds at most
`share * calls + floor * ttl` are drawn.
"""

from __future__ import annotations

from collections import deque
from math import inf


class Allowance:
    """Counted in slices of a tenth of `ttl`; a slice older than that is forgotten."""

    __slots__ = ("_each", "_ends", "_last", "_slices", "floor", "share", "ttl")

    def __init__(self, *, share: float = 0.2, floor: float = 3.0, ttl: float = 10.0) -> None:
        self.share, self.floor, self.ttl = share, floor, ttl
        self._each = ttl / 10
        self._slices: deque[list[int]] = deque(maxlen=10)
        self._last, self._ends = [0, 0, 0], -inf
        """The slice that is counted in, and when it is over."""

    def call(self, now: float) -> None:
        """A call was sent that is nobody's second try."""
        last = self._last if now < self._ends else self._slice(now)
        last[1] += 1

    def draw(self, now: float) -> bool:
        """Whether one more may be sent; then it counts as sent."""
        last = self._slice(now)
        oldest = last[0] - 10
        calls = drawn = 0
        for number, sent, taken in self._slices:
            if number > oldest:
                calls, drawn = calls + sent, drawn + taken
        if drawn + 1 > self.share * calls + self.floor * self.ttl:
            return False
        last[2] += 1
        return True

    def take(self, now: float) -> None:
        """One more was sent whether or not there was room for it: less is left for others."""
        self._slice(now)[2] += 1

    def _slice(self, now: float) -> list[int]:
        number, slices = int(now // self._each), self._slices
        if not slices or slices[-1][0] < number:
            slices.append([number, 0, 0])
        self._last = last = slices[-1]
        self._ends = (last[0] + 1) * self._each
        return last
