"""When a second ask is worth making, and how many there may be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Hedge:
    """The rule of one route."""

    enabled: bool = False
    usual: float = 0.95
    """The share of answers that come within the wait before a second ask."""
    least: float = 0.05
    """Seconds to wait in any case."""

    def wait(self, usually: float | None) -> float | None:
        """Seconds until a second ask; None when there is none, as nobody knows yet what is usual."""
        return None if not self.enabled or usually is None else max(usually, self.least)


class Spare:
    """Saves a share of every call; a second ask costs one whole. So no more than that share is ever asked twice."""

    __slots__ = ("_most", "_saved", "_share")

    def __init__(self, share: float, *, most: float = 20.0) -> None:
        self._share, self._most = share, most
        self._saved = 0.0

    def call(self) -> None:
        """A call is made."""
        self._saved = min(self._saved + self._share, self._most)

    def draw(self) -> bool:
        """Whether there may be a second ask; then it is paid for."""
        # A share is no binary fraction: twenty times 0.05 is a little less than 1.
        if self._saved < 1.0 - 1e-9:
            return False
        self._saved = max(self._saved - 1.0, 0.0)
        return True
