"""
The only place where sync and async differ: how to wait.

A chain is one set of coroutines. In the async colour its leaves await an event loop; in
the sync colour its leaves block the thread and never suspend, so `drive()` runs the very
same coroutine with one `send(None)` and no loop at all. What a layer may wait on is small:
a clock, a signal (another call), a store, the next handler.

Nothing here belongs to one loop or one thread; so one client serves many of both.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    import asyncio

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
        with self._lock:
            self._catch_up()
            result = work()
        self._settle()
        return result

    def post(self, work: Callable[[], None]) -> None:
        """Have this done soon, without waiting."""
        self._posted.append(work)
        self._settle()

    def _settle(self) -> None:
        # Whoever lets go of the lock looks once more: what was posted meanwhile has nobody else to do it.
        while self._posted and self._lock.acquire(blocking=False):
            try:
                self._catch_up()
            finally:
                self._lock.release()

    def _catch_up(self) -> None:
        while self._posted:
            self._posted.popleft()()


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

    async def wait(self, signal: Signal, seconds: float | None, /) -> bool:
        """Until the signal is set (True) or the time is up (False)."""
        ...

    def alarm(self) -> Alarm: ...


class ThreadClock:
    """Waits by blocking the thread; its coroutines never suspend."""

    def now(self) -> float:
        return time.monotonic()

    def time(self) -> float:
        return time.time()

    async def sleep(self, seconds: float, /) -> None:
        time.sleep(seconds)


class LoopClock:
    """Waits on the running asyncio loop."""

    def now(self) -> float:
        return time.monotonic()

    def time(self) -> float:
        return time.time()

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


class _NoAlarm:
    async def until(self, moment: float | None, work: Awaitable[T], /) -> T:
        return await work

    def off(self) -> None: ...


_NO_ALARM = _NoAlarm()


class Awaiting:
    """The async colour, on whatever asyncio loop is running."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or LoopClock()

    async def wait(self, signal: Signal, seconds: float | None, /) -> bool:
        import asyncio

        if signal.is_set:
            return True
        loop = asyncio.get_running_loop()
        happened: asyncio.Future[None] = loop.create_future()

        def happen() -> None:
            if not happened.done():
                happened.set_result(None)

        def wake() -> None:
            try:
                loop.call_soon_threadsafe(happen)
            except RuntimeError:
                pass  # that loop has been closed: nobody waits there any more

        signal.subscribe(wake)
        try:
            async with asyncio.timeout(seconds):
                await happened
        except TimeoutError:
            return signal.is_set
        finally:
            signal.unsubscribe(wake)
        return True

    def alarm(self) -> Alarm:
        return _LoopAlarm(self.clock)


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


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """
    Run a coroutine that never really waits, on the spot, with no event loop.

    Raises RuntimeError when it does wait.
    """
    try:
        coroutine.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    said = RuntimeError(
        "something in the chain awaited an event loop inside the sync client; "
        "layers may wait only through the clock, a signal, the store and the next handler"
    )
    try:
        coroutine.close()
    except Exception as error:
        # It waited again, or failed, while being closed; that is not what the caller has to mend.
        raise said from error
    raise said


def drive_iter(source: AsyncIterator[T]) -> Iterator[T]:
    """The sync face of an async iterator whose steps never really wait."""
    while True:
        try:
            item = drive(_step(source))
        except StopAsyncIteration:
            return
        yield item


async def _step(source: AsyncIterator[T]) -> T:
    return await source.__anext__()
