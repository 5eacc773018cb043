"""One moment for everything: queue, limits, attempts, fallback and stream."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import DeadlineExceeded, NetworkFailed
from ..message import Handler, Request, Response
from ..runtime import Clock
from .rules import Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """Seconds a call may take, by what it is. None sets no bound."""

    chat: float | None = 30.0
    stream: float | None = 120.0
    embeddings: float | None = 5.0
    first_token: float | None = 30.0
    """Seconds until the first event of a stream."""
    idle: float | None = 30.0
    """Seconds between two events of a stream; comments and keep-alives do not count."""
    attempt: float | None = None
    """Seconds one attempt may take, to its end or to the first event of its stream."""
    untouched: float | None = None
    """Seconds without a byte in what passes untouched, where the app sets no timeout."""

    def total(self, request: Request) -> float | None:
        if request.streaming:
            return self.stream
        return self.embeddings if request.operation == "embeddings" else self.chat


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """Sets the moment a call is over; whoever waits below looks at it."""

    clock: Clock
    allowed: Rules[Allowed]

    async def __call__(self, request: Request, handler: Handler, /) -> Response:
        if request.operation == "opaque":
            # An upload or a batch takes as long as it moves; the hop sees to that.
            return await handler(request)
        seconds = self._seconds(request)
        if seconds is None:
            return await handler(request)
        moment = self.clock.now() + seconds
        try:
            return await handler(request.due(moment))
        except NetworkFailed as error:
            if error.timed_out and self.clock.now() >= moment - 0.05:
                late = DeadlineExceeded(f"no answer within the {seconds:g} s allowed for this call")
                late.target, late.attempts = error.target, error.attempts
                raise late from None
            raise

    def _seconds(self, request: Request) -> float | None:
        """What the caller says wins, and of several words of the caller the shortest."""
        controls, seconds = request.controls, request.timeout
        if controls.deadline is not None and (seconds is None or controls.deadline < seconds):
            seconds = controls.deadline
        if seconds is None:
            seconds = self.allowed.of(request.route).total(request)
        if controls.at_most is None:
            return seconds
        return controls.at_most if seconds is None else min(seconds, controls.at_most)
