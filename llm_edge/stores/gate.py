"""A door that is open to all, until somebody has to be sure that nobody is inside."""

from __future__ import annotations

import threading


class Gate:
    """`with` it one is inside. While it is shut, nobody comes in: they wait until it is open again."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._inside = self._shut = 0

    def __enter__(self) -> None:
        with self._changed:
            while self._shut:
                self._changed.wait()
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._inside -= 1
            if self._shut:
                self._changed.notify_all()

    def shut(self, seconds: float) -> bool:
        """Let nobody in any more; whether all who were inside have left in that time. Each is to be opened once."""
        with self._changed:
            self._shut += 1
            return self._changed.wait_for(lambda: not self._inside, seconds)

    def open(self) -> None:
        """Let those in who wait, unless another has shut it, too."""
        with self._changed:
            if self._shut:
                self._shut -= 1
                self._changed.notify_all()
