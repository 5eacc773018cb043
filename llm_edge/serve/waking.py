"""What the parent of the workers waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue


class Waking(threading.Event):
    """
    Set by handlers of signals; whoever waits for it looks up twice a second, and at whether there is `more` to do.

    A signal interrupts a wait, but not one that is only about to begin: it would be heard at the next signal. So a
    reload was lost that was asked for in the very moment in which another one had been refused. And granian forgets
    that it was woken when it begins a reload: so a stop was lost that was asked for in that moment.

    It is set by handlers of signals, one in the middle of another. An event of `threading` has a lock, which the first
    one may hold; this one has a queue that may be filled while it is being filled.
    """

    def __init__(self, more: Callable[[], object]) -> None:
        super().__init__()
        self._more, self._words = more, SimpleQueue[None]()

    def set(self) -> None:
        self._words.put(None)

    def is_set(self) -> bool:
        return not self._words.empty()

    def clear(self) -> None:
        with suppress(Empty):
            for _ in range(self._words.qsize()):
                self._words.get_nowait()

    def wait(self, timeout: float | None = None) -> bool:
        while timeout is None:
            if self._more() or self._heard(0.5):
                return True
        return self._heard(timeout)

    def _heard(self, seconds: float) -> bool:
        try:
            self._words.get(timeout=seconds)
        except Empty:
            return False
        self.set()  # until it is cleared
        return True
