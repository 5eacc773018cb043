"""
Bounds the waits of calls on an event loop.

`asyncio.timeout` sets and cancels a timer for each wait; a call waits several times, a stream for each chunk. Here one
timer of a loop looks after all of them: it stands at the nearest moment it was set to, and when it rings, only the
waits that are really late are cancelled, in the way of `asyncio.timeout`: our own cancellation is taken back
(`uncancel`), anybody else's goes on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import inf
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")


class Telling(Protocol):
    """What is needed of a clock here."""

    def now(self) -> float: ...


class Bell:
    """The timer of the loop it is made on, and the waits that it looks after."""

    __slots__ = ("_clock", "_running", "_timer", "late", "loop", "next", "task", "waiting")

    def __init__(self, clock: Telling) -> None:
        import asyncio

        self._clock, self._running, self.loop = clock, asyncio.get_running_loop, asyncio.get_running_loop()
        self.task, self.late = asyncio.current_task, asyncio.CancelledError
        self.waiting: set[LoopAlarm] = set()
        self.next = inf
        """The moment it rings."""
        self._timer: asyncio.TimerHandle | None = None

    def here(self) -> bool:
        """Whether its loop is the one that is running."""
        try:
            return self._running() is self.loop
        except RuntimeError:
            return False

    def by(self, moment: float) -> None:
        """Have it ring at this moment, and see to the later ones then."""
        if self._timer is not None:
            self._timer.cancel()
        self.next = moment
        self._timer = self.loop.call_later(max(moment - self._clock.now(), 0.0), self._ring)

    def _ring(self) -> None:
        self._timer, self.next = None, inf
        now, nearest = self._clock.now(), inf
        for alarm in list(self.waiting):
            if alarm.moment <= now:
                alarm.ring()
            elif alarm.moment < nearest:
                nearest = alarm.moment
        if nearest < inf:
            self.by(nearest)


class LoopAlarm:
    """The waits of one call, one after the other. It holds nothing between them."""

    __slots__ = ("_bell", "_bell_here", "_cancelling", "_rung", "_task", "moment")

    def __init__(self, bell_here: Callable[[], Bell]) -> None:
        self._bell_here = bell_here
        self._bell: Bell | None = None
        self.moment = inf
        """When the wait under way is late."""
        self._task: asyncio.Task[Any] | None = None
        self._rung = False
        self._cancelling = 0

    async def until(self, moment: float | None, work: Awaitable[T], /) -> T:
        """As `runtime.Alarm` says."""
        if moment is None:
            return await work
        bell = self._bell
        task = None if bell is None else bell.task(bell.loop)
        if bell is None or task is None:
            bell = self._bell = self._bell_here()
            task = bell.task(bell.loop)
            assert task is not None, "asyncio always runs coroutines in a task"
        self.moment, self._task, self._cancelling = moment, task, task.cancelling()
        bell.waiting.add(self)
        if moment < bell.next:
            bell.by(moment)
        try:
            return await work
        except BaseException as error:
            if self._taken_back(task) and isinstance(error, bell.late):
                raise TimeoutError from None
            raise
        finally:
            bell.waiting.discard(self)
            if self._rung:
                self._taken_back(task)  # work may end in another way although it was cancelled

    def move(self, moment: float | None) -> None:
        """As `runtime.Alarm` says."""
        self.moment = inf if moment is None else moment
        if self._bell is not None and self.moment < self._bell.next:
            self._bell.by(self.moment)

    def _taken_back(self, task: asyncio.Task[Any]) -> bool:
        """Whether the task was cancelled by this alarm and by nobody else; then it is no longer."""
        if not self._rung:
            return False
        self._rung = False
        return task.uncancel() <= self._cancelling

    def ring(self) -> None:
        """The wait under way is late."""
        if self._task is not None and not self._rung:
            self._rung = True
            self._task.cancel()
