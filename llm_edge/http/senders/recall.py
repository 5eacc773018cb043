"""Reads that end when nobody waits for the answer any more: in a thread, which cannot be cancelled."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import TypeVar

from ...runtime import GivenUp, Signal

T = TypeVar("T")


def recalled(recall: Signal, sock: socket.socket, read: Callable[[], T]) -> T:
    """What `read` gives of this socket. Raises GivenUp when the signal was set before it came."""
    held = _Held(sock)
    recall.subscribe(held.cut)
    try:
        return read()
    finally:
        held.let_go()
        recall.unsubscribe(held.cut)
        if recall.is_set:
            raise GivenUp


class _Held:
    """A socket, as long as it is waited at: afterwards it may be somebody else's."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock: socket.socket | None = sock
        self._lock = threading.Lock()

    def cut(self) -> None:
        """Whoever waits there wakes up."""
        with self._lock:
            if self._sock is not None:
                try:
                    self._sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # it is closed already

    def let_go(self) -> None:
        with self._lock:
            self._sock = None
