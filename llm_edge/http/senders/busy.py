"""
Busy polling: a thread looks again and again for an answer that will be there at once.

A thread that sleeps for its answer wakes some 50 µs after it has come, and to cold caches. Where a sidecar on the same
machine answers about as fast, not to sleep at all takes less time, and less of the processor, too. The kernel does
the same for network cards (`SO_BUSY_POLL`), not for the loopback.
"""

from __future__ import annotations

import math
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Final, TypeAlias

Ready: TypeAlias = Callable[[float | None], bool]
"""Waits so many seconds, or for ever, until something can be read (or written); whether it can."""


def ready(sock: socket.socket, *, write: bool = False) -> Ready:
    """What waits at this socket."""
    if not hasattr(select, "poll"):
        reads, writes = ([], [sock]) if write else ([sock], [])
        return lambda seconds: any(select.select(reads, writes, [], seconds))
    poll = select.poll()
    poll.register(sock, select.POLLOUT if write else select.POLLIN)
    # Rounded up: a wait that ends too early would only be begun again.
    return lambda seconds: bool(poll.poll(None if seconds is None or seconds > _WEEKS else math.ceil(seconds * 1e3)))


_WEEKS: Final = 2e6
"""Seconds that poll can be told; whoever waits longer waits for ever."""


class Busy:
    """
    Waits for answers to begin on one connection; without sleeping, as long as the last one came that quickly.

    Not for what follows: parts that came together would have each pause of a stream begin with a vain look.

    One thread of an engine does so at a time (`turn` is the engine's): more of them would only take the interpreter
    from each other.
    """

    __slots__ = ("_began", "_now", "_quick", "_ready", "_turn")

    def __init__(self, ready: Ready, turn: threading.Lock, now: Callable[[], float] = time.perf_counter) -> None:
        self._ready, self._turn, self._now = ready, turn, now
        self._quick = False
        self._began = 0.0

    def __call__(self, seconds: float | None) -> bool:
        """Whether something can be read, after so many seconds at most."""
        said = self.look()
        if not said:
            said = self._ready(seconds)
            self.slept()
        return said

    def look(self) -> bool:
        """Whether something can be read already. If not, the caller sleeps for it in a way of its own, and says so."""
        self._began = now = self._now()
        if self._quick and self._turn.acquire(blocking=False):
            try:
                until = now + QUICK
                while now < until:
                    if self._ready(0):
                        return True
                    now = self._now()
            finally:
                self._turn.release()
        return False

    def slept(self) -> None:
        """What was waited for is there, or the wait was given up."""
        self._quick = self._now() - self._began < QUICK


QUICK: Final = 150e-6
"""Seconds in which an answer counts as quick: to sleep costs about as much."""
