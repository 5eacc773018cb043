"""
What was purged, and when.

A purge writes down its moment under a tag, and an entry asked for at or before it is no longer there for anybody:
nothing has to be searched for and deleted, and what was on its way when it was purged is not kept either. Moments are
wall time, since other processes and machines read them too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeAlias

from ..runtime import Guard
from .entry import YEAR, digest

Marks: TypeAlias = Mapping[str, float]

KINDS = ("scope", "tenant", "namespace", "model")
MOST = 10_000
"""Marks at most; the oldest half then become one that covers everything."""
AHEAD = 60.0
"""Seconds by which the clocks of two machines may differ."""


class Purgeable(Protocol):
    """What a purge can name."""

    @property
    def scope(self) -> str: ...
    @property
    def tenant(self) -> str: ...
    @property
    def namespace(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def made(self) -> float: ...
    @property
    def took(self) -> float: ...


def tag(
    *, scope: str | None = None, tenant: str | None = None, namespace: str | None = None, model: str | None = None
) -> str:
    """The tag of what has all of these; scope and tenant are digests. With nothing given, of everything."""
    given = (("scope", scope), ("tenant", tenant), ("namespace", namespace), ("model", model))
    return _tag(tuple((kind, value) for kind, value in given if value is not None))


def _tag(pairs: tuple[tuple[str, str], ...]) -> str:
    return f"{','.join(kind for kind, _ in pairs)}:{digest(*(value for _, value in pairs))}"


_EVERYTHING = _tag(())


class Tombstones:
    """The purges that this process knows of."""

    def __init__(self) -> None:
        # Neither is changed in place, so that readers need no lock.
        self._marks: dict[str, float] = {}
        self._shapes: frozenset[tuple[str, ...]] = frozenset()
        self._guard = Guard()
        self.newest = 0.0
        """When the youngest answer was made that passed here, in seconds since 1970."""

    @property
    def marks(self) -> Marks:
        return self._marks

    def purge(self, tag: str, now: float) -> float:
        """
        Forget what carries this tag and was asked for up to now; gives the moment that this was.

        It is later than now where an answer says that it was made later: a clock was set back, or another machine's is
        ahead. What is asked until then is not kept either.
        """
        moment = max(now, min(self.newest, now + AHEAD))
        self._guard.do(lambda: self._join({tag: moment}))
        return moment

    def reaches_all(self, now: float) -> bool:
        """Whether a purge reaches what was made up to now; not where the clock was set back by more than a little."""
        return self.newest <= now + AHEAD

    def merge(self, found: Marks, now: float) -> Marks:
        """Take in what a store knows; gives what the store does not know yet."""
        sane = {tag: moment for tag, moment in found.items() if _shape(tag) is not None and _is_past(moment, now)}
        if any(moment > self._marks.get(tag, 0.0) for tag, moment in sane.items()):
            self._guard.do(lambda: self._join(sane))
        return {tag: moment for tag, moment in self._marks.items() if sane.get(tag, 0.0) < moment > now - YEAR}

    def cover(self, entry: Purgeable) -> bool:
        """Whether this entry has been purged."""
        marks = self._marks
        if not marks:
            return False
        asked = entry.made - entry.took
        return any(
            asked <= marks.get(_tag(tuple((kind, getattr(entry, kind)) for kind in shape)), 0.0)
            for shape in self._shapes
        )

    def _join(self, more: Marks) -> None:
        joined = dict(self._marks)
        for tag, moment in more.items():
            joined[tag] = max(moment, joined.get(tag, 0.0))
        if len(joined) > MOST:
            by_age = sorted(joined.items(), key=lambda mark: mark[1])
            old, young = by_age[: MOST // 2], by_age[MOST // 2 :]
            joined = {_EVERYTHING: old[-1][1]} | dict(young)
            self._shapes = _shapes(joined)
        else:
            self._shapes |= _shapes(more)
        self._marks = joined


def _shapes(marks: Marks) -> frozenset[tuple[str, ...]]:
    return frozenset(shape for tag in marks if (shape := _shape(tag)) is not None)


def _shape(tag: str) -> tuple[str, ...] | None:
    """Which kinds a tag names; None when it is no tag of ours."""
    kinds, _, rest = tag.partition(":")
    shape = tuple(kinds.split(",")) if kinds else ()
    return shape if len(rest) == 64 and set(shape) <= set(KINDS) else None


def _is_past(moment: float, now: float) -> bool:
    return 0 < moment <= now + AHEAD  # NaN never is; nor does an integer have to fit a float
