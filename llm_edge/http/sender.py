"""What the innermost hop asks of an HTTP engine, and nothing more."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from ..message import ByteSource, Headers
from ..providers.base import Wire
from ..runtime import Clock, Signal


class Patience:
    """
    How long an engine may wait, told as a moment that moves.

    The hop moves `moment` forward as an answer makes progress (first byte, then each event);
    engines that block read it again before each wait, so a dripping server gains nothing.
    """

    __slots__ = ("clock", "connect", "moment", "recall", "silence", "total", "whole")

    def __init__(
        self,
        clock: Clock,
        *,
        total: float | None,
        connect: float | None = 5.0,
        silence: float | None = None,
        whole: bool = False,
    ) -> None:
        self.clock = clock
        self.total = total
        """The moment the whole call is over."""
        self.connect = connect
        """Seconds for one connection attempt, TLS included."""
        self.silence = silence
        """Seconds without a byte that are too many, for engines that can only be told once."""
        self.whole = whole
        """Nobody looks at the answer before all of it is there, so its bytes may come in lumps."""
        self.recall: Signal | None = None
        """Set when nobody waits for the answer any more; engines that block read with `recalled`."""
        self.moment = total

    def within(self, seconds: float | None) -> None:
        """From now on, wait at most `seconds`, and never past the end of the call."""
        if seconds is None:
            self.moment = self.total
        else:
            moment = self.clock.now() + seconds
            self.moment = moment if self.total is None or moment < self.total else self.total

    def remaining(self) -> float | None:
        """Seconds left for the wait under way, 0 when it is over, None without limit."""
        return None if self.moment is None else max(self.moment - self.clock.now(), 0.0)


def _not_here() -> None: ...


@dataclass(slots=True)
class Answer:
    """The head of an answer, and its bytes as they arrive: undecoded, as the wire carries them."""

    status: int
    headers: Headers
    source: ByteSource
    native: Any = None
    """The HTTP library's own response, when the request was one."""
    patient: bool = True
    """The source asks its patience before each wait. One that does not may wait longer than it should."""
    at_once: Callable[[], bytes | None] = _not_here
    """Takes all the bytes of the body, where the last of them came with the head; None where they have to be read."""


class Sender(Protocol):
    """
    Sends one wire request and gives the answer as soon as its head is in.

    Raises `NetworkFailed` (its `kind` is httpx's name for the trouble) or `CertificateRefused`,
    here and from the source; nothing else. Never follows a redirect. Cancelled at any await, it
    leaves no connection behind.
    """

    name: str

    def __call__(self, wire: Wire, patience: Patience, /) -> Coroutine[Any, Any, Answer]: ...
    async def aclose(self) -> None: ...


@runtime_checkable
class Dweller(Protocol):
    """A sender that has connections of each event loop's own."""

    def leave(self) -> None:
        """Let go of those of loops that are closed, which nobody may have told it."""
        ...
