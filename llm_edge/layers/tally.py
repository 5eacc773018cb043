"""What the cache has done and saved, counted since the start."""

from __future__ import annotations

from collections import deque
from typing import Final, Literal, TypeAlias

from ..runtime import Guard
from ..stores.entry import Entry

_MANY: Final = 512
"""Calls answered before they are added up: each then costs one append."""


_Told: TypeAlias = tuple[bool, float, int | None] | Literal["shared", "missed"]
"""One call: how an answer that was kept was given (stale, seconds and nano-dollars saved), or what else it came to."""


class CacheStats:
    """Counters of one client's cache. Each may be a moment older than the next."""

    def __init__(self) -> None:
        self._guard = Guard()
        self._served: deque[_Told] = deque()
        self._hits = self._stale = self._unpriced = self._coalesced = self._misses = 0
        self._seconds, self._nanodollars = 0.0, 0
        self.bypassed = 0
        self.refreshed = 0
        """Answers asked for again behind the callers' backs."""

    @property
    def hits(self) -> int:
        """Answers given while they were fresh."""
        return self._added_up()._hits

    @property
    def stale(self) -> int:
        """Answers given past their end."""
        return self._added_up()._stale

    @property
    def misses(self) -> int:
        """Calls that went on to a provider."""
        return self._added_up()._misses

    @property
    def coalesced(self) -> int:
        """Calls answered by another's."""
        return self._added_up()._coalesced

    @property
    def saved_seconds(self) -> float:
        """What providers took for the answers that were given again."""
        return self._added_up()._seconds

    @property
    def saved_nanodollars(self) -> int:
        """What the answers that were given again had cost, where that is known."""
        return self._added_up()._nanodollars

    @property
    def unpriced(self) -> int:
        """Answers given again whose price nobody knows."""
        return self._added_up()._unpriced

    def served(self, entry: Entry, *, stale: bool) -> None:
        """One answer was given from what is kept."""
        served = self._served  # as in `_note`, without a frame of its own: every hit comes by here
        served.append((stale, entry.took, entry.cost))
        if len(served) >= _MANY:
            self._guard.post(self._add_up)

    def shared(self) -> None:
        """One call was answered by another's."""
        self._note("shared")

    def missed(self) -> None:
        """One call went on to a provider."""
        self._note("missed")

    def _note(self, what: _Told) -> None:
        self._served.append(what)
        if len(self._served) >= _MANY:
            self._guard.post(self._add_up)

    def _added_up(self) -> CacheStats:
        self._guard.do(self._add_up)
        return self

    def _add_up(self) -> None:
        while self._served:
            served = self._served.popleft()
            if isinstance(served, str):
                self._coalesced += served == "shared"
                self._misses += served == "missed"
                continue
            stale, took, cost = served
            if stale:
                self._stale += 1
            else:
                self._hits += 1
            self._seconds += took
            if cost is None:
                self._unpriced += 1
            else:
                self._nanodollars += cost

    def passed(self) -> None:
        """One call was none for the cache."""

        def count() -> None:
            self.bypassed += 1

        self._guard.post(count)

    def again(self) -> None:
        """One answer is asked for anew in the background."""

        def count() -> None:
            self.refreshed += 1

        self._guard.post(count)
