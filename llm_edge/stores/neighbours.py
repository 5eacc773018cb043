"""Vectors of questions and the keys their answers are kept under: which of them lie close to a new one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

from ..runtime import Guard, mind_forks

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

T = TypeVar("T")

_AT_MOST = 4
"""Neighbours given for one question."""


class Neighbours(Generic[T]):
    """
    The last `most` questions of this process; the oldest make room.

    A question lies in a group (all else that its call says), and is compared within that alone. Needs numpy.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._guard = Guard()
        self._forget()
        mind_forks(self)

    def after_fork(self) -> None:
        # The memory cache of a child is empty, too.
        self._forget()

    def _forget(self) -> None:
        self._rows: NDArray[numpy.float32] | None = None
        self._known: list[tuple[str, T] | None] = [None] * self._most
        self._groups: dict[str, list[int]] = {}
        self._next = 0

    def __len__(self) -> int:
        return sum(map(len, self._groups.values()))

    def nearest(self, group: str, vector: Sequence[float], least: float) -> list[tuple[float, T]]:
        """What was added under vectors at least that similar (cosine, 1 is the same), the most similar first."""
        unit = _unit(vector)
        return [] if unit is None else self._guard.do(lambda: self._nearest(group, unit, least))

    def _nearest(self, group: str, unit: NDArray[numpy.float32], least: float) -> list[tuple[float, T]]:
        places = self._groups.get(group)
        if not places or self._rows is None or self._rows.shape[1] != len(unit):
            return []
        alike = self._rows[places] @ unit
        found: list[tuple[float, T]] = []
        for at in map(int, alike.argsort()[::-1][:_AT_MOST]):
            known = self._known[places[at]]
            if alike[at] < least or known is None:
                break
            found.append((float(alike[at]), known[1]))
        return found

    def add(self, group: str, vector: Sequence[float], what: T) -> None:
        """Remember a question by its vector."""
        unit = _unit(vector)
        if unit is not None:
            self._guard.do(lambda: self._add(group, unit, what))

    def _add(self, group: str, unit: NDArray[numpy.float32], what: T) -> None:
        if self._rows is None or self._rows.shape[1] != len(unit):
            import numpy

            self._forget()  # another model: its vectors cannot be compared with these
            self._rows = numpy.zeros((self._most, len(unit)), dtype=numpy.float32)
        assert self._rows is not None, "just made"
        at, self._next = self._next, (self._next + 1) % self._most
        gone = self._known[at]
        if gone is not None:
            self._groups[gone[0]].remove(at)
            if not self._groups[gone[0]]:
                del self._groups[gone[0]]
        self._rows[at], self._known[at] = unit, (group, what)
        self._groups.setdefault(group, []).append(at)


def _unit(vector: Sequence[float]) -> NDArray[numpy.float32] | None:
    """The vector with length 1; None for one that has no direction."""
    import numpy

    row = numpy.asarray(vector, dtype=numpy.float32)
    length = float(numpy.linalg.norm(row)) if row.ndim == 1 and row.size else 0.0
    return row / length if 0.0 < length < float("inf") else None
