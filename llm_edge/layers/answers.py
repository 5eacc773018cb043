"""All that is kept, for every thread and loop of one client: in memory, in the second tier, and on its way."""

from __future__ import annotations

from typing import Final

from ..runtime import Guard, Runtime, mind_forks
from ..stores.entry import Entry
from ..stores.memory import MemoryStore
from ..stores.shelf import Tier
from ..stores.tier import SecondTier
from ..stores.tombstones import Tombstones
from .flight import Flights
from .kept import Held
from .sights import Sights
from .tally import CacheStats

LAST: Final = 2.0
"""Seconds that closing waits for what is still to be written."""


class Answers:
    """What both colours share of the cache."""

    def __init__(
        self, memory: MemoryStore[Held], second: SecondTier | None = None, *, idle: float | None = None,
        secret: bytes = b"",
    ) -> None:  # fmt: skip
        self.memory, self.second, self.secret = memory, second, secret
        self.flights, self.stats = Flights(), CacheStats()
        self.sights = Sights(self.flights.by_sight)
        self.tombstones = Tombstones() if second is None else second.tombstones
        if second is not None:
            second.heard = self._heard
        self._idle = idle
        self._guard = Guard()
        self._renewing: set[str] = set()
        mind_forks(self)

    def after_fork(self) -> None:
        # Who was renewing them is in the parent.
        self._renewing = set()
        self.sights.forget()

    def _heard(self, now: float) -> None:
        """Another process has purged something."""
        self.flights.part()
        if not self.tombstones.reaches_all(now):
            self.memory.clear()

    @property
    def alone(self) -> bool:
        """Whether memory is all there is just now, as the second tier does not answer."""
        return self.second is not None and self.second.failing

    def recall(self, key: str, now: float) -> Held | None:
        """What memory holds for a key: fresh or not, but never purged, or idle for too long, or another's."""
        held = self.memory.get(key)
        if held is None or held.entry.key != key:
            return None
        if self._idle is not None and now - held.used >= self._idle:
            return None
        if self.tombstones.marks and self.tombstones.cover(held.entry):
            return None
        held.used = now
        return held

    @property
    def informed(self) -> bool:
        """Whether memory may be believed just now: what other processes purged is known, or cannot be."""
        return self.second is None or self.second.glance()

    def hold(self, entry: Entry, *, now: float, age: float, seconds: float) -> Held:
        """Keep an entry in memory, for so many seconds at most before the second tier is asked again."""
        if entry.made > self.tombstones.newest:
            self.tombstones.newest = entry.made
        made = now - age
        expires = made + entry.ttl
        until = expires if self.second is None else min(expires, now + seconds)
        held = Held(entry=entry, made=made, expires=expires, until=until, used=now, size=entry.size)
        self.memory.put(entry.key, held)
        return held

    def tier(self, runtime: Runtime) -> Tier | None:
        """The second tier as one colour sees it."""
        return None if self.second is None else self.second.view(runtime)

    async def close(self, runtime: Runtime) -> None:
        """Give what is still to be written a moment for it; nothing is read or written from then on."""
        if self.second is not None and not self.second.closed:
            await self.second.view(runtime).drain(LAST)
            self.second.close()

    def begins(self, key: str) -> bool:
        """Whether nobody is renewing this answer yet; the caller then does, and says when that is over."""

        def begin() -> bool:
            fresh = key not in self._renewing
            self._renewing.add(key)
            return fresh

        return self._guard.do(begin)

    def over(self, key: str) -> None:
        """Nobody is renewing this answer any more."""
        self._guard.post(lambda: self._renewing.discard(key))
