"""Bodies known by sight: their very bytes, sent again as nearly all that is asked again is, need not be read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..message import Body, Keyed

SHORT: Final = 8 * 2**10
"""Bytes of the longest body that is known by sight."""
MANY: Final = 512
"""How many are, of those whose answers were kept."""


class Sights:
    """What was found of bodies whose answers were kept, and of those that are being asked for just now."""

    def __init__(self, under_way: Mapping[bytes, Keyed]) -> None:
        self._known: dict[bytes, Keyed] = {}
        self._under_way = under_way

    def __len__(self) -> int:
        """How many bodies are remembered whose answers were kept."""
        return len(self._known)

    def forget(self) -> None:
        """What is cleared is gone: of its questions nothing stays behind either."""
        self._known.clear()

    def of(self, body: Body) -> Keyed | None:
        """What was found of these bytes; ValueError or TypeError for a body that has none."""
        raw = body.raw
        return (self._known.get(raw) or self._under_way.get(raw)) if len(raw) <= SHORT else None

    def keep(self, body: Body) -> None:
        raw, found = body.raw, body.keyed
        if found is not None and len(raw) <= SHORT and self._known.get(raw) is not found:
            if len(self._known) >= MANY:
                self._known.clear()
            self._known[raw] = found


def sight(body: Body, under_way: dict[bytes, Keyed]) -> bytes | None:
    """Has a body that is under way known by its bytes, which are given; None when it is too long for that."""
    raw, found = body.raw, body.keyed
    if found is None or len(raw) > SHORT:
        return None
    under_way[raw] = found
    return raw
