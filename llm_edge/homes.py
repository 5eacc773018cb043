"""Where work that belongs to no caller is begun and goes on: one event loop, or any thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, Protocol

from .driving import drive

if TYPE_CHECKING:
    import asyncio


class GivenUp(BaseException):
    """Nobody waits any more for the work of this thread: what `CancelledError` is on a loop, and nobody's failure."""


class Coloured(Protocol):
    """What is known of a runtime here."""

    apart: bool


class Running(Protocol):
    """Work under way that belongs to no caller."""

    def cancel(self) -> None:
        """Have it end soon, from any thread; in a thread of its own it cannot be hurried."""
        ...

    async def gone(self) -> None:
        """Until it is over; for who cancelled it and runs where it does."""
        ...

    async def told(self) -> None:
        """Until the work says that there is something to see; for who began it and runs where it does."""
        ...

    def tell(self) -> None:
        """The work says so."""
        ...


class Home(Protocol):
    """Where work was begun and has to go on: one event loop, or any thread."""

    apart: bool
    """Whether work can be had beside its caller at no great cost."""

    def mine(self, runtime: Coloured, /) -> bool:
        """Whether work of this home may be done right here, in that colour."""
        ...

    def stopped_by(self, runtime: Coloured, /) -> bool:
        """Whether waiting right here would keep this home from going on."""
        ...

    def start(
        self, work: Callable[[], Coroutine[Any, Any, None]], over: Callable[[], None] | None = None, /
    ) -> Running:
        """Begin work there, from anywhere; `over` is called at its end, also where it never began.

        RuntimeError when that loop has been closed.
        """
        ...


class Threads:
    """The home of work that blocks: any thread will do."""

    apart = False

    def mine(self, runtime: Coloured, /) -> bool:
        return not runtime.apart

    def stopped_by(self, runtime: Coloured, /) -> bool:
        return False

    def start(
        self, work: Callable[[], Coroutine[Any, Any, None]], over: Callable[[], None] | None = None, /
    ) -> Running:
        def run() -> None:
            try:
                drive(work())
            except GivenUp:
                pass
            finally:
                if over is not None:
                    over()

        # A daemon: an app that ends does not wait for work that nobody waits for.
        threading.Thread(target=run, name="llm_edge work", daemon=True).start()
        return _UNHURRIED


class _Unhurried:
    def cancel(self) -> None: ...
    async def gone(self) -> None: ...
    async def told(self) -> None: ...
    def tell(self) -> None: ...


THREADS: Final = Threads()
_UNHURRIED: Final = _Unhurried()


class Loop:
    """The home of work that awaits: the loop it was begun on."""

    apart = True

    def __init__(self, loop: asyncio.AbstractEventLoop, tasks: set[asyncio.Task[None]]) -> None:
        import asyncio

        self._loop, self._tasks, self._running = loop, tasks, asyncio.get_running_loop

    def mine(self, runtime: Coloured, /) -> bool:
        return runtime.apart and self.here()

    def stopped_by(self, runtime: Coloured, /) -> bool:
        return not runtime.apart and self.here()

    def here(self) -> bool:
        """Whether its loop is the one that is running."""
        try:
            return self._running() is self._loop
        except RuntimeError:
            return False

    def start(
        self, work: Callable[[], Coroutine[Any, Any, None]], over: Callable[[], None] | None = None, /
    ) -> Running:
        running = _Task(self._loop, self._tasks, work, over)
        if self.here():
            running.begin()
        else:
            self._loop.call_soon_threadsafe(running.begin)
        return running


class _Task:
    """Work as a task of its own."""

    __slots__ = ("_loop", "_over", "_task", "_tasks", "_waiter", "_work")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        tasks: set[asyncio.Task[None]],
        work: Callable[[], Coroutine[Any, Any, None]],
        over: Callable[[], None] | None,
    ) -> None:
        self._loop, self._tasks, self._work, self._over = loop, tasks, work, over
        self._task: asyncio.Task[None] | None = None
        self._waiter: asyncio.Future[None] | None = None

    def begin(self) -> None:
        self._task = task = self._loop.create_task(self._work())
        self._tasks.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, so that nobody is told of an error that was passed on already
        if self._over is not None:
            self._over()

    def cancel(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._cancel)
        except RuntimeError:
            pass  # that loop has been closed, and all its tasks with it

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def gone(self) -> None:
        import asyncio

        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def told(self) -> None:
        self._waiter = waiter = self._loop.create_future()
        await waiter

    def tell(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
