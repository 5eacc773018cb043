"""
A token bucket as arithmetic (GCRA): no clock, no lock, no waiting.

The whole state is one number: the moment at which the bucket will be full again. In any
window of w seconds at most `size + rate * w` tokens are given out.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Bucket:
    """Holds calls to a steady pace, with room for a burst."""

    rate: float
    """Tokens per second."""
    size: float
    """Tokens that may be taken at once after a rest."""
    full_at: float = float("-inf")

    def reserve(self, amount: float, now: float, *, patience: float = 0.0) -> float:
        """
        Take `amount` and say how many seconds to wait before using it.

        When that would be longer than `patience` nothing is taken: the wait is told all the same.
        """
        full_at = max(self.full_at, now) + amount / self.rate
        wait = full_at - now - self.size / self.rate
        # A billionth of a token is rounding, not debt.
        wait = 0.0 if wait * self.rate < 1e-9 else wait
        if wait <= patience:
            self.full_at = full_at
        return wait
