"""
Open lanes to one Redis, kept for whoever asks next.

A thread with an open lane at hand asks by itself. Where there is none a worker thread asks, so that names are looked
up and connections opened while the call waits no longer than it will.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from ..runtime import Blocking, Runtime, mind_forks
from . import lanes
from .lanes import Client, Lane
from .places import Place
from .workers import Workers

T = TypeVar("T")

PATIENCE, PATIENCE_BEHIND = 0.05, 1.0
"""Seconds for what somebody waits for, and for what nobody waits for."""

_LANES, _CLUSTERS = 32, 4
"""How many idle lanes are kept; one to a cluster is many connections."""


class Pool:
    """The lanes of one Redis, Valkey or cluster of them."""

    def __init__(self, place: Place, patience: float = PATIENCE) -> None:
        self._place, self._patience = place, patience
        lanes.library()  # imported now, and not while the first call waits
        self._left: list[object] = []  # in a forked child, the parent's: kept, so that nothing in it is ever closed
        self._begin()
        mind_forks(self)

    def _begin(self) -> None:
        self._ready: deque[Lane] = deque()
        self._age = 0
        self._mine = threading.local()
        self._closed = False

    def after_fork(self) -> None:
        self._left += [self._ready, self._mine]
        self._begin()

    def distrust(self) -> None:
        self._age += 1

    def leave(self) -> None:
        mine: Lane | None = getattr(self._mine, "lane", None)
        if mine is not None:
            mine.close()

    def close(self) -> None:
        self._closed = True
        while (lane := self._idle()) is not None:
            lane.close()

    async def soon(self, work: Callable[[Client], T], runtime: Runtime, workers: Workers) -> T:
        lane = self._idle() if isinstance(runtime, Blocking) and self._place.shape != "cluster" else None
        if lane is not None:
            try:
                return self._use(lane, work)
            except ConnectionError:
                self.distrust()  # closed by the other side, as the rest will be
        return await workers.run(lambda: self.ask(work), runtime, self._patience)

    def ask(self, work: Callable[[Client], T], *, patience: float | None = None) -> T:
        """On a worker: over an idle lane, or a new one."""
        lane = self._idle()
        if lane is not None:
            try:
                return self._use(lane, work, patience)
            except ConnectionError:
                self.distrust()
        return self._use(lanes.opened(self._place, patience or self._patience, self._age), work, patience)

    def _use(self, lane: Lane, work: Callable[[Client], T], patience: float | None = None) -> T:
        with lane.in_use(patience or self._patience) as client:
            result = work(client)
        self._put_back(lane)
        return result

    def _write(self, work: Callable[[Client], object]) -> None:
        """On the writer: over its own lane."""
        lane: Lane | None = getattr(self._mine, "lane", None)
        self._mine.lane = None
        if lane is not None:
            try:
                with lane.in_use(PATIENCE_BEHIND) as client:
                    work(client)
            except ConnectionError:
                lane = None
        if lane is None:
            lane = lanes.opened(self._place, PATIENCE_BEHIND, self._age)
            with lane.in_use(PATIENCE_BEHIND) as client:
                work(client)
        self._mine.lane = lane

    def _idle(self) -> Lane | None:
        while self._ready:
            try:
                lane = self._ready.pop()
            except IndexError:
                return None  # another thread took the last
            if lane.age == self._age:
                return lane
            lane.close()
        return None

    def _put_back(self, lane: Lane) -> None:
        most = _CLUSTERS if self._place.shape == "cluster" else _LANES
        if lane.age == self._age and len(self._ready) < most:
            self._ready.append(lane)
            if self._closed:  # asked after it lies there: who closes may not have found it
                self.close()
        else:
            lane.close()
