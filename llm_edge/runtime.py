"""
The only place where sync and async differ: how to wait.

A chain is one set of coroutines. In the async colour its leaves await an event loop; in
the sync colour its leaves block the thread and never suspend, so `drive()` runs the very
same coroutine with one `send(None)` and no loop at all. What a layer may wait on is small:
a clock, a signal (another call), a store, the next handler.

Nothing here belongs to one loop or one thread; so one client serves many of both.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Protocol, TypeVar

from .alarms import Bell, LoopAlarm
from .driving import drive, drive_iter
from .homes import THREADS, GivenUp, Home, Loop, Running
from .signals import Crowd, Forkable, Guard, Parting, Signal, mind_forks, part_before_forks, wake_on

if TYPE_CHECKING:
    import asyncio

# What waits, and what is waited for, is had from here.
__all__ = [
    "Alarm", "Awaiting", "Blocking", "Clock", "Crowd", "FakeClock", "Forkable", "GivenUp", "Guard", "Home", "LoopClock",
    "Parting", "Running", "Runtime", "Signal", "ThreadClock", "drive", "drive_iter", "mind_forks", "part_before_forks",
]  # fmt: skip

T = TypeVar("T")


class Clock(Protocol):
    """Tells the time and waits for it to pass. Tests bring their own."""

    def now(self) -> float:
        """Seconds that never jump; for durations and deadlines."""
        ...

    def time(self) -> float:
        """Seconds since 1970; for what people read and what is stored."""
        ...

    async def sleep(self, seconds: float, /) -> None: ...


class Alarm(Protocol):
    """Bounds the waits of one call, one after the other, at a cost that suits every chunk of a stream."""

    async def until(self, moment: float | None, work: Awaitable[T], /) -> T:
        """The work's result; TimeoutError, the work cancelled, when `clock.now()` passes the moment first.

        In the sync colour nobody can cancel a blocking call from outside: there the work has been
        told its moment and raises by itself.
        """
        ...

    def move(self, moment: float | None, /) -> None:
        """The wait under way, which was given a moment, has another one from now on."""
        ...


class Runtime(Protocol):
    """One colour: a clock, and the few ways to wait that need to know about threads or loops."""

    clock: Clock
    apart: bool
    """Whether work can be had beside its caller at no great cost: on a loop it can."""

    def wait(self, signal: Signal, seconds: float | None, /) -> Awaitable[bool]:
        """Until the signal is set (True) or the time is up (False)."""
        ...

    def alarm(self) -> Alarm: ...

    def home(self) -> Home:
        """Where the work of this colour that is begun here goes on."""
        ...


class ThreadClock:
    """Waits by blocking the thread; its coroutines never suspend."""

    # Asked a dozen times in each call, so without a frame of their own.
    now = staticmethod(time.monotonic)
    time = staticmethod(time.time)

    async def sleep(self, seconds: float, /) -> None:
        time.sleep(seconds)


class LoopClock:
    """Waits on the running asyncio loop."""

    # Asked a dozen times in each call, so without a frame of their own.
    now = staticmethod(time.monotonic)
    time = staticmethod(time.time)

    async def sleep(self, seconds: float, /) -> None:
        import asyncio

        await asyncio.sleep(seconds)


class FakeClock:
    """Time that passes only when someone waits or a test says so."""

    def __init__(self, now: float = 0.0, *, time: float = 1_795_000_000.0) -> None:
        self._now = now
        self._offset = time - now
        self.slept: list[float] = []
        """Every wait so far, in seconds."""

    def now(self) -> float:
        return self._now

    def time(self) -> float:
        return self._now + self._offset

    def advance(self, seconds: float) -> None:
        self._now += seconds

    async def sleep(self, seconds: float, /) -> None:
        self.slept.append(seconds)
        self._now += seconds


class Blocking:
    """The sync colour."""

    apart = False

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or ThreadClock()

    async def wait(self, signal: Signal, seconds: float | None, /) -> bool:
        if signal.is_set:
            return True
        # A bare lock, opened once: cheaper than an Event, and the garbage collector may open it.
        door = threading.Lock()
        door.acquire()
        signal.subscribe(door.release)
        try:
            return door.acquire(timeout=-1 if seconds is None else max(seconds, 0.0)) or signal.is_set
        finally:
            signal.unsubscribe(door.release)

    def alarm(self) -> Alarm:
        return _NO_ALARM

    def home(self) -> Home:
        return THREADS


class _NoAlarm:
    async def until(self, moment: float | None, work: Awaitable[T], /) -> T:
        return await work

    def move(self, moment: float | None, /) -> None: ...


_NO_ALARM = _NoAlarm()


class Awaiting:
    """The async colour, on whatever asyncio loop is running."""

    apart = True

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or LoopClock()
        # Loops remember their tasks weakly; somebody has to hold them.
        self._tasks: set[asyncio.Task[None]] = set()
        self._home: Loop | None = None
        self._bell: Bell | None = None

    def wait(self, signal: Signal, seconds: float | None, /) -> Awaitable[bool]:
        import asyncio

        # Many wait in a crowd: no coroutine for each of them.
        if isinstance(signal, Crowd):
            return signal.on(asyncio.get_running_loop()).wait(seconds)
        return self._wait(signal, seconds)

    async def _wait(self, signal: Signal, seconds: float | None) -> bool:
        import asyncio

        if signal.is_set:
            return True
        loop = asyncio.get_running_loop()
        happened: asyncio.Future[None] = loop.create_future()

        def happen() -> None:
            if not happened.done():
                happened.set_result(None)

        def wake() -> None:
            wake_on(loop, happen)

        timer = None if seconds is None else loop.call_later(max(seconds, 0.0), happen)
        signal.subscribe(wake)
        try:
            await happened
        finally:
            if timer is not None:
                timer.cancel()
            signal.unsubscribe(wake)
        return signal.is_set

    def alarm(self) -> Alarm:
        return LoopAlarm(self._bell_here)

    def _bell_here(self) -> Bell:
        # Where loops in several threads use it in turn, each finds another's and hangs up its own: they all ring.
        bell = self._bell
        if bell is None or not bell.here():
            bell = self._bell = Bell(self.clock)
        return bell

    def home(self) -> Home:
        home = self._home
        if home is None or not home.here():
            import asyncio

            home = self._home = Loop(asyncio.get_running_loop(), self._tasks)
        return home
