"""
How one target is doing: calls under way, how fast it answers, how much it has done of late.

The latency is a peak EWMA: it rises at once with a slow answer and falls gently with quick ones; left
alone it fades, so that a target that was slow once is asked again some day. A whole answer and the
first event of a stream are two kinds of waiting and are kept apart.
"""

from __future__ import annotations

import math
from collections import deque

FADES = 30.0
"""Seconds in which an old latency loses two thirds of its weight."""
_REMEMBERED = 128
_ENOUGH = 20
"""Times that must have been seen before they say what is usual."""


class Latency:
    """Of one kind of answer."""

    __slots__ = ("_at", "_last", "_value")

    def __init__(self) -> None:
        self._value = self._at = 0.0
        self._last: deque[float] = deque(maxlen=_REMEMBERED)

    def saw(self, now: float, seconds: float) -> None:
        """An answer, or its first event, took that long."""
        self._last.append(seconds)
        if seconds >= self._value:
            self._value = seconds
        else:
            self._value = seconds + (self._value - seconds) * math.exp((self._at - now) / FADES)
        self._at = now

    def now(self, now: float) -> float | None:
        """Seconds, as a choice should weigh them; None when nothing was seen yet."""
        return self._value * math.exp(min(self._at - now, 0.0) / FADES) if self._last else None

    def usually_within(self, share: float) -> float | None:
        """Seconds within which that share of the last answers came; None while too few have been seen."""
        if len(self._last) < _ENOUGH:
            return None
        return sorted(self._last)[min(math.ceil(share * len(self._last)), len(self._last)) - 1]


class Pulse:
    """One target's."""

    __slots__ = ("_done", "streamed", "under_way", "whole")

    def __init__(self) -> None:
        self.under_way: list[None] = []
        """One for each call: a list grows and shrinks in single steps, which no other thread can come between."""
        self.whole, self.streamed = Latency(), Latency()
        self._done: deque[tuple[int, float]] = deque(maxlen=6)

    @property
    def in_flight(self) -> int:
        """Calls under way."""
        return len(self.under_way)

    def latency(self, streaming: bool) -> Latency:
        return self.streamed if streaming else self.whole

    def answered(self, now: float, seconds: float, amount: float) -> None:
        """A whole answer came after that time; it was that much work."""
        self.whole.saw(now, seconds)
        self.did(now, amount)

    def did(self, now: float, amount: float) -> None:
        """It has done some work: tokens, or 1 where nobody counted."""
        slot, done = int(now // 10), self._done
        if done and done[-1][0] >= slot:
            done[-1] = (done[-1][0], done[-1][1] + amount)
        else:
            done.append((slot, amount))

    def load(self, now: float) -> float:
        """What it has done in the last minute."""
        oldest = int(now // 10) - 6
        return sum([amount for slot, amount in list(self._done) if slot > oldest])  # others may be adding to it
