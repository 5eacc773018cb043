"""What threads and loops wait for together, what keeps a small state to one of them, and what a fork breaks in both."""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")


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

    __slots__ = ("_events",)

    def __init__(self) -> None:
        super().__init__()
        self._events: dict[asyncio.AbstractEventLoop, asyncio.Event] = {}

    def on(self, loop: asyncio.AbstractEventLoop) -> asyncio.Event:
        """What the tasks of this loop, which is running here, wait for."""
        event = self._events.get(loop)
        if event is None:
            import asyncio

            event = self._events[loop] = asyncio.Event()
            self.subscribe(lambda: wake_on(loop, event.set))
        return event


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
        self._posted.append(work)
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


_forked: weakref.WeakSet[Any] = weakref.WeakSet()


def mind_forks(thing: Forkable) -> None:
    """
    Have `thing.after_fork()` called in a child that `os.fork` makes.

    A lock held by another thread at that moment stays locked in the child for ever, and what that
    thread was about to give back never comes back: so locks are made anew and counts forgotten.
    """
    _watch_forks()
    _forked.add(thing)


@cache
def _watch_forks() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork)


def _after_fork() -> None:
    for thing in list(_forked):
        thing.after_fork()
