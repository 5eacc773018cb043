"""Leaves a store alone after it failed, for longer each time; calls never pay for finding out whether it is back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal, TypeAlias

from ..runtime import Guard, mind_forks

Leave: TypeAlias = Literal["pass", "probe", "skip"]

log = logging.getLogger("llm_edge.stores")

FIRST, LONGEST = 1.0, 30.0
"""Seconds of the first pause and of the longest, before chance moves them by a fifth."""


class Fuse:
    """
    Blows at the first timeout, or at the fifth failure in a row.

    While it is blown every ask is told to `skip`. When the pause is over one asker is told to have the store probed,
    behind everybody's back; the probe's outcome closes the fuse or makes the next pause twice as long.
    """

    def __init__(self, chance: Callable[[], float], *, failures: int = 5, name: str = "a store") -> None:
        self._chance, self._allowed, self._name = chance, failures, name
        self._guard = Guard()
        self._row = self._pauses = 0
        self._until: float | None = None
        self._probing = False
        self.failures = 0
        """Times the store failed, probes included."""
        mind_forks(self)

    def after_fork(self) -> None:
        # The thread that probes is the parent's.
        self._probing = False

    @property
    def blown(self) -> bool:
        return self._until is not None

    @property
    def doubted(self) -> bool:
        """Whether it failed when it was used last."""
        return self._row > 0 or self.blown

    def ask(self, now: float) -> Leave:
        """Whether to use the store now."""
        if self._until is None:
            return "pass"
        return self._guard.do(lambda: self._ask(now))

    def good(self) -> None:
        """The store answered."""
        self._row = 0

    def bad(self, now: float, *, at_once: bool = False) -> None:
        """The store failed; `at_once`: it did not answer in time, which is reason enough."""
        was = self.blown
        self._guard.do(lambda: self._bad(now, at_once))
        if self.blown and not was:
            log.warning("%s does not answer, and is left alone; calls go on without it", self._name)

    def probed(self, now: float, *, good: bool) -> None:
        """What came of a probe."""
        was = self.blown
        self._guard.do(lambda: self._probed(now, good))
        if was and not self.blown:
            log.info("%s is back", self._name)

    def _ask(self, now: float) -> Leave:
        if self._until is None:
            return "pass"
        if self._probing or now < self._until:
            return "skip"
        self._probing = True
        return "probe"

    def _bad(self, now: float, at_once: bool) -> None:
        self.failures += 1
        if self._until is not None:
            return  # it began before the fuse blew
        self._row += 1
        if at_once or self._row >= self._allowed:
            self._blow(now)

    def _probed(self, now: float, good: bool) -> None:
        self._probing = False
        if good:
            self._until, self._row, self._pauses = None, 0, 0
        else:
            self.failures += 1
            self._blow(now)

    def _blow(self, now: float) -> None:
        pause = min(LONGEST, FIRST * 2.0 ** min(self._pauses, 10))
        self._pauses += 1
        self._until = now + pause * (0.8 + 0.4 * self._chance())
