"""
What wakes a thread that waits for another.

A lock will do; but the system has who waited for a lock go on wherever a processor is idle, which takes a while to
come up and has nothing at hand of what was worked on. Who waits at a pipe often goes on where the writer was, as soon
as that one waits itself. So where somebody waits for the work the bell is a pipe.
"""

from __future__ import annotations

import os
import select
import threading
from typing import Protocol


class Bell(Protocol):
    """Rung once for each wait, by any thread."""

    def ring(self) -> None: ...
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

    def ring(self) -> None:
        self._door.release()

    def wait(self, seconds: float = -1.0, /) -> bool:
        return self._door.acquire(timeout=seconds)

    def close(self) -> None: ...


class _Pipe:
    def __init__(self, reads: int, writes: int) -> None:
        self._reads, self._writes, self._open = reads, writes, [reads, writes]
        self._poll = select.poll()
        self._poll.register(self._reads, select.POLLIN)

    def ring(self) -> None:
        os.write(self._writes, b"\0")

    def wait(self, seconds: float = -1.0, /) -> bool:
        if seconds >= 0 and not self._poll.poll(seconds * 1000):
            return False
        os.read(self._reads, 1)
        return True

    def close(self) -> None:
        while self._open:
            os.close(self._open.pop())

    __del__ = close
