"""Answers kept in this process: TinyLFU, bounded in bytes and in entries."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from ..lasting import lasting
from ..runtime import mind_forks

if TYPE_CHECKING:
    from moka_py import Moka


class Weighed(Protocol):
    """Something that knows its size in bytes, roughly."""

    @property
    def size(self) -> int: ...


T = TypeVar("T", bound=Weighed)


class MemoryStore(Generic[T]):
    """
    A bounded map for all threads and loops of this process.

    One bound serves for two: an entry weighs its bytes, but at least its share of the room, so
    that `entries` of them fill it however small they are. Expiry is the reader's business.
    """

    def __init__(self, *, entries: int = 1000, bytes: int = 64 * 2**20) -> None:  # noqa: A002  the configuration's word
        self._least = max(bytes // entries, 1) if entries else 1
        self._capacity = min(bytes, self._least * entries)
        self._opened: Moka[str, T] | None = None
        self._opening = threading.Lock()
        self._counting = threading.RLock()  # the end of a stream, and its answer's keeping, may come from a finaliser
        self._added = self._removed = self._evicted = 0
        mind_forks(self)

    @property
    def _map(self) -> Moka[str, T]:
        return self._open() if self._opened is None else self._opened

    def _open(self) -> Moka[str, T]:
        # At the first call, for loading it costs 7 MiB.
        with self._opening:
            if self._opened is None:
                kind: type[Moka[str, T]] = lasting("moka_py").Moka
                least = self._least

                def weigh(key: str, value: T) -> int:
                    size = value.size
                    return size if size > least else least

                self._opened = kind(self._capacity, weigher=weigh)
            return self._opened

    def after_fork(self) -> None:
        # Its inner locks may be held by a thread that does not exist in the child: begin empty.
        self._opened, self._opening, self._counting = None, threading.Lock(), threading.RLock()
        self._added = self._removed = self._evicted = 0

    def get(self, key: str, /) -> T | None:
        return self._map.get(key)

    def put(self, key: str, value: T, /) -> None:
        if value.size > self._capacity:
            self.remove(key)  # what was there is not the latest any more
            return
        kept = self._map
        known = kept.get(key) is not None
        kept.set(key, value)
        if not known:
            with self._counting:
                self._added += 1

    def remove(self, key: str, /) -> None:
        if self._map.remove(key) is not None:
            with self._counting:
                self._removed += 1

    def clear(self) -> None:
        with self._counting:
            self._removed += len(self)
            self._map.clear()

    @property
    def evicted(self) -> int:
        """
        How many answers had to make room for others, or found none.

        Worked out from what came and what is there: moka would tell of each while it holds its own locks.
        """
        with self._counting:
            self._evicted = max(self._evicted, self._added - self._removed - len(self))
            return self._evicted

    @property
    def weight(self) -> int:
        """Bytes, as weighed."""
        self._map.run_pending_tasks()
        return self._map.weighted_size()

    def __len__(self) -> int:
        self._map.run_pending_tasks()
        return self._map.count()
