"""Which of a provider's keys is used next, and which are set aside."""

from __future__ import annotations

from collections.abc import Callable, Sequence

REFUSED_FOR, EMPTY_FOR = 3600.0, 300.0
"""Seconds for which a key is set aside that was refused, and one whose quota is used up."""


class Keyring:
    """The keys of one provider, by number. Who calls it keeps to one thread at a time."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._turn = 0
        self._out: dict[tuple[int, str], float] = {}

    def order(self, model: str, now: float, wait: Callable[[int], float]) -> Sequence[int]:
        """
        All keys: in turn those that are free, then those whose gate is closed, the one that opens first before the
        others, then those set aside, as we may be wrong about them. `wait` says how long a key's gate is closed.
        """
        first, self._turn = self._turn, (self._turn + 1) % self._count
        turned = [(first + step) % self._count for step in range(self._count)]
        return sorted(turned, key=lambda key: (self.back_in(key, model, now), wait(key)))

    def back_in(self, key: int, model: str, now: float) -> float:
        """Seconds until a key that was set aside is tried again; 0 for one that was not."""
        if not self._out:
            return 0.0
        return max(self._out.get((key, ""), now) - now, self._out.get((key, model), now) - now, 0.0)

    def set_aside(self, key: int, now: float, seconds: float, *, model: str = "") -> None:
        """Not to be used for a while; for one model, or for all."""
        if len(self._out) > 1000:
            self._out = {each: until for each, until in self._out.items() if until > now}
        self._out[key, model] = now + seconds

    def welcome(self, key: int, model: str) -> None:
        """It was accepted."""
        if self._out:
            self._out.pop((key, ""), None)
            self._out.pop((key, model), None)
