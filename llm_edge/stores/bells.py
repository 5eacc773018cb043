"""
What wakes a thread that waits for another.

A lock will do; but the system has who waited for a lock go on wherever a processor is idle, which takes a while to
come up and has nothing at hand of what was worked on. Who waits at a pipe goes on where the writer was, as soon as
that one waits itself, if only nothing speaks for another processor. So where somebody waits for the work the bell is a
pipe, and whoever lies at it is kept to the processor of the one who rings and waits.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Final, Protocol


class Bell(Protocol):
    """Rung once for each wait, by any thread."""

    def ring(self, *, beside: bool = False) -> None:
        """`beside`: who rings waits for who is woken, and leaves its processor to that one."""
        ...

    def wait(self, seconds: float = -1.0, /) -> bool:
        """Until it rings (True), or the time is up (False); less than no time is for ever."""
        ...

    def close(self) -> None:
        """Nobody will ring it any more, nor wait."""
        ...


def bell(*, prompt: bool) -> Bell:
    """A new one; `prompt` where somebody waits for who is woken."""
    if prompt and hasattr(select, "poll"):  # not on every system
        try:
            return _Pipe(*os.pipe())
        except OSError:
            pass  # this process may open no more files
    return _Lock()


class _Lock:
    def __init__(self) -> None:
        self._door = threading.Lock()
        self._door.acquire()

    def ring(self, *, beside: bool = False) -> None:
        self._door.release()

    def wait(self, seconds: float = -1.0, /) -> bool:
        return self._door.acquire(timeout=seconds)

    def close(self) -> None: ...


_ANYWHERE: Final = -1


class _Pipe:
    def __init__(self, reads: int, writes: int) -> None:
        self._reads, self._writes, self._open = reads, writes, [reads, writes]
        self._poll = select.poll()
        self._poll.register(self._reads, select.POLLIN)
        self._waits: int | None = None
        """The thread that waits here, by the system's number; none where it cannot be placed."""
        self._place, self._processor = placing(), _ANYWHERE

    def ring(self, *, beside: bool = False) -> None:
        if self._waits is not None and (beside or self._processor != _ANYWHERE):
            self._put(self._waits, beside=beside)
        os.write(self._writes, b"\0")

    def _put(self, thread: int, *, beside: bool) -> None:
        assert self._place is not None, "or no thread would be known"
        here = self._place() if beside else _ANYWHERE
        if here == self._processor:
            return
        try:
            os.sched_setaffinity(thread, os.sched_getaffinity(0) if here == _ANYWHERE else {here})
            self._processor = here
        except (OSError, ValueError):
            self._place = self._waits = None  # the system does not have it: it places its threads by itself
            if self._processor != _ANYWHERE:  # it had it before
                with suppress(OSError):
                    os.sched_setaffinity(thread, os.sched_getaffinity(0))

    def wait(self, seconds: float = -1.0, /) -> bool:
        if self._waits is None and self._place is not None:
            self._waits = threading.get_native_id()
        if seconds >= 0 and not self._poll.poll(seconds * 1000):
            return False
        os.read(self._reads, 1)
        return True

    def close(self) -> None:
        self._place = self._waits = None
        while self._open:
            os.close(self._open.pop())

    __del__ = close


@cache
def placing() -> Callable[[], int] | None:
    """Tells on which processor the calling thread is; None where nobody knows, or threads cannot be placed."""
    if not hasattr(os, "sched_setaffinity"):  # not on every system
        return None
    try:
        import ctypes

        found: Callable[[], int] = ctypes.PyDLL(None).sched_getcpu
    except (ImportError, OSError, AttributeError):
        return None
    return found
