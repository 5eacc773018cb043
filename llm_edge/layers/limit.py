"""Holds the app to a pace and a number of calls at once."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import RateLimited
from ..message import Handler, Request, Response
from ..policy.bucket import Bucket
from ..runtime import Guard, Runtime, Signal, mind_forks


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What a limit allows."""

    rate: float | None = None
    """Calls per second; None for any."""
    burst: float = 1.0
    """Calls at once after a rest."""
    concurrency: int | None = None
    """Calls in flight; None for any."""
    patience: float = 0.0
    """Seconds a call may wait for room before it is refused."""


class Gate:
    """The state of one limit, shared by threads and loops. A call's place is known by its signal."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self._bucket = None if room.rate is None else Bucket(rate=room.rate, size=room.burst)
        self._guard = Guard()
        self._inside: set[Signal] = set()
        self._queue: dict[Signal, None] = {}
        mind_forks(self)

    def after_fork(self) -> None:
        # The calls in flight are the parent's.
        self._inside, self._queue = set(), {}

    def pace(self, now: float, patience: float) -> float:
        """Seconds to wait before the call may go; when longer than `patience`, nothing was taken."""
        bucket = self._bucket
        return 0.0 if bucket is None else self._guard.do(lambda: bucket.reserve(1, now, patience=patience))

    def enter(self) -> Signal | None:
        """A signal that is set once the call has a place, perhaps already; None when places are not counted."""
        if self.room.concurrency is None:
            return None
        turn = Signal()
        self._guard.do(lambda: self._line_up(turn))
        return turn

    def leave(self, turn: Signal | None) -> None:
        """The call is over, or waits no longer; a place it had goes to whoever has waited longest."""
        if turn is not None:
            self._guard.post(lambda: self._gone(turn))

    def _line_up(self, turn: Signal) -> None:
        self._queue[turn] = None
        self._fill()

    def _gone(self, turn: Signal) -> None:
        self._queue.pop(turn, None)
        self._inside.discard(turn)
        self._fill()

    def _fill(self) -> None:
        places = self.room.concurrency or 0
        while self._queue and len(self._inside) < places:
            first = next(iter(self._queue))
            del self._queue[first]
            self._inside.add(first)
            first.set()


class Limit:
    """Holds calls to a steady pace; refuses those that would wait too long."""

    def __init__(self, gate: Gate, runtime: Runtime, *, scope: str = "global") -> None:
        self._gate, self._runtime, self._scope = gate, runtime, scope

    async def __call__(self, request: Request, handler: Handler, /) -> Response:
        gate = self._gate
        turn = gate.enter()
        try:
            await self._wait(request, turn)
            response = await handler(request)
        except BaseException:
            gate.leave(turn)
            raise
        response.finally_(lambda error: gate.leave(turn))
        return response

    async def _wait(self, request: Request, turn: Signal | None) -> None:
        """A place first, then the pace: so a call refused for want of a place has taken nothing of the pace."""
        clock, room = self._runtime.clock, self._gate.room
        began = clock.now()
        patience = room.patience
        if request.deadline is not None:
            patience = min(patience, max(request.deadline - began, 0.0))
        if turn is not None and not turn.is_set and not await self._runtime.wait(turn, patience):
            raise self._refusal(request, f"more than {room.concurrency} calls at once", 1.0)
        left = max(patience - (clock.now() - began), 0.0)
        wait = self._gate.pace(clock.now(), left)
        if wait > left:
            raise self._refusal(request, f"more than {room.rate:g} calls a second", wait)
        if wait > 0:
            await clock.sleep(wait)
        waited = clock.now() - began
        if waited > 0.0005:
            request.notes.waited += waited
            request.notes.say(began, "limit", scope=self._scope, waited_s=round(waited, 3))

    def _refusal(self, request: Request, why: str, wait: float) -> RateLimited:
        request.notes.say(
            self._runtime.clock.now(), "limit", scope=self._scope, refused=why, retry_after_s=round(wait, 3)
        )
        return RateLimited(f"the {self._scope} limit has no room: {why}", retry_after=wait)
