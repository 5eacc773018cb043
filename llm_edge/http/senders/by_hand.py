"""
Waits for pyreqwest's awaitables on the spot, with a time limit and no event loop.

pyreqwest's blocking calls can be told once how long they may take; a stream in the sync colour
needs to be told anew before each wait. Its awaitable calls can be cancelled at any moment, and
all they ask of an event loop is a future and a way to set it from another thread. That much of
a loop fits into this file: it is the running loop only while a step is taken, never while
anything waits, so a real loop in the same thread does not notice.
"""

from __future__ import annotations

import asyncio
import threading
from asyncio.events import _get_running_loop, _set_running_loop  # both meant for those who write loops
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar, cast

T = TypeVar("T")


class Overdue(Exception):
    """The wait took longer than allowed; what was waited for has been cancelled."""


def wait_for(work: Coroutine[Any, Any, T], seconds: float | None) -> T:
    """The result of an awaitable of pyreqwest; raises Overdue when it takes longer than `seconds`."""
    post = _Post()
    try:
        while True:
            _step(post, work.send, None)
            if not post.deliver(seconds):
                raise Overdue
    except StopIteration as done:
        result: T = done.value
        return result
    except BaseException:
        _cancel(post, work)
        raise


def _cancel(post: _Post, work: Coroutine[Any, Any, Any]) -> None:
    # As a task would: thrown into it, so that the connection is given up and not just forgotten.
    try:
        while True:
            _step(post, work.throw, asyncio.CancelledError())
            if not post.deliver(1.0):
                work.close()
                return
    except (Exception, asyncio.CancelledError):
        return


def _step(post: _Post, go: Callable[[Any], Any], value: object) -> None:
    outer = _get_running_loop()
    _set_running_loop(cast(asyncio.AbstractEventLoop, post))  # what is asked of it here, it can do
    try:
        go(value)
    finally:
        _set_running_loop(outer)


class _Post:
    """As much of an event loop as pyreqwest asks for: a letter box between its thread and ours."""

    def __init__(self) -> None:
        self._filled = threading.Semaphore(0)
        self._letters: deque[tuple[Callable[..., object], tuple[object, ...]]] = deque()

    def create_future(self) -> _Promise:
        return _Promise()

    def call_soon_threadsafe(self, call: Callable[..., object], *args: object, context: object = None) -> None:
        self._letters.append((call, args))
        self._filled.release()

    def deliver(self, seconds: float | None) -> bool:
        """Wait for one letter and act on it; False when none came in time."""
        if not self._filled.acquire(timeout=seconds):
            return False
        call, args = self._letters.popleft()
        call(*args)
        return True


class _Promise:
    """A future with one reader, who is always ready."""

    _asyncio_future_blocking = False

    def __init__(self) -> None:
        self._done = False
        self._value: object = None

    def done(self) -> bool:
        return self._done

    def cancelled(self) -> bool:
        return False

    def set_result(self, value: object) -> None:
        self._done, self._value = True, value

    def __await__(self) -> Generator[_Promise, None, object]:
        while not self._done:
            yield self
        return self._value

    __iter__ = __await__
