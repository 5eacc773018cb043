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
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from .driving import drive, drive_iter
from .homes import THREADS, GivenUp, Home, Loop, Running
from .signals import Crowd, Forkable, Guard, Signal, mind_forks, wake_on

if TYPE_CHECKING:
    import asyncio

# What waits, and what is waited for, is had from here.
__all__ = [
    "Alarm", "Awaiting", "Blocking", "Clock", "Crowd", "FakeClock", "Forkable", "GivenUp", "Guard", "Home", "LoopClock",
    "Running", "Runtime", "Signal", "ThreadClock", "drive", "drive_iter", "mind_forks",
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

    def off(self) -> None:
        """The call is over; no timer stays behind."""
        ...


class Runtime(Protocol):
    """One colour: a clock, and the few ways to wait that need to know about threads or loops."""

    clock: Clock
    apart: bool
    """Whether work can be had beside its caller at no great cost: on a loop it can."""

    async def wait(self, signal: Signal, seconds: float | None, /) -> bool:
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

    def off(self) -> None: ...


_NO_ALARM = _NoAlarm()


class Awaiting:
    """The async colour, on whatever asyncio loop is running."""

    apart = True

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or LoopClock()
        # Loops remember their tasks weakly; somebody has to hold them.
        self._tasks: set[asyncio.Task[None]] = set()

    async def wait(self, signal: Signal, seconds: float | None, /) -> bool:
        import asyncio

        if signal.is_set:
            return True
        loop = asyncio.get_running_loop()
        if isinstance(signal, Crowd):
            return await signal.on(loop).wait(seconds) or signal.is_set
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
        return _LoopAlarm(self.clock)

    def home(self) -> Home:
        import asyncio

        return Loop(asyncio.get_running_loop(), self._tasks)


def _cancelled() -> type[BaseException]:
    import asyncio

    return asyncio.CancelledError


class _LoopAlarm:
    """
    One timer for all the waits of a call.

    `asyncio.timeout` sets and cancels a timer for each wait; a stream waits for each chunk. Here
    the timer stays while the moment moves: when it rings early it is set again, and only a wait
    that is really late is cancelled, in the way of `asyncio.timeout`: our own cancellation is
    taken back (`uncancel`), anybody else's goes on.
    """

    __slots__ = ("_cancelling", "_clock", "_here", "_moment", "_rung", "_task", "_timer")

    def __init__(self, clock: Clock) -> None:
        import asyncio

        self._clock, self._here = clock, asyncio.current_task
        self._moment = 0.0
        self._task: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._rung = False
        self._cancelling = 0

    async def until(self, moment: float | None, work: Awaitable[T], /) -> T:
        if moment is None:
            return await work
        task = self._here()
        assert task is not None, "asyncio always runs coroutines in a task"
        if self._timer is None or moment < self._moment:
            self.off()
            self._timer = task.get_loop().call_later(max(moment - self._clock.now(), 0.0), self._ring)
        self._moment, self._task, self._cancelling = moment, task, task.cancelling()
        try:
            return await work
        except BaseException as error:
            if self._taken_back(task) and isinstance(error, _cancelled()):
                raise TimeoutError from None
            raise
        finally:
            if self._rung:
                self._taken_back(task)  # work may end in another way although it was cancelled
            self._task = None

    def _taken_back(self, task: asyncio.Task[Any]) -> bool:
        """Whether the task was cancelled by this alarm and by nobody else; then it is no longer."""
        if not self._rung:
            return False
        self._rung = False
        return task.uncancel() <= self._cancelling

    def _ring(self) -> None:
        self._timer = None
        task = self._task
        if task is None:
            return  # nobody waits just now; the next wait sets a timer again
        left = self._moment - self._clock.now()
        if left > 0:
            self._timer = task.get_loop().call_later(left, self._ring)
        else:
            self._rung = True
            task.cancel()

    def off(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
