"""What httpcore carries as a timeout: a number to it, our patience to the stream underneath."""

from __future__ import annotations

from ..sender import Patience


class Waits(float):
    """
    The waits of one call, asked again before each of them.

    httpcore hands the timeout of a request down to its network stream unchanged, so the stream
    below can ask how long it may wait now, and leave word here of what it saw.
    """

    __slots__ = ("fresh", "heard", "patience")

    patience: Patience
    fresh: bool
    """A new connection was opened for this call."""
    heard: bool
    """A byte of the answer has come."""

    def __new__(cls, patience: Patience) -> Waits:
        left = patience.remaining()
        self = super().__new__(cls, float("inf") if left is None else left)
        self.patience, self.fresh, self.heard = patience, False, False
        return self


def left(timeout: float | None) -> float | None:
    """Seconds for the wait at hand; 0 when the time is over, None without limit."""
    return timeout.patience.remaining() if isinstance(timeout, Waits) else timeout


def left_to_connect(timeout: float | None) -> float | None:
    """The same for making a connection, which has a limit of its own."""
    if not isinstance(timeout, Waits):
        return timeout
    seconds, connect = timeout.patience.remaining(), timeout.patience.connect
    if seconds is None or (connect is not None and connect < seconds):
        return connect
    return seconds


class Together:
    """
    Puts the head of a request and the beginning of its body into one packet.

    httpcore writes them one after the other; each write is a trip into the kernel, and wakes the
    server for half a request. So the first write of a turn is held back until the next write or
    read. Not for HTTP/2, where turns overlap.
    """

    __slots__ = ("_held", "_speaking", "off")

    def __init__(self) -> None:
        self._held = b""
        self._speaking = False
        self.off = False

    def add(self, data: bytes) -> bytes:
        """What to write now."""
        if not self._speaking and not self.off and len(data) < _LITTLE:
            self._speaking, self._held = True, data
            return b""
        self._speaking = True
        data, self._held = self._held + data if self._held else data, b""
        return data

    def turn(self) -> bytes:
        """The other side speaks now; what is still to be written before that."""
        self._speaking = False
        data, self._held = self._held, b""
        return data


_LITTLE = 16 * 1024
