"""What threads and loops wait for together, what keeps a small state to one of them, and what a fork breaks in both."""

from __future__ import annotations

import math
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from functools import cache
from heapq import heappop, heappush
from importlib import _bootstrap
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")
_COMING = itemgetter(1)
_PATIENCE = 2.0
"""Seconds that a fork waits for what must be over first."""


class Signal:
    """
    Something that happens once: set from any thread, waited for by threads and loops alike.

    It has no lock, so that even the garbage collector may set it, at whatever moment: each waker
    is taken off the list before it is called, and a list gives each of its items to one taker.
    """

    __slots__ = ("_set", "_wakers")

    def __init__(self) -> None:
        self._set = False
        self._wakers: list[Callable[[], None]] = []

    @property
    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        while self._wakers:
            try:
                wake = self._wakers.pop()
            except IndexError:
                return  # another thread took the last
            wake()

    def subscribe(self, wake: Callable[[], None]) -> None:
        """Call `wake` once it happens, or now when it has; from whatever thread sets it."""
        self._wakers.append(wake)
        if self._set:
            self.set()

    def unsubscribe(self, wake: Callable[[], None]) -> None:
        try:
            self._wakers.remove(wake)
        except ValueError:
            pass  # called already


class Crowd(Signal):
    """A signal that many wait for: each loop is woken once, however many of its tasks wait."""

    __slots__ = ("_rooms",)

    def __init__(self) -> None:
        super().__init__()
        self._rooms: dict[asyncio.AbstractEventLoop, Room] = {}

    def on(self, loop: asyncio.AbstractEventLoop) -> Room:
        """Where the tasks of this loop, which is running here, wait."""
        room = self._rooms.get(loop)
        if room is None:
            room = self._rooms[loop] = Room(loop)
            self.subscribe(lambda: wake_on(loop, room.open))
        return room


class Room:
    """Where the tasks of one loop wait for a signal, each for as long as it will; one timer rings for all of them."""

    __slots__ = ("_loop", "_number", "_opened", "_timer", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._opened = loop, False
        self._waiting: list[tuple[float, int, asyncio.Future[bool]]] = []
        self._number = 0
        self._timer: asyncio.TimerHandle | None = None

    def wait(self, seconds: float | None) -> asyncio.Future[bool]:
        """True when it happens, False when the time is up first."""
        future: asyncio.Future[bool] = self._loop.create_future()
        if self._opened:
            future.set_result(True)
            return future
        moment = math.inf if seconds is None else self._loop.time() + seconds
        self._number += 1
        heappush(self._waiting, (moment, self._number, future))
        if seconds is not None and self._waiting[0][2] is future:
            self._set_timer()
        return future

    def open(self) -> None:
        """It has happened."""
        self._opened = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for _, _, future in sorted(self._waiting, key=_COMING):  # who came first goes on first
            if not future.done():
                future.set_result(True)
        self._waiting.clear()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._waiting[0][0], self._ring)

    def _ring(self) -> None:
        assert self._timer is not None, "it is what rings"
        now, waiting, self._timer = max(self._loop.time(), self._timer.when()), self._waiting, None
        while waiting and (waiting[0][0] <= now or waiting[0][2].done()):
            future = heappop(waiting)[2]
            if not future.done():
                future.set_result(False)
        if waiting and waiting[0][0] < math.inf:
            self._set_timer()


def wake_on(loop: asyncio.AbstractEventLoop, happen: Callable[[], object]) -> None:
    """Have this done on that loop soon; done at once where that loop is running right here."""
    import asyncio

    try:
        here = asyncio.get_running_loop() is loop
    except RuntimeError:
        here = False
    if here:
        happen()  # a loop that is woken from elsewhere is written to, and reads: two system calls
        return
    try:
        loop.call_soon_threadsafe(happen)
    except RuntimeError:
        pass  # that loop has been closed: nobody waits there any more


class Guard:
    """
    Keeps a small piece of state to one thread at a time; for arithmetic only, never across an await.

    A stream that is dropped unclosed gives back what it holds from wherever the garbage collector
    ran: perhaps inside this very lock, where waiting for it would be for ever. So what gives
    something back is posted: done at once when the lock is free, else by whoever holds it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._posted: deque[Callable[[], None]] = deque()
        mind_forks(self)

    def after_fork(self) -> None:
        # The lock may be held by a thread that does not exist in the child.
        self._lock = threading.Lock()

    def do(self, work: Callable[[], T]) -> T:
        """The work's result, once it is its turn."""
        # Every call comes by here many times: the loops below stand where they are needed, not in methods of their own.
        posted = self._posted
        with self._lock:
            while posted:
                posted.popleft()()
            result = work()
        if posted:
            self._settle()
        return result

    def post(self, work: Callable[[], None]) -> None:
        """Have this done soon, without waiting."""
        posted, lock = self._posted, self._lock
        if posted or not lock.acquire(False):
            posted.append(work)
        else:
            try:
                work()
            finally:
                lock.release()
        if posted:
            self._settle()

    def _settle(self) -> None:
        # Whoever lets go of the lock looks once more: what was posted meanwhile has nobody else to do it.
        posted, lock = self._posted, self._lock
        while posted and lock.acquire(False):
            try:
                while posted:
                    posted.popleft()()
            finally:
                lock.release()


class Forkable(Protocol):
    """What has locks or counts that do not survive `os.fork`."""

    def after_fork(self) -> None: ...


class Parting(Forkable, Protocol):
    """What has something that a child must not even inherit."""

    def before_fork(self, until: float) -> None:
        """Let go of it; waits for who uses it just now until this moment of `time.monotonic` at most."""
        ...

    def after_fork_here(self) -> None:
        """The fork is over, in the parent."""
        ...


_forked: weakref.WeakSet[Any] = weakref.WeakSet()
_parting: weakref.WeakSet[Any] = weakref.WeakSet()


def mind_forks(thing: Forkable) -> None:
    """
    Have `thing.after_fork()` called in a child that `os.fork` makes.

    A lock held by another thread at that moment stays locked in the child for ever, and what that
    thread was about to give back never comes back: so locks are made anew and counts forgotten.
    """
    _watch_forks()
    _forked.add(thing)


def part_before_forks(thing: Parting) -> None:
    """As `mind_forks`; and have it let go before the fork of what a child must not inherit."""
    mind_forks(thing)
    _parting.add(thing)


@cache
def _watch_forks() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_before_fork, after_in_child=_after_fork, after_in_parent=_after_fork_here)


def _before_fork() -> None:
    until = time.monotonic() + _PATIENCE
    _imports_over(until)
    for thing in list(_parting):
        thing.before_fork(until)


def _imports_over(until: float) -> None:
    """
    Wait for what other threads are importing, for in a child those modules would stay locked for ever.

    The first calls of a process import most of what they need.
    """
    while _imported_elsewhere() and time.monotonic() < until:
        time.sleep(0.001)


def _imported_elsewhere() -> bool:
    # Nothing public tells of it; where these are not there a fork goes ahead, as it does without us.
    locks: dict[str, Callable[[], object]] = getattr(_bootstrap, "_module_locks", {})
    owners = [getattr(lock(), "owner", None) for lock in list(locks.values())]
    return not {None, threading.get_ident()}.issuperset(owners)


def _after_fork() -> None:
    for thing in list(_forked):
        thing.after_fork()


def _after_fork_here() -> None:
    for thing in list(_parting):
        thing.after_fork_here()
