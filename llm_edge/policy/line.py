"""
Who waits, and who is next: first come, first served, within a priority.

Each waits at one row, the one that had no room; and gives way to all who stand before it at any of the rows it wants.
The order is one for all rows, so that there is always somebody who need give way to nobody. So a large ask is not
starved: what is small and comes later waits behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count

from .rows import Asks


class Ticket:
    """One who waits."""

    __slots__ = ("at", "order", "wake")

    def __init__(self, order: tuple[int, int]) -> None:
        self.order = order
        self.at = ""
        """The key of the row it waits at; empty when it does not."""
        self.wake: Callable[[], None] | None = None


class Line:
    """All who wait. Who calls it keeps to one thread at a time."""

    def __init__(self) -> None:
        self._at: dict[str, list[Ticket]] = {}
        self._numbers = count()

    @property
    def empty(self) -> bool:
        return not self._at

    def ticket(self, priority: int = 0) -> Ticket:
        """A place behind all of the same priority or a higher one."""
        return Ticket((-priority, next(self._numbers)))

    def gives_way(self, ticket: Ticket, asks: Asks) -> str | None:
        """The key of a row where somebody else comes first; None when nobody does."""
        if self._at:
            for row, _ in asks:
                for other in self._at.get(row.key, ()):
                    if other.order < ticket.order:
                        return row.key
        return None

    def wait_at(self, ticket: Ticket, key: str, wake: Callable[[], None]) -> None:
        """Wait here, and nowhere else; `wake` is called when it is worth asking again."""
        ticket.wake = wake
        if ticket.at != key:
            woken = self._left(ticket)
            ticket.at = key
            self._at.setdefault(key, []).append(ticket)
            self._call(woken)

    def leave(self, ticket: Ticket, asks: Asks = ()) -> None:
        """Wait no longer. Whoever gave way at one of these rows may ask again."""
        woken = self._left(ticket)
        self._call([*woken, *self._first({row.key for row, _ in asks})])

    def room(self, asks: Asks) -> None:
        """Something of these rows was given back."""
        if self._at:
            self._call(self._first({row.key for row, _ in asks}))

    def clear(self) -> None:
        self._at.clear()

    def _left(self, ticket: Ticket) -> list[Ticket]:
        key, ticket.at = ticket.at, ""
        there = self._at.get(key)
        if there is None or ticket not in there:
            return []
        there.remove(ticket)
        if not there:
            del self._at[key]
        return self._first((key,))

    def _first(self, keys: Iterable[str]) -> list[Ticket]:
        return [min(there, key=lambda ticket: ticket.order) for key in keys if (there := self._at.get(key))]

    @staticmethod
    def _call(tickets: Iterable[Ticket]) -> None:
        for ticket in tickets:
            wake, ticket.wake = ticket.wake, None
            if wake is not None:
                wake()
